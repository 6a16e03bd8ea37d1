"""What the targets of a project want of a daemon, for ``buildfile.placement``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from buildfile.exports import export
from buildfile.lacks import no_frontend
from buildfile.placement import Demand, Station, Wish
from daemon_shim import support
from daemon_shim.info import DaemonInfo
from translator.compile import compile_instances, images_needed
from translator.compiled import Need
from translator.frontends import stages_made
from translator.llb.capabilities import missing
from translator.platform import Platform
from translator.project import Project
from translator.selector import Selector
from translator.stage import Dockerfile, Frontend, Instance, Run
from translator.target import Target

DEFAULT_PLATFORM = Platform("linux", "amd64")
"""For daemons that tell none."""


class ProjectDemands:
    """The demands of targets. ``infos`` are the daemons by the names of their stations."""

    def __init__(
        self, project: Project, targets: Sequence[Target], infos: Mapping[str, DaemonInfo]
    ) -> None:
        self._project = project
        self._targets = {target.name: target for target in targets}
        self._infos = infos
        self._instances: dict[tuple[str, Platform], tuple[Instance, ...]] = {}
        self._demands: dict[tuple[str, Platform], Demand] = {}
        self._needs: dict[Platform, Mapping[str, tuple[Need, ...]]] = {}

    def of(self, target: str, station: Station) -> Demand:
        """What a target wants, if it is built on a daemon. Raises InvalidFileError."""
        key = (target, station.platform or DEFAULT_PLATFORM)
        if key not in self._demands:
            self._demands[key] = _demand(self._targets[target], self._built(*key))
        return self._demands[key]

    def lacking(self, target: str, station: Station) -> tuple[str, ...]:
        """What a target needs that a daemon has not by itself, in words."""
        info, given = self._infos[station.name], self._targets[target]
        own = station.platform or DEFAULT_PLATFORM
        if own not in self._needs:
            self._needs[own] = self._all_needs(own)
        steps = missing(self._needs[own][target], info.llb_caps)
        made = stages_made(self._built(target, own)).values()
        lacks = (
            *(need.what for need in steps),
            *(f"the frontend of {stage.ref.name}" for stage in made if no_frontend(stage, info)),
            *_unmade(given, info),
        )
        return tuple(dict.fromkeys(lacks))

    def _built(self, target: str, own: Platform) -> tuple[Instance, ...]:
        key = (target, own)
        if key not in self._instances:
            given = self._targets[target]
            self._instances[key] = tuple(
                self._project.instantiate(given, platform, own)
                for platform in given.platforms or (own,)
            )
        return self._instances[key]

    def _all_needs(self, own: Platform) -> Mapping[str, tuple[Need, ...]]:
        """What the steps of all targets need, compiled as for a daemon that lacks nothing."""
        from buildfile.images import resolve_layouts

        parts = [(name, each) for name in self._targets for each in self._built(name, own)]
        instances = [instance for _, instance in parts]
        known = resolve_layouts(images_needed(instances))
        needs: dict[str, tuple[Need, ...]] = dict.fromkeys(self._targets, ())
        compiled = compile_instances(instances, images=known)
        for (name, _), each in zip(parts, compiled, strict=True):
            needs[name] += each.needs
        return needs


def untold(
    demands: ProjectDemands, targets: Sequence[str], station: Station
) -> Iterator[tuple[Wish, Selector]]:
    """What the wishes of targets say that a daemon which is only imagined tells nothing of: all but
    its own platform.
    """
    platforms = station.workers[0].platforms
    for wish in dict.fromkeys(
        wish for each in targets for wish in demands.of(each, station).wishes
    ):
        met = wish.selector.platform in platforms
        rest = replace(wish.selector, platform=None) if met else wish.selector
        if rest.wishes:
            yield wish, rest


def _demand(target: Target, instances: Sequence[Instance]) -> Demand:
    stages = [stage for instance in instances for stage in instance.stages.values()]
    return Demand(
        target=_wish(target.worker, f"the target {target.name}"),
        stages={each.ref: _wish(each.worker, f"the stage {each.ref.name}") for each in stages},
        runs={instance.root: _run_on(instance) for instance in instances},
    )


def _run_on(instance: Instance) -> frozenset[Platform]:
    """The platforms that steps of an instance run on, as far as they are known from here."""
    return frozenset(
        stage.platform
        for stage in instance.stages.values()
        if isinstance(stage.origin, Dockerfile | Frontend)
        or any(isinstance(step, Run) for step in stage.steps)
    )


def _wish(selector: Selector | None, owner: str) -> Wish | None:
    return Wish(selector=selector, owner=owner) if selector else None


def _unmade(target: Target, info: DaemonInfo) -> Iterator[str]:
    """Outputs, caches and attestations that a daemon does not make, or not by itself."""
    for output in target.outputs:
        made = export(output, target, info)
        if made.refusal or (made.note and not made.by_engine):
            yield f"this {output.type} output"
    for entry in target.cache_imports:
        if support.reason(info, "cache-import", entry.type):
            yield f"a {entry.type} cache to import"
    for entry in target.cache_exports:
        if support.reason(info, "cache-export", entry.type):
            yield f"a {entry.type} cache to export"
    attested = target.sbom or target.provenance in ("min", "max")
    if attested and not info.has("exporter.image.attestations"):
        yield "attestations"
