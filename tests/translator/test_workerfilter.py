"""Filters of workers: what they select, and what is said of those that cannot be read."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from translator.workerfilter import FilterError, any_matches, parse

_LABELS: Mapping[str, str] = {
    "pool": "native",
    "org.mobyproject.buildkit.worker.snapshotter": "overlayfs",
    "process-mode": "sandbox",
    "odd": 'a,b "c" \\ ünï',
    "empty": "",
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("id", True),
        ("id==me", True),
        ("id!=me", False),
        (" id == me, labels.pool == native", True),
        ("id==me,labels.pool==other", False),
        ("labels.org.mobyproject.buildkit.worker.snapshotter==overlayfs", True),
        ('labels."org.mobyproject.buildkit.worker.snapshotter"==overlayfs', True),
        ('labels."process-mode"==sandbox', True),
        ('labels."process\\x2dmode"~=^sand', True),
        ("labels.empty", True),
        ("labels.none", False),
        ("labels.none!=x", True),
        ("labels.none!=x,labels.none", False),
        ("labels.none==x", False),
        ('labels.none~=""', True),
        ("labels.pool~=^nat.*e$", True),
        ("labels.pool~=tiv", True),
        ("labels.pool~=/^(native|virtual)$/", True),
        ("labels.pool~=|^[[:upper:]]|", False),
        ("labels.pool==native=x", False),
        ('labels.odd=="a,b \\"c\\" \\\\ \\u00fc\\156\\xc3\\xaf"', True),
    ],
)
def test_what_a_filter_selects(text: str, expected: bool) -> None:
    assert parse(text).matches("me", _LABELS) is expected


def test_of_several_filters_one_must_match_and_none_means_all() -> None:
    filters = [parse("id==other"), parse("labels.pool==native")]
    assert any_matches(filters, "me", _LABELS)
    assert not any_matches(filters[:1], "me", _LABELS)
    assert any_matches([], "me", _LABELS)


@pytest.mark.parametrize(
    ("text", "at", "message", "hint"),
    [
        ("platform==linux", "platform", "a worker has no field platform", "a worker has id, and"),
        ("label.pool", "label.pool", "a worker has no field label.pool", "did you mean labels?"),
        ("labels", "labels", "a worker has no field labels", "a worker has id, and labels.KEY"),
        ("id.x==y", "id.x", "a worker has no field id.x", "a worker has id"),
        ("labels.a-b==x", "-", "expected ==, != or ~=", 'stands in "..."'),
        ("labels.a=x", "=", "there is no operator =", "write ==, !=, ~="),
        ("labels.a===x", "===", "there is no operator ===", "write"),
        ("labels.a==", "", "expected a value", "write one"),
        ("labels.a==.x", ".", "expected a value", "if it begins with a dot"),
        ("labels.a==/x/", "/", "only an expression of ~= may stand in /.../", '"..."'),
        ("id==me ", " ", "expected a comma or the end", "put a comma"),
        ("id ", "", "expected ==, != or ~=", ""),
        ("id==me,", "", "expected a field", "write id or labels.KEY"),
        ("labels.", "", "expected a field", "labels.pool"),
        ('labels."a', '"a', "the quotes do not end", 'end them with "'),
        ('id=="a\\q"', "\\q", "there is no such escape", "backslash"),
        ("id~=/a\\.b/", "\\.", "there is no such escape", "backslash"),
        ("id~=a(b", "a(b", "cannot be read", "Go (RE2)"),
        ("id~=a(?=b)", "(", "means nothing in Go", "Go (RE2)"),
        ("id~=a\\1", "\\", "there is no \\1 here", "Go (RE2)"),
        ("id~=/a++/", "/a++/", "means nothing in Go", "Go (RE2)"),
        ("id~=[[:nope:]]", "[", "the class [:nope:] is not known", "Go (RE2)"),
    ],
)
def test_a_filter_that_cannot_be_read(text: str, at: str, message: str, hint: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse(text)
    error = caught.value
    assert message in str(error)
    assert hint in error.hint
    assert text[error.start : error.end].startswith(at) or not at
    assert 0 <= error.start < error.end


@pytest.mark.parametrize(
    ("text", "subject", "expected"),
    [
        (r"^\Qa.b\E$", "a.b", True),
        (r"^\Qa.b\E$", "axb", False),
        (r"^\x{61}\z", "a", True),
        ("a{,2}", "a{,2}", True),
        ("^a$", "a\n", False),
        ("(?m)^a$", "a\nb", True),
        ("(?i)ABC", "abc", True),
        ("(?i:A)b", "aB", False),
        ("(?P<x>a)", "a", True),
        ("(?<x>a)", "a", True),
        (r"^[\s[]+$", " [", True),
        (r"^\d+$", "٣", False),
        ("^[]a]+$", "]a", True),
        ("^(?:a|b)*?$", "abab", True),
        ("^[a&&b]$", "&", True),
    ],
)
def test_expressions_are_those_of_go(text: str, subject: str, expected: bool) -> None:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    assert parse(f'id~="{escaped}"').matches(subject, {}) is expected


@given(st.text(alphabet='idlabes.,=!~"/|\\ []()*+?{}^$-:x0', max_size=24))
def test_any_text_is_a_filter_or_a_fault(text: str) -> None:
    try:
        parse(text).matches("x", {"a": "b"})
    except FilterError as error:
        assert error.start < error.end


@given(st.text(max_size=12), st.text(max_size=12))
def test_quoted_texts_mean_themselves(key: str, value: str) -> None:
    def quoted(text: str) -> str:
        return '"' + "".join(f"\\U{ord(each):08x}" for each in text) + '"'

    assert parse(f"labels.{quoted(key)}=={quoted(value)}").matches("", {key: value})
