"""In which order a run is built: first what moves to other daemons, then what it moves to.

A stage that one daemon builds and another uses is a leg: a job on its own daemon, whose result
stands for the stage on the other one (``buildfile.handoff``). Jobs that wait for the same number of
moves make a wave. Each wave is planned as a whole, and planned again when what it waits for is
known.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from buildfile import faults
from buildfile.cachenames import CacheNames, has_name, stage_mark
from buildfile.draft import Draft, draft, exporting
from buildfile.failure import BuildFailedError
from buildfile.plan import Plan
from buildfile.provenance import is_wanted, not_joined, not_told
from buildfile.route import route
from daemon_shim.session.outputs import OutputError
from translator.cut import counterparts, cut, upto
from translator.llb.assemble import stages_used
from translator.platform import Platform
from translator.stage import Instance, Stage, StageRef
from translator.target import CacheEntry, Output, Target

if TYPE_CHECKING:
    from buildfile.exports import Export
    from buildfile.handoff import Handoff, Handoffs
    from buildfile.placement import Placed, Placement
    from buildfile.plan import Job
    from buildfile.runplan import Order
    from buildfile.site import Site
    from buildfile.solve import Solved
    from daemon_shim.info import DaemonInfo


_Names: TypeAlias = Mapping[StageRef, StageRef]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Leg:
    """A stage on its way from its daemon ``giver``.

    ``instance`` ends with the stage, for ``target`` among others. ``caches`` of that are exported
    with it. ``before`` are the legs of the stages that it uses from elsewhere. ``jobs`` has its job
    once it is planned.
    """

    handoff: Handoff
    name: str
    giver: str
    instance: Instance
    target: Target
    caches: tuple[CacheEntry, ...]
    before: Mapping[StageRef, _Leg]
    wave: int
    jobs: list[Job] = field(default_factory=list)

    def stand_in(self) -> Stage:
        """What stands for the stage where it is used."""
        return self.handoff.stage(self.jobs[-1])


@dataclass(frozen=True, kw_only=True, eq=False)
class _Stop:
    """A target on its daemon; ``before`` are the legs of each of its instances, by their roots."""

    target: Target
    station: str
    before: Mapping[tuple[StageRef, Platform], Mapping[StageRef, _Leg]]
    wave: int

    @property
    def whole(self) -> dict[Platform, _Leg]:
        """The legs that are all of a platform."""
        return {
            platform: legs[root] for (root, platform), legs in self.before.items() if root in legs
        }


class Schedule:
    """The waves of a run. ``handoffs`` is only asked for where something moves. ``pool`` are the
    names of all daemons that the run may use, also of those that do not answer.
    """

    def __init__(
        self,
        order: Order,
        placement: Placement,
        sites: Mapping[str, Site],
        handoffs: Callable[[], Handoffs],
        pool: Sequence[str] = (),
    ) -> None:
        """Raises InvalidFileError, and DaemonError where a daemon is lost."""
        targets = {target.name: target for target in order.targets}
        self._project = order.project
        self._no_cache = order.no_cache
        self._sites = sites
        self._handoffs = handoffs
        self._pool = pool
        self._answers: dict[tuple[str, bool], str] = {}
        self._unique = uuid.uuid4().hex
        self._legs: dict[Handoff, _Leg] = {}
        self._exported: set[tuple[str, StageRef]] = set()
        self._failed: set[_Leg] = set()
        self._names = set(targets)
        self._stops = [self._stop(targets[each.target], each) for each in placement.placed]

    @property
    def waves(self) -> int:
        """How many there are, one at least."""
        stops = [each.wave for each in self._stops]
        return max([*stops, *(each.wave for each in self._legs.values())], default=0) + 1

    def planned(self, wave: int) -> dict[str, Plan]:
        """What each daemon does in a wave; earlier ones are planned. Raises as ``Site.plan``.

        What waits for something that failed is left out.
        """
        legs = [each for each in self._legs.values() if each.wave == wave]
        self._failed |= {each for each in legs if self._failed.intersection(each.before.values())}
        legs = [each for each in legs if each not in self._failed]
        stops = [
            each
            for each in self._stops
            if each.wave == wave
            and not any(self._failed.intersection(legs.values()) for legs in each.before.values())
        ]
        busy = {*(each.giver for each in legs), *(each.station for each in stops)}
        return {
            name: self._plan(
                name,
                [each for each in legs if each.giver == name],
                [each for each in stops if each.station == name],
            )
            for name in self._sites
            if name in busy
        }

    def _plan(self, station: str, legs: Sequence[_Leg], stops: Iterable[_Stop]) -> Plan:
        site = self._sites[station]
        info = site.daemon.info()
        drafts = [each for leg in legs for each in _drafts(leg, info)]
        for stop in stops:
            shape = partial(_shaped, stop)
            parts = draft(self._project, [stop.target], info, site.epoch, shape)
            drafts += [self._attested(stop, each) for each in parts]
        made = site.plan(
            drafts,
            site.frontends(self._project),
            no_cache=self._no_cache,
            unique=self._unique,
            names=self._cache_names(station),
        )
        jobs = {job.name: job for job in made.jobs}
        for leg in legs:
            leg.jobs.append(jobs[leg.name])
        return made

    def _cache_names(self, station: str) -> CacheNames:
        if len(self._pool) < 2:
            return CacheNames()
        return CacheNames(daemon=station, pool=self._pool, salt=self._project.name)

    def receive(self, wave: int, solved: Mapping[str, Solved]) -> None:
        """Take what the jobs of a wave delivered. Raises BuildFailedError."""
        for leg in self._legs.values():
            if leg.wave != wave:
                continue
            if leg.name not in solved:
                self._failed.add(leg)
                continue
            try:
                leg.handoff.receive(leg.jobs[-1], solved[leg.name].response)
            except OutputError as error:
                raise BuildFailedError([faults.output_failed(leg.name, str(error))]) from error

    # --- how platforms were built --------------------------------------------------------------

    def _joins(self, target: Target) -> bool:
        """Whether an output of a target has the provenance of several daemons."""
        return is_wanted(target) and not all(map(self._not_joined, target.outputs))

    def _not_joined(self, output: Output) -> str:
        """Why an output has what its own daemon tells alone, '' where more can be joined with it.

        A registry is asked for an answer, once.
        """
        if (reason := not_joined(output)) or output.type != "image":
            return reason
        place = output.attrs.get("name", ""), output.attrs.get("registry.insecure") == "true"
        if place not in self._answers:
            from buildfile.joining import no_answer
            from daemon_shim.registry.client import RegistryClient

            login = next(iter(self._sites.values())).logins.login
            self._answers[place] = no_answer(*place, RegistryClient(login))
        return self._answers[place]

    def _attested(self, stop: _Stop, part: Draft) -> Draft:
        """A draft of a target with the provenance of platforms that are built elsewhere."""
        if not (stop.whole and is_wanted(stop.target)):
            return part
        return replace(part, exports=tuple(self._told(each, stop) for each in part.exports))

    def _told(self, export: Export, stop: _Stop) -> Export:
        """An output with the provenance that it gets, as far as it is known, and words on it."""
        if not export.exporter:
            return export
        amiss = self._not_joined(export.output)
        told = {each: leg.handoff.provenance for each, leg in stop.whole.items() if not amiss}
        said = (
            f"the provenance of {platform} is only that it came from {leg.giver}, as {reason}"
            if (reason := amiss or leg.handoff.untold)
            else f"the provenance of {platform} is that of {leg.giver}"
            for platform, leg in stop.whole.items()
        )
        return replace(
            export,
            provenance={platform: each for platform, each in told.items() if each},
            note="; ".join(filter(None, (export.note, *said))),
        )

    # --- where a target's stages come from -------------------------------------------------------

    def _stop(self, target: Target, placed: Placed) -> _Stop:
        before = {
            (instance.root, instance.platform): self._before(
                target, instance, {ref: ref for ref in instance.stages}, placed, placed.station
            )
            for instance in self._instances(target, placed)
        }
        waits = [leg.wave + 1 for legs in before.values() for leg in legs.values()]
        return _Stop(
            target=target, station=placed.station, before=before, wave=max(waits, default=0)
        )

    def _instances(self, target: Target, placed: Placed) -> Iterator[Instance]:
        """Only where stages stand apart: else there is nothing to find."""
        if placed.stages:
            own = self._own(placed.station)
            for platform in target.platforms or (own,):
                yield self._project.instantiate(target, platform, own)

    def _own(self, station: str) -> Platform:
        """The platform of a daemon."""
        return Platform.parse(self._sites[station].daemon.info().default_platform or "linux/amd64")

    def _before(
        self, target: Target, instance: Instance, names: _Names, placed: Placed, station: str
    ) -> dict[StageRef, _Leg]:
        """The stages that an instance, if it is built on a daemon, has from others.

        It is as on that daemon's platform; ``names`` are those by which its stages were placed.
        """
        found: dict[StageRef, _Leg] = {}
        waiting, seen = [instance.root], {instance.root}
        while waiting:
            ref = waiting.pop()
            giver = placed.stages.get(names[ref], station)
            if giver != station:
                whole = ref == instance.root and self._joins(target)
                found[ref] = self._leg(
                    target, upto(instance, ref), names, placed, giver, station, whole=whole
                )
                continue
            used = [each for each in stages_used(instance.stages[ref]) if each not in seen]
            seen.update(used)
            waiting += used
        return found

    def _leg(  # noqa: PLR0913, PLR0917 -- an instance, and its way
        self,
        target: Target,
        instance: Instance,
        names: _Names,
        placed: Placed,
        giver: str,
        taker: str,
        *,
        whole: bool,
    ) -> _Leg:
        """``whole`` is whether it is to tell how it was built: all of a platform of the target."""
        if (own := self._own(giver)) != self._own(taker):
            there_too = self._project.elsewhere(instance, own)
            same = counterparts(there_too, instance)
            instance, names = there_too, {ref: names[one] for ref, one in same.items()}
        stage = instance.stages[instance.root]
        here = self._sites[taker]
        there = self._sites[giver].daemon.info()
        way = route(there, here.daemon.info(), here.loopback, self._registry(giver, taker))
        asked = whole and not not_told(there, way.way)
        handoff = self._handoffs().of(stage, there, way, target.provenance if asked else None)
        if handoff not in self._legs:
            before = self._before(target, instance, names, placed, giver)
            self._legs[handoff] = _Leg(
                handoff=handoff,
                name=self._name(stage),
                giver=giver,
                instance=instance,
                target=target,
                caches=self._caches(target, stage, giver),
                before=before,
                wave=max((leg.wave + 1 for leg in before.values()), default=0),
            )
        return self._legs[handoff]

    def _caches(self, target: Target, stage: Stage, giver: str) -> tuple[CacheEntry, ...]:
        """What is exported of a stage: that has to have a name, and is done once on a daemon."""
        if (giver, stage.ref) in self._exported:
            return ()
        self._exported.add((giver, stage.ref))
        return tuple(filter(has_name, target.cache_exports))

    def _registry(self, giver: str, taker: str) -> str:
        """The place in a registry that both daemons reach, '' if there is none."""
        places = {self._sites[name].handoff for name in (giver, taker)}
        return places.pop() if len(places) == 1 else ""

    def _name(self, stage: Stage) -> str:
        """A name that no other job has. Those of further jobs of one target end with ``)``."""
        name = f"stage {stage.ref.name}"
        number = 1
        while name in self._names:
            number += 1
            name = f"stage {stage.ref.name} #{number}"
        self._names.add(name)
        return name


def _drafts(leg: _Leg, giver: DaemonInfo) -> Iterator[Draft]:
    """The job that delivers the stage, and others for caches that the daemon exports apart."""
    given = {ref: each.stand_in() for ref, each in leg.before.items()}
    made = leg.handoff.draft(cut(leg.instance, given), leg.target)
    whole = replace(
        made,
        target=replace(made.target, name=leg.name),
        note=leg.handoff.route.note,
        inner=True,
        stage=stage_mark(leg.handoff.ref),
    )
    yield from exporting(whole, leg.caches, giver)


def _shaped(stop: _Stop, instance: Instance) -> Instance:
    """An instance of a target with stand-ins for what comes from elsewhere."""
    before = stop.before.get((instance.root, instance.platform), {})
    if not before:
        return instance
    return cut(instance, {ref: each.stand_in() for ref, each in before.items()})
