"""docs/compatibility.md: its tables say what doctor says of each age."""

from __future__ import annotations

import re

import pytest

from buildfile.doctor import State, abilities
from daemon_shim import ages, releases
from tests.docs.page import REPOSITORY

_PAGE = REPOSITORY / "docs" / "compatibility.md"
_DAEMONS = ("v0.3.3", "v0.4.0", "v0.5.1", "v0.7.2", "v0.8.3", "v0.10.6", "v0.13.2", "v0.32.2")
_CELLS = {State.NATIVE: "yes", State.LOWERED: "lowered", State.REFUSED: "no"}
_ROW = re.compile(
    r"\| (?P<feature>.+?) \| `(?P<name>[\w. -]+)` \| (?P<since>v[\d.]+) \| (?P<cells>.+) \|"
)
_LINES = _PAGE.read_text(encoding="utf-8").partition("## BuildKit\n\n")[2].split("\n\n")[0]
_ROWS = [row for line in _LINES.splitlines() if (row := _ROW.fullmatch(line))]

# Done another way where no user would ask for it by name.
_UNTOLD = {"exec.mount.bind.readwrite-nooutput", "exec.mount.cache.content"}


def _release(text: str) -> releases.Release:
    parsed = releases.parse(text if text.count(".") == 2 else f"{text}.0")
    assert parsed
    return parsed


def _told(daemon: str) -> dict[str, tuple[str, str]]:
    """By name, with its kind where that is not a capability: the cell and the release."""
    return {
        each.name if each.kind == "llb" else f"{each.kind} {each.name}": (
            _CELLS[each.state],
            each.since,
        )
        for each in abilities(ages.imagine(_release(daemon)))
    }


_TOLD = [_told(daemon) for daemon in _DAEMONS]


def test_the_table_is_found() -> None:
    title_and_rule = 2
    assert len(_ROWS) == _LINES.strip().count("\n") + 1 - title_and_rule


@pytest.mark.parametrize("row", _ROWS, ids=lambda row: row["name"])
def test_a_row_is_what_doctor_tells(row: re.Match[str]) -> None:
    name, since = row["name"], row["since"]
    if name in _TOLD[0]:
        expected = [told[name] for told in _TOLD]
    else:  # what the exporters of images can, which is a matter of the release alone
        first = releases.since(name)
        assert first and first == _release(since)
        expected = [("yes" if _release(each) >= first else "no", since) for each in _DAEMONS]
    assert row["cells"].split(" | ") == [cell for cell, _ in expected]
    assert {since} == {told for _, told in expected}


def test_all_that_differs_between_the_ages_is_on_the_page() -> None:
    differs = {name for name in _TOLD[0] if len({told[name][0] for told in _TOLD}) > 1}
    assert differs - _UNTOLD <= {row["name"] for row in _ROWS}
