from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.translator.loading import line, table
from translator.reading.collector import Collector
from translator.text.document import Items, Node, Scalar, Table
from translator.values.interpolate import expand, references
from translator.values.scope import GitFacts, Scope

VARIABLES: Mapping[str, Any] = {
    "TEXT": "dev",
    "EMPTY": "",
    "YES": True,
    "COUNT": 3,
    "LIST": ("a", "b"),
    "NONE": (),
    "MAP": {"k": "v"},
}


def scope(**local: str) -> Scope:
    return Scope(
        variables=VARIABLES,
        environment={"HOME": "/home/me", "BLANK": ""},
        git=lambda: GitFacts(commit="abc", branch="main", tag="", dirty=True),
        place="a target",
        local={"target": "app", "matrix.go": "1.24", **local},
        offers=frozenset(("target", "matrix")),
        matrix_keys=("go", "os"),
    )


def plain(node: Node) -> Any:
    if isinstance(node, Scalar):
        return node.text
    if isinstance(node, Items):
        return [plain(item) for item in node.items]
    return {key: plain(entry.value) for key, entry in node.entries.items()}


def expanded(text: str) -> tuple[Any, list[str]]:
    """What ``key: TEXT`` becomes, and its faults."""
    found = Collector()
    node = expand(table(f"key: {text}\n"), scope(), found)
    assert isinstance(node, Table)
    return plain(node.entries["key"].value), [line(fault) for fault in found.faults]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${TEXT}", "dev"),
        ("a-${TEXT}-b", "a-dev-b"),
        ("$TEXT", "$TEXT"),
        ("$${TEXT}", "${TEXT}"),
        ("${EMPTY:-x}", "x"),
        ("${EMPTY-x}", ""),
        ("${UNKNOWN:-x}", "x"),
        ("${UNKNOWN-x}", "x"),
        ("${UNKNOWN:-${TEXT}}", "dev"),
        ("${UNKNOWN:-${LIST}}", ["a", "b"]),
        ("${UNKNOWN:-a$$b}", "a$b"),
        ("${TEXT:+x}", "x"),
        ("${EMPTY:+x}", ""),
        ("${EMPTY+x}", "x"),
        ("${UNKNOWN+x}", ""),
        ("${TEXT:?no}", "dev"),
        ("${EMPTY?no}", ""),
        ("${YES}", "true"),
        ("v${COUNT}", "v3"),
        ("${LIST}", ["a", "b"]),
        ("${NONE:-x}", "x"),
        ("${MAP}", {"k": "v"}),
        ("${target}", "app"),
        ("${matrix.go}", "1.24"),
        ("${matrix.os:-linux}", "linux"),
        ("${env.HOME}", "/home/me"),
        ("${env.BLANK}", ""),
        ("${env.BLANK:-x}", "x"),
        ("${env.NOPE:-x}", "x"),
        ("${git.commit}-${git.branch}-${git.dirty}", "abc-main-true"),
        ("${git.tag:-none}", "none"),
        ("[a, '${TEXT}']", ["a", "dev"]),
        ("{a: '${LIST}', '${TEXT}': b}", {"a": ["a", "b"], "${TEXT}": "b"}),
    ],
)
def test_values(text: str, value: Any) -> None:
    quoted = text if text[0] in "[{" else f"'{text}'"
    assert expanded(quoted) == (value, [])


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("${UNKNOWN}", "1:6 unknown-variable there is no variable UNKNOWN"),
        ("'ab ${UNKNOWN}'", "1:10 unknown-variable there is no variable UNKNOWN"),
        ('"\\t$${X}${UNKNOWN}"', "1:14 unknown-variable there is no variable UNKNOWN"),
        ("|\n  one\n  two ${UNKNOWN}", "3:7 unknown-variable there is no variable UNKNOWN"),
        ("${TEXT:-x} ${TXT}", "1:17 unknown-variable there is no variable TXT"),
        ("x${LIST}", "1:7 wrong-type LIST is a list and cannot stand within a text"),
        ("x${MAP}", "1:7 wrong-type MAP is a map and cannot stand within a text"),
        ("${EMPTY:?must}", "1:6 unset-variable EMPTY must be set: must"),
        ("${NOPE?because ${TEXT}}", "1:6 unset-variable NOPE must be set: because dev"),
        ("${NOPE:?}", "1:6 unset-variable NOPE must be set"),
        ("${env.NOPE}", "1:6 unset-environment the environment variable NOPE is not set"),
        ("${env}", "1:6 bad-reference env alone is no value"),
        ("${git.tag}", "1:6 no-git ${git.tag} has no value: there is no tag here"),
        ("${git.author:-x}", "1:6 unknown-variable there is no git.author"),
        ("${matrix.os}", "1:6 unset-matrix-key the target app has no matrix key os"),
        ("${matrix.gp}", "1:6 unknown-matrix-key no target's matrix has the key gp"),
        ("${platform}", "1:6 out-of-scope ${platform} has no meaning in a target"),
        ("${platform.os:-x}", "1:6 out-of-scope ${platform.os} has no meaning in a target"),
        ("${platform.bits}", "1:6 unknown-variable there is no platform.bits"),
        ("a ${", "1:8 bad-reference ${ is not followed by a name"),
        ("a ${A", "1:8 bad-reference ${ has no closing brace"),
    ],
)
def test_faults_point_into_the_scalar(text: str, fault: str) -> None:
    assert expanded(text)[1] == [fault]


def test_a_default_for_a_misspelt_name_is_a_warning() -> None:
    found = Collector()
    expand(table("key: ${TEX:-x}\n"), scope(), found)
    assert [(fault.severity, fault.hint) for fault in found.faults] == [
        ("warning", "did you mean TEXT?")
    ]


def test_a_node_without_references_is_the_same_node() -> None:
    node = table("a: [b, {c: d}]\ne: f\n")
    assert expand(node, scope(), Collector()) is node


def test_values_keep_the_span_of_their_scalar() -> None:
    node = table("key: '${LIST}'\n")
    value = expand(node, scope(), Collector())
    assert isinstance(value, Table)
    items = value.entries["key"].value
    assert isinstance(items, Items)
    assert {str(item.span) for item in items.items} == {"buildfile.yaml:1:6"}


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"])))
def test_text_without_dollars_is_unchanged(text: str) -> None:
    text = text.replace("$", "")
    scalar = Scalar(text, True, table("a: b\n").span)
    assert expand(scalar, scope(), Collector()) is scalar


def test_references() -> None:
    assert references(table("a: ['${A}', {b: '${B:-${matrix.c}} ${'}]\nd: x${D}\n")) == {"A", "D"}
    assert references(table("a: ${B:-${matrix.c}}\n")) == {"B", "matrix.c"}


def test_git_is_not_asked_unless_it_is_used() -> None:
    def refuse() -> GitFacts:
        raise LookupError("not a work tree")

    found = Collector()
    asked = Scope(variables={}, environment={}, git=refuse, place="a stage")
    expand(table("a: ${git.commit}\n"), asked, found)
    assert [fault.message for fault in found.faults] == [
        "${git.commit} has no value: not a work tree"
    ]
