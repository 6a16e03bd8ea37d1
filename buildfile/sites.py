"""All open daemons of a run: targets are placed on them, planned there, and built side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from buildfile.connect import (
    Candidate,
    DaemonChoice,
    connected,
    first_open,
    known_candidates,
    none_answers,
)
from buildfile.exits import UsageError
from buildfile.loopback import Loopback
from buildfile.placement import Station, place
from buildfile.share import jobs_at_once
from buildfile.site import Site

if TYPE_CHECKING:
    from buildfile.cachesearch import CacheSearch
    from buildfile.handoff import Handoffs
    from buildfile.order import Order
    from buildfile.pool import Member
    from buildfile.runplan import RunPlan
    from daemon_shim.client import Daemon
    from daemon_shim.errors import DaemonError
    from daemon_shim.info import Worker
    from translator.project import Project
    from translator.selector import Traits
    from translator.target import Target

_NO_PINS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Sites:
    """The daemons of a run for as long as they are open.

    ``stations`` are all that may be used, also those that cannot be; ``open_`` are the others, by
    their names. ``search`` looks up caches for all of them. ``handoffs`` gives what results move
    between them through, when something does.
    """

    stations: tuple[Station, ...]
    open_: Mapping[str, Site]
    search: CacheSearch
    handoffs: Callable[[], Handoffs]

    def plan(
        self,
        project: Project,
        targets: Sequence[Target],
        *,
        no_cache: bool = False,
        pins: Mapping[str, str] = _NO_PINS,
        needs: frozenset[str] = frozenset(),
    ) -> RunPlan:
        """Place the targets and plan them on their daemons; nothing is built.

        ``pins`` and ``needs`` are as for ``Order``; a daemon that lacks a need is chosen only where
        no other can be, and who needs it must look. A daemon that goes away meanwhile is done
        without, as long as there is another one. Raises as ``Site.plan`` does, and UsageError for a
        wrong pin.
        """
        from buildfile.order import Order

        self._check(pins, project, targets)
        order = Order(project=project, targets=targets, no_cache=no_cache, pins=pins, needs=needs)
        return self.planned(order, self.stations)

    def planned(self, order: Order, stations: Sequence[Station]) -> RunPlan:
        """Plan for some of the stations, as ``plan``."""
        from buildfile.demand import ProjectDemands
        from buildfile.runplan import RunPlan
        from buildfile.schedule import Schedule
        from daemon_shim.errors import DaemonError

        infos = {name: site.daemon.info() for name, site in self.open_.items()}
        demands = ProjectDemands(order.project, order.targets, infos)
        named = {target.name: target for target in order.targets}
        lacking = frozenset(
            name for name, info in infos.items() if not all(map(info.has, order.needs))
        )
        avoid = dict.fromkeys(named, lacking) if lacking else {}
        pool = [station.name for station in self.stations]
        while True:
            placement = place(
                tuple(named),
                stations,
                demands,
                pins=order.pins,
                avoid=avoid,
                salt=order.project.name,
            )
            try:
                schedule = Schedule(order, placement, self.open_, self.handoffs, pool)
                plans = schedule.plan()
            except DaemonError as error:
                stations = without(stations, error)
                continue
            run = RunPlan(plans=plans, placement=placement, order=order, schedule=schedule)
            refused = {
                each.target: avoid.get(each.target, frozenset()) | {each.station}
                for each in placement.placed
                if each.target in plans[each.station].refused
            }
            usable = sum(bool(station.workers) for station in stations)
            if usable == 1 or all(avoid.get(each) == refused[each] for each in refused):
                return run
            avoid |= refused

    def of(self, project: Project, target: Target) -> Site:
        """The daemon of one target.

        Raises RefusedError where there is none, UsageError where there are several.
        """
        from buildfile import faults
        from buildfile.demand import ProjectDemands
        from buildfile.failure import RefusedError

        infos = {name: site.daemon.info() for name, site in self.open_.items()}
        demands = ProjectDemands(project, [target], infos)
        placement = place([target.name], self.stations, demands, salt=project.name)
        if placement.unplaced:
            raise RefusedError(map(faults.no_daemon_for, placement.unplaced))
        (placed,) = placement.placed
        if placed.stages:
            several = dict.fromkeys((placed.station, *placed.stages.values()))
            raise UsageError(
                f"{target.name} is built on several daemons: {', '.join(several)}",
                hint="choose one with --daemon, or ask none with --offline",
            )
        return self.open_[placed.station]

    def _check(self, pins: Mapping[str, str], project: Project, targets: Sequence[Target]) -> None:
        from translator.suggest import suggest

        known = {*(target.name for target in targets), *project.stages}
        names = [station.name for station in self.stations]
        for owner, name in pins.items():
            for each, there, noun in (
                (owner, known, "target or stage"),
                (name, names, "daemon"),
            ):
                if each not in there:
                    near = suggest(each, there)
                    raise UsageError(
                        f"--place names {each}, and there is no such {noun} in this run",
                        hint=f"did you mean {near}?" if near else f"there is {', '.join(there)}",
                    )


def without(stations: Sequence[Station], error: DaemonError) -> tuple[Station, ...]:
    """The stations, of which one cannot be used any more. Raises the error if it does not say that
    one of them is gone, or if none is left.
    """
    from daemon_shim.errors import LostConnectionError, TlsError, UnreachableError

    left = tuple(
        replace(each, workers=(), fault=str(error)) if each.address == error.address else each
        for each in stations
    )
    gone = isinstance(error, (LostConnectionError, TlsError, UnreachableError))
    if not gone or left == tuple(stations) or not any(each.workers for each in left):
        raise error
    return left


# --- opening -----------------------------------------------------------------------------------


@contextmanager
def opened(
    choice: DaemonChoice, say: Callable[[str], None], environment: Mapping[str, str]
) -> Iterator[Sites]:
    """Open the daemons of a choice: one, or all of ``daemons.toml``.

    Says what ``connected`` says. Raises as that does; UnreachableError where none of several can be
    had, with the reasons.
    """
    from buildfile.cachesearch import CacheSearch
    from buildfile.supplies import read_logins

    logins = read_logins(environment)
    search = CacheSearch(logins.login)
    candidates = known_candidates(choice)
    with ExitStack() as held:

        def site(daemon: Daemon, handoff: str = "") -> Site:
            return Site(
                daemon=daemon,
                loopback=held.enter_context(Loopback(daemon)),
                environment=environment,
                logins=logins,
                search=search,
                handoff=handoff,
            )

        if len(candidates) > 1:
            stations, open_ = _several(choice, candidates, site, held)
        else:
            known = first_open(candidates, choice, say) if candidates else connected(choice, say)
            daemon = held.enter_context(known)
            name = next((each.name for each in candidates if each.name), daemon.address)
            stations = (station(name, daemon.address, daemon.workers()),)
            open_ = {name: site(daemon)}
        yield Sites(
            stations=stations, open_=open_, search=search, handoffs=_handoffs(held, environment)
        )


def _several(
    choice: DaemonChoice,
    candidates: Sequence[Candidate],
    site: Callable[[Daemon, str], Site],
    held: ExitStack,
) -> tuple[tuple[Station, ...], dict[str, Site]]:
    """All stations, and the sites of those that are open; ``held`` closes them."""
    from buildfile import pool

    members = held.enter_context(pool.opened(choice, candidates))
    open_ = {
        member.name: site(member.daemon, member.candidate.handoff)
        for member in members
        if member.daemon
    }
    if not open_:
        raise none_answers((each.name, each.fault) for each in members)
    return tuple(map(_of_member, members)), open_


def _handoffs(held: ExitStack, environment: Mapping[str, str]) -> Callable[[], Handoffs]:
    @cache
    def handoffs() -> Handoffs:
        from buildfile.handoff import Handoffs

        return held.enter_context(Handoffs(environment))

    return handoffs


def _of_member(member: Member) -> Station:
    if member.daemon is None:
        address = member.candidate.address
        return Station(name=member.name, address=address, fault=str(member.fault))
    made = station(member.name, member.daemon.address, member.daemon.workers())
    return replace(made, at_once=jobs_at_once(member.daemon.info(), member.daemon.max_parallel))


def station(name: str, address: str, workers: Sequence[Worker]) -> Station:
    """A daemon as targets see it; one that lists no worker has one of which nothing is known."""
    from daemon_shim.info import Worker

    traits = tuple(_traits(worker, name) for worker in workers or (Worker(id=""),))
    return Station(name=name, address=address, workers=traits)


def _traits(worker: Worker, daemon: str) -> Traits:
    from translator.platform import Platform
    from translator.selector import Traits

    return Traits(
        id=worker.id,
        labels=worker.labels,
        platforms=tuple(map(Platform.parse, worker.platforms)),
        daemon=daemon,
    )
