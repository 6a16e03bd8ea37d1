"""The values of variables: typed, and as nodes where they stand in for a scalar."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias

from translator.document import Entry, Items, Node, Scalar, Table, is_null
from translator.span import Span

Value: TypeAlias = "str | int | bool | tuple[Value, ...] | Mapping[str, Value]"

# Go's strconv.ParseBool, which bake uses, and the words that people write in an environment.
BOOLEANS: Mapping[str, bool] = MappingProxyType(
    {
        **dict.fromkeys(("1", "t", "true", "yes", "y", "on"), True),
        **dict.fromkeys(("0", "f", "false", "no", "n", "off"), False),
    }
)


def is_empty(value: Value) -> bool:
    """Whether ``:-`` puts its default in the place of ``value``: an empty text, list or map."""
    return not value and not isinstance(value, int)


def as_text(value: Value) -> str | None:
    """The value within a longer text; None for lists and maps, which have no place there."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int) else None


def as_node(value: Value, span: Span) -> Node:
    """The value as a node at ``span``. A text that reads as a number or a bool may be one."""
    if isinstance(value, tuple):
        return Items(tuple(as_node(item, span) for item in value), span)
    if isinstance(value, Mapping):
        entries = {key: _entry(key, item, span) for key, item in value.items()}
        return Table(entries, span)
    text = as_text(value) or ""
    scalar = Scalar(text, True, span)
    return Scalar(text, False, span) if is_null(scalar) else scalar


def kind_of(value: Value) -> str:
    """What the value is in plain words: ``a list``."""
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "a map" if isinstance(value, Mapping) else "a list"


def _entry(key: str, value: Value, span: Span) -> Entry:
    return Entry(Scalar(key, False, span), as_node(value, span))
