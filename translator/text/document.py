"""YAML text to nodes with spans.

The nodes are built from the parser's events: no resolver decides what a value is (so ``no`` stays
``no``), no constructor makes objects, and duplicate keys are seen. All faults of a file are found
in one go, except that broken YAML ends the reading.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from translator.diagnostic import Diagnostic, InvalidFileError
from translator.pause import no_collection
from translator.span import Position, SourceFile, Span
from translator.suggest import suggest
from translator.text import faults
from translator.text.yamlevents import MAX_DEPTH, BrokenError, events, point

# What aliases may multiply a file to: ten times its own size, and small files somewhat more.
ALIAS_FACTOR = 10
ALIAS_FLOOR = 100_000

_TRUTH = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_CORE = "tag:yaml.org,2002:"
_TEXT_TAGS = frozenset((_CORE + "str", "!"))
_VALUE_TAGS = frozenset(_CORE + name for name in ("null", "bool", "int", "float"))


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


class _Written(Scalar):
    """A scalar of a file, whose span is made when it is asked for.

    Most never are; making all of them would cost as much as the rest of the reading.
    """

    __slots__ = ("_end", "_file", "_start")
    __setattr__ = object.__setattr__

    def __init__(self, text: str, plain: bool, file: SourceFile, start: int, end: int) -> None:
        self.text = text  # type: ignore[misc]  # frozen from here on
        self.plain = plain  # type: ignore[misc]
        self._file = file
        self._start = start
        self._end = end

    @property
    def span(self) -> Span:
        file = self._file
        return Span(file, file.position(self._start), file.position(self._end))


# --- what a plain scalar stands for (the YAML 1.2 core schema) ---------------------------------


def as_bool(node: Node) -> bool | None:
    """True or False for plain ``true`` and ``false``, None for all else (so for ``yes``, too)."""
    return _TRUTH.get(node.text) if isinstance(node, Scalar) and node.plain else None


def as_int(node: Node) -> int | None:
    """The number of a plain integer (``-5``, ``0o17``, ``0x1f``), None for all else."""
    if not (isinstance(node, Scalar) and node.plain and _INTEGER.fullmatch(node.text)):
        return None
    prefix = node.text[:2]
    return int(node.text, 0) if prefix in ("0o", "0x") else _decimal(node.text)


def is_null(node: Node) -> bool:
    """Whether this is plain ``null``, ``~`` or nothing at all."""
    return isinstance(node, Scalar) and node.plain and node.text in _NULLS


def kind(node: Node) -> str:
    """What a node is in plain words, with its article: ``a map``, ``a list``, ``a string``..."""
    if isinstance(node, Table):
        return "a map"
    if isinstance(node, Items):
        return "a list"
    if is_null(node):
        return "nothing"
    if as_bool(node) is not None:
        return "a boolean"
    return "a number" if as_int(node) is not None else "a string"


def _decimal(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:  # more digits than Python cares to convert
        return None


# --- bytes to text to nodes --------------------------------------------------------------------


def read(name: str, folder: str, data: bytes) -> SourceFile:
    """The bytes of a file as a ``SourceFile``; a byte order mark at the start is dropped.

    Raises InvalidFileError when the bytes are not UTF-8.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig", errors="replace")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        fault = faults.not_utf8(name=name, line=line, column=column)
        raise InvalidFileError([fault]) from None
    return SourceFile(name=name, folder=folder, text=text)


def parse(file: SourceFile) -> Table:
    """The file's nodes. Raises InvalidFileError with every fault of the text."""
    top, found = parse_all(file)
    if found or top is None:
        raise InvalidFileError(found)
    return top


