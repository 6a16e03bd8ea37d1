"""In which order a run is built: what moves to other daemons before what it moves to.

A stage that one daemon builds and another uses is a leg: a job on its own daemon, whose result
stands for the stage on the other one (``buildfile.handoff``). A target on its daemon is a stop. All
is planned before anything is built, and what uses legs again when the last of them is there.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

from buildfile.cachenames import AS_WRITTEN, CacheNames, has_name, stage_mark
from buildfile.draft import Draft, draft, exporting
from buildfile.plan import Plan
from buildfile.provenance import is_wanted, not_joined, not_told
from buildfile.route import route
from translator.cut import counterparts, cut, upto
from translator.llb.assemble import stages_used
from translator.platform import Platform
from translator.stage import Instance, Stage, StageRef
from translator.target import CacheEntry, Output, Target

if TYPE_CHECKING:
    from buildfile.exports import Export
    from buildfile.handoff import Handoff, Handoffs
    from buildfile.order import Order
    from buildfile.placement import Placed, Placement
    from buildfile.plan import Job
    from buildfile.site import Site
    from buildfile.solve import Solved
    from translator.project import Project


_Names: TypeAlias = Mapping[StageRef, StageRef]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Leg:
    """A stage on its way from its daemon, ``station``.

    ``instance`` ends with the stage, for ``target`` among others. ``caches`` of that are exported
    with it. ``before`` are the legs of the stages that it uses from elsewhere. ``jobs`` has its job
    once it is planned.
    """

    handoff: Handoff
    name: str
    station: str
    instance: Instance
    target: Target
    caches: tuple[CacheEntry, ...]
    before: Mapping[StageRef, _Leg]
    jobs: list[Job] = field(default_factory=list)

    @cached_property
    def legs(self) -> tuple[_Leg, ...]:
        """What it waits for."""
        return tuple(dict.fromkeys(self.before.values()))

    def stand_in(self) -> Stage:
        """What stands for the stage where it is used."""
        return self.handoff.stage(self.jobs[-1])

    def drafts(self, project: Project, site: Site) -> Iterator[Draft]:
        """The job that delivers the stage, and others for caches that the daemon exports apart."""
        made = self.handoff.draft(_cut(self.instance, self.before), self.target)
        whole = replace(
            made,
            target=replace(made.target, name=self.name),
            note=self.handoff.route.note,
            inner=True,
            stage=stage_mark(self.handoff.ref),
        )
        yield from exporting(whole, self.caches, site.daemon.info())


@dataclass(frozen=True, kw_only=True, eq=False)
class _Stop:
    """A target on its daemon; ``before`` are the legs of each of its instances, by their roots."""

    target: Target
    station: str
    before: Mapping[tuple[StageRef, Platform], Mapping[StageRef, _Leg]]

    @cached_property
    def legs(self) -> tuple[_Leg, ...]:
        """What it waits for."""
        return tuple(dict.fromkeys(leg for legs in self.before.values() for leg in legs.values()))

    @property
    def whole(self) -> dict[Platform, _Leg]:
        """The legs that are all of a platform."""
        return {
            platform: legs[root] for (root, platform), legs in self.before.items() if root in legs
        }

    def drafts(self, project: Project, site: Site) -> Iterable[Draft]:
        """Its jobs."""
        return draft(project, [self.target], site.daemon.info(), site.epoch, self._shaped)

    def _shaped(self, instance: Instance) -> Instance:
        """An instance with stand-ins for what comes from elsewhere."""
        return _cut(instance, self.before.get((instance.root, instance.platform), {}))


class Schedule:
    """All legs and stops of a run. ``handoffs`` is only asked for where something moves. ``pool``
    are the names of all daemons that the run may use, also of those that do not answer.
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
        self._names = set(targets)
        stops = [self._stop(targets[each.target], each) for each in placement.placed]
        self._all: tuple[_Leg | _Stop, ...] = (*self._legs.values(), *stops)
        self._there: set[_Leg] = set()
        self._waiting = [each for each in self._all if each.legs]

    def plan(self) -> dict[str, Plan]:
        """What each daemon does in the whole run. Raises as ``Site.plan``."""
        plans: dict[str, list[Plan]] = {}
        planned: set[_Leg | _Stop] = set()
        while waiting := [each for each in self._all if each not in planned]:
            ready = [each for each in waiting if planned.issuperset(each.legs)]
            for station in self._sites:
                if batch := [each for each in ready if each.station == station]:
                    plans.setdefault(station, []).append(self._plan(station, batch))
            planned.update(ready)
        return {station: _joined(each) for station, each in plans.items()}

    def receive(self, job: Job, solved: Solved) -> None:
        """Take what the job of a leg delivered; its others deliver nothing. Raises OutputError. May
        be called from several threads.
        """
        for leg in self._legs.values():
            if leg.name == job.name:
                leg.handoff.receive(job, solved.response)
                self._there.add(leg)

    def follow(self) -> tuple[str, Plan] | None:
        """What one daemon does next, planned with all that was received; None for nothing as yet.

        Raises as ``Site.plan``, and what could not be planned is left out from then on.
        """
        ready = [each for each in self._waiting if self._there.issuperset(each.legs)]
        if not ready:
            return None
        station = ready[0].station
        batch = [each for each in ready if each.station == station]
        begun = set(batch)
        self._waiting = [each for each in self._waiting if each not in begun]
        return station, self._plan(station, batch)

    def _plan(self, station: str, batch: Sequence[_Leg | _Stop]) -> Plan:
        """Plan what a daemon does at a time, so that it shares steps and folders."""
        site = self._sites[station]
        drafts = [made for each in batch for made in self._drafts(each, site)]
        made = site.plan(
            drafts,
            site.frontends(self._project),
            no_cache=self._no_cache,
            unique=self._unique,
            names=self._cache_names(station),
        )
        jobs = {job.name: job for job in made.jobs}
        for each in batch:
            if isinstance(each, _Leg):
                each.jobs.append(jobs[each.name])
        return made

    def _drafts(self, each: _Leg | _Stop, site: Site) -> Iterator[Draft]:
        waits_for = tuple(leg.name for leg in each.legs)
        for made in each.drafts(self._project, site):
            told = self._attested(each, made) if isinstance(each, _Stop) else made
            yield replace(told, waits_for=waits_for)

    def _cache_names(self, station: str) -> CacheNames:
        if len(self._pool) < 2:
            return AS_WRITTEN
        return CacheNames(daemon=station, pool=self._pool, salt=self._project.name)

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
            f"the provenance of {platform} is only that it came from {leg.station}, as {reason}"
            if (reason := amiss or leg.handoff.untold)
            else f"the provenance of {platform} is that of {leg.station}"
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
        return _Stop(target=target, station=placed.station, before=before)

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
                station=giver,
                instance=instance,
                target=target,
                caches=self._caches(target, stage, giver),
                before=before,
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


def _cut(instance: Instance, before: Mapping[StageRef, _Leg]) -> Instance:
    """An instance with what stands for the stages that come from elsewhere."""
    if not before:
        return instance
    return cut(instance, {ref: leg.stand_in() for ref, leg in before.items()})


def _joined(plans: Sequence[Plan]) -> Plan:
    """What a daemon does one after the other."""
    return Plan(
        info=plans[0].info,
        jobs=tuple(job for plan in plans for job in plan.jobs),
        notes=tuple(dict.fromkeys(note for plan in plans for note in plan.notes)),
        refusals=tuple(dict.fromkeys(each for plan in plans for each in plan.refusals)),
        refused=frozenset(name for plan in plans for name in plan.refused),
        warnings=tuple(dict.fromkeys(each for plan in plans for each in plan.warnings)),
    )
