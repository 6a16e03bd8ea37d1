from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from translator.suggest import distance, suggest

words = st.text("abcd", max_size=8)


@pytest.mark.parametrize(
    ("word", "known", "wanted"),
    [
        ("form", ["from", "workdir"], "from"),
        ("working_dir", ["workdir"], None),
        ("no_cache", ["no-cache"], "no-cache"),
        ("WORKDIR", ["workdir"], "workdir"),
        ("valid-exit-code", ["valid-exit-codes"], "valid-exit-codes"),
        ("perm", ["permissions"], "permissions"),
        ("ab", ["abcdef"], None),
        ("x", ["y"], None),
        ("", ["a"], None),
        ("stage", [], None),
        ("cat", ["bat", "car"], "bat"),
    ],
)
def test_near_names_are_suggested(word: str, known: list[str], wanted: str | None) -> None:
    assert suggest(word, known) == wanted


@pytest.mark.parametrize(
    ("a", "b", "steps"),
    [("", "", 0), ("a", "", 1), ("ab", "ba", 1), ("kitten", "sitting", 3), ("from", "form", 1)],
)
def test_distance_counts_edits_and_swaps(a: str, b: str, steps: int) -> None:
    assert distance(a, b) == steps


@given(words, words)
def test_distance_is_symmetric_and_bounded(a: str, b: str) -> None:
    assert distance(a, b) == distance(b, a)
    assert abs(len(a) - len(b)) <= distance(a, b) <= max(len(a), len(b))
    assert (distance(a, b) == 0) == (a == b)
