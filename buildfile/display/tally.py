"""Steps counted, in all and for each target."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from buildfile.progress import Change, State


@dataclass(kw_only=True)
class Count:
    """How many vertices are known, and how many of them stand where."""

    total: int = 0
    by_state: Counter[State] = field(default_factory=Counter)

    @property
    def finished(self) -> int:
        """Those that ended, in whatever way."""
        return sum(number for state, number in self.by_state.items() if state.finished)

    def move(self, before: State | None, after: State) -> None:
        """Count a vertex that was ``before``, None for a new one."""
        if before is None:
            self.total += 1
        else:
            self.by_state[before] -= 1
        self.by_state[after] += 1


class Tally:
    """Counts over a run's changes."""

    def __init__(self) -> None:
        self.all = Count()
        self.jobs: dict[str, Count] = {}

    def add(self, change: Change) -> None:
        """Take a change in."""
        before, after = change.previous, change.vertex
        known = before.jobs if before else ()
        if before and before.state is after.state and known == after.jobs:
            return
        self.all.move(before.state if before else None, after.state)
        for job in after.jobs:
            old = before.state if before and job in known else None
            self.jobs.setdefault(job, Count()).move(old, after.state)
