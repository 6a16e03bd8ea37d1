"""Where something stands in a user's file. Every later fault is drawn from these."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property


@dataclass(frozen=True, slots=True)
class Position:
    """One character's place: ``line`` and ``column`` count from 1, in characters."""

    line: int
    column: int


@dataclass(frozen=True)
class SourceFile:
    """A file as it was read.

    ``name`` is what diagnostics print (as the user gave it, or relative to the working folder;
    ``<stdin>`` for standard input), ``folder`` is the absolute folder that the file's relative
    paths start from. ``language`` is what daemons keep about it, beside its text.
    """

    name: str
    folder: str
    text: str = field(repr=False)
    language: str = "YAML"

    @cached_property
    def lines(self) -> list[str]:
        """The file's lines without their ends, for drawing."""
        return self.text.splitlines()

    @cached_property
    def _starts(self) -> list[int]:
        starts, index = [], 0
        for line in self.text.splitlines(keepends=True):
            starts.append(index)
            index += len(line)
        return starts or [0]

    def position(self, index: int) -> Position:
        """The place of the text's character number ``index``, which counts from 0."""
        line = bisect_right(self._starts, index)
        return Position(line, index - self._starts[line - 1] + 1)

    def __hash__(self) -> int:
        return hash((self.name, self.folder))


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of one file, from ``start`` up to but without ``end``."""

    file: SourceFile
    start: Position
    end: Position

    def __str__(self) -> str:
        return f"{self.file.name}:{self.start.line}:{self.start.column}"

    def within(self, text: str, start: int, end: int) -> Span:
        """The part of ``text`` from ``start`` up to but without ``end``, each counted from 0.

        The whole stretch where it does not hold the text on one line, as it is.
        """
        line = self.file.lines[self.start.line - 1 : self.end.line]
        at = line[0].find(text, self.start.column - 1) if len(line) == 1 and text else -1
        if at < 0:
            return self
        number = self.start.line
        return Span(self.file, Position(number, at + start + 1), Position(number, at + end + 1))
