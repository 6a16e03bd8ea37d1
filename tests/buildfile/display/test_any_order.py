"""Displays over events in any order: they never raise, and plain prints each line once."""

from __future__ import annotations

import io
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildfile.display import Display
from buildfile.display.plain import PlainDisplay
from buildfile.display.rawjson import RawJsonDisplay
from buildfile.display.tty import TtyDisplay
from buildfile.progress import Outcome, Progress
from daemon_shim.events import Event, LogEvent, VertexEvent
from tests.buildfile.display.terminal import Terminal
from tests.buildfile.test_progress import TOLD

DISPLAYS = {
    "plain": lambda: PlainDisplay(io.StringIO()),
    "rawjson": lambda: RawJsonDisplay(io.StringIO()),
    "tty": lambda: TtyDisplay(io.StringIO(), {}, Terminal(30, 5).size),
}


def show(display: Display, told: list[tuple[str, Event]], seconds: list[float]) -> None:
    """Play events, with a tick after each."""
    progress = Progress(began=0.0)
    now = 0.0
    for place, (job, event) in enumerate(told):
        now += seconds[place % len(seconds)]
        if change := progress.apply(job, event, now):
            display.update(change)
        display.tick(now)
    display.close(progress.summary(1, Outcome.BUILT, now))
    display.close(None)


GAPS = st.lists(st.sampled_from([0.0, 0.01, 0.3, 1.5, 30.0, -5.0]), min_size=1, max_size=5)


@pytest.mark.parametrize("name", DISPLAYS)
@given(told=TOLD, seconds=GAPS)
def test_any_order_of_events_is_shown(
    name: str, told: list[tuple[str, Event]], seconds: list[float]
) -> None:
    show(DISPLAYS[name](), told, seconds)


@st.composite
def stories(draw: st.DrawFn) -> tuple[list[tuple[str, Event]], Counter[str]]:
    """Steps told side by side, some by two jobs: the events, and the lines that they log."""
    streams: list[list[tuple[str, Event]]] = []
    lines: Counter[str] = Counter()
    for number in range(draw(st.integers(1, 4))):
        count = draw(st.integers(0, 5))
        texts = [f"line {number}.{place}" for place in range(count)]
        lines.update(texts)
        shared = draw(st.booleans())
        for job in ("app", "bin") if shared else ("app",):
            streams.append([(job, event) for event in _step(str(number), texts)])
    told = []
    while streams:
        stream = streams[draw(st.integers(0, len(streams) - 1))]
        told.append(stream.pop(0))
        streams = [each for each in streams if each]
    return told, lines


def _step(digest: str, texts: list[str]) -> list[Event]:
    return [
        VertexEvent(digest=digest, name=f"step {digest}", started=1.0),
        *(
            LogEvent(vertex=digest, stream=1, data=f"{text}\n".encode(), timestamp=2.0)
            for text in texts
        ),
        VertexEvent(digest=digest, name=f"step {digest}", started=1.0, completed=3.0),
    ]


@given(story=stories(), seconds=GAPS)
def test_plain_prints_each_line_once(
    story: tuple[list[tuple[str, Event]], Counter[str]], seconds: list[float]
) -> None:
    told, lines = story
    out = io.StringIO()
    show(PlainDisplay(out), told, seconds)
    printed = Counter(re.findall(r"^#\d+ 1\.000 (.*)$", out.getvalue(), re.MULTILINE))
    assert printed == lines
    headers = re.findall(r"^(#\d+) step", out.getvalue(), re.MULTILINE)
    assert out.getvalue().count("DONE") == len(set(headers))


def test_what_waits_for_the_floor_is_bounded() -> None:
    """A step with the floor that never ends does not make the others' output pile up."""
    out = io.StringIO()
    display = PlainDisplay(out)
    progress = Progress(began=0.0)
    piece = b"x" * 99 + b"\n"

    def tell(event: Event) -> None:
        if change := progress.apply("app", event, 1.0):
            display.update(change)

    tell(VertexEvent(digest="a", name="a", started=1.0))
    tell(VertexEvent(digest="b", name="b", started=1.0))
    for _ in range(30_000):
        tell(LogEvent(vertex="b", stream=1, data=piece))
    assert len(out.getvalue()) > 1_500_000
    display.close(None)
    assert out.getvalue().count("x" * 99) == 30_000
