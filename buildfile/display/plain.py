"""Progress line by line, in buildctl's form: for logs, pipes and terminals without a cursor.

    #1 [app 2/3] run make
    #1 0.123 cc -o app app.c
    #1 DONE 0.2s

One vertex has the floor at a time, so that its lines stand together; what the others say waits.
The floor passes on when its vertex ends, when it is silent while others wait, and when others have
waited for long. What waits is bounded: when it is full, the vertex with the most takes the floor.
How a vertex ended is written on a tick, as a daemon's message has its last logs after its end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TextIO

from buildfile import logtext
from buildfile.display.stream import Writer
from buildfile.display.units import size, summary_line
from buildfile.progress import Change, State, Summary, Transfer, Vertex
from daemon_shim.events import LogEvent, StatusEvent, VertexEvent, WarningEvent

SILENT_SECONDS = 1.0
PATIENCE_SECONDS = 10.0
OPEN_LINE_SECONDS = 2.0
WAITING_BYTES = 1024 * 1024
LINE_COST = 64
TRANSFER_SECONDS = 5.0
TRANSFER_SHARE = 0.05
MOST_TOLD = 1000


@dataclass(kw_only=True)
class _Desk:
    """What one vertex has to say. ``since`` is when it began to wait for the floor.

    ``result`` is how it ended, until that is written.
    """

    vertex: Vertex
    outputs: dict[int, logtext.Lines] = field(default_factory=dict)
    stamp: float = 0.0
    told: dict[str, Transfer] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)
    since: float = 0.0
    spoke: float = 0.0
    result: str = ""

    def last_words(self) -> list[str]:
        """The open lines and the result, which are not to be told again."""
        words = [*_open_lines(self), *([self.result] if self.result else [])]
        self.result = ""
        return words


class PlainDisplay:
    """Writes lines to a stream. ``tick`` passes the floor on."""

    def __init__(self, stream: TextIO) -> None:
        self._out = Writer(stream)
        self._desks: dict[str, _Desk] = {}
        self._queue: dict[str, None] = {}
        self._floor: str | None = None
        self._waiting_bytes = 0
        self._written = False
        self._noted = False
        self._closed = False

    def update(self, change: Change) -> None:
        """Write what the vertex says, or let it wait for the floor."""
        if isinstance(change.event, VertexEvent) and not (change.began or change.ended):
            return
        vertex = change.vertex
        desk = self._desks.setdefault(vertex.digest, _Desk(vertex=vertex))
        desk.vertex = vertex
        desk.spoke = change.now
        if change.began or change.ended:
            desk.result = _RESULTS[vertex.state](vertex) if change.ended else ""
            self._speak(desk, [], change.now)
        elif lines := _lines(desk, change):
            self._speak(desk, lines, change.now)

    def tick(self, now: float) -> None:
        """Tell what ended, pass the floor on where that is due, show a line that stays open."""
        self._settle()
        self._serve()
        if desk := self._desks.get(self._floor or ""):
            self._hurry(desk, now)
        self._out.flush()

    def say(self, text: str) -> None:
        """Write a note between the blocks."""
        self._interrupt()
        if not self._noted:
            self._separate()
        self._noted = True
        self._out.line(logtext.name(text))
        self._serve()
        self._out.flush()

    def close(self, summary: Summary | None) -> None:
        """Write all that waits, then the summary."""
        if self._closed:
            return
        self._closed = True
        for desk in list(self._desks.values()):
            if rest := _open_lines(desk):
                self._speak(desk, rest, desk.since)
        self._settle()
        self._floor = None
        while self._queue:
            self._serve()
            self._floor = None
        if summary:
            self._separate()
            self._out.line(summary_line(summary))
        self._out.flush()

    def _hurry(self, desk: _Desk, now: float) -> None:
        if now - desk.spoke >= OPEN_LINE_SECONDS:
            self._write(desk.vertex, _open_lines(desk))
        waiting = self._desks.get(next(iter(self._queue), ""))
        silent = now - desk.spoke >= SILENT_SECONDS
        if waiting and (silent or now - waiting.since >= PATIENCE_SECONDS):
            self._interrupt()
            self._serve()

    def _speak(self, desk: _Desk, lines: list[str], now: float) -> None:
        if self._floor is None:
            self._take_floor(desk)
        if self._floor == desk.vertex.digest:
            self._write(desk.vertex, lines)
        else:
            self._wait(desk, lines, now)

    def _wait(self, desk: _Desk, lines: list[str], now: float) -> None:
        if desk.vertex.digest not in self._queue:
            self._queue[desk.vertex.digest] = None
            desk.since = now
        desk.waiting += lines
        self._waiting_bytes += _cost(lines)
        if self._waiting_bytes > WAITING_BYTES:
            self._interrupt()
            self._serve(max(self._queue, key=lambda each: _cost(self._desks[each].waiting)))

    def _serve(self, digest: str | None = None) -> None:
        """Let those who wait speak, until one takes the floor and keeps it."""
        while self._floor is None and self._queue:
            digest = digest or next(iter(self._queue))
            del self._queue[digest]
            desk = self._desks[digest]
            self._take_floor(desk)
            lines, desk.waiting = desk.waiting, []
            self._waiting_bytes -= _cost(lines)
            self._write(desk.vertex, lines)
            self._settle()
            digest = None

    def _take_floor(self, desk: _Desk) -> None:
        self._floor = desk.vertex.digest
        self._separate()
        self._write(desk.vertex, [desk.vertex.name])

    def _settle(self) -> None:
        """Free the floor if its vertex ended."""
        desk = self._desks.get(self._floor or "")
        if desk and desk.vertex.state.finished:
            self._write(desk.vertex, desk.last_words())
            del self._desks[desk.vertex.digest]
            self._floor = None

    def _interrupt(self) -> None:
        self._settle()
        if self._floor is not None:
            self._write(self._desks[self._floor].vertex, ["..."])
            self._floor = None

    def _separate(self) -> None:
        if self._written:
            self._out.line("")
        self._written = True
        self._noted = False

    def _write(self, vertex: Vertex, lines: list[str]) -> None:
        for line in lines:
            self._out.line(f"#{vertex.number} {line}")


def _cost(lines: list[str]) -> int:
    return sum(map(len, lines)) + LINE_COST * len(lines)


def _lines(desk: _Desk, change: Change) -> list[str]:
    """What an event gives to print, without the number."""
    match change.event:
        case LogEvent() as event:
            return _logged(desk, event)
        case StatusEvent() as event:
            return _transferred(desk, change.vertex.transfer(event.id))
        case WarningEvent(short=short):
            return [f"WARN: {logtext.name(short)}"]
        case VertexEvent():
            return []


def _logged(desk: _Desk, event: LogEvent) -> list[str]:
    output = desk.outputs.setdefault(event.stream, logtext.Lines())
    desk.stamp = max(0.0, event.timestamp - (desk.vertex.started or event.timestamp))
    return [_stamped(desk, line) for line in output.feed(event.data)]


def _open_lines(desk: _Desk) -> list[str]:
    """The lines that have no end yet; they are ended by this."""
    return [_stamped(desk, line) for output in desk.outputs.values() for line in output.flush()]


def _stamped(desk: _Desk, line: str) -> str:
    decimals = 3 if desk.stamp < 10 else 2 if desk.stamp < 100 else 1
    return f"{desk.stamp:.{decimals}f} {line}".rstrip()


def _transferred(desk: _Desk, new: Transfer) -> list[str]:
    """A transfer's line, but for steps too small to print each."""
    last = desk.told.get(new.id)
    if last and new.completed is None and not _moved_on(last, new):
        return []
    if len(desk.told) >= MOST_TOLD:
        desk.told.clear()
    desk.told[new.id] = new
    amount = f" {size(new.current)}" if new.current or new.total else ""
    total = f" / {size(new.total)}" if new.total else ""
    time = f" {new.seconds:.1f}s" if new.seconds > 0.01 else ""
    return [f"{new.id}{amount}{total}{time}{'' if new.completed is None else ' done'}"]


def _moved_on(last: Transfer, new: Transfer) -> bool:
    grown = new.total > 0 and new.current - last.current >= TRANSFER_SHARE * new.total
    return grown or new.updated - last.updated >= TRANSFER_SECONDS


_RESULTS: dict[State, Callable[[Vertex], str]] = {
    State.DONE: lambda vertex: f"DONE {vertex.seconds:.1f}s",
    State.CACHED: lambda _: "CACHED",
    State.CANCELLED: lambda _: "CANCELED",
    State.FAILED: lambda vertex: f"ERROR: {logtext.name(vertex.error)}",
}
