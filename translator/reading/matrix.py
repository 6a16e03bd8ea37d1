"""The variants of a target: every combination of its matrix values, less and more some.

``exclude`` drops the combinations that have all the values of an entry; with ``platform`` in the
entry, only that platform of them. ``include`` works as in GitHub Actions: an entry is added to each
combination that it does not contradict, and is a combination of its own where there is none.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from translator.platform import Platform
from translator.reading import name_faults
from translator.reading import value_faults as faults
from translator.reading.collector import Collector
from translator.reading.reader import spliced
from translator.suggest import suggest
from translator.text.document import Items, Node, Scalar, Table, kind
from translator.values.value import Broken

_SPECIAL = ("exclude", "include")
_SLUG = re.compile(r"[^a-zA-Z0-9_-]")
_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, kw_only=True)
class Combination:
    """One variant's values, and the platforms that it is not built for."""

    values: Mapping[str, str]
    without: frozenset[Platform] = field(default=frozenset())

    def name(self, target: str) -> str:
        """The variant's name, as ``app-1-24``."""
        return "-".join((target, *(slug(value) for value in self.values.values())))


def slug(value: str) -> str:
    """A value as part of a name: what a target's name cannot have becomes ``-``, as in bake."""
    return _SLUG.sub("-", value)


def keys(matrix: Node | None) -> tuple[str, ...]:
    """The keys of a matrix, those of its ``include`` too."""
    if not isinstance(matrix, Table):
        return ()
    found = dict.fromkeys(key for key in matrix.entries if _is_axis(key))
    included = matrix.entries.get("include")
    for entry in _tables(included.value if included else None):
        found.update(dict.fromkeys(entry.entries))
    return tuple(found)


def combine(matrix: Table, found: Collector) -> tuple[Combination, ...]:
    """All combinations, in the order of the keys and their values."""
    axes = _axes(matrix, found)
    products = itertools.product(*axes.values())
    full = [dict(zip(axes, values, strict=True)) for values in products] if axes else []
    kept = _exclude([Combination(values=values) for values in full], matrix, axes, found)
    return tuple(_include(kept, matrix, axes, found))


def _is_axis(key: str) -> bool:
    return key not in _SPECIAL and not key.startswith("x-")


def _axes(matrix: Table, found: Collector) -> dict[str, tuple[str, ...]]:
    axes = {}
    for key, entry in matrix.entries.items():
        if not _is_axis(key):
            continue
        if not _KEY.fullmatch(key):
            found.add(name_faults.bad_matrix_key(key, entry.key.span))
        axes[key] = _values(key, entry.value, found)
    return axes


def _values(key: str, node: Node, found: Collector) -> tuple[str, ...]:
    items = tuple(spliced(node)) if isinstance(node, Items) else (node,)
    if not items:
        found.add(name_faults.empty_axis(key, node.span))
    return tuple(_value(item, found) for item in items)


def _value(node: Node, found: Collector) -> str:
    if isinstance(node, Scalar):
        return "" if isinstance(node, Broken) else node.text
    found.add(faults.wrong_type("a string", kind(node), node.span))
    return ""


def _exclude(
    combinations: list[Combination],
    matrix: Table,
    axes: Mapping[str, tuple[str, ...]],
    found: Collector,
) -> list[Combination]:
    entry = matrix.entries.get("exclude")
    for rule in _tables(entry.value if entry else None):
        values = _rule(rule, axes, found)
        platform = None if "platform" in axes else values.pop("platform", None)
        dropped = _platform(rule, platform, found) if platform is not None else None
        combinations = [
            _without(each, dropped) if _has(each, values) else each
            for each in combinations
            if platform is not None or not _has(each, values)
        ]
    return combinations


def _rule(rule: Table, axes: Mapping[str, tuple[str, ...]], found: Collector) -> dict[str, str]:
    known = (*axes, "platform")
    for key, entry in rule.entries.items():
        if key not in known:
            found.add(faults.unknown_key(key, entry.key.span, suggest(key, known), known))
    return {key: _value(entry.value, found) for key, entry in rule.entries.items()}


def _platform(rule: Table, text: str, found: Collector) -> Platform | None:
    try:
        return Platform.parse(text)
    except ValueError:
        node = rule.entries["platform"].value
        found.at(node, faults.bad_text("a platform", text, node.span))
        return None


def _has(combination: Combination, values: Mapping[str, str]) -> bool:
    return all(combination.values.get(key) == value for key, value in values.items())


def _without(combination: Combination, platform: Platform | None) -> Combination:
    dropped = combination.without | ({platform} if platform else set())
    return Combination(values=combination.values, without=dropped)


def _include(
    combinations: list[Combination],
    matrix: Table,
    axes: Mapping[str, tuple[str, ...]],
    found: Collector,
) -> list[Combination]:
    entry = matrix.entries.get("include")
    added: list[Combination] = []
    for rule in _tables(entry.value if entry else None):
        values = {key: _value(item.value, found) for key, item in rule.entries.items()}
        given = {key: value for key, value in values.items() if key in axes}
        fitting = [_has(each, given) for each in combinations]
        if any(fitting):
            combinations = [
                _with(each, values) if fits else each
                for each, fits in zip(combinations, fitting, strict=True)
            ]
        else:
            added.append(Combination(values=values))
    return combinations + added


def _with(combination: Combination, values: Mapping[str, str]) -> Combination:
    return Combination(values={**combination.values, **values}, without=combination.without)


def _tables(node: Node | None) -> list[Table]:
    items = node.items if isinstance(node, Items) else ()
    return [item for item in items if isinstance(item, Table)]
