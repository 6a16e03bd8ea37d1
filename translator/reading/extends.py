"""What targets inherit: ``extends`` from left to right, then the target's own keys.

Lists are replaced and maps merged, as between files; ``abstract`` is not inherited. Overrides of
the command line count as a target's own keys, so they reach what extends it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from translator.reading import name_faults
from translator.reading.circles import after_uses
from translator.reading.collector import Collector
from translator.reading.merge import TARGET, merge
from translator.reading.overrides import Overrides, apply
from translator.span import Span
from translator.suggest import suggest
from translator.text.document import Items, Node, Scalar, Table, as_bool
from translator.values.interpolate import expand
from translator.values.scope import Scope
from translator.values.value import Broken

_OWN = ("abstract", "extends")


def resolve(
    tables: Mapping[str, Table], overrides: Overrides, scope: Scope, found: Collector
) -> tuple[dict[str, Table], frozenset[str]]:
    """Each target's table with all that it inherits, its own ``abstract`` and ``extends`` kept.

    Besides, the names of targets that extend themselves, whose tables lack something.
    """
    inner = scope.within("extends", (), {})
    parents = {
        name: _parents(apply(table, overrides.of(name)), tables, inner, found)
        for name, table in tables.items()
    }

    circular: set[str] = set()

    def circle(names: Sequence[str]) -> None:
        circular.update(names)
        following = (*names[1:], names[0])
        steps = zip(names, following, strict=True)
        spans = [_span_of(parents[name], after) for name, after in steps]
        found.add(name_faults.extends_cycle(names, spans))

    resolved: dict[str, Table] = {}
    for name in after_uses(tables, lambda name: [node.text for node in parents[name]], circle):
        resolved[name] = _resolved(name, tables[name], parents[name], resolved, overrides)
    return {name: resolved[name] for name in tables}, frozenset(circular)


def is_abstract(table: Table) -> bool:
    """Whether a target is there to be extended only."""
    entry = table.entries.get("abstract")
    return bool(entry and as_bool(entry.value))


def _parents(
    table: Table, tables: Mapping[str, Table], scope: Scope, found: Collector
) -> list[Scalar]:
    entry = table.entries.get("extends")
    if entry is None:
        return []
    node = expand(entry.value, scope, found)
    items: tuple[Node, ...] = node.items if isinstance(node, Items) else (node,)
    named = [item for item in items if isinstance(item, Scalar) and not isinstance(item, Broken)]
    for item in named:
        if item.text not in tables:
            nearest = suggest(item.text, tables)
            found.add(name_faults.unknown_name("target", item.text, item.span, nearest, "targets"))
    return [item for item in named if item.text in tables]


def _span_of(parents: Sequence[Scalar], name: str) -> Span:
    return next(node.span for node in parents if node.text == name)


def _resolved(
    name: str,
    table: Table,
    parents: Sequence[Scalar],
    resolved: Mapping[str, Table],
    overrides: Overrides,
) -> Table:
    inherited = Table({}, table.span)
    for parent in parents:
        if parent.text in resolved:
            inherited = merge(inherited, _inheritable(resolved[parent.text]), TARGET)
    merged = merge(inherited, table, TARGET) if parents else table
    return apply(merged, overrides.of(name))


def _inheritable(table: Table) -> Table:
    return Table({key: each for key, each in table.entries.items() if key not in _OWN}, table.span)