def parse_all(file: SourceFile) -> tuple[Table | None, tuple[Diagnostic, ...]]:
    """The file's nodes, and every fault of its text: what is no YAML, duplicate keys, unknown tags.

    There are nodes in spite of faults where the rest of the file can still be checked.
    """
    if file.text.startswith("\ufeff"):  # the parser's positions do not count it
        file = replace(file, text=file.text[1:])
    builder = _Builder(file)
    try:
        with no_collection():
            builder.build()
    except BrokenError as broken:
        builder.faults.append(broken.fault)
    top = builder.top
    if isinstance(top, Table):
        return None if builder.has_gaps else top, tuple(builder.faults)
    if top is not None:
        builder.faults.append(faults.not_a_map(_point(top), kind(top)))
    return None, tuple(builder.faults)


def _point(node: Node) -> Span:
    start = node.span.start
    return Span(node.span.file, start, Position(start.line, start.column + 1))


class _Open:
    """A collection whose end has not come yet; a map's keys and values alternate."""

    __slots__ = ("anchor", "children", "size", "start")

    def __init__(self, start: Position, anchor: str | None, size: int) -> None:
        self.start = start
        self.anchor = anchor
        self.size = size
        self.children: list[Node] = []


class _Anchor:
    """A named node; ``node`` is None as long as its collection is open."""

    __slots__ = ("node", "size", "span")

    def __init__(self, span: Span) -> None:
        self.node: Node | None = None
        self.size = 0
        self.span = span


