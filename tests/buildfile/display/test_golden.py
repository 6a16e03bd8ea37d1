"""Event scripts beside what each display makes of them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from buildfile.display.plain import PlainDisplay
from buildfile.display.rawjson import RawJsonDisplay
from buildfile.display.tty import TtyDisplay
from tests.buildfile.display.script import CASES, script, scripts
from tests.buildfile.display.terminal import Terminal

Golden = Callable[[Path, str], None]


@pytest.mark.parametrize("case", scripts())
def test_plain(case: str, golden: Golden) -> None:
    out = io.StringIO()
    display = PlainDisplay(out)
    script(case).play(display)
    display.close(None)
    golden(CASES / case / "plain.txt", out.getvalue())


@pytest.mark.parametrize("case", scripts())
def test_rawjson(case: str, golden: Golden) -> None:
    out = io.StringIO()
    display = RawJsonDisplay(out)
    script(case).play(display)
    display.close(None)
    assert all(json.loads(line) for line in out.getvalue().splitlines())
    golden(CASES / case / "rawjson.txt", out.getvalue())


@pytest.mark.parametrize("case", scripts())
def test_tty(case: str, golden: Golden) -> None:
    terminal = Terminal()
    display = TtyDisplay(terminal, {"TERM": "xterm-256color"}, terminal.size)
    looks: list[str] = []

    def look() -> None:
        looks.append("\n".join(terminal.visible()))

    script(case).play(display, look)
    display.close(None)
    look()
    golden(CASES / case / "tty.txt", "\n========\n".join(looks) + "\n")
    assert not terminal.screen.cursor.hidden
