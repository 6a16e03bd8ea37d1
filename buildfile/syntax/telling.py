"""Diagnostics on their way to a client that knows nothing of them: as text, with their places."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from buildfile import render
from buildfile.syntax import faults
from buildfile.syntax.contexts import NOWHERE
from daemon_shim import errdefs
from daemon_shim.errors import SolveFailedError, SourceRange
from translator.diagnostic import Diagnostic
from translator.span import Span

if TYPE_CHECKING:
    from daemon_shim.builder import Client


def told(diagnostics: Iterable[Diagnostic]) -> SolveFailedError:
    """One error with all of them, which clients that can draw the lines of."""
    known = [_here(each) for each in diagnostics]
    text = "\n\n".join(map(render.to_text, known)).removeprefix("error: ")
    spans = dict.fromkeys(each.span for each in known if each.span and each.span.file.text)
    sources = [
        errdefs.Source(text=span.file.text, language=span.file.language, place=_range(span))
        for span in spans
    ]
    # Whoever hands an error on turns them round, and the daemon is the only one to do it.
    return errdefs.invalid(text, reversed(sources))


def warn(client: Client, diagnostic: Diagnostic, vertex: str) -> None:
    """Show a warning in the build's progress."""
    span = diagnostic.span
    place = f"{span}: " if span else ""
    client.warn(
        f"{place}{diagnostic.message}",
        vertex=vertex,
        detail=[diagnostic.hint] if diagnostic.hint else [],
        ranges=[_range(span)] if span else [],
    )


def _here(diagnostic: Diagnostic) -> Diagnostic:
    """The same for people who use another client."""
    span = diagnostic.span if diagnostic.span != NOWHERE else None
    if diagnostic.code == "outside-folders":
        return faults.outside_context(span)
    return diagnostic


def _range(span: Span) -> SourceRange:
    start, end = span.start, span.end
    return SourceRange(
        file=span.file.name,
        start_line=start.line,
        start_character=start.column - 1,
        end_line=end.line,
        end_character=end.column - 1,
    )
