"""The values of variables: typed, and as nodes where they stand in for a scalar."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias

from translator.span import Span
from translator.text.document import Entry, Items, Node, Scalar, Table

Value: TypeAlias = "str | int | bool | tuple[Value, ...] | Mapping[str, Value]"

# Go's strconv.ParseBool, which bake uses, and the words that people write in an environment.
BOOLEANS: Mapping[str, bool] = MappingProxyType(
    {
        **dict.fromkeys(("1", "t", "true", "yes", "y", "on"), True),
        **dict.fromkeys(("0", "f", "false", "no", "n", "off"), False),
    }
)

_NULLS = frozenset(("", "~", "null", "Null", "NULL"))


def is_empty(value: Value) -> bool:
    """Whether ``:-`` puts its default in the place of ``value``: an empty text, list or map."""
    return not value and not isinstance(value, int)


def as_text(value: Value) -> str | None:
    """The value within a longer text; None for lists and maps, which have no place there."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int) else None


class Standing(Scalar):
    """A text in the place of another scalar. Its span is the other's, made when asked for."""

    __slots__ = ("_of",)
    __setattr__ = object.__setattr__

    def __init__(self, text: str, plain: bool, of: Scalar) -> None:
        self.text = text  # type: ignore[misc]  # frozen from here on
        self.plain = plain  # type: ignore[misc]
        self._of = of

    @property
    def span(self) -> Span:
        """Where the other stands."""
        return self._of.span


class Broken(Standing):
    """A value whose fault is reported already: readers pass it over in silence."""

    __slots__ = ()


def as_node(value: Value, of: Scalar) -> Node:
    """The value as a node in the place of ``of``. A text that reads as a number or bool is one."""
    if isinstance(value, tuple):
        return Items(tuple(as_node(item, of) for item in value), of.span)
    if isinstance(value, Mapping):
        entries = {key: _entry(key, item, of) for key, item in value.items()}
        return Table(entries, of.span)
    text = as_text(value) or ""
    return Standing(text, text not in _NULLS, of)


def kind_of(value: Value) -> str:
    """What the value is in plain words: ``a list``."""
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "a map" if isinstance(value, Mapping) else "a list"


def _entry(key: str, value: Value, of: Scalar) -> Entry:
    return Entry(Standing(key, False, of), as_node(value, of))
