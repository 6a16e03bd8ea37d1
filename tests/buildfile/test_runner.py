"""Runs with jobs by script: what ends how, whatever order things happen in."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from buildfile import runner
from buildfile.display.base import Display
from buildfile.failure import BuildFailedError, RefusedError
from buildfile.plan import Job, Plan
from buildfile.progress import Change, Outcome, Summary
from buildfile.runner import Runner, Share
from buildfile.solve import Solved, SourceFaultError
from daemon_shim.errors import CancelledError, DaemonError, LostConnectionError, SolveFailedError
from daemon_shim.events import Event, LogEvent, VertexEvent
from daemon_shim.session.filesync import SourceFault
from daemon_shim.session.outputs import OutputError
from tests.buildfile.projects import planned
from tests.daemon_shim.infos import info
from translator.diagnostic import Diagnostic

TEXT = """version: 1
stages:
  s: {from: scratch, steps: [{write: {path: /a, text: a}}]}
targets: {a: {stage: s}, b: {stage: s}, c: {stage: s}}
"""
HANG = 30.0
Tell = Callable[[Event], None]


class FakeSolving:
    """A job by script, which may wait for ``cancelled``."""

    scripts: Mapping[str, Callable[[FakeSolving], Solved]] = {}

    def __init__(self, job: Job, daemon: Any, supplies: Any, tell: Tell, steer: Any) -> None:
        self.job = job
        self.tell = tell
        self.cancelled = threading.Event()
        self.ends: list[str] = []

    def build(self) -> Solved:
        return self.run()

    def place(self) -> None:
        self.ends.append("placed")

    def abandon(self) -> None:
        self.ends.append("abandoned")

    def run(self) -> Solved:
        return self.scripts[self.job.name](self)

    def cancel(self) -> None:
        self.cancelled.set()


class FakeDaemon:
    address = "unix:///test.sock"
    max_parallel: int | None = None


def share(plan: Plan, mark: str = "") -> Share:
    daemon: Any = FakeDaemon()
    return Share(mark=mark, plan=plan, daemon=daemon)


class Seen(Display):
    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.said: list[str] = []
        self.summaries: list[Summary | None] = []
        self.ticked = threading.Event()

    def update(self, change: Change) -> None:
        self.changes.append(change)

    def tick(self, now: float) -> None:
        self.ticked.set()

    def say(self, text: str) -> None:
        self.said.append(text)

    def close(self, summary: Summary | None) -> None:
        self.summaries.append(summary)


Script = Callable[[FakeSolving], Solved]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., tuple[Any, Seen, Plan]]:
    def start(**scripts: Script) -> tuple[Any, Seen, Plan]:
        monkeypatch.setattr(FakeSolving, "scripts", scripts)
        monkeypatch.setattr(runner, "Solving", FakeSolving)
        plan, seen = planned(tmp_path, TEXT, info((0, 13, 0)), *scripts), Seen()
        made: Any = Runner([share(plan)], None, seen)  # type: ignore[arg-type]
        return made, seen, plan

    return start


def done(_: FakeSolving) -> Solved:
    return Solved(response={}, files=("/out",))


def stopped(solving: FakeSolving) -> Solved:
    assert solving.cancelled.wait(HANG)
    raise CancelledError("the build was cancelled")


def raises(error: BaseException) -> Script:
    def script(_: FakeSolving) -> Solved:
        raise error

    return script


def failed(message: str = "no space", vertex: str = "") -> SolveFailedError:
    return SolveFailedError(message, code="UNKNOWN", vertex=vertex)


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
    def late(solving: FakeSolving) -> Solved:
        assert solving.cancelled.is_set()
        return stopped(solving)

    monkeypatch.setattr(FakeSolving, "scripts", {"a": raises(failed()), "a (2)": late})
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
    monkeypatch.setattr(runner, "_SIDE_BY_SIDE", 1)
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


def test_what_follows_hears_what_was_built_before(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first, then = (
        share(planned(tmp_path, TEXT, info((0, 32, 0)), name), name) for name in ("a", "b")
    )
    waiting, heard = [[then], []], []

    def follow(solved: Mapping[str, Solved], lost: Sequence[DaemonError]) -> list[Share]:
        heard.append(list(solved))
        return waiting.pop(0)

    monkeypatch.setattr(FakeSolving, "scripts", {"a": done, "b": done})
    monkeypatch.setattr(runner, "Solving", FakeSolving)
    result = Runner([first], None, Seen(), follow=follow).run()  # type: ignore[arg-type]
    assert heard == [["a"], ["b"]] and set(result.targets) == {"a", "b"}


def test_what_would_follow_a_failure_is_not_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def follow(solved: Mapping[str, Solved], lost: Sequence[DaemonError]) -> list[Share]:
        raise AssertionError(solved)

    monkeypatch.setattr(FakeSolving, "scripts", {"a": raises(failed())})
    monkeypatch.setattr(runner, "Solving", FakeSolving)
    first = share(planned(tmp_path, TEXT, info((0, 32, 0)), "a"))
    with pytest.raises(BuildFailedError):
        Runner([first], None, Seen(), follow=follow).run()  # type: ignore[arg-type]


def test_a_lost_daemon_is_told_of_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gone = LostConnectionError("it went away", address="unix:///one.sock")
    cut = threading.Event()

    def lost(solving: FakeSolving) -> Solved:
        cut.set()
        raise gone

    def goes_on(solving: FakeSolving) -> Solved:
        cut.wait(HANG)
        assert not solving.cancelled.wait(0.1)
        return done(solving)

    heard: list[tuple[list[str], list[DaemonError]]] = []
    again = share(planned(tmp_path, TEXT, info((0, 32, 0)), "a"), "two")

    def follow(solved: Mapping[str, Solved], lost: Sequence[DaemonError]) -> list[Share]:
        heard.append((list(solved), list(lost)))
        FakeSolving.scripts = {"a": done}
        return [again] if len(heard) == 1 else []

    monkeypatch.setattr(FakeSolving, "scripts", {"a": lost, "b": goes_on})
    monkeypatch.setattr(runner, "Solving", FakeSolving)
    shares = [
        share(planned(tmp_path, TEXT, info((0, 32, 0)), name), daemon)
        for name, daemon in (("a", "one"), ("b", "two"))
    ]
    result = Runner(shares, None, Seen(), follow=follow).run()  # type: ignore[arg-type]
    assert heard == [(["b"], [gone]), (["a"], [])]
    assert set(result.targets) == {"a", "b"}


def test_a_failure_on_a_lost_daemon_stays_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def follow(solved: Mapping[str, Solved], lost: Sequence[DaemonError]) -> list[Share]:
        raise AssertionError(lost)

    failing = threading.Event()

    def lost(solving: FakeSolving) -> Solved:
        failing.wait(HANG)
        raise LostConnectionError("it went away", address="unix:///one.sock")

    def fails(solving: FakeSolving) -> Solved:
        failing.set()
        raise failed()

    monkeypatch.setattr(FakeSolving, "scripts", {"a": lost, "b": fails})
    monkeypatch.setattr(runner, "Solving", FakeSolving)
    both = share(planned(tmp_path, TEXT, info((0, 32, 0)), "a", "b"))
    with pytest.raises(BuildFailedError):
        Runner([both], None, Seen(), follow=follow).run()  # type: ignore[arg-type]


def test_with_keep_going_the_other_targets_are_finished_and_all_failures_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ended = threading.Event()

    def fails(solving: FakeSolving) -> Solved:
        ended.set()
        raise failed()

    def late(solving: FakeSolving) -> Solved:
        ended.wait(HANG)
        assert not solving.cancelled.wait(0.1)
        return done(solving)

    heard: list[list[str]] = []

    def follow(solved: Mapping[str, Solved], lost: Sequence[DaemonError]) -> list[Share]:
        heard.append(list(solved))
        return []

    monkeypatch.setattr(FakeSolving, "scripts", {"a": fails, "b": late, "c": fails})
    monkeypatch.setattr(runner, "Solving", FakeSolving)
    shares = [share(planned(tmp_path, TEXT, info((0, 32, 0)), "a", "b", "c"))]
    seen: Any = Seen()
    with pytest.raises(BuildFailedError) as error:
        Runner(shares, None, seen, follow=follow, keep_going=True).run()  # type: ignore[arg-type]
    messages = [each.message for each in error.value.diagnostics]
    assert messages == ["a failed: no space", "c failed: no space"] and heard == [["b"]]
    assert error.value.built and list(error.value.built.lines()) == ["/out"]
    assert [each.outcome for each in seen.summaries] == [Outcome.FAILED]


def test_with_keep_going_what_was_finished_is_told_when_nothing_can_follow(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gone = LostConnectionError("it went away", address="unix:///one.sock")

    def follow(solved: Mapping[str, Solved], lost: Sequence[DaemonError]) -> list[Share]:
        raise lost[0]

    monkeypatch.setattr(FakeSolving, "scripts", {"a": done, "a (2)": raises(gone), "b": done})
    monkeypatch.setattr(runner, "Solving", FakeSolving)
    text = TWICE.replace("]}}\n", "]}, b: {stage: s}}\n")
    shares = [share(planned(tmp_path, text, info((0, 8, 0)), name), name) for name in ("a", "b")]
    with pytest.raises(BuildFailedError, match=r"unix:///one\.sock: it went away") as error:
        Runner(shares, None, Seen(), follow=follow, keep_going=True).run()  # type: ignore[arg-type]
    assert error.value.built and set(error.value.built.targets) == {"b"}


def test_a_refusal_of_what_follows_ends_a_run_that_keeps_going(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    refusal = Diagnostic(code="daemon-lacks", message="none is left")

    def follow(solved: Mapping[str, Solved], lost: Sequence[DaemonError]) -> list[Share]:
        raise RefusedError([refusal])

    monkeypatch.setattr(FakeSolving, "scripts", {"a": done, "b": raises(failed())})
    monkeypatch.setattr(runner, "Solving", FakeSolving)
    shares = [share(planned(tmp_path, TEXT, info((0, 32, 0)), "a", "b"))]
    with pytest.raises(BuildFailedError) as error:
        Runner(shares, None, Seen(), follow=follow, keep_going=True).run()  # type: ignore[arg-type]
    assert [each.message for each in error.value.diagnostics] == [
        "b failed: no space",
        "none is left",
    ]
    assert error.value.built and set(error.value.built.targets) == {"a"}


def test_with_keep_going_what_follows_in_the_same_target_never_begins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def late(solving: FakeSolving) -> Solved:
        assert solving.cancelled.is_set()
        return stopped(solving)

    monkeypatch.setattr(FakeSolving, "scripts", {"a": raises(failed()), "a (2)": late})
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
