"""Secrets in what steps write, whole and in pieces."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildfile.masking import Mask, MaskedLogs
from daemon_shim.events import LogEvent, VertexEvent


def mask(*values: bytes) -> Mask:
    made = Mask()
    for each in values:
        made.add(each)
    return made


def written(known: Mask, pieces: Iterable[bytes]) -> bytes:
    logs = MaskedLogs(known)
    events = [LogEvent(vertex="v", stream=1, data=each) for each in pieces]
    shown = [each for event in events for each in logs.hide(event)] + [*logs.end()]
    return b"".join(each.data for each in shown if isinstance(each, LogEvent))


@pytest.mark.parametrize(
    ("value", "log", "shown"),
    [
        (b"hunter2", b"it is hunter2.", b"it is ***."),
        (b" hunter2\n", b"hunter2\n", b"***\n"),
        (b"abc", b"abc abc", b"abc abc"),  # as short as a word of any log
        (b"first of two lines\nx=1\n", b"x=1 first of two lines", b"x=1 ***"),
        (b"a.c+(d", b"abc a.c+(d", b"abc ***"),
        (b"", b"text", b"text"),
    ],
)
def test_secrets_are_hidden(value: bytes, log: bytes, shown: bytes) -> None:
    assert written(mask(value), [log]) == shown


def test_of_several_the_longest_is_hidden() -> None:
    known = mask(b"pass", b"password", b"word-list")
    assert written(known, [b"password", b" pass", b" word-list"]) == b"*** *** ***"


def test_files_are_hidden_from_when_they_were_read() -> None:
    known = Mask()
    read = known.reading(lambda: b"hunter2")
    assert written(known, [b"hunter2"]) == b"hunter2"
    assert read() == b"hunter2"
    assert written(known, [b"hunter2"]) == b"***"


def test_a_beginning_is_held_back_until_it_is_known_to_be_none() -> None:
    logs = MaskedLogs(mask(b"hunter2"))
    said = LogEvent(vertex="v", stream=1, data=b"the hunt")
    assert [*logs.hide(said)] == [LogEvent(vertex="v", stream=1, data=b"the ")]
    other = LogEvent(vertex="v", stream=2, data=b"er2")
    assert [*logs.hide(other)] == [other]
    running = VertexEvent(digest="v", name="run")
    assert [*logs.hide(running)] == [running]
    done = VertexEvent(digest="v", name="run", completed=1.0)
    assert [*logs.hide(done)] == [LogEvent(vertex="v", stream=1, data=b"hunt"), done]
    assert [*logs.end()] == []


@given(
    secret=st.text("ab", min_size=4, max_size=8),
    log=st.text("ab.", max_size=40),
    cuts=st.sets(st.integers(0, 40)),
)
def test_no_way_to_cut_a_log_shows_a_secret(secret: str, log: str, cuts: set[int]) -> None:
    data, value = log.encode(), secret.encode()
    ends = sorted({0, len(data), *(each for each in cuts if each < len(data))})
    pieces = [data[start:end] for start, end in itertools.pairwise(ends)]
    shown = written(mask(value), pieces)
    assert shown == data.replace(value, b"***")
