"""The names of caches, where several daemons may export what a target says.

What daemons export to one name replaces each other. So in a run that may use several, a cache's
name ends with that of the daemon that exports it (``app`` is ``app-office``), and with the stage's
where only that is built there. The names follow from ``daemons.toml`` alone, not from who answers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from types import MappingProxyType

from buildfile.cachefolder import LATEST
from buildfile.placement import rank
from translator.reference import Reference
from translator.stage import StageRef
from translator.target import CacheEntry

NAMED_BY: Mapping[str, str] = MappingProxyType(
    {"registry": "ref", "local": "tag", "gha": "scope", "s3": "name", "azblob": "name"}
)
"""The attribute that has the name of a cache, by the type."""
UNNAMED = "buildkit"
"""The name of a gha, s3 or azblob cache that is given none, on all releases."""
OTHERS = 4
"""Of how many other daemons caches are looked for: each is one more question to a registry."""
_FOUND_FROM_HERE = frozenset(("registry", "local"))
_LONGEST = 128  # characters of a tag in a registry
_DIGITS = 8


class Standing(Enum):
    """What one name is among those under which a cache is imported."""

    ONLY = "the only one"
    USUAL = "the daemon's own, or the one that was written"
    OTHER = "another daemon's, which is used only where it is known to be there"


@dataclass(frozen=True, kw_only=True)
class NamedCache:
    """A cache under one of its names."""

    entry: CacheEntry
    standing: Standing = Standing.ONLY


@dataclass(frozen=True, kw_only=True)
class CacheNames:
    """The names of caches on one daemon of a run.

    ``daemon`` is its name in ``daemons.toml``, and ``pool`` are those of all that the run may use;
    '' and none in a run of one. ``salt`` is as for ``place``.
    """

    daemon: str = ""
    pool: Sequence[str] = ()
    salt: str = ""

    def exported(self, entries: Iterable[CacheEntry], stage: str = "") -> Iterator[CacheEntry]:
        """The caches under the names that they get here. ``stage`` is as ``stage_mark`` makes it,
        '' for what a target is made of.
        """
        for each in entries:
            yield _named(each, self.daemon if each.by_daemon else "", stage)

    def imported(
        self, entries: Iterable[CacheEntry], owner: str, stage: str = ""
    ) -> Iterator[NamedCache]:
        """The caches under all names that they may have. ``owner`` is who tries daemons in an order
        of its own, as a target does.
        """
        for each in entries:
            parts = (stage, "") if stage and has_name(each) else ("",)
            names = [
                NamedCache(entry=_named(each, daemon, part), standing=standing)
                for daemon, standing in self._whose(each, owner)
                for part in parts
                if daemon or not part or not each.by_daemon  # no daemon's: never exported
            ]
            yield from names if len(names) > 1 else [NamedCache(entry=each)]

    def _whose(self, entry: CacheEntry, owner: str) -> Iterator[tuple[str, Standing]]:
        """The daemons whose caches an entry means, '' for the name that was written."""
        several = self.daemon and entry.by_daemon and has_name(entry)
        if several:
            yield self.daemon, Standing.USUAL
        yield "", Standing.USUAL
        if several and entry.type in _FOUND_FROM_HERE:
            others = [each for each in self.pool if each != self.daemon]
            others.sort(key=lambda each: rank(self.salt, owner, each))
            for each in others[:OTHERS]:
                yield each, Standing.OTHER


AS_WRITTEN = CacheNames()
"""Those of a run of one daemon."""


def has_name(entry: CacheEntry) -> bool:
    """Whether a cache can have another name: not what is named by its content."""
    if entry.free or entry.type not in NAMED_BY:
        return False
    return not ("digest" in entry.attrs or "@" in entry.attrs.get("ref", ""))


def stage_mark(ref: StageRef) -> str:
    """What a stage adds to the names of its caches: its name, and what tells it apart from its
    variants and from daemons.
    """
    return f"{ref.name}-{_digits(f'{ref.name} {ref.variant}')}"


def _named(entry: CacheEntry, *marks: str) -> CacheEntry:
    added = tuple(filter(None, marks))
    if not added or not has_name(entry):
        return entry
    key = NAMED_BY[entry.type]
    return replace(entry, attrs={**entry.attrs, key: _NAMING[key](entry.attrs.get(key, ""), added)})


def _joined(name: str, marks: Iterable[str]) -> str:
    """A name of a tag's length."""
    made = "-".join((name, *marks))
    if len(made) <= _LONGEST:
        return made
    return f"{made[: _LONGEST - _DIGITS - 1]}-{_digits(made)}"


def _digits(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def _ref(ref: str, marks: Iterable[str]) -> str:
    tag = Reference.parse(ref).tag
    return f"{ref.removesuffix(f':{tag}')}:{_joined(tag, marks)}"


def _names(names: str, marks: Iterable[str]) -> str:
    return ";".join(_joined(name, marks) for name in (names or UNNAMED).split(";"))


_NAMING: Mapping[str, Callable[[str, Iterable[str]], str]] = {
    "ref": _ref,
    "tag": lambda tag, marks: _joined(tag or LATEST, marks),
    "scope": lambda scope, marks: _joined(scope or UNNAMED, marks),
    "name": _names,
}
