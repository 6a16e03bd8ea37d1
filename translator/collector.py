"""Where faults gather, so that one run reports all of them, each once."""

from __future__ import annotations

from collections.abc import Iterable

from translator.diagnostic import Diagnostic, InvalidFileError
from translator.document import Node, Scalar


class Broken(Scalar):
    """A value whose fault is reported already: readers pass it over in silence."""

    __slots__ = ()


class Collector:
    """Keeps the first of equal faults, in the order in which they were found."""

    def __init__(self) -> None:
        self._found: dict[Diagnostic, None] = {}

    def add(self, fault: Diagnostic) -> None:
        """Remember ``fault``."""
        self._found.setdefault(fault)

    def at(self, node: Node, fault: Diagnostic) -> None:
        """Remember a fault of ``node``, unless its value is the outcome of another fault."""
        if not isinstance(node, Broken):
            self.add(fault)

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
