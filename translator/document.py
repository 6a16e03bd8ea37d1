"""YAML text to nodes with spans. The one module that touches the YAML library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from translator.span import Span


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value as text. What type it is, the reader decides by what is wanted there.

    ``plain`` is true for text without quotes (and not a block): only such text may stand for a
    number, a bool or null. So ``no``, ``1.20`` and ``12:30`` stay what the user wrote wherever a
    string is wanted.
    """

    text: str
    plain: bool
    span: Span


@dataclass(frozen=True, slots=True)
class Items:
    """A sequence."""

    items: tuple[Node, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Entry:
    """One ``key: value`` of a mapping."""

    key: Scalar
    value: Node


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping in the order of the file; merge keys (``<<``) are already applied."""

    entries: Mapping[str, Entry]
    span: Span


Node: TypeAlias = Scalar | Items | Table
