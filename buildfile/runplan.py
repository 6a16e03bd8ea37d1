"""The plan of a whole run: what each daemon does of it, and why it is that one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from buildfile import faults
from buildfile.failure import RefusedError
from buildfile.placement import Placement
from buildfile.plan import Job, Plan, replaced_caches
from translator.diagnostic import Diagnostic

if TYPE_CHECKING:
    from buildfile.schedule import Schedule
    from translator.project import Project
    from translator.target import Target


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be built. ``pins`` are as for ``place``.

    ``needs`` are capabilities, of the gateway for one, that daemons should have beside those that
    steps and outputs need.
    """

    project: Project
    targets: Sequence[Target]
    no_cache: bool = False
    pins: Mapping[str, str] = field(default_factory=dict)
    needs: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """A run on one daemon or several.

    ``waves`` are what is done one after the other: the plans of the daemons by the names of their
    stations. ``order`` and ``schedule`` are what they were planned for and by, None for what is not
    to be built. Targets that no daemon may build are in the placement, and in no plan.
    """

    waves: tuple[Mapping[str, Plan], ...]
    placement: Placement = field(default_factory=Placement)
    order: Order | None = None
    schedule: Schedule | None = None

    @cached_property
    def plans(self) -> dict[str, Plan]:
        """All that each daemon does."""
        names = dict.fromkeys(name for wave in self.waves for name in wave)
        return {name: _joined(wave[name] for wave in self.waves if name in wave) for name in names}

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

    def require(self) -> None:
        """Raise RefusedError if it cannot be done."""
        if self.refusals:
            raise RefusedError(self.refusals)


def _joined(plans: Iterable[Plan]) -> Plan:
    several = tuple(plans)
    return Plan(
        info=several[0].info,
        jobs=tuple(job for plan in several for job in plan.jobs),
        notes=tuple(dict.fromkeys(note for plan in several for note in plan.notes)),
        refusals=tuple(dict.fromkeys(each for plan in several for each in plan.refusals)),
        refused=frozenset(name for plan in several for name in plan.refused),
        warnings=tuple(dict.fromkeys(each for plan in several for each in plan.warnings)),
    )
