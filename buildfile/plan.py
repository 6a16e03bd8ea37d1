"""What a run will do on a daemon: which jobs, from which stages, and what the daemon lacks."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

from buildfile import faults
from buildfile.cachenames import AS_WRITTEN, CacheNames
from buildfile.caches import PlannedCache, plan_exports, plan_imports
from buildfile.contexts import ignore_patterns
from buildfile.draft import Draft
from buildfile.exports import Export
from buildfile.failure import RefusedError
from buildfile.lacks import foreign_platforms, no_frontend
from buildfile.loopback import Loopback
from daemon_shim import support
from daemon_shim.info import DaemonInfo
from daemon_shim.registry.served import Offer
from translator.compile import compile_instances, layouts_used
from translator.compiled import Compiled, FrontendNeed, ImageNeed, ResolvedImage
from translator.diagnostic import Diagnostic
from translator.frontends import Compile, Frontends, frontend_alone, stages_made
from translator.llb.capabilities import missing
from translator.platform import Platform
from translator.span import Span
from translator.stage import Instance
from translator.target import Target

_LAYOUTS = "source.ocilayout"
_EPOCH = "SOURCE_DATE_EPOCH"


@dataclass(frozen=True, kw_only=True)
class Job:
    """One Solve: a target's stages for each of its platforms, and what is exported of them.

    ``name`` is shown to users, and unique in the plan. Each of ``parts`` is compiled from the one
    of ``instances`` beside it. ``note`` says why the daemon needs this job beside another. One that
    is ``inner`` is made for other jobs, and its target is none of the user's; ``waits_for`` are the
    names of those that this one uses. Where there are ``calls``, frontends of the daemon make the
    parts in place of what those say.
    """

    name: str
    target: Target
    instances: tuple[Instance, ...]
    parts: tuple[Compiled, ...]
    exports: tuple[Export, ...]
    cache_imports: tuple[PlannedCache, ...]
    cache_exports: tuple[PlannedCache, ...]
    frontend_attrs: Mapping[str, str] = field(default_factory=dict)
    calls: tuple[FrontendNeed, ...] = ()
    note: str = ""
    inner: bool = False
    waits_for: tuple[str, ...] = ()

    @property
    def entitlements(self) -> tuple[str, ...]:
        """What the steps may do beyond the usual, such as ``network.host``."""
        return tuple(sorted({name for part in self.parts for name in part.entitlements}))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All jobs of a run on one daemon, and every reason why it cannot do them.

    ``notes`` say what is done another way for all of them. ``refused`` are the targets that the
    refusals are about.
    """

    info: DaemonInfo
    jobs: tuple[Job, ...]
    notes: tuple[str, ...] = ()
    refusals: tuple[Diagnostic, ...] = ()
    refused: frozenset[str] = frozenset()
    warnings: tuple[Diagnostic, ...] = ()

    def require(self) -> None:
        """Raise RefusedError if the daemon cannot do all of it."""
        if self.refusals:
            raise RefusedError(self.refusals)


def plan(  # noqa: PLR0913 -- each is a setting of its own, by name
    drafts: Sequence[Draft],
    info: DaemonInfo,
    images: Mapping[ImageNeed, ResolvedImage],
    *,
    loopback: Loopback,
    no_cache: bool = False,
    environment: Mapping[str, str] = MappingProxyType({}),
    unique: str | None = None,
    names: CacheNames = AS_WRITTEN,
    frontends: Callable[[Sequence[Instance], Compile], Frontends] = lambda *_: {},
) -> Plan:
    """Compile all jobs together, so that they share steps and each folder is sent once.

    ``environment`` may have SOURCE_DATE_EPOCH, and the keys of caches that are services on the web.
    ``unique`` is as for ``compile_instances``, None for a new one. ``names`` are those of caches on
    the daemon. ``frontends`` asks those of the daemon for the stages that they make; without, these
    are not known. The plan can be carried out for as long as ``loopback`` is open. Raises
    DaemonError where the daemon is lost.
    """
    instances = [instance for each in drafts for instance in each.instances]
    layouts = _Layouts.find(instances, info, loopback)
    compile_ = partial(
        compile_instances,
        images=images,
        ignores=ignore_patterns(instances),
        no_cache=no_cache or _uncached(drafts),
        caps=info.llb_caps - {_LAYOUTS} if layouts.lack else info.llb_caps,
        native=Platform.parse(info.default_platform) if info.default_platform else None,
        unique=uuid.uuid4().hex if unique is None else unique,
        layouts=layouts.names,
        no_layouts=layouts.refusal,
    )
    compiled = iter(compile_(instances, frontends=frontends(instances, compile_)))
    caches = _Caches(info=info, environment=environment, loopback=loopback, names=names)
    jobs = tuple(_job(each, compiled, caches, no_cache=no_cache) for each in _named(drafts))
    # Targets share stages, so a stage's fault comes once for each of them.
    refusals = [*layouts.refusals(jobs, info), *_refusals(jobs, drafts, info)]
    return Plan(
        info=info,
        jobs=jobs,
        notes=() if info.imagined else tuple(_notes(images)),
        refusals=tuple(dict.fromkeys(each for _, each in refusals)),
        refused=frozenset(target for target, _ in refusals),
        warnings=tuple(
            dict.fromkeys(
                (*_warnings(drafts, info, environment.get(_EPOCH, "")), *_cache_warnings(jobs))
            )
        ),
    )


