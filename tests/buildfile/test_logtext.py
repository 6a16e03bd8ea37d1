"""Logs of others, made fit for a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildfile.logtext import LINE_BYTES, TAIL_BYTES, Lines, Tail, clean, name, shown

RED = "\x1b[31m"
RESET = "\x1b[0m"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain text, ünïcode ✔", "plain text, ünïcode ✔"),
        (f"{RED}red{RESET}", "red"),
        ("\x1b[2J\x1b[H\x1b[10;10Hhome", "home"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bP1$q\x1b\\dcs", "dcs"),
        ("\x9b31mc1", "c1"),
        ("\x1b(0charset\x1b7\x1b8\x1bc", "charset"),
        ("\x1b]0;never ended", ""),
        ("cut \x1b[", "cut "),
        ("cut \x1b", "cut "),
        ("a\tb", "a       b"),
        ("nul\x00 bell\x07 back\x08 del\x7f nel\x85", "nul bell back del nel"),
        ("\x1b\x1b[31mtwice", "twice"),
    ],
)
def test_clean(text: str, expected: str) -> None:
    assert clean(text) == expected


def test_colours_stay_where_asked() -> None:
    assert clean(f"{RED}red{RESET}\x1b[2J", colour=True) == f"{RED}red{RESET}"


@given(st.text(alphabet=st.sampled_from("\x1b[]()0;:?mHJP\\\x07\x9b\x9c\x00\r\t x✔")))
def test_nothing_that_moves_the_cursor_passes(text: str) -> None:
    assert clean(text).isprintable()
    rest = clean(text, colour=True).replace(RED, "")
    assert "\x1b" not in clean(rest)
    assert all(part[0] == "[" for part in rest.split("\x1b")[1:])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"windows\r", "windows"),
        (b" 10%\r 50%\r100%", "100%"),
        (b" 10%\r\r", " 10%"),
        (b"\r", ""),
        (b"\xff\xfe", "��"),
    ],
)
def test_carriage_returns_and_bad_bytes(line: bytes, expected: str) -> None:
    assert shown(line) == expected


def test_a_name_is_one_line() -> None:
    assert name(f"run\n  {RED}make\r\n\tall") == "run make all"


@given(st.lists(st.binary(max_size=40)), st.data())
def test_lines_are_the_same_however_the_output_is_cut(
    parts: list[bytes], data: st.DataObject
) -> None:
    output = b"\n".join(parts)
    cuts = data.draw(st.lists(st.integers(0, len(output))).map(sorted))
    lines = Lines()
    pieces = [output[a:b] for a, b in zip([0, *cuts], [*cuts, len(output)], strict=True)]
    cut = [line for piece in pieces for line in lines.feed(piece)] + lines.flush()
    whole = [shown(part) for part in output.split(b"\n")]
    assert cut == (whole if output and not output.endswith(b"\n") else whole[:-1])


def test_a_line_without_end_is_cut() -> None:
    lines = Lines()
    got = [line for _ in range(100) for line in lines.feed(b"x" * 1000)]
    assert sum(map(len, got)) + len(lines) == 100_000
    assert len(lines) <= LINE_BYTES


def test_a_tail_keeps_the_end() -> None:
    tail = Tail()
    for number in range(100_000):
        tail.append(b"line %d\n" % number)
    assert tail.lines(2) == ("line 99998", "line 99999")
    assert len(tail) <= 2 * TAIL_BYTES
    assert all(line.startswith("line ") for line in tail.lines(100_000))


def test_a_tail_of_one_huge_piece() -> None:
    tail = Tail()
    tail.append(b"x" * 10 * TAIL_BYTES + b"\nend")
    assert tail.lines(1) == ("end",)
    assert len(tail) == TAIL_BYTES


def test_an_empty_tail() -> None:
    assert Tail().lines(5) == ()
