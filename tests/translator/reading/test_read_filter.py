"""Filters of workers where users write them: what they become, and where their faults are shown."""

from __future__ import annotations

import itertools

import pytest

from tests.translator.loading import ROOT, table
from translator.diagnostic import InvalidCommandError
from translator.reading.collector import Collector
from translator.reading.read_filter import given_filters, worker_filter
from translator.reading.reader import Reading
from translator.workerfilter import WorkerFilter


def read(written: str) -> tuple[WorkerFilter | None, list[str]]:
    found = Collector()
    reading = Reading(
        found=found,
        home=ROOT,
        owner="x",
        origin=lambda scalar: None,
        permit=lambda path, folder: None,
        secrets=frozenset(),
        ssh=frozenset(),
        optional=frozenset(),
        workers={},
        numbers=itertools.count(),
    )
    value = worker_filter(table(f"filter: {written}\n").entries["filter"].value, reading)
    spans = [each.span for each in found.faults if each.span]
    return value, [f"{each.start.column}-{each.end.column}" for each in spans]


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ("id=me", "11-12"),
        ("'id=me'", "12-13"),
        ('"id=me"', "12-13"),
        ("id==me,platform", "16-24"),
        ('"id==\\x61,platform"', "9-28"),
    ],
)
def test_a_fault_is_shown_inside_the_text_where_that_is_as_written(
    written: str, place: str
) -> None:
    assert read(written) == (None, [place])


def test_a_good_filter_is_read() -> None:
    value, places = read("labels.pool==native,id")
    assert value and value.text == "labels.pool==native,id"
    assert not places


def test_all_faults_of_options_come_at_once() -> None:
    assert [each.text for each in given_filters("--filter", ["id", ""])] == ["id", ""]
    with pytest.raises(InvalidCommandError) as caught:
        given_filters("--filter", ["id", "idd", "id="])
    assert [each.message for each in caught.value.diagnostics] == [
        "a worker has no field idd",
        "there is no operator =",
    ]
