"""docs/compatibility.md: its releases are those of the tables that decide."""

from __future__ import annotations

import re

import pytest

from daemon_shim import releases
from tests.docs.page import REPOSITORY
from translator.llb.capabilities import FEATURES

_PAGE = REPOSITORY / "docs" / "compatibility.md"
_DAEMONS = ("v0.5.1", "v0.7.2", "v0.8.3", "v0.10.6", "v0.13.2", "v0.32.2")
_ROW = re.compile(
    r"\| (?P<feature>.+?) \| (?:`(?P<capability>[\w.]+)`)? ?"
    r"\| (?P<since>v[\d.]+) \| (?P<cells>.+) \|"
)
_LINES = _PAGE.read_text(encoding="utf-8").partition("## BuildKit\n\n")[2].split("\n\n")[0]
_ROWS = [row for line in _LINES.splitlines() if (row := _ROW.fullmatch(line))]


def _release(text: str) -> releases.Release:
    parsed = releases.parse(text if text.count(".") == 2 else f"{text}.0")
    assert parsed
    return parsed


def test_the_table_is_found() -> None:
    title_and_rule = 2
    assert len(_ROWS) == _LINES.strip().count("\n") + 1 - title_and_rule


@pytest.mark.parametrize("row", _ROWS, ids=lambda row: row["feature"])
def test_daemons_have_a_feature_from_its_release_on(row: re.Match[str]) -> None:
    has = [_release(daemon) >= _release(row["since"]) for daemon in _DAEMONS]
    assert row["cells"].split(" | ") == ["yes" if each else "no" for each in has]


@pytest.mark.parametrize(
    "row", [row for row in _ROWS if row["capability"]], ids=lambda row: row["capability"]
)
def test_releases_are_those_of_the_capabilities(row: re.Match[str]) -> None:
    name = row["capability"]
    since = _release(FEATURES[name].since) if name in FEATURES else releases.since(name)
    assert since == _release(row["since"])


def test_all_that_came_after_the_oldest_release_is_on_the_page() -> None:
    oldest = _release(_DAEMONS[0])
    later = {row.id for row in FEATURES.values() if _release(row.since) > oldest}
    lowered = {
        "exec.mount.bind.readwrite-nooutput",
        "exec.mount.cache.content",
        "mergeop",
        "diffop",
        "merge.removals",
    }
    assert later - lowered <= {row["capability"] for row in _ROWS}
