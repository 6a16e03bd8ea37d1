"""Runs with jobs by script: what ends how, whatever order things happen in."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from buildfile import runner
from buildfile.failure import BuildFailedError, RefusedError
from buildfile.plan import Job, Plan
from buildfile.progress import Outcome
from buildfile.runner import Runner
from buildfile.share import Share
from buildfile.solve import Solved, SourceFaultError
from daemon_shim.errors import DaemonError, LostConnectionError, SolveFailedError
from daemon_shim.events import LogEvent, VertexEvent
from daemon_shim.session.filesync import SourceFault
from daemon_shim.session.outputs import OutputError
from tests.buildfile.projects import planned
from tests.buildfile.scripted import HANG, FakeSolving, Script, Seen, done, failed, raises, stopped
from tests.daemon_shim.infos import info
from translator.diagnostic import Diagnostic

TEXT = """version: 1
stages:
  s: {from: scratch, steps: [{write: {path: /a, text: a}}]}
targets: {a: {stage: s}, b: {stage: s}, c: {stage: s}, d: {stage: s}}
"""


class FakeDaemon:
    max_parallel: int | None = None

    def __init__(self, name: str) -> None:
        self.address = f"unix:///{name}.sock"


def share(plan: Plan, mark: str = "") -> Share:
    daemon: Any = FakeDaemon(mark or "test")
    return Share(mark=mark, plan=plan, daemon=daemon)


class FakeCourse:
    """Gives the shares by script, one after each job that was received.

    ``heard`` are those jobs, ``asked`` what was built when a daemon was lost.
    """

    def __init__(self, *shares: Share | Exception, again: Share | Exception | None = None) -> None:
        self._shares = [*shares]
        self._again = again
        self.heard: list[str] = []
        self.asked: list[tuple[list[str], list[DaemonError]]] = []

    def receive(self, job: Job, solved: Solved) -> None:
        self.heard.append(job.name)

    def follow(self) -> Share | None:
        if not self._shares:
            return None
        share = self._shares.pop(0)
        if isinstance(share, Exception):
            raise share
        return share

    def again(
        self,
        built: Collection[str],
        lost: Sequence[DaemonError],
        leave_out: Callable[[Iterable[Diagnostic]], None] | None = None,
    ) -> list[Share]:
        self.asked.append((list(built), list(lost)))
        assert self._again, lost
        if isinstance(self._again, Exception):
            raise self._again
        return [self._again]


def inner(made: Share) -> Share:
    """The same, with jobs whose results others wait for."""
    jobs = tuple(replace(job, inner=True) for job in made.plan.jobs)
    return replace(made, plan=replace(made.plan, jobs=jobs))


def waiting(made: Share, *names: str) -> Share:
    """The same, with jobs that wait for others."""
    jobs = tuple(replace(job, waits_for=names) for job in made.plan.jobs)
    return replace(made, plan=replace(made.plan, jobs=jobs))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., tuple[Any, Seen, Plan]]:
    def start(**scripts: Script) -> tuple[Any, Seen, Plan]:
        monkeypatch.setattr(FakeSolving, "scripts", scripts)
        monkeypatch.setattr(runner, "Solving", FakeSolving)
        plan, seen = planned(tmp_path, TEXT, info((0, 13, 0)), *scripts), Seen()
        made: Any = Runner([share(plan)], None, seen)  # type: ignore[arg-type]
        return made, seen, plan

    return start


def test_all_jobs_end_well(run: Any) -> None:
    made, seen, _ = run(a=done, b=lambda _: Solved(response={}, files=(), notes=("left out",)))
    result = made.run()
    assert result.targets["a"].files == ("/out",)
    assert seen.said == ["warning: left out"]
    assert [each.outcome for each in seen.summaries if each] == [Outcome.BUILT]


def test_a_daemon_gets_as_many_jobs_at_once_as_it_may(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    under_way = threading.Lock()
    threads: set[int] = set()

    def alone(solving: FakeSolving) -> Solved:
        assert under_way.acquire(blocking=False)
        threads.add(threading.get_ident())
        under_way.release()
        return done(solving)

    monkeypatch.setattr(FakeDaemon, "max_parallel", 1)
    made, _, _ = run(a=alone, b=alone, c=alone)
    assert len(made.run().targets) == 3
    assert len(threads) == 1


TWICE = """version: 1
stages:
  s: {from: scratch, steps: [{write: {path: /a, text: a}}]}
