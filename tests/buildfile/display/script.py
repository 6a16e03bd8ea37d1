"""Event scripts: lines of ``TIME JOB WHAT VERTEX ...``, played into a Progress and a display.

WHAT is ``name``, ``start``, ``done``, ``cached``, ``fail TEXT``, ``log TEXT``, ``err TEXT``,
``transfer ID CURRENT/TOTAL [done]`` or ``warn TEXT``; TEXT may hold escapes such as ``\\n``.
``TIME tick`` is a tick, ``TIME show`` one too, after which the screen is looked at; ``TIME say
TEXT`` and ``TIME end OUTCOME TARGETS`` are what they say. The daemon's clock is far from ours.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from buildfile.display import Display
from buildfile.progress import Outcome, Progress
from daemon_shim.events import Event, LogEvent, StatusEvent, VertexEvent, WarningEvent

CASES = Path(__file__).parents[2] / "cases" / "progress"
OURS = 5_000_000.0
DAEMONS = 1_700_000_000.0


@dataclass
class Script:
    lines: list[str]
    names: dict[str, str] = field(default_factory=dict)
    started: dict[str, float] = field(default_factory=dict)

    def play(self, display: Display, look: Callable[[], None] = lambda: None) -> Progress:
        progress = Progress(began=OURS)
        for at, words in self._words():
            match words:
                case ["tick"]:
                    display.tick(OURS + at)
                case ["show"]:
                    display.tick(OURS + at)
                    look()
                case ["say", text]:
                    display.say(text)
                case ["end", outcome, targets]:
                    ending = Outcome(outcome)
                    display.close(progress.summary(int(targets), ending, OURS + at))
                case [job, what, vertex, *rest]:
                    event = self._event(DAEMONS + at, what, vertex, rest)
                    if change := progress.apply(job, event, OURS + at):
                        display.update(change)
                case _:
                    raise ValueError(f"not a line of a script: {words}")
        return progress

    def _words(self) -> Iterator[tuple[float, list[str]]]:
        for line in self.lines:
            at, *words = shlex.split(line, comments=True) or ["0"]
            if words:
                yield float(at), words

    def _event(self, at: float, what: str, vertex: str, rest: list[str]) -> Event:
        if what in ("log", "err"):
            stream = {"log": 1, "err": 2}[what]
            return LogEvent(vertex=vertex, stream=stream, data=_bytes(rest[0]), timestamp=at)
        if what == "warn":
            return WarningEvent(vertex=vertex, short=rest[0], detail=("more of it",), url="doc://1")
        if what == "transfer":
            return self._transfer(at, vertex, *rest)
        return self._vertex(at, what, vertex, rest)

    def _transfer(self, at: float, vertex: str, id_: str, size: str, done: str = "") -> StatusEvent:
        current, total = map(int, size.split("/"))
        return StatusEvent(
            id=id_,
            vertex=vertex,
            name="transferring",
            current=current,
            total=total,
            timestamp=at,
            started=self.started.setdefault(id_, at),
            completed=at if done else None,
        )

    def _vertex(self, at: float, what: str, vertex: str, rest: list[str]) -> VertexEvent:
        if what == "name":
            self.names[vertex] = _bytes(rest[0]).decode()
        if what in ("start", "cached"):
            self.started[vertex] = at
        return VertexEvent(
            digest=vertex,
            name=self.names.get(vertex, ""),
            started=None if what == "name" else self.started.get(vertex),
            completed=at if what in ("done", "cached", "fail") else None,
            cached=what == "cached",
            error=rest[0] if what == "fail" else "",
        )


def _bytes(text: str) -> bytes:
    """TEXT with its escapes as bytes; what is not ASCII is UTF-8."""
    return text.encode("latin-1", "backslashreplace").decode("unicode_escape").encode()


def scripts() -> list[str]:
    return sorted(folder.name for folder in CASES.iterdir())


def script(name: str) -> Script:
    return Script((CASES / name / "events.txt").read_text(encoding="utf-8").splitlines())
