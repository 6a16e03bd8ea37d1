"""Diagnostics as text with the source line drawn, or as JSON. The last stop of every fault.

The text of one diagnostic::

    buildfile.yaml:7:14: error: unknown key imag [unknown-key]
      7 |   tools: {imag: alpine}
        |           ^^^^
        = hint: did you mean image?
    buildfile.yaml:2:3: note: first defined here
      2 |   app:
        |   ^^^

The JSON is one object; ``span`` and ``hint`` are null where there are none, lines and columns
count from 1, in characters, and ``end`` is the first character behind the span::

    {"diagnostics": [{"code": "unknown-key", "severity": "error", "message": "unknown key imag",
                      "span": {"file": "buildfile.yaml", "start": {"line": 7, "column": 14},
                               "end": {"line": 7, "column": 18}},
                      "hint": "did you mean image?", "facts": [], "log": [],
                      "related": [{"message": "first defined here", "span": {...}}]}]}
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from translator.diagnostic import Diagnostic, Related
from translator.span import Position, Span

WIDTH = 100  # columns of a source line that are shown at most
MOST_LINES = 8  # lines of a span that are shown at most
_TAB = 4
_CLIPPED = "..."


@dataclass(frozen=True, kw_only=True)
class Palette:
    """The escape sequences around each part, empty for none."""

    strong: str = ""
    error: str = ""
    warning: str = ""
    note: str = ""
    good: str = ""
    gutter: str = ""
    end: str = ""

    def paint(self, part: str, text: str) -> str:
        """``text`` in the colour of ``part``."""
        return f"{getattr(self, part)}{text}{self.end}" if self.end else text


_PLAIN = Palette()
_COLOURED = Palette(
    strong="\x1b[1m",
    error="\x1b[1;31m",
    warning="\x1b[1;33m",
    note="\x1b[1;36m",
    good="\x1b[32m",
    gutter="\x1b[34m",
    end="\x1b[0m",
)


def colours(*, colour: bool) -> Palette:
    """The palette of coloured text, or that of plain text."""
    return _COLOURED if colour else _PLAIN


# --- text --------------------------------------------------------------------------------------


def to_text(diagnostic: Diagnostic, *, colour: bool = False) -> str:
    """One diagnostic with its source lines, related places and hint, without a final newline."""
    palette = colours(colour=colour)
    notes = [(each, _gutter(each.span)) for each in diagnostic.related]
    gutter = max([_gutter(diagnostic.span), *(width for _, width in notes)])
    lines = [_headline(diagnostic, palette)]
    lines += _drawing(diagnostic.span, diagnostic.severity, gutter, palette)
    margin = palette.paint("gutter", " " * gutter + " =")
    lines += [f"{margin} {_safe(fact)}" for fact in diagnostic.facts]
    if diagnostic.log:
        lines.append(f"{margin} the end of its log:")
        lines += [f"{' ' * gutter}   {_safe(line)}" for line in diagnostic.log]
    if diagnostic.hint:
        lines.append(f"{margin} hint: {_safe(diagnostic.hint)}")
    for related in diagnostic.related:
        lines.append(_note(related, palette))
        lines += _drawing(related.span, "note", gutter, palette)
    return "\n".join(line.rstrip() for line in lines)


def _headline(diagnostic: Diagnostic, palette: Palette) -> str:
    place = palette.paint("strong", f"{_safe(str(diagnostic.span))}: ") if diagnostic.span else ""
    severity = palette.paint(diagnostic.severity, f"{diagnostic.severity}:")
    return f"{place}{severity} {_safe(diagnostic.message)} [{diagnostic.code}]"


def _note(related: Related, palette: Palette) -> str:
    place = palette.paint("strong", f"{_safe(str(related.span))}:")
    return f"{place} {palette.paint('note', 'note:')} {_safe(related.message)}"


def _gutter(span: Span | None) -> int:
    """How wide the line numbers of a span's drawing are, with the margin."""
    return 2 + len(str(_end(span).line)) if span else 2


def _drawing(span: Span | None, part: str, gutter: int, palette: Palette) -> list[str]:
    if span is None or not 0 < span.start.line <= len(span.file.lines):
        return []
    end = _end(span)
    if end.line == span.start.line:
        return list(_one_line(span, end, part, gutter, palette))
    return [
        palette.paint("gutter", _numbered(number, ">", gutter)) + shown
        for number, shown in _block(span, end)
    ]


