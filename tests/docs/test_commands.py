"""docs/reference/commands.md: its generated part is current, and its tables leave nothing out."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from buildfile.cli import COMMANDS, cli
from buildfile.commands import reference
from buildfile.exits import Exit
from tests.docs.page import REPOSITORY, blocks

# Handed on or asked for by others: not settings of ours.
_NOT_SETTINGS = {
    "HOME",
    # A daemon sets these for a frontend's container.
    "BUILDKIT_EXPORTEDPRODUCT",
    "BUILDKIT_SESSION_ID",
    "BUILDKIT_WORKERS",
}


def _page() -> str:
    return reference.PAGE.read_text(encoding="utf-8")


def test_the_page_is_current() -> None:
    assert _page() == reference.page(_page()), "run python -m buildfile.commands.reference"


def test_check_tells_a_current_page_from_an_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Mine\n{reference.BEGIN}old\n{reference.END}rest\n")
    monkeypatch.setattr(reference, "PAGE", page)
    assert reference.main(["--check"]) == 1
    assert "python -m buildfile.commands.reference" in capsys.readouterr().err
    assert reference.main([]) == 0
    assert reference.main(["--check"]) == 0
    text = page.read_text()
    assert text.startswith("# Mine\n")
    assert text.endswith("rest\n")


def test_a_page_without_its_marks_is_not_overwritten() -> None:
    with pytest.raises(ValueError, match="begin"):
        reference.page("# A page\n")


_INNER = (
    *("cache copy", "cache ls", "cache prune", "cache verify"),
    *("daemon start", "daemon status", "daemon stop"),
)


@pytest.mark.parametrize("command", [*COMMANDS, *_INNER])
def test_every_option_of_the_help_is_on_the_page(command: str) -> None:
    text = _page()
    assert f"### `buildfile {command}`" in text
    shown = CliRunner().invoke(cli, [*command.split(), "--help"]).output
    options = set(re.findall(r"(?<![\w-])--[a-z-]+", shown)) - {"--help"}
    assert {option for option in options if option not in text} == set()


def test_every_exit_code_is_explained() -> None:
    rows = re.findall(r"^\| (\d+) \|", _page(), re.MULTILINE)
    assert [int(row) for row in rows] == sorted(Exit)


def test_every_setting_of_the_environment_is_explained() -> None:
    read = re.compile(r'environment\.get\("([A-Z_]+)"|environ\.get\("([A-Z_]+)"')
    found = {
        name
        for package in ("buildfile", "daemon_shim")
        for file in (REPOSITORY / package).rglob("*.py")
        for match in read.findall(file.read_text(encoding="utf-8"))
        for name in match
        if name
    }
    assert {"BUILDKIT_HOST", "SOURCE_DATE_EPOCH"} <= found
    explained = re.findall(r"^\| (`[A-Z].*?) \|", _page(), re.MULTILINE)
    assert found - _NOT_SETTINGS <= {
        name for row in explained for name in row.strip("`").split("`, `")
    }


def test_json_on_the_page_is_json() -> None:
    texts = [block.text for block in blocks(_page()) if block.language == "json"]
    assert len(texts) == 10
    assert all(isinstance(json.loads(text), dict) for text in texts)
