"""The reducer: vertices over the events of several streams."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildfile.progress import TAILS_BYTES, Outcome, Progress, State, Transfer
from daemon_shim.events import Event, LogEvent, StatusEvent, VertexEvent, WarningEvent


def vertex(
    digest: str = "a",
    started: float | None = None,
    completed: float | None = None,
    *,
    error: str = "",
    cached: bool = False,
) -> VertexEvent:
    return VertexEvent(
        digest=digest,
        name=f"step {digest}",
        started=started,
        completed=completed,
        error=error,
        cached=cached,
    )


def log(data: bytes, digest: str = "a") -> LogEvent:
    return LogEvent(vertex=digest, stream=1, data=data, timestamp=2.0)


def play(*events: tuple[str, Event]) -> Progress:
    progress = Progress(began=0.0)
    for job, event in events:
        progress.apply(job, event, 1.0)
    return progress


CANCEL = "context canceled"


@pytest.mark.parametrize(
    ("events", "state", "seconds"),
    [
        ([vertex()], State.PENDING, 0),
        ([vertex(), vertex(started=1)], State.RUNNING, 0),
        ([vertex(started=1), vertex(started=1, completed=3)], State.DONE, 2),
        ([vertex(started=1, completed=3)], State.DONE, 2),
        ([vertex(started=1, cached=True)], State.CACHED, 0),
        ([vertex(cached=True)], State.CACHED, 0),
        ([vertex(started=1), vertex(started=1, completed=2, error="exit 1")], State.FAILED, 1),
        ([vertex(started=1), vertex(started=1, completed=2, error=CANCEL)], State.CANCELLED, 1),
        ([vertex(started=1, completed=3), vertex(started=7, completed=8)], State.DONE, 3),
        ([vertex(started=1, completed=3), vertex(started=7)], State.RUNNING, 2),
        ([vertex(started=1, completed=3), vertex(started=7, cached=True)], State.CACHED, 2),
        ([vertex(started=7, completed=8), vertex(started=1, completed=3)], State.DONE, 1),
        ([vertex(started=1, completed=3), vertex(started=1)], State.DONE, 2),
        ([vertex(started=1, completed=3), vertex()], State.DONE, 2),
        ([vertex(started=5, completed=3)], State.DONE, 0),
    ],
)
def test_states_and_intervals(events: list[VertexEvent], state: State, seconds: float) -> None:
    found = play(*(("app", event) for event in events)).vertices["a"]
    assert (found.state, found.seconds) == (state, seconds)


def test_a_running_vertex_is_timed_by_our_clock() -> None:
    progress = Progress(began=0.0)
    progress.apply("app", vertex(started=1e9, completed=1e9 + 2), 100.0)
    progress.apply("app", vertex(started=2e9), 200.0)
    assert progress.vertices["a"].elapsed(203.5) == 5.5


def test_what_a_second_job_tells_again_is_no_change() -> None:
    progress = play(("app", vertex(started=1)), ("app", log(b"x\n")))
    joined = progress.apply("bin", vertex(started=1), 1.0)
    assert joined is not None
    assert joined.vertex.jobs == ("app", "bin")
    assert not joined.began
    assert progress.apply("bin", log(b"x\n"), 1.0) is None
    assert progress.apply("bin", vertex(started=1), 1.0) is None
    ended = progress.apply("bin", vertex(started=1, completed=2), 1.0)
    assert ended is not None
    assert ended.ended
    assert progress.apply("app", vertex(started=1, completed=2), 1.0) is None


def test_a_vertex_cancelled_for_one_job_runs_on_for_another() -> None:
    progress = play(("app", vertex(started=1)), ("bin", vertex(started=1)))
    progress.apply("app", vertex(started=1, completed=2, error=CANCEL), 1.0)
    assert progress.vertices["a"].state is State.RUNNING
    assert progress.apply("app", log(b"x\n"), 1.0) is None
    assert progress.apply("bin", log(b"y\n"), 1.0) is not None
    assert progress.tail("a") == ("y",)
    progress.apply("bin", vertex(started=1, completed=4), 1.0)
    assert progress.vertices["a"].state is State.DONE
    assert progress.vertices["a"].seconds == 3


def test_the_last_job_to_cancel_cancels() -> None:
    progress = play(("app", vertex(started=1)), ("bin", vertex(started=1)))
    progress.apply("app", vertex(started=1, completed=2, error=CANCEL), 1.0)
    progress.apply("bin", vertex(started=1, completed=2.5, error=CANCEL), 1.0)
    assert progress.vertices["a"].state is State.CANCELLED


def test_a_vertex_that_is_cancelled_before_another_job_tells_of_it_resumes() -> None:
    progress = play(
        ("app", vertex(started=1)), ("app", vertex(started=1, completed=2, error=CANCEL))
    )
    progress.apply("bin", vertex(started=1), 1.0)
    assert progress.vertices["a"].state is State.RUNNING


def test_another_job_tells_on_when_a_stream_ends() -> None:
    progress = play(("app", vertex(started=1)), ("bin", vertex(started=1)))
    progress.end("app")
    assert progress.apply("bin", log(b"on\n"), 1.0) is not None
    progress.apply("bin", vertex(started=1, completed=2, error=CANCEL), 1.0)
    assert progress.vertices["a"].state is State.CANCELLED


def test_numbers_are_by_first_start() -> None:
    progress = play(
        ("app", vertex("a")),
        ("app", vertex("b")),
        ("app", vertex("b", 1)),
        ("app", vertex("c", 1, cached=True)),
        ("app", vertex("a", 2)),
        ("app", vertex("b", 5)),
        ("app", vertex("d")),
    )
    assert {key: each.number for key, each in progress.vertices.items()} == {
        "a": 3,
        "b": 1,
        "c": 2,
        "d": 0,
    }


def test_transfers() -> None:
    progress = play(
        ("app", vertex(started=1)),
        ("app", StatusEvent(id="l1", vertex="a", name="", current=0, total=9, started=1.0)),
        (
            "app",
            StatusEvent(
                id="l1", vertex="a", name="", current=6, total=9, started=1.0, timestamp=3.0
            ),
        ),
    )
    (transfer,) = progress.vertices["a"].transfers
    assert transfer == Transfer(
        id="l1", name="", current=6, total=9, updated=3.0, started=1.0, completed=None
    )
    assert transfer.rate == 3.0
    progress.apply("app", vertex(started=1, completed=4), 1.0)
    assert progress.vertices["a"].transfers == ()


def test_warnings_once() -> None:
    warning = WarningEvent(vertex="a", short="old")
    progress = play(("app", warning), ("bin", warning))
    assert progress.warnings == (warning,)


@pytest.mark.parametrize("leaves", ["ends", "is cancelled"])
def test_what_another_stream_begins_with_is_not_told_again(leaves: str) -> None:
    """A daemon sends each stream all that a shared vertex wrote, from its start."""
    progress = play(("one", vertex(started=1)), ("one", log(b"first")))
    if leaves == "ends":
        progress.end("one")
    else:
        progress.apply("two", vertex(started=1), 1.0)
        progress.apply("one", vertex(started=1, completed=2, error=CANCEL), 1.0)
    size = StatusEvent(id="x", vertex="a", name="x", current=1, timestamp=1.5)
    later = LogEvent(vertex="a", stream=1, data=b"later", timestamp=2.5)
    told = [progress.apply("two", each, 1.0) for each in (log(b"first"), size, later, later)]
    assert [change is not None for change in told] == [False, False, True, True]
    untimed = LogEvent(vertex="a", stream=1, data=b"x")
    assert progress.apply("two", untimed, 1.0)


def test_the_log_of_a_failed_step_stays_and_that_of_a_good_one_goes() -> None:
    progress = play(
        ("app", vertex("a", 1)),
        ("app", vertex("b", 1)),
        ("app", log(b"one\n\x1b[31mtwo\x1b[0m\nthree", "a")),
        ("app", log(b"fine\n", "b")),
        ("app", vertex("a", 1, 2, error="exit code: 1")),
        ("app", vertex("b", 1, 2)),
    )
    assert progress.tail("a", 2) == ("two", "three")
    assert progress.tail("b") == ()
    assert progress.tail("unknown") == ()


def test_logs_of_many_steps_stay_bounded() -> None:
    progress = Progress(began=0.0)
    piece = b"x" * 20_000
    for number in range(3 * TAILS_BYTES // len(piece)):
        progress.apply("app", log(piece, str(number)), 1.0)
    kept = [digest for digest in progress.vertices if progress.tail(digest)]
    assert len(kept) * len(piece) <= 2 * TAILS_BYTES
    assert progress.tail(str(number))


def test_summary() -> None:
    progress = play(
        ("app", vertex("a", 1, cached=True)),
        ("app", vertex("b", 1, 2)),
        ("app", vertex("c", 1, 2, error="x")),
        ("app", vertex("d", 1, 2, error=CANCEL)),
        ("app", vertex("e")),
    )
    summary = progress.summary(2, Outcome.FAILED, 4.2)
    assert (summary.steps, summary.cached, summary.failed, summary.seconds) == (3, 1, 1, 4.2)


TIMES = st.one_of(st.none(), st.sampled_from([0.0, 1.0, 2.0, 3.0]))
DIGESTS = st.sampled_from(["a", "b", ""])
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(
        VertexEvent,
        digest=DIGESTS,
        name=st.sampled_from(["", "step"]),
        cached=st.booleans(),
        started=TIMES,
        completed=TIMES,
        error=st.sampled_from(["", "exit", CANCEL]),
    ),
    st.builds(
        StatusEvent,
        id=st.text(max_size=2),
        vertex=DIGESTS,
        name=st.just(""),
        current=st.integers(-1, 2**63),
        total=st.integers(-1, 2**63),
        timestamp=st.sampled_from([0.0, 1.0]),
        started=TIMES,
        completed=TIMES,
    ),
    st.builds(
        LogEvent,
        vertex=DIGESTS,
        stream=st.integers(0, 3),
        data=st.binary(max_size=8),
        timestamp=st.sampled_from([0.0, 1.0]),
    ),
    st.builds(WarningEvent, vertex=DIGESTS, short=st.text(max_size=3)),
)
TOLD = st.lists(st.tuples(st.sampled_from(["app", "bin"]), EVENTS))


@given(TOLD)
def test_any_order_of_events_is_taken(told: list[tuple[str, Event]]) -> None:
    progress = play(*told)
    numbers = sorted(each.number for each in progress.vertices.values() if each.number)
    assert numbers == list(range(1, len(numbers) + 1))
    assert all(each.seconds >= 0 for each in progress.vertices.values())


@given(st.permutations(range(6)))
def test_how_streams_mix_does_not_matter(order: list[int]) -> None:
    story = [vertex(started=1), vertex(started=1, completed=2), vertex(started=3, cached=True)]
    streams = {"app": iter(story), "bin": iter(story)}
    jobs = ["app" if place % 2 else "bin" for place in order]
    progress = play(*((job, next(streams[job])) for job in itertools.chain(jobs)))
    found = progress.vertices["a"]
    assert (found.state, found.seconds) == (State.CACHED, 1.0)
