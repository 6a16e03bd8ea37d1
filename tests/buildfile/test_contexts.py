from __future__ import annotations

import os
from pathlib import Path

import pytest

from buildfile.contexts import ignore_patterns
from tests.buildfile.projects import project
from translator.diagnostic import InvalidFileError
from translator.platform import Platform

AMD64 = Platform("linux", "amd64")
TEXT = """version: 1
sources: {src: {local: src}, raw: {local: raw, ignore-file: none}}
stages:
  s: {from: scratch, steps: [{copy: {from: src, to: /}}, {copy: {from: raw, to: /}}]}
targets: {t: {stage: s}}
"""


def patterns(folder: Path) -> dict[str, tuple[str, ...]]:
    made = project(folder, TEXT)
    (target,) = made.select()
    return ignore_patterns([made.instantiate(target, AMD64, AMD64)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "src").mkdir()
    (tmp_path / "raw").mkdir()
    return tmp_path


def test_ignore_files_are_read_where_they_are_honoured(folder: Path) -> None:
    (folder / "src" / ".dockerignore").write_text("\ufeff# no\n*.o\n!keep.o\n", "utf-8")
    (folder / "raw" / ".dockerignore").write_text("*\n")
    assert patterns(folder) == {str(folder / "src"): ("*.o", "!keep.o")}


def test_a_folder_without_an_ignore_file(folder: Path) -> None:
    assert patterns(folder) == {str(folder / "src"): ()}


def test_all_folders_that_are_not_there_are_told_of(folder: Path) -> None:
    (folder / "src").rmdir()
    (folder / "raw").rmdir()
    (folder / "raw").write_text("")
    with pytest.raises(InvalidFileError) as error:
        patterns(folder)
    assert [(each.code, bool(each.span)) for each in error.value.diagnostics] == [
        ("no-such-folder", True),
        ("not-a-folder", True),
    ]


def test_an_ignore_file_that_is_no_text(folder: Path) -> None:
    (folder / "src" / ".dockerignore").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidFileError, match=r"\.dockerignore: not UTF-8 text"):
        patterns(folder)


def test_an_ignore_file_that_cannot_be_read(folder: Path) -> None:
    (folder / "src" / ".dockerignore").mkdir()
    with pytest.raises(InvalidFileError, match=os.strerror(21)):
        patterns(folder)
