"""Where faults gather, so that one run reports all of them, each once."""

from __future__ import annotations

from collections.abc import Iterable

from translator.diagnostic import Diagnostic, InvalidFileError
from translator.span import Position, Span
from translator.text.document import Node
from translator.values.value import Broken


class Collector:
    """Keeps the first of equal faults, in the order in which they were found."""

    def __init__(self, misshapen: tuple[Span, ...] = ()) -> None:
        """``misshapen`` are places that the schema has found fault with."""
        self._found: dict[Diagnostic, None] = {}
        self.misshapen = misshapen

    def add(self, fault: Diagnostic) -> None:
        """Remember ``fault``, unless the schema has had its say about the very place."""
        if fault.span is None or not any(_same_start(fault.span, at) for at in self.misshapen):
            self._found.setdefault(fault)

    def at(self, node: Node, fault: Diagnostic) -> None:
        """Remember a fault of ``node``, unless it follows from another.

        That is so if the node's value could not be made, or if the schema finds fault with
        something in the node.
        """
        if not isinstance(node, Broken) and not any(_holds(node.span, at) for at in self.misshapen):
            self.add(fault)

    def shape(self, faults: Iterable[Diagnostic]) -> None:
        """Remember faults of the schema."""
        found = tuple(faults)
        self._found.update(dict.fromkeys(found))
        self.misshapen += tuple(fault.span for fault in found if fault.span)

    def extend(self, faults: Iterable[Diagnostic]) -> None:
        """Remember several."""
        for fault in faults:
            self.add(fault)

    def __len__(self) -> int:
        return len(self._found)

    @property
    def faults(self) -> tuple[Diagnostic, ...]:
        """All of them."""
        return tuple(self._found)

    def check(self) -> None:
        """Raise InvalidFileError if there is any error among them."""
        if any(fault.severity == "error" for fault in self._found):
            raise InvalidFileError(self._found)


def _same_start(span: Span, other: Span) -> bool:
    return span.start == other.start and span.file == other.file


def _holds(span: Span, inner: Span) -> bool:
    return span.file == inner.file and _key(span.start) <= _key(inner.start) < _key(span.end)


def _key(position: Position) -> tuple[int, int]:
    return (position.line, position.column)