def _one_line(span: Span, end: Position, part: str, gutter: int, palette: Palette) -> Iterator[str]:
    line = span.file.lines[span.start.line - 1]
    cells = [_cell(character) for character in line]
    before = sum(width for _, width in cells[: span.start.column - 1])
    marked = sum(width for _, width in cells[span.start.column - 1 : end.column - 1])
    text, shift = _clip(cells, before, before + marked)
    marks = "^" * max(1, min(marked, WIDTH - (before - shift)))
    yield palette.paint("gutter", _numbered(span.start.line, "|", gutter)) + text
    yield (
        palette.paint("gutter", " " * gutter + " | ")
        + " " * (before - shift)
        + palette.paint(part, marks)
    )


def _block(span: Span, end: Position) -> Iterator[tuple[int | None, str]]:
    numbers: list[int | None] = list(range(span.start.line, end.line + 1))
    if len(numbers) > MOST_LINES:
        numbers[MOST_LINES - 2 : -1] = [None]
    for number in numbers:
        if number is None:
            yield None, _CLIPPED
        else:
            cells = [_cell(character) for character in span.file.lines[number - 1].rstrip()]
            yield number, _clip(cells, 0, 0)[0]


def _numbered(number: int | None, bar: str, gutter: int) -> str:
    return f"{'' if number is None else number:>{gutter}} {bar} "


def _end(span: Span) -> Position:
    """Where the span's last text ends: a block's end often stands on a line below it."""
    lines, line, column = span.file.lines, span.end.line, span.end.column
    while line > span.start.line and not "".join(lines[line - 1 : line])[: column - 1].strip():
        line -= 1
        column = len("".join(lines[line - 1 : line]).rstrip()) + 1
    return Position(line, column)


# --- characters --------------------------------------------------------------------------------


def _cell(character: str) -> tuple[str, int]:
    """What is shown for a character, and how many columns it takes."""
    if character == "\t":
        return " " * _TAB, _TAB
    if character.isprintable():
        return character, _columns(character)
    if unicodedata.category(character) in ("Mn", "Me"):
        return character, 0
    return "\ufffd", 1


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _clip(cells: list[tuple[str, int]], start: int, end: int) -> tuple[str, int]:
    """At most ``WIDTH`` columns of a line around those from ``start``, and how far it moved."""
    total = sum(width for _, width in cells)
    if total <= WIDTH:
        return "".join(shown for shown, _ in cells), 0
    first = max(0, min(start - WIDTH // 4, total - WIDTH)) if end > WIDTH else 0
    shown, at, moved = [], 0, None
    for text, width in cells:
        if at >= first and at + width <= first + WIDTH:
            moved = at if moved is None else moved
            shown.append(text)
        at += width
    left, right = _CLIPPED if first else "", _CLIPPED if first + WIDTH < total else ""
    return left + "".join(shown) + right, (moved or 0) - len(left)


def _safe(text: str) -> str:
    """Text of a user's file without what could steer the terminal or reorder the line."""
    return "".join(
        character if character.isprintable() else _escaped(character) for character in text
    )


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


# --- JSON --------------------------------------------------------------------------------------


def to_json(diagnostics: Iterable[Diagnostic]) -> str:
    """All diagnostics as one JSON object, in the shape that the module's docstring shows."""
    return json.dumps({"diagnostics": [as_data(each) for each in diagnostics]}, indent=2)


def as_data(diagnostic: Diagnostic) -> dict[str, Any]:
    """One diagnostic as plain data."""
    return {
        "code": diagnostic.code,
        "severity": diagnostic.severity,
        "message": diagnostic.message,
        "span": span_data(diagnostic.span),
        "hint": diagnostic.hint,
        "facts": list(diagnostic.facts),
        "log": list(diagnostic.log),
        "related": [
            {"message": each.message, "span": span_data(each.span)} for each in diagnostic.related
        ],
    }


def span_data(span: Span | None) -> dict[str, Any] | None:
    """A place as plain data."""
    if span is None:
        return None
    return {
        "file": span.file.name,
        "start": {"line": span.start.line, "column": span.start.column},
        "end": {"line": span.end.line, "column": span.end.column},
    }
