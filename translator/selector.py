"""Selectors: which worker a stage or a target wants. Who chooses a daemon by one is not known here.

A worker is described by ``Traits``, so that the same rules hold for all who ask.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from translator.platform import Platform
from translator.span import Span
from translator.workerfilter import WorkerFilter, any_matches

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")
_PLAIN_VALUE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/@+-]*")


@dataclass(frozen=True, kw_only=True)
class Traits:
    """A worker as selectors see it. ``daemon`` is its daemon's name in daemons.toml, or ''."""

    id: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    platforms: tuple[Platform, ...] = ()
    daemon: str = ""


@dataclass(frozen=True, kw_only=True)
class Selector:
    """What a worker must be like: all that is given, and of ``filters`` one at least.

    ``name`` is that in the build file, '' for one in place. One that is not required (``require``)
    may be passed over with a warning. ``labels`` are in the order of their keys.
    """

    name: str = ""
    platform: Platform | None = None
    labels: tuple[tuple[str, str], ...] = ()
    filters: tuple[WorkerFilter, ...] = ()
    daemon: str = ""
    require: bool = True
    span: Span

    def __str__(self) -> str:
        """For messages: its name, else all that it asks for."""
        return self.name or self.wishes

    @property
    def wishes(self) -> str:
        """All that it asks for, in words."""
        return ", ".join(wish for wish, _ in self._wishes(Traits()))

    def lacking(self, traits: Traits) -> tuple[str, ...]:
        """What it asks for and the worker is not; nothing if the worker matches."""
        return tuple(wish for wish, met in self._wishes(traits) if not met)

    def _wishes(self, traits: Traits) -> Iterator[tuple[str, bool]]:
        if self.daemon:
            yield f"daemon {self.daemon}", traits.daemon == self.daemon
        if self.platform:
            yield f"platform {self.platform}", self.platform in traits.platforms
        for key, value in self.labels:
            yield f"label {key}={value}", traits.labels.get(key) == value
        if self.filters:
            met = any_matches(self.filters, traits.id, traits.labels)
            yield f"filter {' or '.join(each.text for each in self.filters)}", met

    def constraints(self) -> tuple[str, ...]:
        """The filters for an operation's LLB, of which one at least must match.

        Platforms and names of daemons are no fields of a filter. A selector that is not required
        makes none: what an operation says there is a condition.
        """
        if not self.require:
            return ()
        labels = [_condition(*label) for label in self.labels]
        if not self.filters:
            return (",".join(labels),) if labels else ()
        return tuple(",".join([*labels, each.text]) for each in self.filters)


def _condition(key: str, value: str) -> str:
    """The part of a filter that asks for a label's value, quoted where it has to be."""
    field = key if _PLAIN_KEY.fullmatch(key) else _quoted(key)
    return f"labels.{field}=={value if _PLAIN_VALUE.fullmatch(value) else _quoted(value)}"


def _quoted(text: str) -> str:
    escaped = "".join(
        f"\\{each}" if each in '"\\' else each if each.isprintable() else f"\\U{ord(each):08x}"
        for each in text
    )
    return f'"{escaped}"'
