"""Which targets a name, a group or a pattern means."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase, translate
from functools import cached_property

from translator.diagnostic import Diagnostic, InvalidCommandError
from translator.reading import name_faults
from translator.reading import value_faults as faults
from translator.reading.circles import after_uses
from translator.reading.collector import Collector
from translator.suggest import suggest
from translator.target import Target
from translator.text.document import Items, Node, Scalar
from translator.values.interpolate import expand
from translator.values.scope import Scope
from translator.values.value import Broken

DEFAULT = "default"
_GLOB = re.compile(r"[*?\[]")


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The names of a project. ``groups`` hold names of targets, variants and groups, and globs."""

    targets: Mapping[str, tuple[Target, ...]]
    groups: Mapping[str, tuple[str, ...]]
    abstract: Sequence[str] = ()

    def select(self, names: Sequence[str]) -> tuple[Target, ...]:
        """The targets that ``names`` mean, each once, in the order in which they are named.

        Without names: the group ``default``, else the target of that name, else the only target.
        Raises InvalidCommandError for a name that means nothing.
        """
        found: dict[str, Target] = {}
        unknown = Collector()
        for name in names or self._default():
            targets = self._meant(name)
            if not targets:
                unknown.add(self._unknown(name))
            found.update((target.name, target) for target in targets)
        if len(unknown):
            raise InvalidCommandError(unknown.faults)
        return tuple(found.values())

    def _unknown(self, name: str) -> Diagnostic:
        if name in self.abstract:
            return name_faults.abstract_target(name)
        nearest = suggest(name, (*self.groups, *self.targets, *self._variants))
        return name_faults.no_such_target(name, nearest, tuple(self.targets))

    @cached_property
    def _variants(self) -> Mapping[str, Target]:
        return {each.name: each for variants in self.targets.values() for each in variants}

    def _default(self) -> Sequence[str]:
        if DEFAULT in self.groups or DEFAULT in self.targets:
            return (DEFAULT,)
        if len(self.targets) == 1:
            return tuple(self.targets)
        raise InvalidCommandError([name_faults.no_default(tuple(self.targets))])

    def _meant(self, name: str) -> tuple[Target, ...]:
        if name in self.groups:
            return self._members[name]
        return self._named(name)

    def _named(self, name: str) -> tuple[Target, ...]:
        if name in self.targets:
            return self.targets[name]
        if name in self._variants:
            return (self._variants[name],)
        if not _GLOB.search(name):
            return ()
        matches = re.compile(translate(name)).match
        return tuple(
            each
            for declared, variants in self.targets.items()
            for each in variants
            if matches(declared) or matches(each.name)
        )

    @cached_property
    def _members(self) -> Mapping[str, tuple[Target, ...]]:
        found: dict[str, tuple[Target, ...]] = {}
        for group in after_uses(self.groups, self._inner, lambda _names: None):
            members: dict[str, Target] = {}
            for name in self.groups[group]:
                targets = found.get(name, ()) if name in self.groups else self._named(name)
                members.update((target.name, target) for target in targets)
            found[group] = tuple(members.values())
        return found

    def _inner(self, group: str) -> list[str]:
        return [name for name in self.groups[group] if name in self.groups]


def read_groups(
    nodes: Mapping[str, Node], names: Iterable[str], scope: Scope, found: Collector
) -> dict[str, tuple[str, ...]]:
    """The groups' lists. ``names`` are those of all targets and variants."""
    inner = scope.within("a group", (), {})
    lists = {name: _list(expand(node, inner, found), found) for name, node in nodes.items()}
    known = (*names, *nodes)
    for items in lists.values():
        _check(items, known, found)

    def uses(group: str) -> list[str]:
        return [item.text for item in lists[group] if item.text in lists]

    def circle(groups: Sequence[str]) -> None:
        steps = zip(groups, (*groups[1:], groups[0]), strict=True)
        spans = [next(i.span for i in lists[group] if i.text == after) for group, after in steps]
        found.add(name_faults.group_cycle(groups, spans))

    after_uses(lists, uses, circle)
    return {name: tuple(item.text for item in items) for name, items in lists.items()}


def _list(node: Node, found: Collector) -> list[Scalar]:
    if isinstance(node, Items):
        return [item for item in node.items if isinstance(item, Scalar)]
    found.at(node, faults.wrong_type("a list", "a single value", node.span))
    return []


def _check(items: Sequence[Scalar], known: Sequence[str], found: Collector) -> None:
    names = frozenset(known)
    for item in items:
        if item.text in names or isinstance(item, Broken):
            continue
        if _GLOB.search(item.text) and any(fnmatchcase(name, item.text) for name in known):
            continue
        nearest = suggest(item.text, known)
        found.add(name_faults.unknown_name("target", item.text, item.span, nearest, "targets"))
