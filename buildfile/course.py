"""A run under way: which jobs come next, also when a daemon is lost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from buildfile.runner import Share
from buildfile.sites import without
from translator.reading.value_faults import listed

if TYPE_CHECKING:
    from buildfile.display import Display
    from buildfile.plan import Plan
    from buildfile.runplan import RunPlan
    from buildfile.sites import Sites
    from buildfile.solve import Solved
    from daemon_shim.errors import DaemonError


class Course:
    """Takes a plan's waves one after the other. What is lost with a daemon is planned anew."""

    def __init__(self, sites: Sites, run: RunPlan, display: Display) -> None:
        self._sites = sites
        self._stations = sites.stations
        self._run = run
        self._display = display
        self._wave = 0
        self._built: set[str] = set()

    def begin(self) -> list[Share]:
        """The first jobs; says which daemon does what, and what the user should know."""
        for warning in self._run.warnings:
            self._display.say(f"warning: {warning.message}")
        if len(self._stations) > 1:
            for name, plan in self._run.plans.items():
                jobs = listed(dict.fromkeys(job.target.name for job in plan.jobs))
                self._display.say(f"on {name} ({plan.info.address}): {jobs}")
        return self._shares(self._run.waves[self._wave])

    def follow(self, solved: Mapping[str, Solved], lost: Iterable[DaemonError]) -> list[Share]:
        """The next jobs, none in the end. Raises what is lost for good, and as ``Sites.plan``."""
        self._built |= solved.keys()
        if errors := list(lost):
            return self._again(errors)
        schedule = self._run.schedule
        while schedule and self._wave + 1 < len(self._run.waves):
            schedule.receive(self._wave, solved)
            self._wave += 1
            if plans := schedule.planned(self._wave):
                return self._shares(plans)
        return []

    def _again(self, errors: list[DaemonError]) -> list[Share]:
        """Begin anew with what is not there yet, on the daemons that are left.

        A target of which a part is there already is not built twice: its outputs may be seen.
        """
        for error in errors:
            self._stations = without(self._stations, error)
        jobs: dict[str, list[str]] = {}
        for job in self._run.jobs:
            jobs.setdefault(job.target.name, []).append(job.name)
        order = self._run.order
        targets = [
            target
            for target in (order.targets if order else ())
            if not self._built.issuperset(jobs[target.name])
        ]
        if order is None or any(self._built & set(jobs[target.name]) for target in targets):
            raise errors[0]
        self._run = self._sites.planned(replace(order, targets=targets), self._stations)
        self._run.require()
        self._wave = 0
        gone = ", ".join(error.address for error in errors)
        self._display.say(f"warning: lost {gone} ({errors[0]}); what it built is built again")
        return self.begin()

    def _shares(self, plans: Mapping[str, Plan]) -> list[Share]:
        several = sum(bool(station.workers) for station in self._sites.stations) > 1
        for plan in plans.values():
            plan.require()
        return [
            Share(plan=plan, daemon=self._sites.open_[name].daemon, mark=name if several else "")
            for name, plan in plans.items()
        ]
