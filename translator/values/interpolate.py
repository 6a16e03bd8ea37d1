"""Nodes with their ``${...}`` replaced by values. Spans stay those of what the user wrote."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from translator.diagnostic import Diagnostic
from translator.reading import value_faults as faults
from translator.reading.collector import Collector
from translator.span import Position, Span
from translator.text.document import Entry, Items, Node, Scalar, Table
from translator.values import template
from translator.values.scope import Missing, Scope
from translator.values.template import Reference, Template, TemplateError
from translator.values.value import Broken, Standing, Value, as_node, as_text, is_empty, kind_of

_NO_NAMES: frozenset[str] = frozenset()
_DEFAULTS = (":-", "-")


def expand(node: Node, scope: Scope, found: Collector) -> Node:
    """``node`` with every reference replaced; the very node where there is none.

    A scalar that is one reference alone takes the typed value. A value with a fault becomes
    ``Broken``, the fault goes to ``found``.
    """
    if isinstance(node, Scalar):
        return _Expansion(node, scope, found).node() if "$" in node.text else node
    if isinstance(node, Items):
        return _expanded_items(node, scope, found)
    changed = {}
    for key, entry in node.entries.items():
        value = entry.value
        if isinstance(value, Scalar) and "$" not in value.text:
            continue
        expanded = expand(value, scope, found)
        if expanded is not value:
            changed[key] = Entry(entry.key, expanded)
    return Table({**node.entries, **changed}, node.span) if changed else node


def _expanded_items(node: Items, scope: Scope, found: Collector) -> Items:
    items = list(node.items)
    same = True
    for index, item in enumerate(items):
        if isinstance(item, Scalar) and "$" not in item.text:
            continue
        items[index] = expand(item, scope, found)
        same = same and items[index] is item
    return node if same else Items(tuple(items), node.span)


def references(node: Node) -> frozenset[str]:
    """Every name that a ``${...}`` in ``node`` refers to; broken templates count as none."""
    found: set[str] = set()
    waiting: list[Node] = [node]
    while waiting:
        part = waiting.pop()
        if isinstance(part, Scalar):
            if "${" in part.text:
                found |= _names(part.text)
        elif isinstance(part, Items):
            waiting += part.items
        else:
            waiting += [entry.value for entry in part.entries.values()]
    return frozenset(found) if found else _NO_NAMES


def locate(scalar: Scalar, offset: int, end: int | None = None) -> Span:
    """Where the ``${`` at ``offset`` of the scalar's text stands in the file."""
    span, lines = scalar.span, scalar.span.file.lines
    nth = scalar.text.count("${", 0, offset)
    raw = scalar.text[offset:end]
    for number in range(span.start.line, min(span.end.line, len(lines)) + 1):
        line = lines[number - 1]
        column = span.start.column - 1 if number == span.start.line else 0
        while (column := line.find("${", column)) >= 0:
            if nth == 0:
                length = len(raw) if end and line.startswith(raw, column) else 2
                start = Position(number, column + 1)
                return Span(span.file, start, Position(number, column + 1 + length))
            nth, column = nth - 1, column + 2
    return span


class _Expansion:
    """One scalar's way to a value."""

    def __init__(self, scalar: Scalar, scope: Scope, found: Collector) -> None:
        self._scalar = scalar
        self._scope = scope
        self._found = found

    def node(self) -> Node:
        scalar = self._scalar
        try:
            parts = template.parse(scalar.text)
        except TemplateError as error:
            place = locate(scalar, error.offset)
            self._found.add(faults.bad_reference(error.message, place))
            return _broken(scalar)
        value = self._value(parts)
        if value is None:
            return _broken(scalar)
        if len(parts) == 1 and isinstance(parts[0], Reference):
            return as_node(value, scalar)
        return Standing(as_text(value) or "", False, scalar)

    def _value(self, parts: Template) -> Value | None:
        if len(parts) == 1 and isinstance(parts[0], Reference):
            return self._referred(parts[0])
        texts = [part if isinstance(part, str) else self._inner(part) for part in parts]
        return None if None in texts else "".join(text for text in texts if text)

    def _inner(self, reference: Reference) -> str | None:
        value = self._referred(reference)
        if value is None:
            return None
        text = as_text(value)
        if text is None:
            self._fault(reference, lambda at: faults.not_text(reference.name, kind_of(value), at))
        return text

    def _referred(self, reference: Reference) -> Value | None:
        value = self._scope.find(reference.name)
        if isinstance(value, Missing) and not (value.replaceable and reference.operator):
            self._fault(reference, value.fault)
            return None
        if isinstance(value, Missing) and value.warning and reference.operator in _DEFAULTS:
            self._fault(reference, value.warning)
        return _OPERATORS[reference.operator](self, reference, value)

    def _itself(self, _reference: Reference, value: Value | Missing) -> Value | None:
        return None if isinstance(value, Missing) else value

    def _default(self, reference: Reference, value: Value | Missing) -> Value | None:
        return self._value(reference.word) if _lacks(reference, value) else value  # type: ignore[return-value]

    def _demand(self, reference: Reference, value: Value | Missing) -> Value | None:
        if not _lacks(reference, value):
            return value  # type: ignore[return-value]
        message = self._value(reference.word)
        text = as_text(message) if message is not None else None
        self._fault(reference, lambda at: faults.demanded(reference.name, text or "", at))
        return None

    def _instead(self, reference: Reference, value: Value | Missing) -> Value | None:
        return "" if _lacks(reference, value) else self._value(reference.word)

    def _fault(self, reference: Reference, make: Callable[[Span], Diagnostic]) -> None:
        self._found.add(make(locate(self._scalar, reference.offset, reference.end)))


_Operation = Callable[[_Expansion, Reference, "Value | Missing"], "Value | None"]
_OPERATORS: Mapping[str, _Operation] = MappingProxyType(
    {
        "": _Expansion._itself,
        ":-": _Expansion._default,
        "-": _Expansion._default,
        ":?": _Expansion._demand,
        "?": _Expansion._demand,
        ":+": _Expansion._instead,
        "+": _Expansion._instead,
    }
)


def _lacks(reference: Reference, value: Value | Missing) -> bool:
    """Whether there is no value; with a colon an empty one counts as none."""
    if isinstance(value, Missing):
        return True
    return reference.operator.startswith(":") and is_empty(value)


def _names(text: str) -> frozenset[str]:
    try:
        return template.names(template.parse(text))
    except TemplateError:
        return frozenset()


def _broken(scalar: Scalar) -> Broken:
    return Broken(scalar.text, scalar.plain, scalar)