def _named(drafts: Sequence[Draft]) -> Iterator[tuple[str, Draft]]:
    seen: dict[str, int] = {}
    for each in drafts:
        name = each.target.name
        seen[name] = seen.get(name, 0) + 1
        yield (name if seen[name] == 1 else f"{name} ({seen[name]})"), each


@dataclass(frozen=True, kw_only=True)
class _Layouts:
    """OCI layouts for a daemon that cannot ask the session for them.

    ``lack`` says why it cannot, '' where it can or none is used. ``names`` are what registries call
    the layouts instead, by the id of the store; without them there is a ``refusal``.
    """

    lack: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    refusal: str = ""

    @classmethod
    def find(cls, instances: Sequence[Instance], info: DaemonInfo, loopback: Loopback) -> _Layouts:
        stores = layouts_used(instances)
        lack = support.reason(info, "source", "oci-layout") if stores else ""
        if not lack:
            return cls()
        if refusal := loopback.refusal():
            return cls(lack=lack, refusal=refusal)
        names = {id_: loopback.serve(Offer(folder=Path(path))).name for id_, path in stores.items()}
        return cls(lack=lack, names=names)

    def refusals(self, jobs: Iterable[Job], info: DaemonInfo) -> Iterator[tuple[str, Diagnostic]]:
        """Those of engines that list the capability, and have no store for it all the same."""
        for job in jobs:
            if self.refusal and info.has(_LAYOUTS) and any(part.stores for part in job.parts):
                reason = f"{self.lack}; {self.refusal}"
                yield job.target.name, faults.lacks_feature(reason, job.target, info)


@dataclass(frozen=True, kw_only=True)
class _Caches:
    """What the caches of all jobs are planned for."""

    info: DaemonInfo
    environment: Mapping[str, str]
    loopback: Loopback
    names: CacheNames

    def imports(self, each: Draft) -> tuple[PlannedCache, ...]:
        names = self.names.imported(
            each.target.cache_imports, each.stage or each.target.name, each.stage
        )
        return plan_imports(names, self.info, self.environment, self.loopback)

    def exports(self, each: Draft) -> tuple[PlannedCache, ...]:
        """What the daemon cannot export of a stage is no reason to build it nowhere."""
        entries = self.names.exported(each.caches_out, each.stage)
        made = plan_exports(entries, self.info, self.environment, self.loopback)
        return tuple(map(_spared, made)) if each.inner else made


def _spared(cache: PlannedCache) -> PlannedCache:
    if not cache.refusal:
        return cache
    return replace(cache, option=None, refusal="", warning=cache.refusal)


def _job(
    named: tuple[str, Draft],
    compiled: Iterator[Compiled],
    caches: _Caches,
    *,
    no_cache: bool,
) -> Job:
    name, each = named
    target = each.target
    return Job(
        name=name,
        target=target,
        instances=each.instances,
        parts=tuple(next(compiled) for _ in each.instances),
        exports=each.exports,
        cache_imports=caches.imports(each),
        cache_exports=caches.exports(each),
        frontend_attrs=_attestations(target),
        calls=_calls(each, caches.info, fresh=no_cache or target.no_cache),
        note=each.note,
        inner=each.inner,
        waits_for=each.waits_for,
    )


def _calls(each: Draft, info: DaemonInfo, *, fresh: bool) -> tuple[FrontendNeed, ...]:
    """Frontends that make all of a job by themselves, where the daemon tells no graphs of them.

    Not of one whose files alone move to another daemon: nobody would tell of its image config.
    """
    files_move = each.inner and any(not export.is_image for export in each.exports)
    if files_move or not support.reason(info, "frontend", "stages"):
        return ()
    calls = [frontend_alone(instance) for instance in each.instances]
    more = {"no-cache": ""} if fresh else {}
    alone = [replace(call, opts={**call.opts, **more}) for call in calls if call]
    return tuple(alone) if len(alone) == len(calls) else ()


