"""Live progress in a terminal: steps that run with the end of their logs, finished ones above."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TextIO

from rich.text import Text

from buildfile import logtext
from buildfile.display.frame import Painter, Step, View, room_for_finished
from buildfile.display.ink import Ink
from buildfile.display.palette import ASCII, UNICODE, palette
from buildfile.display.screen import Screen
from buildfile.display.stream import Writer
from buildfile.display.tally import Tally
from buildfile.display.units import summary_line
from buildfile.progress import Change, Outcome, State, Summary, Vertex
from daemon_shim.events import LogEvent, WarningEvent

REDRAW_SECONDS = 0.1
IDLE_SECONDS = 0.2
LOG_LINES = 6


@dataclass(kw_only=True)
class _Running:
    vertex: Vertex
    tail: logtext.Tail = field(default_factory=logtext.Tail)


class TtyDisplay:
    """Draws on ``tick``, ten times a second at most. ``size`` asks the terminal for its own."""

    def __init__(
        self,
        stream: TextIO,
        environment: Mapping[str, str],
        size: Callable[[], os.terminal_size],
    ) -> None:
        colours = palette(environment)
        out = Writer(stream)
        self._size = size
        self._painter = Painter(palette=colours, signs=UNICODE if out.unicode else ASCII)
        self._screen = Screen(out)
        self._ink = Ink(environment)
        self._log_lines, notes = _log_lines(environment)
        self._tally = Tally()
        self._running: dict[str, _Running] = {}
        self._finished: dict[str, Vertex] = {}
        self._scrolled: list[Callable[[int], Text]] = []
        self._began: float | None = None
        self._drawn = 0.0
        self._changed = False
        self._closed = False
        for note in (*colours.notes, *notes):
            self.say(note)

    def update(self, change: Change) -> None:
        """Remember what the next frame shows."""
        self._began = change.now if self._began is None else self._began
        self._changed = True
        self._tally.add(change)
        vertex = change.vertex
        if change.ended:
            self._end(vertex)
        elif vertex.state is State.RUNNING:
            self._run(vertex, change)
        if isinstance(change.event, WarningEvent):
            short = change.event.short
            self._scrolled.append(lambda columns: self._painter.warning(short, columns))

    def tick(self, now: float) -> None:
        """Draw a frame if one is due."""
        self._began = now if self._began is None else self._began
        since = abs(now - self._drawn)
        if since < REDRAW_SECONDS or (since < IDLE_SECONDS and not self._changed):
            return
        self._drawn = now
        self._changed = False
        columns, lines = self._size()
        frame = self.frame(now, columns, lines)
        self._draw(frame, columns)

    def say(self, text: str) -> None:
        """Let a note scroll away above the steps."""
        self._changed = True
        self._scrolled.append(lambda columns: self._painter.note(text, columns))

    def close(self, summary: Summary | None) -> None:
        """Leave the finished steps and the summary on the screen, and the cursor visible."""
        if self._closed:
            return
        self._closed = True
        try:
            self._scroll_finished(0)
            if summary:
                line = self._summary(summary)
                self._scrolled.append(lambda _: line)
            self._draw([], self._size().columns)
        finally:
            self._screen.restore()

    def frame(self, now: float, columns: int, lines: int) -> list[Text]:
        """The frame for a terminal of this size; what has no room in it scrolls away."""
        self._scroll_finished(room_for_finished(lines, len(self._running)))
        view = View(
            finished=tuple(self._finished.values()),
            running=tuple(
                Step(vertex=each.vertex, log=each.tail.lines(self._log_lines, colour=True))
                for each in self._running.values()
            ),
            tally=self._tally,
            began=now if self._began is None else self._began,
            now=now,
        )
        return self._painter.frame(view, columns, lines)

    def take_scrolled(self, columns: int) -> list[Text]:
        """The lines that scroll away since the last call."""
        lines = [line(columns) for line in self._scrolled]
        self._scrolled = []
        return lines

    def _end(self, vertex: Vertex) -> None:
        self._running.pop(vertex.digest, None)
        self._finished.pop(vertex.digest, None)
        self._finished[vertex.digest] = vertex

    def _run(self, vertex: Vertex, change: Change) -> None:
        self._finished.pop(vertex.digest, None)
        running = self._running.setdefault(vertex.digest, _Running(vertex=vertex))
        running.vertex = vertex
        if isinstance(change.event, LogEvent):
            running.tail.append(change.event.data)

    def _scroll_finished(self, most: int) -> None:
        while len(self._finished) > most:
            self._scroll(self._finished.pop(next(iter(self._finished))))

    def _scroll(self, vertex: Vertex) -> None:
        self._scrolled.append(lambda columns: self._painter.finished(vertex, columns))
        if vertex.state is State.FAILED and vertex.error:
            self._scrolled.append(lambda columns: self._painter.error(vertex, columns))

    def _summary(self, summary: Summary) -> Text:
        colours = self._painter.palette
        style = {Outcome.BUILT: colours.done, Outcome.FAILED: colours.error}
        return Text(
            f" {summary_line(summary)}", f"bold {style.get(summary.outcome, colours.cancel)}"
        )

    def _draw(self, frame: Sequence[Text], columns: int) -> None:
        scrolled = self._ink.rows(self.take_scrolled(columns))
        self._screen.draw(scrolled, self._ink.rows(frame), columns)


def _log_lines(environment: Mapping[str, str]) -> tuple[int, tuple[str, ...]]:
    """BUILDKIT_TTY_LOG_LINES, and what is wrong with it."""
    told = environment.get("BUILDKIT_TTY_LOG_LINES", "")
    if not told:
        return LOG_LINES, ()
    if told.isascii() and told.isdigit() and int(told) > 0:
        return int(told), ()
    return LOG_LINES, (f"BUILDKIT_TTY_LOG_LINES: {told!r} is no number above 0",)
