"""Jobs by script, and a display that keeps what it was shown."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from buildfile.display.base import Display
from buildfile.plan import Job
from buildfile.progress import Change, Summary
from buildfile.solve import Solved
from daemon_shim.errors import CancelledError, SolveFailedError
from daemon_shim.events import Event

HANG = 30.0
Tell = Callable[[Event], None]


class FakeSolving:
    """A job by script, which may wait for ``cancelled``."""

    scripts: Mapping[str, Callable[[FakeSolving], Solved]] = {}

    def __init__(self, job: Job, daemon: Any, supplies: Any, tell: Tell, steer: Any) -> None:
        self.job = job
        self.tell = tell
        self.cancelled = threading.Event()
        self.ends: list[str] = []

    def build(self) -> Solved:
        return self.run()

    def place(self) -> None:
        self.ends.append("placed")

    def abandon(self) -> None:
        self.ends.append("abandoned")

    def run(self) -> Solved:
        return self.scripts[self.job.name](self)

    def cancel(self) -> None:
        self.cancelled.set()


Script = Callable[[FakeSolving], Solved]


class Seen(Display):
    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.said: list[str] = []
        self.summaries: list[Summary | None] = []
        self.ticked = threading.Event()

    def update(self, change: Change) -> None:
        self.changes.append(change)

    def tick(self, now: float) -> None:
        self.ticked.set()

    def say(self, text: str) -> None:
        self.said.append(text)

    def close(self, summary: Summary | None) -> None:
        self.summaries.append(summary)


def done(_: FakeSolving) -> Solved:
    return Solved(response={}, files=("/out",))


def stopped(solving: FakeSolving) -> Solved:
    assert solving.cancelled.wait(HANG)
    raise CancelledError("the build was cancelled")


def raises(error: BaseException) -> Script:
    def script(_: FakeSolving) -> Solved:
        raise error

    return script


def failed(message: str = "no space", vertex: str = "") -> SolveFailedError:
    return SolveFailedError(message, code="UNKNOWN", vertex=vertex)