# BuildKit attaches none by itself: "false" is what no option at all does (control, v0.11).
_PROVENANCE: Mapping[str | None, Mapping[str, str]] = {
    None: {},
    "false": {},
    "min": {"attest:provenance": "mode=min"},
    "max": {"attest:provenance": "mode=max"},
}


def _attestations(target: Target) -> dict[str, str]:
    """The solver's own options for attestations (frontend/attestations/parse.go, v0.11)."""
    return {**_PROVENANCE[target.provenance], **({"attest:sbom": ""} if target.sbom else {})}


def _uncached(drafts: Iterable[Draft]) -> frozenset[str]:
    """Names of the stages whose steps a target wants to run anew."""
    return frozenset(
        ref.name
        for each in drafts
        if each.target.no_cache
        for instance in each.instances
        for ref in instance.stages
    )


def _refusals(
    jobs: Iterable[Job], drafts: Iterable[Draft], info: DaemonInfo
) -> Iterator[tuple[str, Diagnostic]]:
    """Each with its target."""
    for job in jobs:
        yield from ((job.target.name, each) for each in _job_refusals(job, info))
    for draft_ in drafts:
        found = foreign_platforms(draft_.instances, info)
        yield from ((draft_.target.name, each) for each in found)


def _job_refusals(job: Job, info: DaemonInfo) -> Iterator[Diagnostic]:
    for part in job.parts:
        for need in missing(part.needs, info.llb_caps):
            yield faults.lacks_capability(need, info)
    for each in job.exports:
        if each.refusal:
            yield faults.lacks_output(each.output, each.refusal, info)
    yield from _frontend_refusals(job, info)
    yield from _cache_refusals(job, info)
    yield from _attestation_refusals(job, info)


def _frontend_refusals(job: Job, info: DaemonInfo) -> Iterator[Diagnostic]:
    for stage in stages_made(job.instances).values() if not job.calls else ():
        if reason := no_frontend(stage, info):
            yield faults.lacks_frontend(stage, reason, info)


def _cache_refusals(job: Job, info: DaemonInfo) -> Iterator[Diagnostic]:
    for cache in (*job.cache_imports, *job.cache_exports):
        yield from _refused(cache.refusal, job, info, cache.entry.span)


def _cache_warnings(jobs: Iterable[Job]) -> Iterator[Diagnostic]:
    for job in jobs:
        for cache in (*job.cache_imports, *job.cache_exports):
            if cache.warning and not cache.refusal:
                yield faults.cache_amiss(cache, job.target)


def replaced_caches(jobs: Iterable[Job]) -> Iterator[Diagnostic]:
    """Warn of targets that export their caches to one place, on whatever daemons they are built."""
    places: dict[tuple[str, ...], dict[str, PlannedCache]] = {}
    for job in jobs:
        for cache in job.cache_exports:
            if cache.place and cache.option:
                places.setdefault(cache.place, {}).setdefault(job.target.name, cache)
    for caches in places.values():
        if len(caches) > 1:
            yield faults.cache_replaced(tuple(caches), next(iter(caches.values())))


def _attestation_refusals(job: Job, info: DaemonInfo) -> Iterator[Diagnostic]:
    if not job.frontend_attrs:
        return
    if not info.has("exporter.image.attestations"):
        reason = f"attestations need BuildKit v0.11, and this is {info.version}"
        yield from _refused(reason, job, info)
    elif any(each.by_engine for each in job.exports):
        yield from _refused(f"a {info.store.value} keeps no attestations", job, info)


def _refused(
    reason: str, job: Job, info: DaemonInfo, span: Span | None = None
) -> Iterator[Diagnostic]:
    if reason:
        yield faults.lacks_feature(reason, job.target, info, span)


def _warnings(drafts: Sequence[Draft], info: DaemonInfo, epoch: str) -> Iterator[Diagnostic]:
    images = [each for draft_ in drafts for each in draft_.exports if each.is_image]
    heeds = info.has("exporter.sourcedateepoch") and not any(each.by_engine for each in images)
    if epoch and images and not heeds:
        yield faults.epoch_unknown(info)
    with_image = {d.target.name for d in drafts for each in d.exports if each.is_image}
    for target in {d.target.name: d.target for d in drafts}.values():
        inline = any(cache.type == "inline" for cache in target.cache_exports)
        if inline and target.name not in with_image:
            yield faults.inline_without_image(target)


def _notes(images: Mapping[ImageNeed, ResolvedImage]) -> Iterator[str]:
    told = (f"{need.ref} is {each.note}" for need, each in images.items() if each.note)
    yield from dict.fromkeys(told)
