"""Which paths of a local source are sent: include and exclude patterns, follow paths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from daemon_shim.session.follow import follow_links
from daemon_shim.session.patterns import Matched, PatternMatcher
from daemon_shim.session.root import Root


@dataclass(frozen=True, kw_only=True)
class Patterns:
    """Patterns in the words of ``session.patterns``; nothing in ``include`` means everything."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    follow: tuple[str, ...] = ()


State: TypeAlias = tuple[tuple[Matched, Matched], ...]


class Verdict(NamedTuple):
    """What to do with a path: send it, look into it if it is a folder, and the state there."""

    keep: bool
    descend: bool
    state: State


class Selection:
    """Paths that pass all of several sets of patterns.

    Raises PatternError for a pattern that is not well formed, and OSError where a follow path
    cannot be read.
    """

    def __init__(self, root: Root, sets: Sequence[Patterns]) -> None:
        self._filters = tuple(
            _Filter(root, patterns) for patterns in sets if patterns != Patterns()
        )

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        return not self._filters

    @property
    def start(self) -> State:
        """The state for the entries of the root."""
        return tuple(filter_.start for filter_ in self._filters)

    def judge(self, path: str, state: State) -> Verdict:
        """Judge a path, given the state that its folder's verdict had."""
        keep = descend = True
        below = []
        for filter_, (include, exclude) in zip(self._filters, state, strict=True):
            kept, entered, deeper = filter_.judge(path, include, exclude)
            keep, descend = keep and kept, descend and entered
            below.append(deeper)
        return Verdict(keep, descend, tuple(below))


class _Filter:
    def __init__(self, root: Root, patterns: Patterns) -> None:
        include = (*patterns.include, *follow_links(root, patterns.follow))
        self._include = PatternMatcher(include)
        self._exclude = PatternMatcher(patterns.exclude)

    @property
    def start(self) -> tuple[Matched, Matched]:
        return self._include.start, self._exclude.start

    def judge(
        self, path: str, include: Matched, exclude: Matched
    ) -> tuple[bool, bool, tuple[Matched, Matched]]:
        wanted, include = self._include.step(path, include) if self._include else (True, include)
        unwanted, exclude = self._exclude.step(path, exclude)
        descend = (wanted or self._include.may_match_below(path)) and (
            not unwanted or self._exclude.may_escape_below(path)
        )
        return wanted and not unwanted, descend, (include, exclude)