class _Builder:
    """Turns the events of one file into nodes, without recursion."""

    def __init__(self, file: SourceFile) -> None:
        self.file = file
        self.faults: list[Diagnostic] = []
        self.top: Node | None = None
        self.has_gaps = False  # some node stands in for one that could not be made
        self._first_document: Span | None = None
        self._stack: list[_Open] = []
        self._children: list[Node] = []
        self._anchors: dict[str, _Anchor] = {}
        self._own = 0  # nodes written in the file
        self._size = 0  # nodes when each alias is counted as what it stands for

    def build(self) -> None:
        handlers: dict[str, Callable[[Any], None]] = {
            "ScalarEvent": self._scalar,
            "MappingStartEvent": self._open,
            "SequenceStartEvent": self._open,
            "MappingEndEvent": self._close_table,
            "SequenceEndEvent": self._close_items,
            "AliasEvent": self._alias,
            "DocumentStartEvent": self._document,
        }
        for event in events(self.file):
            handler = handlers.get(type(event).__name__)
            if handler is not None:
                handler(event)
        if self._first_document is None:
            raise BrokenError(faults.empty_file(point(self.file, 0, 0)))
        self.top = self._children[0]

    # -- one handler per event --

    def _document(self, event: Any) -> None:
        span = self._span(event)
        if self._first_document is not None:
            raise BrokenError(faults.several_documents(span, self._first_document))
        self._first_document = span

    def _scalar(self, event: Any) -> None:
        plain = event.implicit[0]
        if event.tag is not None:
            plain = self._scalar_tag(event, plain)
        node = _Written(event.value, plain, self.file, event.start_mark.index, event.end_mark.index)
        self._own += 1
        self._size += 1
        self._children.append(node)
        if event.anchor is not None:
            self._name(event.anchor, node, 1)

    def _open(self, event: Any) -> None:
        if len(self._stack) >= MAX_DEPTH:
            raise BrokenError(faults.too_deep(self._span(event), MAX_DEPTH))
        if event.tag is not None:
            self._collection_tag(event)
        mark = event.start_mark
        frame = _Open(Position(mark.line + 1, mark.column + 1), event.anchor, self._size)
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchor(self._span(event))
        self._stack.append(frame)
        self._children = frame.children
        self._own += 1
        self._size += 1

    def _close_items(self, event: Any) -> None:
        frame = self._stack[-1]
        self._close(frame, Items(tuple(frame.children), self._extent(frame, event)))

    def _close_table(self, event: Any) -> None:
        frame = self._stack[-1]
        self._close(frame, Table(self._entries(frame.children), self._extent(frame, event)))

    def _close(self, frame: _Open, node: Node) -> None:
        self._stack.pop()
        self._children = self._stack[-1].children if self._stack else []
        self._children.append(node)
        if frame.anchor is not None:
            self._name(frame.anchor, node, self._size - frame.size)

    def _alias(self, event: Any) -> None:
        anchor = self._anchors.get(event.anchor)
        node = anchor.node if anchor else None
        if anchor is None or node is None:
            self._fault_alias(event, anchor)
            node = Scalar("", True, self._span(event))
        else:
            self._expand(event, anchor.size)
        self._children.append(node)

    # -- their parts --

    def _name(self, anchor: str, node: Node, size: int) -> None:
        named = self._anchors[anchor] = _Anchor(node.span)
        named.node, named.size = node, size

    def _fault_alias(self, event: Any, anchor: _Anchor | None) -> None:
        self.has_gaps = True
        name, span = event.anchor, self._span(event)
        if anchor is not None:
            self.faults.append(faults.recursive_alias(name, span, anchor.span))
        else:
            nearest = suggest(name, self._anchors)
            self.faults.append(faults.undefined_alias(name, span, nearest))

    def _expand(self, event: Any, size: int) -> None:
        self._size += size
        limit = max(ALIAS_FLOOR, ALIAS_FACTOR * self._own)
        if self._size - self._own > limit:
            raise BrokenError(faults.alias_expansion(self._span(event), limit))

    def _entries(self, children: list[Node]) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        merged: Node | None = None
        pairs = iter(children)
        for key, value in zip(pairs, pairs, strict=True):
            if not isinstance(key, Scalar):
                self.faults.append(faults.bad_key(_head(key.span), kind(key)))
                continue
            text = key.text
            if text in entries:
                first = entries[text].key.span
                self.faults.append(faults.duplicate_key(text, key.span, first))
                continue
            if text == "<<" and key.plain:
                merged = value
            entries[text] = Entry(key, value)
        return entries if merged is None else self._merge(entries, merged)

    def _merge(self, entries: dict[str, Entry], merged: Node) -> dict[str, Entry]:
        del entries["<<"]
        result: dict[str, Entry] = {}
        for node in merged.items if isinstance(merged, Items) else (merged,):
            if isinstance(node, Table):
                result = {**result, **{k: e for k, e in node.entries.items() if k not in result}}
            else:
                self.has_gaps = True
                self.faults.append(faults.bad_merge(_head(node.span), kind(node)))
        return {**result, **entries}

    def _scalar_tag(self, event: Any, plain: bool) -> bool:
        if event.tag in _TEXT_TAGS:
            return False
        if event.tag not in _VALUE_TAGS:
            self._fault_tag(event)
            return plain
        return True

    def _collection_tag(self, event: Any) -> None:
        wanted = "map" if type(event).__name__ == "MappingStartEvent" else "seq"
        if event.tag not in ("!", _CORE + wanted):
            self._fault_tag(event)

    def _fault_tag(self, event: Any) -> None:
        self.has_gaps = True
        tag = event.tag
        shown = "!!" + tag.removeprefix(_CORE) if tag.startswith(_CORE) else tag
        self.faults.append(faults.unknown_tag(shown, _head(self._span(event))))

    def _extent(self, frame: _Open, event: Any) -> Span:
        # A block collection's end event stands at the next token, maybe many lines below.
        start, end = event.start_mark, event.end_mark
        if start.index == end.index and frame.children:
            return Span(self.file, frame.start, frame.children[-1].span.end)
        return Span(self.file, frame.start, Position(end.line + 1, end.column + 1))

    def _span(self, event: Any) -> Span:
        start, end = event.start_mark, event.end_mark
        return Span(
            self.file,
            Position(start.line + 1, start.column + 1),
            Position(end.line + 1, end.column + 1),
        )


def _head(span: Span) -> Span:
    """The first line's part of a span, so that a fault about a whole map is drawn short."""
    if span.end.line == span.start.line:
        return span
    return Span(span.file, span.start, Position(span.start.line, span.start.column + 1))
