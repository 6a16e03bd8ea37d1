"""Tables laid over each other: included files, several ``-f``, targets over what they extend.

Maps are merged key by key; lists and scalars are replaced, but the lists of ``groups`` are
united, as in bake. Where a map says of which kind a thing is (a source is ``git`` or ``local``),
another kind replaces the whole thing.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from translator.text.document import Entry, Items, Node, Scalar, Table

_SOURCE = frozenset(("local", "image", "git", "http", "oci-layout", "inline"))
_DOCKERFILE = frozenset(("file", "inline"))
_KINDS: Mapping[tuple[str, ...], frozenset[str]] = MappingProxyType(
    {
        ("sources", "*"): _SOURCE,
        ("stages", "*", "from"): _SOURCE,
        ("stages", "*", "dockerfile", "context"): _SOURCE,
        ("targets", "*", "dockerfile", "context"): _SOURCE,
        ("secrets", "*"): frozenset(("env", "file")),
        ("ssh", "*"): frozenset(("agent", "keys")),
    }
)
_ALTERNATIVES: Mapping[tuple[str, ...], frozenset[str]] = MappingProxyType(
    {
        ("targets", "*"): frozenset(("stage", "dockerfile")),
        ("targets", "*", "dockerfile"): _DOCKERFILE,
        ("stages", "*"): frozenset(("merge", "diff", "dockerfile", "frontend", "from")),
        ("stages", "*", "dockerfile"): _DOCKERFILE,
    }
)
_UNITED = ("groups", "*")
_NAMED = frozenset(("sources", "stages", "secrets", "ssh", "workers", "targets", "groups"))
TARGET = ("targets", "*")


def merge(base: Table, over: Table, place: tuple[str, ...] = ()) -> Table:
    """``over`` laid on ``base``; both stand at ``place``, where ``*`` is any name."""
    if _other(_KINDS, place, base, over):
        return over
    dropped = _other(_ALTERNATIVES, place, base, over)
    entries = {key: entry for key, entry in base.entries.items() if key not in dropped}
    for key, entry in over.entries.items():
        below = entries.get(key)
        entries[key] = _laid(below, entry, _inside(place, key)) if below else entry
    return Table(entries, over.span)


def _laid(base: Entry, over: Entry, place: tuple[str, ...]) -> Entry:
    value: Node = over.value
    if isinstance(base.value, Table) and isinstance(value, Table):
        value = merge(base.value, value, place)
    elif place == _UNITED and isinstance(base.value, Items) and isinstance(value, Items):
        value = _united(base.value, value)
    return Entry(over.key, value)


def _other(
    table: Mapping[tuple[str, ...], frozenset[str]],
    place: tuple[str, ...],
    base: Table,
    over: Table,
) -> frozenset[str]:
    """The kinds of ``base`` when ``over`` is of another kind."""
    kinds = table.get(place, frozenset())
    wanted = kinds & over.entries.keys()
    return (kinds & base.entries.keys()) - wanted if wanted else frozenset()


def _inside(place: tuple[str, ...], key: str) -> tuple[str, ...]:
    return (*place, "*" if len(place) == 1 and place[0] in _NAMED else key)


def _united(base: Items, over: Items) -> Items:
    known = {item.text for item in base.items if isinstance(item, Scalar)}
    new = [item for item in over.items if not (isinstance(item, Scalar) and item.text in known)]
    return Items((*base.items, *new), over.span)
