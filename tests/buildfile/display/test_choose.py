"""Which display a mode, a stream and the environment give."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest

from buildfile.display import MODES, choose
from buildfile.display.plain import PlainDisplay
from buildfile.display.quiet import QuietDisplay
from buildfile.display.rawjson import RawJsonDisplay
from buildfile.display.tty import TtyDisplay
from buildfile.exits import UsageError
from tests.buildfile.display.script import script
from tests.buildfile.display.terminal import Terminal

XTERM = {"TERM": "xterm"}


@pytest.mark.parametrize(
    ("mode", "terminal", "environment", "kind"),
    [
        ("auto", True, XTERM, TtyDisplay),
        ("auto", False, XTERM, PlainDisplay),
        ("auto", True, {"TERM": "dumb"}, PlainDisplay),
        ("auto", True, {}, PlainDisplay),
        ("auto", True, {**XTERM, "BUILDKIT_PROGRESS": "plain"}, PlainDisplay),
        ("auto", True, {**XTERM, "BUILDKIT_PROGRESS": ""}, TtyDisplay),
        ("auto", False, {"BUILDKIT_PROGRESS": "rawjson"}, RawJsonDisplay),
        ("tty", True, {**XTERM, "BUILDKIT_PROGRESS": "plain"}, TtyDisplay),
        ("tty", True, {"TERM": "dumb"}, PlainDisplay),
        ("plain", True, XTERM, PlainDisplay),
        ("rawjson", True, XTERM, RawJsonDisplay),
        ("quiet", True, XTERM, QuietDisplay),
        ("none", True, XTERM, QuietDisplay),
    ],
)
def test_choice(mode: str, terminal: bool, environment: dict[str, str], kind: type) -> None:
    stream = Terminal() if terminal else io.StringIO()
    assert type(choose(mode, stream, environment)) is kind


@pytest.mark.parametrize(
    ("mode", "environment", "words"),
    [
        ("fancy", {}, "--progress: no progress mode 'fancy'"),
        ("auto", {"BUILDKIT_PROGRESS": "fancy"}, "BUILDKIT_PROGRESS: no progress mode 'fancy'"),
        ("tty", XTERM, "needs a terminal"),
    ],
)
def test_refused(mode: str, environment: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        choose(mode, io.StringIO(), environment)


def test_quiet_writes_nothing() -> None:
    stream = io.StringIO()
    script("failure").play(choose("quiet", stream, {}))
    assert stream.getvalue() == ""


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "tty"])
def test_no_encoding_is_an_error(mode: str) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", errors="strict")
    script("logs").play(choose(mode, stream, {}))
    assert raw.getvalue().isascii()


def test_rich_loads_for_a_terminal_only() -> None:
    code = (
        "import io, sys; from buildfile.display import choose;"
        "choose('auto', io.StringIO(), {}).close(None);"
        "sys.exit('rich' in sys.modules or 'grpc' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
