from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.translator.loading import table
from tests.translator.values.test_interpolate import plain
from translator.reading.merge import TARGET, merge
from translator.text.document import Entry, Node, Scalar, Table


@pytest.mark.parametrize(
    ("base", "over", "merged"),
    [
        ("a: 1", "b: 2", {"a": "1", "b": "2"}),
        ("a: 1", "a: 2", {"a": "2"}),
        ("a: {b: 1, c: 2}", "a: {c: 3, d: 4}", {"a": {"b": "1", "c": "3", "d": "4"}}),
        ("a: [1, 2]", "a: [3]", {"a": ["3"]}),
        ("a: {b: 1}", "a: x", {"a": "x"}),
        ("a: x", "a: {b: 1}", {"a": {"b": "1"}}),
        ("groups: {g: [a, b]}", "groups: {g: [b, c]}", {"groups": {"g": ["a", "b", "c"]}}),
        (
            "targets: {t: {platforms: [a], cache: {import: [x]}}}",
            "targets: {t: {platforms: [b], cache: {export: [y]}}}",
            {"targets": {"t": {"platforms": ["b"], "cache": {"import": ["x"], "export": ["y"]}}}},
        ),
        (
            "sources: {s: {local: ., include: [x]}}",
            "sources: {s: {git: u}}",
            {"sources": {"s": {"git": "u"}}},
        ),
        (
            "sources: {s: {git: u, ref: a}}",
            "sources: {s: {ref: b}}",
            {"sources": {"s": {"git": "u", "ref": "b"}}},
        ),
        (
            "stages: {s: {from: {image: a, resolve: pull}, user: u}}",
            "stages: {s: {from: {git: b}}}",
            {"stages": {"s": {"from": {"git": "b"}, "user": "u"}}},
        ),
        ("secrets: {s: {env: A}}", "secrets: {s: {file: f}}", {"secrets": {"s": {"file": "f"}}}),
    ],
)
def test_merge(base: str, over: str, merged: dict[str, Any]) -> None:
    assert plain(merge(table(base), table(over))) == merged


def test_a_target_over_another_of_another_kind() -> None:
    base, over = table("stage: s\nplatforms: [a]"), table("dockerfile: {}")
    assert plain(merge(base, over, TARGET)) == {"platforms": ["a"], "dockerfile": {}}


trees = st.recursive(
    st.text(max_size=3),
    lambda inner: st.dictionaries(st.text("abc", min_size=1, max_size=2), inner, max_size=3),
    max_leaves=8,
)
maps = st.dictionaries(st.text("abc", min_size=1, max_size=2), trees, max_size=4)
SPAN = table("a: b").span


def node(value: Any) -> Node:
    if isinstance(value, dict):
        return Table({k: Entry(Scalar(k, True, SPAN), node(v)) for k, v in value.items()}, SPAN)
    return Scalar(value, True, SPAN)


def merged(*values: dict[str, Any]) -> Any:
    tables = [node(value) for value in values]
    result = tables[0]
    for each in tables[1:]:
        assert isinstance(result, Table)
        assert isinstance(each, Table)
        result = merge(result, each)
    return plain(result)


@given(maps)
def test_merging_a_table_with_itself_or_nothing_changes_nothing(value: dict[str, Any]) -> None:
    assert merged(value, value) == merged(value, {}) == merged({}, value) == value


@given(maps, maps)
def test_what_the_upper_table_says_holds(base: dict[str, Any], over: dict[str, Any]) -> None:
    result = merged(base, over)
    assert result.keys() == base.keys() | over.keys()
    assert {key: result[key] for key, value in over.items() if isinstance(value, str)} == {
        key: value for key, value in over.items() if isinstance(value, str)
    }


@given(maps, maps, maps)
def test_merging_again_gives_the_same(
    a: dict[str, Any], b: dict[str, Any], c: dict[str, Any]
) -> None:
    assert merged(a, b, c, c) == merged(a, b, c)