targets: {a: {stage: s, outputs: [{type: local, dest: x}, {type: local, dest: y}]}}
"""


@pytest.mark.parametrize("release", [(0, 5, 0), (0, 8, 0)])
def test_what_a_daemon_wants_apart_is_done_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, release: tuple[int, int, int]
) -> None:
    order: list[str] = []

    def alone(solving: FakeSolving) -> Solved:
        order.append(f"begin {solving.job.name}")
        order.append(f"end {solving.job.name}")
        return done(solving)

    monkeypatch.setattr(FakeSolving, "scripts", {"a": alone, "a (2)": alone})
    monkeypatch.setattr(runner, "Solving", FakeSolving)
    plan = planned(tmp_path, TWICE, info(release), "a")
    assert [bool(job.note) for job in plan.jobs] == [False, True]
    Runner([share(plan)], None, Seen()).run()  # type: ignore[arg-type]
    assert order == ["begin a", "end a", "begin a (2)", "end a (2)"]


def test_what_follows_a_failure_never_begins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scripts = {"a": raises(failed()), "a (2)": raises(AssertionError("it began"))}
    monkeypatch.setattr(FakeSolving, "scripts", scripts)
    monkeypatch.setattr(runner, "Solving", FakeSolving)
    plan = planned(tmp_path, TWICE, info((0, 8, 0)), "a")
    with pytest.raises(BuildFailedError) as error:
        Runner([share(plan)], None, Seen()).run()  # type: ignore[arg-type]
    assert [each.message for each in error.value.diagnostics] == ["a failed: no space"]


def test_a_failing_job_cancels_the_others(run: Any) -> None:
    made, seen, _ = run(a=raises(failed()), b=stopped, c=stopped)
    with pytest.raises(BuildFailedError) as error:
        made.run()
    assert [each.message for each in error.value.diagnostics] == ["a failed: no space"]
    assert [each.outcome for each in seen.summaries if each] == [Outcome.FAILED]


def test_jobs_that_fail_at_once_are_all_told_of(run: Any) -> None:
    both = threading.Barrier(2)

    def fail(solving: FakeSolving) -> Solved:
        both.wait(HANG)
        raise failed(f"fault of {solving.job.name}")

    made, _, _ = run(a=fail, b=fail, c=stopped)
    with pytest.raises(BuildFailedError) as error:
        made.run()
    told = sorted(each.message for each in error.value.diagnostics)
    assert told == ["a failed: fault of a", "b failed: fault of b"]


def test_a_failing_step_has_its_lines_and_its_log(run: Any) -> None:
    def fail(solving: FakeSolving) -> Solved:
        (vertex,) = solving.job.parts[0].names
        solving.tell(VertexEvent(digest=vertex, name="w", started=1.0))
        solving.tell(LogEvent(vertex=vertex, stream=2, data=b"oh no\n"))
        raise failed("exit code: 3", vertex)

    made, seen, plan = run(a=fail, b=stopped)
    with pytest.raises(BuildFailedError) as error:
        made.run()
    (fault,) = error.value.diagnostics
    assert fault.code == "step-failed" and fault.log == ("oh no",)
    assert fault.span and fault.span.start.line == 3
    assert {change.vertex.digest for change in seen.changes} == set(plan.jobs[0].parts[0].names)


_FOLDERS = "\n".join(f"      - mkdir: {{path: /d{number}}}" for number in range(40))
LONG = f"""version: 1
stages:
  s:
    from: scratch
    steps:
{_FOLDERS}
targets: {{a: {{stage: s}}}}
"""


def test_of_several_steps_in_one_process_the_one_that_failed_is_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(solving: FakeSolving) -> Solved:
        (vertex,) = solving.job.parts[0].joined
        solving.tell(VertexEvent(digest=vertex, name="w", started=1.0))
        solving.tell(LogEvent(vertex=vertex, stream=2, data=b"step 7: cannot make folder\n"))
        raise failed("exit code: 1", vertex)

    monkeypatch.setattr(FakeSolving, "scripts", {"a": fail})
    monkeypatch.setattr(runner, "Solving", FakeSolving)
    plan = planned(tmp_path, LONG, info((0, 4, 0)), "a")
    with pytest.raises(BuildFailedError) as error:
        Runner([share(plan)], None, Seen()).run()  # type: ignore[arg-type]
    (fault,) = error.value.diagnostics
    assert fault.message.startswith("[s 7/40] mkdir /d6 failed")
    assert fault.span and fault.span.start.line == 12
    assert fault.log == ("cannot make folder",) and not fault.related


def test_a_tree_of_too_many_layers_has_a_hint(run: Any) -> None:
    def fail(solving: FakeSolving) -> Solved:
        (vertex,) = solving.job.parts[0].names
        solving.tell(VertexEvent(digest=vertex, name="w", started=1.0))
        told = b'error mounting "overlay" to rootfs at "/src": mount, data: lowerdir=/a:/b\n'
        solving.tell(LogEvent(vertex=vertex, stream=2, data=told))
        raise failed("exit code: 1", vertex)

    made, _, _ = run(a=fail, b=stopped)
    with pytest.raises(BuildFailedError) as error:
        made.run()
    (fault,) = error.value.diagnostics
    assert fault.hint and "more than about 60 layers" in fault.hint


def test_an_exit_code_that_the_daemon_does_not_tell_is_unknown(run: Any) -> None:
    def fail(solving: FakeSolving) -> Solved:
        (vertex,) = solving.job.parts[0].names
        said = "executor failed running [false]: buildkit-runc did not terminate successfully"
        raise failed(said, vertex)

    made, _, _ = run(a=fail, b=stopped)
    with pytest.raises(BuildFailedError) as error:
        made.run()
    (fault,) = error.value.diagnostics
    told = "failed: exit code unknown, as BuildKit v0.6.2 to v0.7 do not tell it"
    assert fault.message.endswith(told)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OutputError("disk full", dest="out"), "output-failed"),
        (SourceFaultError(SourceFault(source="src", path="x", reason="denied")), None),
    ],
)
def test_faults_of_this_side(run: Any, error: Exception, code: str | None) -> None:
    made, _, _ = run(a=raises(error), b=stopped)
    with pytest.raises(BuildFailedError) as caught:
        made.run()
    assert [each.code for each in caught.value.diagnostics] == [code or "unreadable-source"]


def test_a_lost_connection_stays_what_it_is(run: Any) -> None:
    lost = LostConnectionError("gone", hint="look")
    made, _, _ = run(a=raises(lost), b=stopped)
    with pytest.raises(LostConnectionError, match="gone"):
        made.run()


def test_a_lost_connection_beside_a_failure_is_told_of(run: Any) -> None:
    both = threading.Barrier(2)

    def after(error: DaemonError) -> Script:
        def script(_: FakeSolving) -> Solved:
            both.wait(HANG)
            raise error

        return script

    made, _, _ = run(a=after(LostConnectionError("gone")), b=after(failed()))
    with pytest.raises(BuildFailedError) as error:
        made.run()
    assert [each.message for each in error.value.diagnostics] == [
        "a failed: gone",
        "b failed: no space",
    ]


def test_a_bug_is_not_hidden_by_a_failure(run: Any) -> None:
    both = threading.Barrier(2)

    def bug(_: FakeSolving) -> Solved:
        both.wait(HANG)
        raise ZeroDivisionError("ours")

    def fail(_: FakeSolving) -> Solved:
        both.wait(HANG)
        raise failed()

    made, _, _ = run(a=fail, b=bug)
    with pytest.raises(ZeroDivisionError):
        made.run()


def test_an_interrupt_cancels_all_and_gives_the_handler_back(run: Any) -> None:
    before = signal.getsignal(signal.SIGINT)

    def interrupted(solving: FakeSolving) -> Solved:
        os.kill(os.getpid(), signal.SIGINT)
        return stopped(solving)

    made, seen, _ = run(a=interrupted, b=stopped)
    with pytest.raises(KeyboardInterrupt):
        made.run()
    assert [each.outcome for each in seen.summaries if each] == [Outcome.CANCELLED]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_handler_of_the_caller_is_left_alone(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    caught: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: caught.append(number))
    try:

        def interrupting(_: FakeSolving) -> Solved:
            os.kill(os.getpid(), signal.SIGINT)
            return Solved(response={}, files=())

        made, _, _ = run(a=interrupting)
        made.run()
        assert caught == [signal.SIGINT]
    finally:
        signal.signal(signal.SIGINT, before)


def test_more_jobs_than_run_side_by_side(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("buildfile.share._SIDE_BY_SIDE", 1)
    made, _, _ = run(a=done, b=done, c=done)
    assert set(made.run().targets) == {"a", "b", "c"}


# --- several daemons ---------------------------------------------------------------------------


def test_what_several_daemons_do_is_one_run_with_one_display(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    both = threading.Barrier(2)

    def beside(solving: FakeSolving) -> Solved:
        both.wait(HANG)
        told = next(iter(solving.job.parts[0].names))
        solving.tell(VertexEvent(digest=told, name="write /a", started=1.0, completed=2.0))
        return done(solving)

    monkeypatch.setattr(FakeSolving, "scripts", {"a": beside, "b": beside})
    monkeypatch.setattr(runner, "Solving", FakeSolving)
    shares = [
        share(planned(tmp_path, TEXT, info((0, 3, 0)), "a"), "old"),
        share(planned(tmp_path, TEXT, info((0, 32, 0)), "b"), "new"),
    ]
    seen: Any = Seen()
    result = Runner(shares, None, seen).run()  # type: ignore[arg-type]
    assert {change.vertex.name for change in seen.changes} == {"old: write /a", "new: write /a"}
    assert len({change.vertex.digest for change in seen.changes}) == 2
    assert result.steps == 2 and set(result.targets) == {"a", "b"}


def test_a_failure_on_one_daemon_stops_the_others_and_has_its_place_and_log(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shares = [
        share(planned(tmp_path, TEXT, info((0, 32, 0)), name), daemon)
        for name, daemon in (("a", "one"), ("b", "two"))
    ]
    digest = next(iter(shares[0].plan.jobs[0].parts[0].names))

    def fails(solving: FakeSolving) -> Solved:
        solving.tell(VertexEvent(digest=digest, name="write /a", started=1.0))
        solving.tell(LogEvent(vertex=digest, stream=1, data=b"no room\n", timestamp=1.0))
        raise SolveFailedError("no space", code="UNKNOWN", vertex=digest)

    monkeypatch.setattr(FakeSolving, "scripts", {"a": fails, "b": stopped})
    monkeypatch.setattr(runner, "Solving", FakeSolving)
    with pytest.raises(BuildFailedError) as error:
        Runner(shares, None, Seen()).run()  # type: ignore[arg-type]
    (told,) = error.value.diagnostics
    assert told.span and told.span.file.name.endswith("buildfile.yaml")
    assert told.log == ("no room",)


@pytest.fixture
def shares(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., list[Share]]:
    """A share for each script, with the job of that name, on a daemon of that name."""

    def made(**scripts: Script) -> list[Share]:
        monkeypatch.setattr(FakeSolving, "scripts", scripts)
        monkeypatch.setattr(runner, "Solving", FakeSolving)
        known = info((0, 32, 0))
        return [share(planned(tmp_path, TEXT, known, name), name) for name in scripts]

    return made


def start(
    shares: Sequence[Share], course: FakeCourse, seen: Seen | None = None, **settings: bool
) -> Runner:
    nothing: Any = None
    follows: Any = course
    return Runner(shares, nothing, seen or Seen(), course=follows, **settings)


def test_what_waits_begins_when_it_is_planned_again(shares: Any) -> None:
    first, then = shares(a=done, b=done)
    course = FakeCourse(then)
    result = start([inner(first), waiting(then, "a")], course).run()
    assert course.heard == ["a"] and set(result.targets) == {"b"}


def test_what_waits_is_held_up_by_nothing_else(shares: Any) -> None:
    """It ends before what began with the run."""
    ended = threading.Event()

    def slow(solving: FakeSolving) -> Solved:
        assert ended.wait(HANG)
        return done(solving)

    def last(solving: FakeSolving) -> Solved:
        ended.set()
        return done(solving)

    a, b, c = shares(a=slow, b=done, c=last)
    result = start([inner(a), inner(b), waiting(c, "b")], FakeCourse(c)).run()
    assert set(result.targets) == {"c"}


def test_what_was_built_stands_in_the_order_of_the_plan(shares: Any) -> None:
    """Its notes, too: ``c`` is last to end, and ``a`` ends before it."""
    other = threading.Event()

    def noted(solving: FakeSolving) -> Solved:
        name = solving.job.name
        if name == "b":
            other.set()
        elif name == "c":
            assert other.wait(HANG)
        return Solved(response={}, files=(), notes=(f"of {name}",))

    a, b, c = shares(a=noted, b=noted, c=noted)
    seen = Seen()
    made = start([waiting(c, "a"), b, inner(a)], FakeCourse(c), seen)
    assert [*made.run().targets] == ["c", "b"]
    assert seen.said == ["warning: of c", "warning: of b", "warning: of a"]


def test_a_daemon_gets_no_more_at_once_for_what_follows(
    shares: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    under_way = threading.Lock()
    planned_again = threading.Event()

    def alone(solving: FakeSolving) -> Solved:
        assert under_way.acquire(blocking=False)
        assert planned_again.wait(HANG)
        under_way.release()
        return done(solving)

    class Watched(FakeCourse):
        def follow(self) -> Share | None:
            share = super().follow()
            if not share:  # what was given before has begun
                planned_again.set()
            return share

    monkeypatch.setattr(FakeDaemon, "max_parallel", 1)
    a, b, c = shares(a=done, b=alone, c=alone)
    b = replace(b, daemon=c.daemon)
    result = start([inner(a), b, waiting(c, "a")], Watched(c)).run()
    assert set(result.targets) == {"b", "c"}


def test_what_would_follow_a_failure_is_not_asked_for(shares: Any) -> None:
    a, b = shares(a=raises(failed()), b=done)
    course = FakeCourse(AssertionError("it was asked for"))
    with pytest.raises(BuildFailedError):
        start([inner(a), waiting(b, "a")], course).run()


def test_what_was_planned_while_another_failed_never_begins(shares: Any) -> None:
    planning, ended = threading.Event(), threading.Event()

    def fails(solving: FakeSolving) -> Solved:
        assert planning.wait(HANG)
        raise failed()

    def last(solving: FakeSolving) -> Solved:
        try:
            return stopped(solving)
        finally:
            ended.set()

    class Slow(FakeCourse):
        def follow(self) -> Share | None:
            planning.set()
            assert ended.wait(HANG)
            return super().follow()

    a, b, c, d = shares(a=done, b=fails, c=last, d=raises(AssertionError("it began")))
    with pytest.raises(BuildFailedError) as error:
        start([inner(a), b, c, waiting(d, "a")], Slow(d)).run()
    assert [each.message for each in error.value.diagnostics] == ["b failed: no space"]


@pytest.mark.parametrize(
    "error", [RefusedError([]), BuildFailedError([]), DaemonError("gone"), ZeroDivisionError()]
)
def test_an_error_of_what_follows_stops_the_rest_and_is_raised(
    shares: Any, error: Exception
) -> None:
    a, b = shares(a=done, b=stopped)
    with pytest.raises(type(error)) as caught:
        start([inner(a), b], FakeCourse(error)).run()
    assert caught.value is error


def test_an_interrupt_while_it_is_planned_what_follows_stops_all(shares: Any) -> None:
    cancelled = threading.Event()

    class Interrupted(FakeCourse):
        def follow(self) -> Share | None:
            os.kill(os.getpid(), signal.SIGINT)
            assert cancelled.wait(HANG)
            return super().follow()

    def stops(solving: FakeSolving) -> Solved:
        try:
            return stopped(solving)
        finally:
            cancelled.set()

    a, b, c = shares(a=done, b=stops, c=raises(AssertionError("it began")))
    with pytest.raises(KeyboardInterrupt):
        start([inner(a), b, waiting(c, "a")], Interrupted(c)).run()


def test_the_display_goes_on_while_it_is_planned_what_follows(shares: Any) -> None:
    seen = Seen()

    class Slow(FakeCourse):
        def follow(self) -> Share | None:
            seen.ticked.clear()
            assert seen.ticked.wait(HANG)
            return super().follow()

    a, b = shares(a=done, b=done)
    result = start([inner(a), waiting(b, "a")], Slow(b), seen).run()
    assert set(result.targets) == {"b"}


def test_a_result_that_cannot_be_received_is_a_failure_of_its_job(shares: Any) -> None:
    class Full(FakeCourse):
        def receive(self, job: Job, solved: Solved) -> None:
            raise OutputError("no space left", dest="/x")

    a, b = shares(a=done, b=stopped)
    with pytest.raises(BuildFailedError) as error:
        start([inner(a), b], Full()).run()
    assert [each.message for each in error.value.diagnostics] == [
        "the output of a could not be written: /x: no space left"
    ]


# --- daemons that are lost -----------------------------------------------------------------------


def gone(name: str) -> LostConnectionError:
    return LostConnectionError("it went away", address=f"unix:///{name}.sock")


def test_a_lost_daemon_is_told_of_and_the_others_go_on(shares: Any) -> None:
    cut = threading.Event()

    def lost(solving: FakeSolving) -> Solved:
        cut.set()
        raise gone("a")

    def goes_on(solving: FakeSolving) -> Solved:
        assert cut.wait(HANG)
        FakeSolving.scripts = {**FakeSolving.scripts, "a": done}
        assert not solving.cancelled.wait(0.1)
        return done(solving)

    a, b = shares(a=lost, b=goes_on)
    course = FakeCourse(again=replace(a, daemon=b.daemon))
    result = start([a, b], course).run()
    ((built, (error,)),) = course.asked
    assert built == ["b"] and error.address == a.daemon.address
    assert [(each.target, each.daemon) for each in result.targets.values()] == [
        ("b", b.daemon.address),
        ("a", b.daemon.address),
    ]


def test_what_was_cancelled_on_a_lost_daemon_stops_no_other(shares: Any) -> None:
    """The others go on after it was told of."""
    told = threading.Event()

    def heard(solving: FakeSolving) -> Solved:
        try:
            return stopped(solving)
        finally:
            FakeSolving.scripts = dict.fromkeys("ab", done)
            told.set()

    def goes_on(solving: FakeSolving) -> Solved:
        assert told.wait(HANG)
        assert not solving.cancelled.wait(0.1)
        return done(solving)

    a, b, c = shares(a=raises(gone("a")), b=heard, c=goes_on)
    again = replace(c, plan=replace(a.plan, jobs=(*a.plan.jobs, *b.plan.jobs)))
    result = start([a, replace(b, daemon=a.daemon), c], FakeCourse(again=again)).run()
    assert set(result.targets) == {"a", "b", "c"}


def test_nothing_more_begins_before_it_is_known_what_was_lost(shares: Any) -> None:
    cut = threading.Event()

    def lost(solving: FakeSolving) -> Solved:
        FakeSolving.scripts = {**FakeSolving.scripts, "a": done, "c": done}
        cut.set()
        raise gone("a")

    def late(solving: FakeSolving) -> Solved:
        assert cut.wait(HANG)
        return done(solving)

    a, b, c = shares(a=lost, b=late, c=raises(AssertionError("it began")))
    again = replace(b, plan=replace(b.plan, jobs=(*a.plan.jobs, *c.plan.jobs)))
    course = FakeCourse(AssertionError("it was asked for"), again=again)
    result = start([a, inner(b), waiting(c, "b")], course).run()
    assert [built for built, _ in course.asked] == [["b"]] and set(result.targets) == {"a", "c"}


def test_what_waits_follows_when_a_daemon_was_lost_too(shares: Any) -> None:
    class Anew(FakeCourse):
        def again(self, *_: object) -> list[Share]:
            FakeSolving.scripts = dict.fromkeys("ab", done)
            return [inner(a), waiting(b, "a")]

    a, b = shares(a=raises(gone("a")), b=done)
    assert set(start([inner(a), waiting(b, "a")], Anew(b)).run().targets) == {"b"}


def test_a_daemon_that_is_lost_while_it_is_planned_for_is_done_without(shares: Any) -> None:
    a, b = shares(a=done, b=done)
    course = FakeCourse(gone("b"), again=replace(b, daemon=a.daemon))
    result = start([inner(a), waiting(b, "a")], course).run()
    ((built, (error,)),) = course.asked
    assert built == ["a"] and error.address == b.daemon.address
    assert result.targets["b"].daemon == a.daemon.address


@pytest.mark.parametrize("others", [["b"], []])
def test_with_keep_going_what_no_other_daemon_may_build_is_told_beside_what_was_built(
    shares: Any, others: list[str]
) -> None:
    refusal = Diagnostic(code="x", message="there is no other")
    a, b = shares(a=raises(gone("a")), b=raises(gone("a")))
    b = replace(b, daemon=a.daemon)

    class Picky(FakeCourse):
        def again(
            self,
            built: Collection[str],
            lost: Sequence[DaemonError],
            leave_out: Callable[[Iterable[Diagnostic]], None] | None = None,
        ) -> list[Share]:
            assert leave_out
            leave_out([refusal])
            FakeSolving.scripts = {"b": done}
            return [b] * len(others)

    with pytest.raises(BuildFailedError) as caught:
        start([a, b], Picky(), keep_going=True).run()
    assert refusal in caught.value.diagnostics
    assert [*(caught.value.built.targets if caught.value.built else ())] == others


def test_a_failure_on_a_lost_daemon_stays_a_failure(shares: Any) -> None:
    failing = threading.Event()

    def lost(solving: FakeSolving) -> Solved:
        assert failing.wait(HANG)
        raise gone("a")

    def fails(solving: FakeSolving) -> Solved:
        failing.set()
        raise failed()

    a, b = shares(a=lost, b=fails)
    course = FakeCourse()
    with pytest.raises(BuildFailedError):
        start([a, replace(b, daemon=a.daemon)], course).run()
    assert not course.asked


# --- to keep going -------------------------------------------------------------------------------


def test_with_keep_going_the_other_targets_are_finished_and_all_failures_told(shares: Any) -> None:
    ended = threading.Event()

    def fails(solving: FakeSolving) -> Solved:
        ended.set()
        raise failed()

    def late(solving: FakeSolving) -> Solved:
        assert ended.wait(HANG)
        assert not solving.cancelled.wait(0.1)
        return done(solving)

    made = start(shares(c=fails, b=late, a=fails), FakeCourse(), keep_going=True)
    with pytest.raises(BuildFailedError) as error:
        made.run()
    messages = [each.message for each in error.value.diagnostics]
    assert messages == ["c failed: no space", "a failed: no space"]
    assert error.value.built and list(error.value.built.lines()) == ["/out"]


def test_with_keep_going_what_waits_for_a_failure_is_left_out(shares: Any) -> None:
    a, b, c, d = shares(a=raises(failed()), b=done, c=raises(AssertionError("it began")), d=done)
    all_ = [inner(a), inner(b), waiting(c, "a"), waiting(d, "b")]
    with pytest.raises(BuildFailedError) as error:
        start(all_, FakeCourse(d), keep_going=True).run()
    assert [each.message for each in error.value.diagnostics] == ["a failed: no space"]
    assert error.value.built and set(error.value.built.targets) == {"d"}


def test_with_keep_going_what_cannot_be_planned_is_left_out(shares: Any) -> None:
    refusal = Diagnostic(code="daemon-lacks", message="none is left")
    a, b, c, d = shares(a=done, b=raises(AssertionError("it began")), c=done, d=raises(failed()))
    all_ = [inner(a), waiting(b, "a"), waiting(c, "a"), d]
    with pytest.raises(BuildFailedError) as error:
        start(all_, FakeCourse(RefusedError([refusal]), c), keep_going=True).run()
    assert [each.message for each in error.value.diagnostics] == [
        "d failed: no space",
        "none is left",
    ]
    assert error.value.built and set(error.value.built.targets) == {"c"}


def test_with_keep_going_what_was_finished_is_told_when_nothing_can_follow(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scripts = {"a": done, "a (2)": raises(gone("a")), "b": done}
    monkeypatch.setattr(FakeSolving, "scripts", scripts)
    monkeypatch.setattr(runner, "Solving", FakeSolving)
    text = TWICE.replace("]}}\n", "]}, b: {stage: s}}\n")
    shares = [share(planned(tmp_path, text, info((0, 8, 0)), name), name) for name in ("a", "b")]
    with pytest.raises(BuildFailedError) as error:
        start(shares, FakeCourse(again=gone("a")), keep_going=True).run()
    (told,) = error.value.diagnostics
    assert "unix:///a.sock: it went away" in told.message
    assert error.value.built and set(error.value.built.targets) == {"b"}


def test_with_keep_going_what_failed_is_tried_once_more_in_place_of_a_lost_daemon(
    shares: Any,
) -> None:
    both = threading.Barrier(2)

    def loses(solving: FakeSolving) -> Solved:
        both.wait(HANG)
        FakeSolving.scripts = dict.fromkeys("ab", done)
        raise gone("a")

    def fails(solving: FakeSolving) -> Solved:
        both.wait(HANG)
        raise failed()

    a, b = shares(a=loses, b=fails)
    again = replace(b, plan=replace(b.plan, jobs=(*a.plan.jobs, *b.plan.jobs)))
    result = start([a, b], FakeCourse(again=again), keep_going=True).run()
    assert set(result.targets) == {"a", "b"}


def test_with_keep_going_what_follows_in_the_same_target_never_begins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scripts = {"a": raises(failed()), "a (2)": raises(AssertionError("it began"))}
    monkeypatch.setattr(FakeSolving, "scripts", scripts)
    monkeypatch.setattr(runner, "Solving", FakeSolving)
    plan = planned(tmp_path, TWICE, info((0, 8, 0)), "a")
    with pytest.raises(BuildFailedError) as error:
        Runner([share(plan)], None, Seen(), keep_going=True).run()  # type: ignore[arg-type]
    assert len(error.value.diagnostics) == 1


@pytest.fixture
def held(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., tuple[Any, dict[str, list[str]]]]:
    """A runner that holds outputs, and how those of each job that was done ended."""

    def start(**scripts: Script) -> tuple[Any, dict[str, list[str]]]:
        ended: dict[str, list[str]] = {}

        def noted(script: Script) -> Script:
            def run(solving: FakeSolving) -> Solved:
                solved = script(solving)
                assert not any(ended.values())  # nothing is in place yet
                ended[solving.job.name] = solving.ends
                return solved

            return run

        monkeypatch.setattr(FakeSolving, "scripts", {n: noted(s) for n, s in scripts.items()})
        monkeypatch.setattr(runner, "Solving", FakeSolving)
        plan = planned(tmp_path, TEXT, info((0, 32, 0)), *scripts)
        nothing: Any = None
        return Runner([share(plan)], nothing, Seen(), all_or_nothing=True), ended

    return start


def test_held_outputs_are_placed_when_all_is_done(held: Any) -> None:
    made, ended = held(a=done, b=done, c=done)
    assert set(made.run().targets) == {"a", "b", "c"}
    assert ended == {name: ["placed", "abandoned"] for name in "abc"}


@pytest.mark.parametrize("error", [failed(), KeyboardInterrupt(), ZeroDivisionError()])
def test_held_outputs_go_away_with_whatever_ends_the_run(
    held: Any, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = threading.Event()

    def first(solving: FakeSolving) -> Solved:
        before.set()
        return done(solving)

    def second(solving: FakeSolving) -> Solved:
        before.wait(HANG)
        if not isinstance(error, KeyboardInterrupt):
            raise error
        os.kill(os.getpid(), signal.SIGINT)
        return stopped(solving)

    made, ended = held(a=first, b=second)
    kind = BuildFailedError if isinstance(error, SolveFailedError) else type(error)
    with pytest.raises(kind):
        made.run()
    assert ended == {"a": ["abandoned"]}


def test_an_output_that_cannot_be_placed_keeps_those_behind_it_away(
    held: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def place(solving: FakeSolving) -> None:
        if solving.job.name == "b":
            raise OutputError("no space left", dest="/out")
        solving.ends.append("placed")

    monkeypatch.setattr(FakeSolving, "place", place)
    made, ended = held(a=done, b=done, c=done)
    with pytest.raises(BuildFailedError, match="no space left"):
        made.run()
    assert ended == {"a": ["placed", "abandoned"], "b": ["abandoned"], "c": ["abandoned"]}


def test_an_interrupt_waits_until_all_that_was_held_is_in_place(
    held: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def place(solving: FakeSolving) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        solving.ends.append("placed")

    monkeypatch.setattr(FakeSolving, "place", place)
    made, ended = held(a=done, b=done)
    assert set(made.run().targets) == set(ended) == {"a", "b"}
