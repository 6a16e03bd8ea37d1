from __future__ import annotations

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon_shim.session.patterns import (
    PatternError,
    PatternMatcher,
    escape,
    is_pattern,
    read_ignore,
)

ROWS = [  # patterns, paths that match, paths that do not
    (["foo"], ["foo", "foo/bar", "foo/bar/baz"], ["food", "a/foo", "fo"]),
    (["/foo"], ["foo", "foo/bar"], ["a/foo"]),
    (["foo/"], ["foo", "foo/bar"], ["food"]),
    (["./a/../foo"], ["foo"], ["a", "a/foo"]),
    (["*.txt"], ["a.txt", ".txt", "a.txt/b"], ["a/b.txt", "a.txtx", "axtxt"]),
    (["*"], ["a", "a/b"], []),
    (["*/b"], ["a/b", "x/b/c"], ["b", "a/c/b"]),
    (["**"], ["a", "a/b/c"], []),
    (["**/b"], ["b", "a/b", "a/c/b", "a/b/c"], ["ab", "a/bc"]),
    (["a/**"], ["a/b", "a/b/c"], ["a", "ab"]),
    (["a/**/b"], ["a/b", "a/x/b", "a/x/y/b"], ["a/xb", "b"]),
    (["**/*.go"], ["a.go", "x/y/a.go"], ["a.gox"]),
    (["**foo"], ["foo", "xfoo", "a/xfoo"], ["foox"]),
    (["a**"], ["a", "ab", "a/b", "ab/c"], ["b"]),
    (["?"], ["a", "ä", "a/b"], ["ab"]),
    (["[a-c]x"], ["ax", "cx"], ["dx", "x"]),
    (["[^a-c]x"], ["dx"], ["ax", "/x"]),
    (["a[^b]c"], ["axc"], ["a/c", "abc"]),
    (["[a\\]b]"], ["a", "]", "b"], ["\\"]),
    (["\\*"], ["*"], ["a"]),
    (["\\d"], ["d"], ["1"]),
    (["a.b"], ["a.b"], ["axb"]),
    (["(a|b)+"], ["(a|b)+"], ["a", "b"]),
    (["a$", "^b"], ["a$", "^b"], ["a", "b"]),
    (["a", "!a/b"], ["a", "a/c"], ["a/b", "a/b/c"]),
    (["a", "!a/b", "a/b/c"], ["a", "a/b/c"], ["a/b"]),
    (["*", "!keep"], ["a", "b/c"], ["keep", "keep/x"]),
    (["!a"], [], ["a", "b"]),
    (["a", "! a "], [], ["a"]),
    (["**/x", "!**/y"], ["x", "x/z"], ["x/y", "y"]),
    (["", "  ", "."], [], ["a", "b/c"]),
    (["../a", ".."], [], ["a"]),
    (["a\nb"], ["a\nb"], ["a", "b"]),
    (["a*"], ["a\n", "a\nb"], []),
    (["[[]a"], ["[a"], ["a"]),
    (["[+-\\-]"], ["+", ",", "-"], ["a"]),
    (["[a&&b~~|]"], ["a", "&", "~", "|"], ["c"]),
]


@pytest.mark.parametrize(("patterns", "matching", "others"), ROWS, ids=lambda v: repr(v)[:30])
def test_rows(patterns: list[str], matching: list[str], others: list[str]) -> None:
    matcher = PatternMatcher(patterns)
    assert [path for path in matching if not matcher.matches(path)] == []
    assert [path for path in others if matcher.matches(path)] == []


@pytest.mark.parametrize(
    "bad", ["[", "[a", "[]", "[]-a]", "[+--]", "[a-", "[a-]", "[-a]", "[b-a]", "a\\", "!", "[^]"]
)
def test_bad_patterns_are_named(bad: str) -> None:
    with pytest.raises(PatternError) as caught:
        PatternMatcher(["fine", bad])
    assert repr(caught.value.pattern)[1:-1] in str(caught.value)


def test_an_ignore_file() -> None:
    text = (
        "\ufeff# a comment\r\n\n  *.pyc  \r\n/build/\n!/build/keep \n#x\n #y\n! a/./b\n\\#z\n.\n/\n"
    )
    assert read_ignore(text) == ("*.pyc", "build", "!build/keep", "#y", "!a/b", "\\#z", ".", ".")


NAMES = st.text("ab.-", min_size=1, max_size=3).filter(lambda name: name not in (".", ".."))
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
PARTS = st.one_of(NAMES, st.sampled_from(["*", "**", "?", "a*", "[ab]", "[^a]", "*b", "**a"]))
PATTERNS = st.builds(
    lambda negated, parts: ("!" if negated else "") + "/".join(parts),
    st.booleans(),
    st.lists(PARTS, min_size=1, max_size=4),
)


@given(st.lists(PATTERNS, max_size=5), PATHS)
def test_pruning_never_hides_a_path(patterns: list[str], path: str) -> None:
    matcher = PatternMatcher(patterns)
    above, folder = matcher.start, ""
    matched = matcher.matches(path)
    for part in path.split("/")[:-1]:
        folder = posixpath.join(folder, part)
        inside, above = matcher.step(folder, above)
        if not inside and not matcher.may_match_below(folder):
            assert not matched
        if inside and not matcher.may_escape_below(folder):
            assert matched


@given(st.text(min_size=1, max_size=8).filter(lambda t: "/" not in t and t.strip() == t))
def test_an_escaped_name_matches_itself_alone(name: str) -> None:
    if name in (".", "..") or name.startswith("!"):
        return
    matcher = PatternMatcher([escape(name)])
    assert matcher.matches(name)
    assert not matcher.matches(name + "x")
    assert not is_pattern(escape(name))
