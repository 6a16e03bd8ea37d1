from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from buildfile.exits import UsageError
from buildfile.files import LoadOptions, find, git_facts, load_project
from translator.diagnostic import InvalidFileError
from translator.inputs import FieldOption

FILE = "version: 1\nstages: {s: {from: scratch}}\ntargets: {t: {stage: s}}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_nearest_parent_is_found(folder: Path) -> None:
    (folder / "buildfile.yml").write_text(FILE)
    (folder / "a" / "b").mkdir(parents=True)
    assert find(folder / "a" / "b") == folder / "buildfile.yml"
    (folder / "buildfile.yaml").write_text(FILE)
    assert find(folder / "a") == folder / "buildfile.yaml"


def test_paths_of_options_start_from_the_working_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "buildfile.yaml").write_text(FILE)
    (folder / "sub").mkdir()
    monkeypatch.chdir(folder / "sub")
    field = FieldOption(option="--output", key="outputs", value="out")
    made = load_project((), LoadOptions(fields=[field], environment={}))
    assert made.root == str(folder)
    assert made.targets["t"][0].outputs[0].dest == str(folder / "sub" / "out")


def test_secrets_of_the_command_line_are_known(folder: Path) -> None:
    step = "{run: x, mounts: [{type: secret, id: k}]}"
    text = FILE.replace("{from: scratch}", f"{{from: scratch, steps: [{step}]}}")
    (folder / "buildfile.yaml").write_text(text)
    with pytest.raises(InvalidFileError):
        load_project((), LoadOptions(environment={}))
    assert load_project((), LoadOptions(secrets=["k"], environment={})).targets["t"]


def test_standard_input(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(FILE.encode())))
    made = load_project(["-"], LoadOptions(environment={}))
    assert made.files[0].name == "<stdin>" and made.root == str(folder)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (["missing"], "cannot read missing: No such file"),
        (["."], "cannot read .: Is a directory"),
        (["-", "-"], "read once"),
    ],
)
def test_files_that_cannot_be_read(folder: Path, files: list[str], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        load_project(files)


def test_git_is_asked_about_the_folder(folder: Path) -> None:
    with pytest.raises(LookupError):
        git_facts(str(folder))

    def git(*arguments: str) -> None:
        user = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *user, *arguments], cwd=folder, check=True, capture_output=True)

    git("init", "-b", "trunk")
    git("commit", "--allow-empty", "-m", "x")
    git("tag", "v1")
    facts = git_facts(str(folder))
    assert (facts.branch, facts.tag, facts.dirty) == ("trunk", "v1", False)
    (folder / "new").write_text("")
    assert git_facts(str(folder)).dirty
