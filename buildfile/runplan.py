"""The plan of a whole run: what each daemon does of it, and why it is that one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from buildfile import faults
from buildfile.failure import RefusedError
from buildfile.placement import Placement
from buildfile.plan import Job, Plan, replaced_caches
from translator.diagnostic import Diagnostic

if TYPE_CHECKING:
    from buildfile.order import Order
    from buildfile.schedule import Schedule


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """A run on one daemon or several.

    ``plans`` are the daemons' by the names of their stations. ``order`` and ``schedule`` are what
    they were planned for and by, None for what is not to be built. Targets that no daemon may build
    are in the placement, and in no plan.
    """

    plans: Mapping[str, Plan]
    placement: Placement = field(default_factory=Placement)
    order: Order | None = None
    schedule: Schedule | None = None

    @cached_property
    def jobs(self) -> tuple[Job, ...]:
        """Those of all daemons."""
        return tuple(job for plan in self.plans.values() for job in plan.jobs)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is done another way, each once."""
        return tuple(dict.fromkeys(note for plan in self.plans.values() for note in plan.notes))

    @property
    def refusals(self) -> tuple[Diagnostic, ...]:
        """Every reason why it cannot be done."""
        nowhere = map(faults.no_daemon_for, self.placement.unplaced)
        refused = (each for plan in self.plans.values() for each in plan.refusals)
        return tuple(dict.fromkeys((*nowhere, *refused)))

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        """What the user should know of it."""
        passed = (
            faults.selector_passed_over(placed, wish)
            for placed in self.placement.placed
            for wish in placed.passed
        )
        warned = (each for plan in self.plans.values() for each in plan.warnings)
        return tuple(dict.fromkeys((*passed, *warned, *replaced_caches(self.jobs))))

    @property
    def refused(self) -> frozenset[str]:
        """The targets that the refusals are about."""
        nowhere = (each.target for each in self.placement.unplaced)
        return frozenset(nowhere).union(*(plan.refused for plan in self.plans.values()))

    def require(self) -> None:
        """Raise RefusedError if it cannot be done."""
        if self.refusals:
            raise RefusedError(self.refusals)
