"""A run under way: which jobs come next, also when a daemon is lost."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

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

    def again(self, built: Collection[str], lost: Sequence[DaemonError]) -> list[Share]:
        """Begin anew with what is not there yet, on the daemons that are left.

        A target of which a part is there already is not built twice: its outputs may be seen.
        Raises what is lost for good, and as ``Sites.plan``.
        """
        for error in lost:
            self._stations = without(self._stations, error)
        jobs: dict[str, set[str]] = {}
        for job in self._run.jobs:
            jobs.setdefault(job.target.name, set()).add(job.name)
        order = self._run.order
        targets = [
            target
            for target in (order.targets if order else ())
            if not jobs[target.name] <= set(built)
        ]
        if order is None or any(jobs[target.name] & set(built) for target in targets):
            raise lost[0]
        self._run = self._sites.planned(replace(order, targets=targets), self._stations)
        self._run.require()
        gone = ", ".join(error.address for error in lost)
        self._display.say(f"warning: lost {gone} ({lost[0]}); what it built is built again")
        return self.begin()

    def _share(self, name: str, plan: Plan) -> Share:
        several = sum(bool(station.workers) for station in self._sites.stations) > 1
        return Share(plan=plan, daemon=self._sites.open_[name].daemon, mark=name if several else "")
