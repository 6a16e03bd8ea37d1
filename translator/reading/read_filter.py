"""Filters of workers, in a build file or on the command line."""

from __future__ import annotations

from collections.abc import Iterable

from translator.diagnostic import Diagnostic, InvalidCommandError
from translator.reading import value_faults as faults
from translator.reading.reader import Reading, text
from translator.span import Position, SourceFile, Span
from translator.text.document import Node
from translator.workerfilter import FilterError, WorkerFilter, parse


def worker_filter(node: Node, reading: Reading) -> WorkerFilter | None:
    """A filter in a build file; its faults are shown where they stand in the text."""
    value = text(node, reading)
    if value is None:
        return None
    try:
        return parse(value)
    except FilterError as error:
        place = node.span.within(value, error.start, error.end)
        reading.found.at(node, faults.bad_filter(error, place))
    return None


def given_filters(option: str, values: Iterable[str]) -> tuple[WorkerFilter, ...]:
    """The filters that an option of the command line has.

    Raises InvalidCommandError with the faults of all.
    """
    read: list[WorkerFilter] = []
    found: list[Diagnostic] = []
    for value in values:
        file = SourceFile(name=option, folder="", text=value)
        try:
            read.append(parse(value))
        except FilterError as error:
            whole = Span(file, Position(1, 1), Position(1, len(value) + 1))
            found.append(faults.bad_filter(error, whole.within(value, error.start, error.end)))
    if found:
        raise InvalidCommandError(found)
    return tuple(read)
