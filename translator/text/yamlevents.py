"""The events of a YAML file. The one module that touches the YAML library.

libyaml's parser where PyYAML has it, else the pure one, which is twenty times slower.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from translator.diagnostic import Diagnostic, Related
from translator.span import Position, SourceFile, Span
from translator.text import faults
from translator.text.yamlfault import explain

MAX_DEPTH = 100
"""How deep maps and lists may be nested."""
_TOO_DEEP = "nesting depth"
"""libyaml 0.2.6 has a limit of its own, and reads so far ahead that it may meet that one first."""
_DISALLOWED = "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"


class BrokenError(Exception):
    """The text cannot be read any further."""

    def __init__(self, fault: Diagnostic) -> None:
        super().__init__(fault.message)
        self.fault = fault


@lru_cache(maxsize=1)
def _parser() -> Callable[[str], Any]:
    import yaml

    try:
        from yaml._yaml import CParser
    except ImportError:
        return yaml.BaseLoader
    return CParser


def events(file: SourceFile) -> Iterator[Any]:
    """The parser's events; its errors become a BrokenError with a fault in plain words."""
    try:
        next_event = _parser()(file.text).get_event
        while (event := next_event()) is not None:
            yield event
    except UnicodeEncodeError as error:
        raise BrokenError(_character_fault(file, error.start)) from None
    except Exception as error:
        import yaml

        if not isinstance(error, yaml.YAMLError):
            raise
        raise BrokenError(_syntax_fault(file, error)) from None


def _syntax_fault(file: SourceFile, error: Any) -> Diagnostic:
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        bad = re.search(_DISALLOWED, file.text)
        return _character_fault(file, bad.start() if bad else 0)
    if _TOO_DEEP in error.problem:
        return faults.too_deep(point(file, mark.line, mark.column), MAX_DEPTH)
    before = error.context_mark
    said = explain(
        error.problem,
        error.context or "",
        _rest(file, mark.line, mark.column),
        _rest(file, mark.line, 0),
    )
    context = None
    if before is not None and said.begins and (before.line, before.column) != (mark.line, 0):
        context = Related(message=said.begins, span=point(file, before.line, before.column))
    if context is not None and said.at_begin:
        return faults.invalid_yaml(context.span, said.message, said.hint, None)
    return faults.invalid_yaml(
        point(file, mark.line, mark.column), said.message, said.hint, context
    )


def _character_fault(file: SourceFile, index: int) -> Diagnostic:
    before = file.text[:index]
    line, column = before.count("\n"), index - before.rfind("\n") - 1
    character = file.text[index] if index < len(file.text) else "\0"
    return faults.bad_character(point(file, line, column), character)


def _rest(file: SourceFile, line: int, column: int) -> str:
    return file.lines[line][column:] if line < len(file.lines) else ""


def point(file: SourceFile, line: int, column: int) -> Span:
    """One character's place; ``line`` and ``column`` count from 0, as the parser's do."""
    return Span(file, Position(line + 1, column + 1), Position(line + 1, column + 2))
