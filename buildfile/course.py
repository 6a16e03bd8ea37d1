"""A run under way: which jobs come next, also when a daemon is lost."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from buildfile import faults
from buildfile.share import Share
from buildfile.sites import without
from translator.reading.value_faults import listed

if TYPE_CHECKING:
    from buildfile.display import Display
    from buildfile.plan import Job, Plan
    from buildfile.runplan import RunPlan
    from buildfile.sites import Sites
    from buildfile.solve import Solved
    from daemon_shim.errors import DaemonError
    from translator.diagnostic import Diagnostic


class Course:
    """Follows a plan, for a runner. What is lost with a daemon is planned anew."""

    def __init__(self, sites: Sites, run: RunPlan, display: Display) -> None:
        self._sites = sites
        self._stations = sites.stations
        self._run = run
        self._display = display

    def begin(self) -> list[Share]:
        """What each daemon does; says it, and what the user should know."""
        for warning in self._run.warnings:
            self._display.say(f"warning: {warning.message}")
        if len(self._stations) > 1:
            for name, plan in self._run.plans.items():
                jobs = listed(dict.fromkeys(job.target.name for job in plan.jobs))
                self._display.say(f"on {name} ({plan.info.address}): {jobs}")
        return [self._share(*each) for each in self._run.plans.items()]

    def receive(self, job: Job, solved: Solved) -> None:
        """Take what an inner job delivered. Raises OutputError. May be called from any thread."""
        if self._run.schedule:
            self._run.schedule.receive(job, solved)

    def follow(self) -> Share | None:
        """What one daemon can begin by now, planned with all that was received; None for nothing.

        For one thread, which may be another than that of the display. Raises RefusedError, and as
        ``Site.plan``; then what it would have been is left out.
        """
        if not self._run.schedule or not (planned := self._run.schedule.follow()):
            return None
        name, plan = planned
        plan.require()
        return self._share(name, plan)

    def again(
        self,
        built: Collection[str],
        lost: Sequence[DaemonError],
        leave_out: Callable[[Iterable[Diagnostic]], None] | None = None,
    ) -> list[Share]:
        """Begin anew with what is not there yet, on the daemons that are left.

        A target of which a part is there already is not built twice: its outputs may be seen.
        Raises what is lost for good, and as ``Sites.plan``; but with ``leave_out``, that hears why
        a target is lost, and the others go on.
        """
        for error in lost:
            self._stations = without(self._stations, error)
        gone = ", ".join(error.address for error in lost)
        self._display.say(f"warning: lost {gone} ({lost[0]}); what it built is planned again")
        jobs: dict[str, set[str]] = {}
        for job in self._run.jobs:
            jobs.setdefault(job.target.name, set()).add(job.name)
        order = self._run.order
        targets = [
            target
            for target in (order.targets if order else ())
            if not jobs[target.name] <= set(built)
        ]
        dropped = frozenset(t.name for t in targets if jobs[t.name] & set(built))
        if order is None or (dropped and not leave_out):
            raise lost[0]
        if dropped and leave_out:
            leave_out([faults.daemon_lost(lost[0])])
        while targets := [target for target in targets if target.name not in dropped]:
            run = self._sites.planned(replace(order, targets=targets), self._stations)
            if not (run.refusals and leave_out):
                run.require()
                self._run = run
                return self.begin()
            leave_out(run.refusals)
            dropped = run.refused
        return []

    def _share(self, name: str, plan: Plan) -> Share:
        several = sum(bool(station.workers) for station in self._sites.stations) > 1
        return Share(plan=plan, daemon=self._sites.open_[name].daemon, mark=name if several else "")
