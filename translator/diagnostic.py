"""A fault in a user's file as data. Raising and rendering are apart: ``buildfile.render`` draws it.

Each kind of fault has one named constructor in ``translator.text.faults``
or beside its readers; nobody else writes messages.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from translator.span import Span

Severity = Literal["error", "warning"]


@dataclass(frozen=True, kw_only=True)
class Related:
    """A second place that explains the first, such as "defined here"."""

    message: str
    span: Span


@dataclass(frozen=True, kw_only=True)
class Diagnostic:
    """One fault.

    ``code`` is a stable kebab-case name (``unknown-key``), ``message`` says what is wrong in one
    sentence without a full stop, ``hint`` says what to do about it. ``span`` is None only where
    no file is concerned (a command-line option, a missing file). ``facts`` are what there is in
    place of what is wanted, a line each. ``log`` is the end of what a failing step printed, line by
    line.
    """

    code: str
    message: str
    span: Span | None = None
    related: tuple[Related, ...] = ()
    hint: str | None = None
    severity: Severity = "error"
    facts: tuple[str, ...] = ()
    log: tuple[str, ...] = ()


class InvalidFileError(Exception):
    """The build file is invalid. Holds every fault found, sorted by file and position."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(sorted(diagnostics, key=_place))
        super().__init__("; ".join(d.message for d in self.diagnostics))


class InvalidCommandError(InvalidFileError):
    """Every fault is in the command line (``--set``, ``--var``, a name), none in a file."""


def _place(diagnostic: Diagnostic) -> tuple[str, int, int]:
    span = diagnostic.span
    return (span.file.name, span.start.line, span.start.column) if span else ("", 0, 0)
