"""The helper program itself, run in a root of its own as a container would run it."""

from __future__ import annotations

import os
import platform
import re
import shutil
import stat
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from translator import helper
from translator.platform import Platform

SOURCE = Path(helper.__file__).parent
_COMPILERS = {"amd64": "x86_64-linux-gnu-gcc", "arm64": "aarch64-linux-gnu-gcc"}


@dataclass(frozen=True)
class Root:
    """``/src`` is copied from, ``/dest`` is changed, and ``/other`` is neither."""

    folder: Path

    def __call__(self, *words: str, code: int = 0) -> str:
        """Run the helper; return what it printed."""
        command = ["chroot", str(self.folder), "/helper", *words]
        done = subprocess.run(command, capture_output=True, check=False, timeout=60)
        assert done.returncode == code, done.stderr
        return done.stderr.decode()

    def tree(self, below: str) -> dict[str, str]:
        """Names to contents; folders end with a slash, links say where they lead."""
        top = self.folder / below
        return {
            f"{path.relative_to(top)}{'/' if _is_folder(path) else ''}": _said(path)
            for path in sorted(top.rglob("*"))
        }


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _said(path: Path) -> str:
    if path.is_symlink():
        return f"-> {path.readlink()}"
    return "" if path.is_dir() else path.read_text()


@pytest.fixture
def root(tmp_path: Path) -> Root:
    if os.geteuid() != 0:
        pytest.skip("only root may give the helper a root of its own")
    program = helper.program(Platform("linux", _machine()))
    if program is None:
        pytest.skip(f"there is no helper for this machine ({platform.machine()})")
    for name in ("src", "dest", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "other/secret").write_text("secret")
    (tmp_path / "helper").write_bytes(program.data)
    (tmp_path / "helper").chmod(0o755)
    return Root(tmp_path)


def _machine() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


# --- it never leaves its trees -----------------------------------------------------------------


def _links(folder: Path) -> None:
    (folder / "up").symlink_to("../other")
    (folder / "absolute").symlink_to("/other")
    (folder / "far").symlink_to("../../../../../../../other")
    (folder / "loop").symlink_to("loop")


_CHANGES: list[Callable[[str], tuple[str, ...]]] = [
    lambda path: ("mkdir", "--mode=755", "--parents", f"{path}/made"),
    lambda path: ("copy", "--contents", "/a", f"{path}/secret"),
    lambda path: ("symlink", "--to=x", f"{path}/link"),
    lambda path: ("remove", "--missing-ok", f"{path}/secret"),
    lambda path: ("remove", "--missing-ok", "--wildcard", f"{path}/*"),
]


@pytest.mark.parametrize("path", ["/up", "/absolute", "/far", "/../other", "/x/../../other"])
@pytest.mark.parametrize("change", _CHANGES)
def test_no_path_leads_out_of_the_tree(
    root: Root, change: Callable[[str], tuple[str, ...]], path: str
) -> None:
    (root.folder / "src/a").write_text("a")
    _links(root.folder / "dest")
    # What is not there within the tree is a failure for some, and none for others.
    command = ["chroot", str(root.folder), "/helper", "file", *change(path)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert done.returncode in (0, 1)
    assert root.tree("other") == {"secret": "secret"}


@pytest.mark.parametrize("path", ["/up/secret", "/absolute/secret", "/far/secret", "/../other/*"])
def test_nothing_is_copied_from_outside_of_the_tree(root: Root, path: str) -> None:
    _links(root.folder / "src")
    assert "no such file" in root("file", "copy", "--follow", path, "/x", code=1)
    assert "secret" not in root.tree("dest").values()


def test_links_are_taken_as_if_the_tree_were_all_there_is(root: Root) -> None:
    inside = root.folder / "src/other"
    inside.mkdir()
    (inside / "secret").write_text("mine")
    _links(root.folder / "src")
    for name in ("up", "absolute", "far"):
        root("file", "copy", "--follow", f"/{name}/secret", f"/{name}")
        assert (root.folder / "dest" / name).read_text() == "mine"


def test_circles_of_links_come_to_an_end(root: Root) -> None:
    _links(root.folder / "dest")
    _links(root.folder / "src")
    assert "loop" in root("file", "mkdir", "--mode=755", "--parents", "/loop/x", code=1)
    assert "loop" in root("file", "copy", "--follow", "/loop/x", "/y", code=1)


def test_names_may_be_as_long_as_the_system_takes_them(root: Root) -> None:
    deep = "/".join(["d" * 255] * 12)
    root("file", "mkdir", "--mode=755", "--parents", f"/{deep}")
    assert (root.folder / "dest" / deep).is_dir()
    assert "cannot" in root("file", "mkdir", "--mode=755", "/" + "d" * 256, code=1)
    assert "cannot" in root("file", "mkdir", "--mode=755", "/" + "d/" * 5_000, code=1)


def test_the_root_cannot_be_removed(root: Root) -> None:
    (root.folder / "dest/kept").write_text("kept")
    for path in ("/", "/..", "/kept/.."):
        assert "cannot remove the root" in root("file", "remove", path, code=1)
    assert root.tree("dest") == {"kept": "kept"}


# --- what it is told ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "no such command"),
        (("dance",), "no such command: dance"),
        (("file", "dance", "/x"), "no such change: dance"),
        (("file", "mkdir", "--purple", "/x"), "no such option: purple"),
        (("file", "mkdir", "--mode=9", "/x"), "no number: 9"),
        (("file", "copy", "/x"), "no path: copy"),
        (("file", "copy", "--include=[", "/x", "/y"), "["),
    ],
)
def test_what_it_does_not_understand_changes_nothing(
    root: Root, words: tuple[str, ...], told: str
) -> None:
    assert told in root(*words, code=1)
    assert root.tree("dest") == {}


