from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from translator.values.csvspec import fields, pairs


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ("",)),
        ("a", ("a",)),
        ("a,b", ("a", "b")),
        ("a,", ("a", "")),
        (",", ("", "")),
        ("type=local,dest=out", ("type=local", "dest=out")),
        ('type=image,"name=a,b",push=true', ("type=image", "name=a,b", "push=true")),
        ('"a""b"', ('a"b',)),
        ('""', ("",)),
        (" a , b", (" a ", " b")),
    ],
)
def test_fields(text: str, expected: tuple[str, ...]) -> None:
    assert fields(text) == expected


@pytest.mark.parametrize("text", ['a"b', 'a,b"', '"a', '"a"b', '"a" ,b', 'name="a,b"'])
def test_misplaced_quotes_are_refused_as_go_does(text: str) -> None:
    with pytest.raises(ValueError, match="quote"):
        fields(text)


@given(st.lists(st.text(st.characters(exclude_characters="\r\n")), min_size=1))
def test_what_a_csv_writer_quotes_is_read_back(values: list[str]) -> None:
    line = io.StringIO()
    csv.writer(line, quoting=csv.QUOTE_ALL, lineterminator="").writerow(values)
    assert fields(line.getvalue()) == tuple(values)


def test_pairs_have_lower_case_keys() -> None:
    assert pairs("Type=Local,bare,x=a=b") == (("type", "Local"), ("bare", None), ("x", "a=b"))
