from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from translator.values.template import Reference, TemplateError, escape, names, parse


def reference(
    name: str, offset: int, end: int, operator: str = "", word: tuple[object, ...] = ()
) -> Reference:
    return Reference(name, operator, word, offset, end)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ()),
        ("plain", ("plain",)),
        ("$HOME", ("$HOME",)),
        ("$", ("$",)),
        ("a$$b", ("a$b",)),
        ("$${A}", ("${A}",)),
        ("$$$${A}", ("$${A}",)),
        ("{}", ("{}",)),
        ("${A}", (reference("A", 0, 4),)),
        ("x${A}y", ("x", reference("A", 1, 5), "y")),
        ("${A}${B}", (reference("A", 0, 4), reference("B", 4, 8))),
        ("${platform.os}", (reference("platform.os", 0, 14),)),
        ("${matrix.go-version}", (reference("matrix.go-version", 0, 20),)),
        ("${A:-}", (reference("A", 0, 6, ":-"),)),
        ("${A:-b c}", (reference("A", 0, 9, ":-", ("b c",)),)),
        ("${A-b}", (reference("A", 0, 6, "-", ("b",)),)),
        ("${A?why}", (reference("A", 0, 8, "?", ("why",)),)),
        ("${A:?why}", (reference("A", 0, 9, ":?", ("why",)),)),
        ("${A:+b}", (reference("A", 0, 7, ":+", ("b",)),)),
        ("${A+b}", (reference("A", 0, 6, "+", ("b",)),)),
        ("${A:-{}}", (reference("A", 0, 8, ":-", ("{}",)),)),
        ("${A:-$$}", (reference("A", 0, 8, ":-", ("$",)),)),
        ("${A:-${B}}", (reference("A", 0, 10, ":-", (reference("B", 5, 9),)),)),
        (
            "${A:-x${B:-y}}",
            (reference("A", 0, 14, ":-", ("x", reference("B", 6, 13, ":-", ("y",)))),),
        ),
    ],
)
def test_text_is_taken_apart(text: str, parts: tuple[object, ...]) -> None:
    assert parse(text) == parts


@pytest.mark.parametrize(
    ("text", "message", "offset"),
    [
        ("${", "${ is not followed by a name", 0),
        ("x ${}", "${ is not followed by a name", 2),
        ("${1}", "${ is not followed by a name", 0),
        ("${A", "${ has no closing brace", 0),
        ("${A:-${B}", "${ has no closing brace", 0),
        ("${A:-${B", "${ has no closing brace", 5),
        ("${A B}", "unexpected ' ' after ${A", 0),
        ("${A##*/}", "unexpected '#' after ${A", 0),
        ("${A:-" * 40, "${...} is nested more than 32 deep", 160),
    ],
)
def test_what_is_no_template_is_said_where(text: str, message: str, offset: int) -> None:
    with pytest.raises(TemplateError) as error:
        parse(text)
    assert (error.value.message, error.value.offset) == (message, offset)


def test_names_are_those_of_defaults_too() -> None:
    assert names(parse("${A:-${B:?${C}}}${D}")) == {"A", "B", "C", "D"}


@given(st.text().filter(lambda text: "${" not in text and "$$" not in text))
def test_text_without_references_stays_as_it_is(text: str) -> None:
    assert "".join(str(part) for part in parse(text)) == text


@given(st.text())
def test_escaped_text_stays_as_it_was(text: str) -> None:
    assert parse(escape(text)) == ((text,) if text else ())
