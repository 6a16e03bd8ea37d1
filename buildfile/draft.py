"""Targets cut into jobs for a daemon, before the images that they use are known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from buildfile.exports import Export, export
from daemon_shim import support
from daemon_shim.info import DaemonInfo
from translator.compile import images_needed
from translator.compiled import ImageNeed
from translator.narrow import narrowed
from translator.platform import Platform
from translator.project import Project
from translator.stage import Instance
from translator.target import CacheEntry, Target


@dataclass(frozen=True, kw_only=True)
class Draft:
    """One job before its images are known: a target's outputs that want the same files.

    ``note`` says why it is not one with the job before it, '' where that needs no reason. One that
    is ``inner`` is made for other jobs, and its target is none of the user's; ``waits_for`` are the
    names of those that this one uses. ``stage`` is what the names of its caches have of the stage
    that it makes, '' for one that makes what its target is made of.
    """

    target: Target
    instances: tuple[Instance, ...]
    exports: tuple[Export, ...]
    caches_out: tuple[CacheEntry, ...]
    note: str = ""
    inner: bool = False
    waits_for: tuple[str, ...] = ()
    stage: str = ""


def draft(
    project: Project,
    targets: Sequence[Target],
    info: DaemonInfo,
    epoch: str = "",
    shape: Callable[[Instance], Instance] = lambda instance: instance,
) -> tuple[Draft, ...]:
    """Cut the targets into jobs. ``shape`` changes what is built for each platform.

    Outputs of a target share a job when they want the same paths and the daemon takes several
    exporters at once; else each has its own, and BuildKit shares the steps between them. So does
    each further cache export where the daemon takes one at a time.
    """
    return tuple(
        each
        for target in targets
        for each in _drafts(target, _instances(project, target, info, shape), info, epoch)
    )


def exporting(made: Draft, caches: Sequence[CacheEntry], info: DaemonInfo) -> Iterator[Draft]:
    """The draft with caches to export, and one more for each that the daemon wants apart."""
    first, *further = _cache_groups(tuple(caches), info)
    yield replace(made, caches_out=first)
    for group in further:
        yield replace(made, exports=(), caches_out=group, note=_apart(info, "cache-exports"))


def needed_images(drafts: Iterable[Draft]) -> tuple[ImageNeed, ...]:
    """The images whose configs decide what is built."""
    return images_needed([instance for each in drafts for instance in each.instances])


def _instances(
    project: Project, target: Target, info: DaemonInfo, shape: Callable[[Instance], Instance]
) -> tuple[Instance, ...]:
    own = Platform.parse(info.default_platform or "linux/amd64")
    platforms = target.platforms or (own,)
    return tuple(shape(project.instantiate(target, platform, own)) for platform in platforms)


def _drafts(
    target: Target, instances: Sequence[Instance], info: DaemonInfo, epoch: str
) -> Iterator[Draft]:
    exports = [export(output, target, info, epoch) for output in target.outputs]
    batches = _batches(exports, several=not support.reason(info, "several", "exporters"))
    for number, batch in enumerate(batches or [()]):
        output = batch[0].output if batch else None
        paths = output.paths if output else ()
        span = (output.span if output else None) or target.span
        made = Draft(
            target=target,
            instances=tuple(narrowed(instance, paths, span) for instance in instances),
            exports=batch,
            caches_out=(),
            note=_apart(info, "exporters") if _is_split(batch, batches[:number]) else "",
        )
        yield from exporting(made, _caches_out(target, batch, first=number == 0), info)


def _apart(info: DaemonInfo, what: str) -> str:
    return f"a build of its own: {support.reason(info, 'several', what)}"


def _is_split(batch: tuple[Export, ...], before: Iterable[tuple[Export, ...]]) -> bool:
    """Whether an earlier job exports the same paths, and could have made this output as well."""
    return any(batch[0].output.paths == other[0].output.paths for other in before)


def _batches(exports: Iterable[Export], *, several: bool) -> list[tuple[Export, ...]]:
    """Exports that go into one Solve. An output of type none needs no exporter of its own."""
    groups: dict[object, list[Export]] = {}
    for number, each in enumerate(exports):
        key = each.output.paths if several else (each.output.paths, number)
        groups.setdefault(key, []).append(each)
    return [tuple(group) for group in groups.values()]


def _caches_out(target: Target, batch: Sequence[Export], *, first: bool) -> tuple[CacheEntry, ...]:
    """Caches are exported once for a target; an inline one belongs into its images."""
    has_image = any(each.is_image for each in batch)
    return tuple(
        cache for cache in target.cache_exports if (has_image if cache.type == "inline" else first)
    )


def _cache_groups(caches: tuple[CacheEntry, ...], info: DaemonInfo) -> list[tuple[CacheEntry, ...]]:
    """Caches that are exported by one Solve; an inline one stays with its image, the first."""
    if len(caches) < 2 or not support.reason(info, "several", "cache-exports"):
        return [caches]
    return [(cache,) for cache in sorted(caches, key=lambda cache: cache.type != "inline")]