def test_changes_are_done_in_their_order(root: Root) -> None:
    (root.folder / "src/a").write_text("a")
    mkdir, copy = ("mkdir", "--mode=750", "/d"), ("copy", "/a", "/d/")
    root("file", *mkdir, *copy, "symlink", "--to=a", "/d/l", "remove", "/d/a")
    assert root.tree("dest") == {"d/": "", "d/l": "-> a"}
    assert stat.S_IMODE((root.folder / "dest/d").stat().st_mode) == 0o750


def test_each_of_several_steps_sees_what_those_before_made(root: Root) -> None:
    (root.folder / "src/a").write_text("a")
    (root.folder / "src1/etc").mkdir(parents=True)
    (root.folder / "src1/etc/passwd").write_text("worker:x:12:13::/:/bin/sh\n")
    users = ("step", "1", "copy", "--from=/src1", "/etc", "/")
    root("file", *users, "step", "2", "copy", "--owner=worker:", "/a", "/a")
    owner = (root.folder / "dest/a").stat()
    assert (owner.st_uid, owner.st_gid) == (12, 13)


def test_of_several_steps_it_tells_which_one_failed(root: Root) -> None:
    first = ("step", "1", "mkdir", "--mode=755", "/d")
    told = root("file", *first, "step", "2", "mkdir", "--mode=755", "/e", "remove", "/x", code=1)
    assert told == "step 2: cannot remove: /x: no such file or directory\n"
    assert root("file", *first, "step", code=1) == "step 1: no name: step\n"


def test_required_paths_count_from_the_root(root: Root) -> None:
    (root.folder / "src/d").mkdir()
    (root.folder / "src/d/a").write_text("a")
    (root.folder / "src/b").write_text("b")
    for required in ("/d/a", "/b", "/d"):
        root("file", "copy", "--contents", "--include=**", f"--required={required}", "/", "/x/")
    told = root("file", "copy", "--contents", "--include=**", "--required=/a", "/", "/x/", code=1)
    assert told == "not found: /a\n"


# --- how it is made ----------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", sorted(_COMPILERS))
def test_the_program_is_what_its_source_makes(tmp_path: Path, architecture: str) -> None:
    compiler = _COMPILERS[architecture]
    made_by = (SOURCE / "compiler.txt").read_text().strip()
    found = _version(compiler)
    if found != made_by:
        pytest.skip(f"the helper was made by gcc {made_by}, and {compiler} is {found or 'absent'}")
    made = tmp_path / f"linux-{architecture}"
    words = ["make", "-C", str(SOURCE), f"OUT={tmp_path}", str(made)]
    subprocess.run(words, check=True, capture_output=True, timeout=120)
    assert made.read_bytes() == (SOURCE / made.name).read_bytes(), "run make helper"


def _version(compiler: str) -> str:
    if not shutil.which(compiler) or not shutil.which("make"):
        return ""
    words = [compiler, "--version"]
    told = subprocess.run(words, capture_output=True, check=True, timeout=60).stdout.decode()
    match = re.search(r"\d+\.\d+\.\d+", told)
    return match[0] if match else ""
