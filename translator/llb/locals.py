"""What each local source must send: no more than the steps of all instances of a run use.

Patterns are those of BuildKit's file sync. ``include`` and ``follow`` both select, ``follow``
with what symbolic links lead to; with neither, everything is sent. ``exclude`` wins over both.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from translator.compiled import LocalUse
from translator.llb.frontends import call, is_made
from translator.llb.paths import WILDCARD
from translator.stage import BindMount, CacheMount, Copy, Instance, LocalSource, Origin, Run, Step

Identity: TypeAlias = tuple[object, ...]


def identity(source: LocalSource) -> Identity:
    """What makes two local sources the same: all but the place in the build file."""
    lists = source.include, source.exclude, source.follow
    return source.name, source.path, *lists, source.ignore_file, source.served, source.below


@dataclass
class Parts:
    """Parts of a source that steps use. Empty patterns and not ``all``: nothing yet."""

    all: bool = False
    paths: set[str] = field(default_factory=set)
    patterns: set[str] = field(default_factory=set)

    def note(self, paths: tuple[str, ...], patterns: tuple[str, ...]) -> None:
        """Add ``paths``, or what ``patterns`` (if any) include below them."""
        for path in map(_relative, paths):
            if patterns and _narrows(path, patterns):
                within = (posixpath.join(path, pattern.lstrip("/")) for pattern in patterns)
                self.patterns.update(map(_relative, within))
            elif path:
                self.paths.add(path)
            else:
                self.all = True

    def selection(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What to include, and which paths to follow."""
        if self.all:
            return (), ()
        return tuple(sorted(self.patterns)), tuple(sorted(self.paths))


@dataclass
class _Usage:
    """A source, and the parts of it that steps use."""

    source: LocalSource
    parts: Parts = field(default_factory=Parts)


def local_uses(
    instances: Iterable[Instance], ignores: Mapping[str, tuple[str, ...]]
) -> dict[Identity, LocalUse]:
    """What to send of each local source.

    ``ignores`` has the patterns of ignore files by the folder that they lie in.
    """
    usages: dict[Identity, _Usage] = {}
    for origin, paths, patterns in _origins(instances):
        if isinstance(origin, LocalSource):
            usage = usages.setdefault(identity(origin), _Usage(source=origin))
            usage.parts.note(paths, patterns)
    names = _Names()
    return {key: _use(usage, names, ignores) for key, usage in usages.items()}


def folder_uses(
    instances: Iterable[Instance], taken: Iterable[LocalUse]
) -> dict[Identity, LocalUse]:
    """The folders that frontends read themselves: all that the sources let through.

    Their names are none of those ``taken``.
    """
    folders = {identity(source): source for source in _folders(instances)}
    names = _Names()
    for use in taken:
        names.take(use.name)
    return {key: folder_use(source, names.take(source.name)) for key, source in folders.items()}


def folder_use(source: LocalSource, name: str) -> LocalUse:
    """A folder as its source says, served under ``name``."""
    return LocalUse(
        name=name,
        path=source.path,
        include=source.include,
        exclude=source.exclude,
        follow=source.follow,
    )


def local_sources(instances: Iterable[Instance]) -> tuple[LocalSource, ...]:
    """The local sources that steps and frontends use, each once, in order of first use."""
    instances = tuple(instances)
    steps = (origin for origin, _, _ in _origins(instances) if isinstance(origin, LocalSource))
    used = {identity(source): source for source in (*steps, *_folders(instances))}
    return tuple(used.values())


def _folders(instances: Iterable[Instance]) -> Iterator[LocalSource]:
    for instance in instances:
        for stage in filter(is_made, instance.stages.values()):
            yield from call(stage).folders.values()


class _Names:
    """Gives each source a name of its own; sources of different files may share theirs."""

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}

    def take(self, name: str) -> str:
        count = self._taken[name] = self._taken.get(name, 0) + 1
        return name if count == 1 else self.take(f"{name}-{count}")


# --- who uses what ---------------------------------------------------------------------------

_Part: TypeAlias = tuple[Origin, tuple[str, ...], tuple[str, ...]]


def _origins(instances: Iterable[Instance]) -> Iterator[_Part]:
    seen: set[int] = set()
    for instance in instances:
        for stage in instance.stages.values():
            if id(stage) in seen:
                continue
            seen.add(id(stage))
            for base in call(stage).inputs.values() if is_made(stage) else stage.bases:
                yield base, ("/",), ()
            for step in stage.steps:
                yield from _step_origins(step)


def _step_origins(step: Step) -> Iterator[_Part]:
    if isinstance(step, Copy):
        yield step.origin, step.paths, step.include
    elif isinstance(step, Run):
        for mount in step.mounts:
            if isinstance(mount, BindMount | CacheMount) and mount.origin is not None:
                yield mount.origin, (literal(mount.source),), ()


def literal(path: str) -> str:
    """The pattern for a path that is none."""
    return WILDCARD.sub(lambda found: "\\" + found[0], path)


def _narrows(path: str, patterns: tuple[str, ...]) -> bool:
    # Include patterns count from the folder that is copied; behind wildcards that is not known.
    return not WILDCARD.search(path) and not any(p.startswith("!") for p in patterns)


def _relative(path: str) -> str:
    return posixpath.normpath("/" + path).lstrip("/")


# --- what that is as patterns ----------------------------------------------------------------


def _use(usage: _Usage, names: _Names, ignores: Mapping[str, tuple[str, ...]]) -> LocalUse:
    source = usage.source
    ignored = ignores.get(source.path, ()) if source.ignore_file else ()
    include, follow = _selection(usage)
    if source.below and not include and not follow:
        include = ("",)
    return LocalUse(
        name=names.take(source.name),
        path=source.path,
        include=_moved(include, source.below),
        exclude=_moved(ignored + source.exclude, source.below),
        follow=_moved(follow, source.below),
    )


def _moved(patterns: tuple[str, ...], below: str) -> tuple[str, ...]:
    """Patterns of a folder as patterns of the one that it lies in."""
    if not below:
        return patterns
    folder = literal(below)
    return tuple(
        f"!{folder}/{each[1:].lstrip('/')}"
        if each.startswith("!")
        else f"{folder}/{each.lstrip('/')}".rstrip("/")
        for each in patterns
    )


def _selection(usage: _Usage) -> tuple[tuple[str, ...], tuple[str, ...]]:
    source = usage.source
    if source.include or source.follow:
        # The source's own patterns are a bound that no symbolic link may lead out of.
        return _within(usage.parts, source.include), source.follow
    return usage.parts.selection()


def _within(parts: Parts, bound: tuple[str, ...]) -> tuple[str, ...]:
    if parts.all or any(pattern.startswith("!") for pattern in bound):
        return bound
    used = sorted(parts.paths | parts.patterns)
    common = {part for pattern in bound for path in used for part in _common(pattern, path)}
    return tuple(sorted(common)) or bound


def _common(bound: str, used: str) -> tuple[str, ...]:
    if WILDCARD.search(bound) or WILDCARD.search(used):
        return (bound,)
    bound = _relative(bound)
    if _beneath(used, bound):
        return (used,)
    return (bound,) if _beneath(bound, used) else ()


def _beneath(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + "/")
