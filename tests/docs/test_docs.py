"""The documentation is true: its commands run, its files are valid, its links lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

from tests.docs.page import PAGES, REPOSITORY, Block, Command, blocks, commands
from tests.real.daemon import Daemon

NOT_RUN = {"README.md": 5, "CONTRIBUTING.md": 11, "docs/frontend.md": 6}
"""How many commands of each page no test runs: more of them must be meant."""

_LINK = re.compile(r"(?<!`)\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
_MODULE = re.compile(
    r"`((?:buildfile|translator|daemon_shim|schemas|tests|benchmarks|docs)/[\w/.-]*)`"
)
_TIMEOUT = 120


def _name(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


def _blocks(page: Path) -> list[Block]:
    return list(blocks(page.read_text(encoding="utf-8")))


def _runs(page: Path) -> bool:
    return any(each.language == "console" and each.mark != "not run" for each in _blocks(page))


@pytest.mark.parametrize("page", list(filter(_runs, PAGES)), ids=_name)
def test_commands_do_what_the_page_shows(
    page: Path, tmp_path: Path, full_daemon: Daemon, registry: str, base_image: str
) -> None:
    shell = _Shell(
        tmp_path,
        {"BUILDKIT_HOST": full_daemon.address, "BASE": base_image, "REGISTRY": registry},
    )
    for block in _blocks(page):
        if block.mark == "file":
            shell.write(block.value, block.text)
        elif block.language == "console" and block.mark != "not run":
            for command in commands(block):
                shell.check(command, _name(page))


class _Shell:
    """Runs commands one by one, as somebody who reads the page: folder and exports stay."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        programs = folder / "bin"
        programs.mkdir()
        _program(programs / "buildfile", [sys.executable, "-m", "buildfile"])
        _program(programs / "python", [sys.executable])
        self._work = folder / "work"
        self._work.mkdir()
        self._state = folder / "state.sh"
        self._state.write_text(f"cd {shlex.quote(str(self._work))}\n")
        self._environment = environment | {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(REPOSITORY),
            "HOME": str(folder),
            "LC_ALL": "C.UTF-8",
        }

    def write(self, name: str, text: str) -> None:
        path = self._folder() / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def check(self, command: Command, page: str) -> None:
        done = self._run(
            f". {self._state}\n{command.text}\ncode=$?\n"
            f'{{ export -p; echo "cd ${{PWD@Q}}"; }} >{self._state}\nexit $code'
        )
        place = f"{page}:{command.line}: {command.text}"
        assert done.returncode == command.code, f"{place}\n{done.stdout}"
        assert command.matches(done.stdout), f"{place}\nprinted:\n{done.stdout}"

    def _folder(self) -> Path:
        return Path(self._run(f". {self._state}; pwd").stdout.strip())

    def _run(self, script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", script],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=self._environment,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )


def _program(path: Path, argv: list[str]) -> None:
    path.write_text(f'#!/bin/sh\nexec {shlex.join(argv)} "$@"\n')
    path.chmod(0o755)


def test_what_is_not_run_is_counted_and_has_a_reason() -> None:
    counted: Counter[str] = Counter()
    for page in PAGES:
        for block in _blocks(page):
            if block.mark == "not run":
                assert block.value, f"{_name(page)}:{block.line}: say why it is not run"
                counted[_name(page)] += len(list(commands(block)))
    assert dict(counted) == NOT_RUN


def _whole_files(language: str) -> list[tuple[str, Block]]:
    return [
        (f"{_name(page)}:{block.line}", block)
        for page in PAGES
        if _name(page) != "docs/reference/buildfile.md"  # tested with the schema it is made from
        for block in _blocks(page)
        if block.language == language and block.mark != "excerpt"
    ]


def test_every_example_is_run_or_is_said_to_be_an_excerpt() -> None:
    whole = [*_whole_files("yaml"), *_whole_files("python")]
    assert whole
    unused = [place for place, block in whole if block.mark != "file"]
    assert not unused, "give these a file, or mark them as excerpts"


@pytest.mark.parametrize(
    "text",
    [pytest.param(block.text, id=place) for place, block in _whole_files("yaml")],
)
def test_build_files_are_valid(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from buildfile.cli import main

    file = tmp_path / "buildfile.yaml"
    file.write_text(text)
    monkeypatch.setenv("TOKEN", "t")
    code = main(["check", "-f", str(file)])
    assert code == 0, capfd.readouterr().err


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_excerpts_are_yaml(page: Path) -> None:
    for block in _blocks(page):
        if block.language == "yaml" and block.mark == "excerpt":
            assert yaml.safe_load(block.text), f"{_name(page)}:{block.line}"


def _anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    text = _CODE.sub("", page.read_text(encoding="utf-8"))
    for link in _LINK.findall(text):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{_name(page)}: {link} leads nowhere"
        if anchor:
            assert anchor in _anchors(target), f"{_name(page)}: {link} has no such title"


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_files_that_are_named_exist(page: Path) -> None:
    named = _MODULE.findall(page.read_text(encoding="utf-8"))
    missing = [name for name in named if not (REPOSITORY / name).exists()]
    assert not missing


def test_the_architecture_names_every_folder_of_code() -> None:
    text = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    folders = {
        str(file.parent.relative_to(REPOSITORY))
        for package in ("buildfile", "translator", "daemon_shim")
        for file in (REPOSITORY / package).rglob("*.py")
    }
    unnamed = {name for name in folders if f"`{name}/" not in text}
    assert not unnamed, "say in docs/architecture.md what these are for"


def test_commands_are_read_with_their_output_and_code() -> None:
    (block,) = blocks("<!-- file: x -->\n```console\n$ a \\\n> b  # exit 3\none\n...\n$ c\n```\n")
    first, second = commands(block)
    assert (block.mark, block.value) == ("file", "x")
    assert (first.text, first.code, first.output) == ("a \\\nb", 3, "one\n...")
    assert (second.text, second.code, second.output) == ("c", 0, "")


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("one", "one\n", True),
        ("one", "one\ntwo\n", False),
        ("one\n...", "one\ntwo\nthree", True),
        ("...\nthree", "one\ntwo\nthree", True),
        ("built in ...s", "built in 1.2s", True),
        ("built in ...s", "built in\ns", False),
        ("a.c", "abc", False),
        ("", "whatever", True),
    ],
)
def test_dots_stand_for_anything(shown: str, printed: str, same: bool) -> None:
    assert Command(text="c", line=1, code=0, output=shown).matches(printed) == same
