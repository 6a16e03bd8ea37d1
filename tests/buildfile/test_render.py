from __future__ import annotations

import json
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildfile.render import WIDTH, to_json, to_text
from translator.diagnostic import Diagnostic, Related
from translator.span import Position, SourceFile, Span

FILE = SourceFile(
    name="buildfile.yaml",
    folder="/work",
    text="name: shop\n\tkey: 日本語 e\u0301 x\nrun: |\n  make\n\n  make test\n\n# end\n",
)


def span(start: tuple[int, int], end: tuple[int, int], file: SourceFile = FILE) -> Span:
    return Span(file, Position(*start), Position(*end))


def drawn(place: Span | None, **more: object) -> list[str]:
    fault = Diagnostic(code="a-code", message="it is wrong", span=place, **more)  # type: ignore[arg-type]
    return to_text(fault).split("\n")


def numbered(count: int) -> SourceFile:
    text = "".join(f"line {n}\n" for n in range(1, count + 1))
    return SourceFile(name="long.yaml", folder="/", text=text)


# --- text --------------------------------------------------------------------------------------


def test_a_fault_has_a_place_a_code_and_a_drawing() -> None:
    assert drawn(span((1, 7), (1, 11))) == [
        "buildfile.yaml:1:7: error: it is wrong [a-code]",
        "  1 | name: shop",
        "    |       ^^^^",
    ]


def test_hint_and_related_places_follow() -> None:
    related = (Related(message="it was right here", span=span((3, 1), (3, 4))),)
    assert drawn(span((1, 1), (1, 5)), hint="do better", related=related)[3:] == [
        "    = hint: do better",
        "buildfile.yaml:3:1: note: it was right here",
        "  3 | run: |",
        "    | ^^^",
    ]


def test_numbers_of_a_fault_and_its_related_places_are_aligned() -> None:
    file = numbered(120)
    related = (Related(message="there", span=span((120, 1), (120, 2), file)),)
    lines = drawn(span((9, 1), (9, 2), file), related=related)
    assert [lines[1], lines[4]] == ["    9 | line 9", "  120 | line 120"]


def test_a_fault_without_a_place_is_a_line() -> None:
    assert drawn(None, severity="warning") == ["warning: it is wrong [a-code]"]


@pytest.mark.parametrize(
    ("start", "end", "marks"),
    [
        ((2, 2), (2, 5), "    ^^^"),  # behind a tab
        ((2, 7), (2, 10), "         ^^^^^^"),  # wide characters
        ((2, 14), (2, 15), "                  ^"),  # behind wide and combined ones
        ((1, 11), (1, 11), "          ^"),  # nothing, at the end of a line
        ((1, 9), (1, 9), "        ^"),  # nothing, within a line
    ],
)
def test_marks_stand_below_what_they_mean(
    start: tuple[int, int], end: tuple[int, int], marks: str
) -> None:
    assert drawn(span(start, end))[2] == "    | " + marks


def test_several_lines_are_marked_at_the_margin() -> None:
    assert drawn(span((3, 6), (7, 1)))[1:] == [
        "  3 > run: |",
        "  4 >   make",
        "  5 >",
        "  6 >   make test",
    ]


def test_an_end_on_an_empty_line_is_not_drawn() -> None:
    assert drawn(span((1, 1), (2, 1)))[1:] == ["  1 | name: shop", "    | ^^^^^^^^^^"]


def test_the_middle_of_many_lines_is_left_out() -> None:
    lines = drawn(span((2, 1), (40, 8), numbered(50)))[1:]
    assert lines[0] == "   2 > line 2"
    assert lines[-2:] == ["     > ...", "  40 > line 40"]
    assert len(lines) == 8


@pytest.mark.parametrize("column", [1, 60, 150, 299])
def test_long_lines_are_clipped_around_the_fault(column: int) -> None:
    text = "".join(chr(ord("a") + n % 26) for n in range(300))
    file = SourceFile(name="long.yaml", folder="/", text=text)
    _, line, marks = drawn(span((1, column), (1, column + 1), file))
    assert len(line) <= WIDTH + len("  1 | ......")
    assert line[marks.index("^")] == text[column - 1]


def test_a_place_behind_the_last_line_has_no_drawing() -> None:
    assert len(drawn(span((99, 1), (99, 5)))) == 1


def test_text_of_a_file_cannot_steer_the_terminal() -> None:
    file = SourceFile(name="a\x1b[2J.yaml", folder="/", text="a: \x1b[31m\u202e b\x07")
    fault = Diagnostic(
        code="c",
        message="bad \x1b]0;title\x07",
        span=span((1, 1), (1, 9), file),
        hint="\u202eevil\n\x9b",
    )
    text = to_text(fault)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)
    assert "\\x1b]0;title\\x07" in text
    assert "hint: \\u202eevil\\n\\x9b" in text


def test_colours_only_when_asked() -> None:
    fault = Diagnostic(code="c", message="m", span=span((1, 1), (1, 5)), hint="h")
    assert "\x1b" not in to_text(fault)
    coloured = to_text(fault, colour=True)
    assert "\x1b[1;31merror:\x1b[0m" in coloured
    assert re.sub("\x1b\\[[0-9;]*m", "", coloured) == to_text(fault)


def test_a_log_is_drawn_line_by_line_without_control_sequences() -> None:
    fault = Diagnostic(code="c", message="m", log=("one", "\x1b[2Jtwo"))
    assert to_text(fault).splitlines() == [
        "error: m [c]",
        "   = the end of its log:",
        "     one",
        "     \\x1b[2Jtwo",
    ]


@given(st.text(), st.integers(1, 5), st.integers(1, 30), st.integers(0, 3), st.integers(1, 30))
def test_any_place_of_any_text_is_drawn(
    text: str, line: int, column: int, more: int, end: int
) -> None:
    file = SourceFile(name="any.yaml", folder="/", text=text)
    place = span((line, column), (line + more, end if more else max(column, end)), file)
    for shown in drawn(place):
        assert all(c.isprintable() or unicodedata.category(c) in ("Mn", "Me") for c in shown)


# --- JSON --------------------------------------------------------------------------------------


def test_json_has_every_field() -> None:
    fault = Diagnostic(
        code="a-code",
        message="größer",
        span=span((1, 7), (1, 11)),
        hint="do better",
        facts=("this is",),
        log=("the last line",),
        related=(Related(message="there", span=span((3, 1), (3, 4))),),
    )
    assert json.loads(to_json([fault, Diagnostic(code="b", message="m", severity="warning")])) == {
        "diagnostics": [
            {
                "code": "a-code",
                "severity": "error",
                "message": "größer",
                "span": {
                    "file": "buildfile.yaml",
                    "start": {"line": 1, "column": 7},
                    "end": {"line": 1, "column": 11},
                },
                "hint": "do better",
                "facts": ["this is"],
                "log": ["the last line"],
                "related": [
                    {
                        "message": "there",
                        "span": {
                            "file": "buildfile.yaml",
                            "start": {"line": 3, "column": 1},
                            "end": {"line": 3, "column": 4},
                        },
                    }
                ],
            },
            {
                "code": "b",
                "severity": "warning",
                "message": "m",
                "span": None,
                "hint": None,
                "facts": [],
                "log": [],
                "related": [],
            },
        ]
    }


def test_json_of_nothing_is_an_empty_list() -> None:
    assert json.loads(to_json(())) == {"diagnostics": []}
