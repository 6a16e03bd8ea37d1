"""Running plans: jobs side by side, their events to one display, their failures to the user."""

from __future__ import annotations

import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING

from buildfile import faults
from buildfile.blame import diagnose
from buildfile.display.base import Display
from buildfile.exits import Exit
from buildfile.failure import BuildFailedError, RefusedError
from buildfile.plan import Job
from buildfile.progress import Outcome, Progress
from buildfile.results import BuildResult, TargetResult, target_result
from buildfile.share import Share, jobs_at_once
from buildfile.solve import Solved, Solving, SourceFaultError, Steer
from buildfile.supplies import Supplies
from daemon_shim.client import Daemon
from daemon_shim.errors import (
    CancelledError,
    DaemonError,
    LostConnectionError,
    SolveFailedError,
    UnreachableError,
)
from daemon_shim.events import Event, VertexEvent
from daemon_shim.session.outputs import OutputError
from translator.diagnostic import Diagnostic
from translator.target import STDOUT

if TYPE_CHECKING:
    from buildfile.course import Course

_TICK = 0.1
_OF_JOBS = (SourceFaultError, OutputError, SolveFailedError)
_LOST = (LostConnectionError, UnreachableError)
_LOG_LINES = 20


class Runner:
    """One run, on one daemon or several. ``run`` may be called once.

    ``shares`` are all that the daemons do; what waits for other jobs begins when ``course`` has it
    planned again. Jobs of one target are all on one daemon, and no two jobs have the same name.
    ``steer`` gives the builder of each job, where not what the jobs say is to be delivered. Without
    ``course`` nothing may wait, and a lost daemon is a failure. ``keep_going`` is whether a failure
    leaves alone what does not wait for it, ``all_or_nothing`` whether outputs are held until all
    jobs are done; none may be of those that ``places.check_held`` refuses.
    """

    def __init__(  # noqa: PLR0913 -- each is a setting of its own, by name
        self,
        shares: Sequence[Share],
        supplies: Supplies,
        display: Display,
        steer: Callable[[Job], Steer | None] = lambda job: None,
        course: Course | None = None,
        *,
        keep_going: bool = False,
        all_or_nothing: bool = False,
    ) -> None:
        self._first = shares
        self._keep_going = keep_going
        self._all_or_nothing = all_or_nothing
        self._held: dict[str, Solving] = {}
        self._supplies = supplies
        self._display = display
        self._steer = steer
        self._course = course
        self._jobs: dict[str, tuple[Job, Share]] = {}
        self._solved: dict[str, Solved] = {}
        self._errors: dict[str, BaseException] = {}
        self._faults: list[Diagnostic] = []
        self._lost: dict[str, DaemonError] = {}
        self._began = time.time()
        self._progress = Progress(began=self._began)
        self._told: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._solvings: dict[str, Solving] = {}
        self._asked = 0
        self._begins_no_more = False
        self._planner = ThreadPoolExecutor(1, "plan")
        self._pools: dict[Daemon, ThreadPoolExecutor] = {}
        self._open = ExitStack()

    def run(self) -> BuildResult:
        """Build all jobs; the first failure stops the others, or those of its target.

        What was finished by then stays. Raises BuildFailedError, KeyboardInterrupt, or a
        DaemonError that is about no job.
        """
        outcome = Outcome.FAILED
        try:
            solved = self._solve_all()
            outcome = Outcome.FAILED if self._has_failed() else Outcome.BUILT
            for note in dict.fromkeys(note for each in solved.values() for note in each.notes):
                self._display.say(f"warning: {note}")
        except KeyboardInterrupt:
            outcome = Outcome.CANCELLED
            raise
        finally:
            count = len({job.target.name for job, _ in self._delivered()})
            summary = self._progress.summary(count, outcome, time.time())
            self._display.close(summary)
        result = BuildResult(
            targets=_by_target(self._delivered(), solved),
            daemon=", ".join(
                dict.fromkeys(share.daemon.address for _, share in self._jobs.values())
            ),
            seconds=summary.seconds,
            steps=summary.steps,
            cached=summary.cached,
            streamed=any(
                each.dest == STDOUT for job, _ in self._delivered() for each in job.exports
            ),
        )
        if self._has_failed():
            raise self._failure(result if result.targets else None)
        return result

    def _has_failed(self) -> bool:
        """Whether it went on after a failure."""
        return bool(self._errors or self._faults)

    def _delivered(self) -> list[tuple[Job, Share]]:
        """The jobs that the user asked for, with their daemons."""
        return [(job, share) for job, share in self._jobs.values() if not job.inner]

    def _solve_all(self) -> dict[str, Solved]:
        """What came of the jobs, in the order of the plan."""
        try:
            with _exit_at_second_interrupt(), self._planner, self._open:
                self._do_all()
            if self._all_or_nothing and self._has_failed():
                return {}
            with _uninterrupted():
                self._place_held()
        finally:
            for solving in self._held.values():
                solving.abandon()
        return {name: self._solved[name] for name in self._jobs if name in self._solved}

    def _do_all(self) -> None:
        shares = self._first
        try:
            while shares:
                self._jobs |= {
                    job.name: (job, share) for share in shares for job in share.plan.jobs
                }
                for share in shares:
                    self._begin(share, [job for job in share.plan.jobs if not job.waits_for])
                while self._solvings or self._asked:
                    self._take_in()
                shares = self._again()
        except BaseException:
            self._cancel()
            raise

    def _place_held(self) -> None:
        """Put all in place that was held. Raises BuildFailedError."""
        for name in self._jobs:
            if name in self._held:
                try:
                    self._held[name].place()
                except OutputError as error:
                    raise BuildFailedError([self._diagnose(name, error)]) from error

    # --- jobs, each in a thread of its daemon ----------------------------------------------------

    def _begin(self, share: Share, jobs: Iterable[Job]) -> None:
        """Begin jobs of a daemon. One that is only apart because the daemon wants it follows the
        one before of its target: what both push to one registry at once can fail there.
        """
        if share.daemon not in self._pools:
            most = jobs_at_once(share.plan.info, share.daemon.max_parallel)
            pool = ThreadPoolExecutor(most, "solve")
            self._pools[share.daemon] = self._open.enter_context(pool)
        last: dict[str, Future[bool]] = {}
        for job in jobs:
            solving = Solving(
                job,
                share.daemon,
                self._supplies,
                self._listener(job.name, share.mark),
                self._steer(job),
            )
            self._jobs[job.name] = (job, share)
            self._solvings[job.name] = solving
            before = last.get(job.target.name) if job.note else None
            last[job.target.name] = self._pools[share.daemon].submit(self._do, job, solving, before)

    def _do(self, job: Job, solving: Solving, before: Future[bool] | None) -> bool:
        """Do a job and tell what came of it; whether it is done."""
        outcome: Solved | BaseException
        try:
            if before and not before.result():
                raise CancelledError("the build was cancelled")
            outcome = self._done(job, solving)
        except BaseException as error:
            outcome = error
        self._tell(self._ended, job.name, outcome)
        return isinstance(outcome, Solved)

    def _done(self, job: Job, solving: Solving) -> Solved:
        if self._all_or_nothing and not job.inner:
            solved = solving.build()
            self._held[job.name] = solving
            return solved
        solved = solving.run()
        if self._course and job.inner:
            self._course.receive(job, solved)
        return solved

    def _listener(self, name: str, mark: str) -> Callable[[Event], None]:
        if not mark:
            return lambda event: self._tell(self._show, name, event)
        return lambda event: self._tell(self._show, name, _of_daemon(event, mark))

    # --- what comes of them, in the thread that displays -----------------------------------------

    def _tell(self, act: Callable[..., None], *what: object) -> None:
        """Have something done in that thread."""
        self._told.put(partial(act, *what))

    def _take_in(self) -> None:
        """Do what was told by now, or wait a little for it."""
        told: list[Callable[[], None]] = []
        with suppress(queue.Empty):
            told.append(self._told.get(timeout=_TICK))
            told += [self._told.get() for _ in range(self._told.qsize())]
        for act in told:
            act()
        self._display.tick(time.time())

    def _show(self, name: str, event: Event) -> None:
        if change := self._progress.apply(name, event, time.time()):
            self._display.update(change)

    def _ended(self, name: str, outcome: Solved | BaseException) -> None:
        del self._solvings[name]
        self._progress.end(name)
        if isinstance(outcome, Solved):
            self._solved[name] = outcome
            if self._jobs[name][0].inner:
                self._ask()
        else:
            self._errors[name] = outcome
            self._stop(*self._jobs[name], outcome)

    def _stop(self, job: Job, share: Share, error: BaseException) -> None:
        """Stop what ends with a job: all on a daemon that is lost, else its target, or all."""
        address = share.daemon.address
        if self._course and isinstance(error, _LOST):
            self._lose(address, error)
        elif self._keep_going:
            self._cancel(lambda other, _: other.target is job.target)
        elif address not in self._lost or not isinstance(error, CancelledError):
            self._begins_no_more = True
            self._cancel()

    def _lose(self, address: str, error: DaemonError) -> None:
        """Do without a daemon. What others are at is finished before it is seen what is left."""
        self._begins_no_more = True
        self._lost.setdefault(address, error)
        self._cancel(lambda _, share: share.daemon.address == address)

    def _cancel(self, meant: Callable[[Job, Share], bool] = lambda *_: True) -> None:
        for name, solving in self._solvings.items():
            if meant(*self._jobs[name]):
                solving.cancel()

    # --- what comes next -------------------------------------------------------------------------

    def _ask(self) -> None:
        """Have it planned what can begin by now, beside the display."""
        if self._course and not self._begins_no_more:
            self._asked += 1
            asked = self._planner.submit(self._course.follow)
            asked.add_done_callback(partial(self._tell, self._planned))

    def _planned(self, asked: Future[Share | None]) -> None:
        self._asked -= 1
        try:
            share = asked.result()
        except _LOST as error:
            self._lose(error.address, error)
        except (DaemonError, BuildFailedError, RefusedError) as error:
            self._go_on_after(error)
            self._ask()
        else:
            if share and not self._begins_no_more:
                self._begin(share, share.plan.jobs)
                self._ask()

    def _again(self) -> Sequence[Share]:
        """What others do in place of lost daemons. Raises what failed, unless it keeps going."""
        passed = (*_LOST, CancelledError) if self._lost else ()
        failed = {name: each for name, each in self._errors.items() if not isinstance(each, passed)}
        if failed and not self._keep_going:
            raise self._failure()
        if not self._lost or not self._course:
            return ()
        self._errors = failed
        left_out: list[Diagnostic] = []
        try:
            shares = self._course.again(
                self._solved,
                list(self._lost.values()),
                left_out.extend if self._keep_going else None,
            )
        except (DaemonError, BuildFailedError, RefusedError) as error:
            self._go_on_after(error)
            return ()
        if not shares:
            self._faults += left_out
            return ()
        self._jobs = {name: each for name, each in self._jobs.items() if name in self._solved}
        self._errors, self._faults, self._lost = {}, left_out, {}
        self._begins_no_more = False
        return shares

    def _go_on_after(self, error: DaemonError | BuildFailedError | RefusedError) -> None:
        """Raise an error that is about no job, unless it keeps going."""
        if not self._keep_going:
            raise error
        if isinstance(error, DaemonError):
            self._faults.append(faults.daemon_lost(error))
        else:
            self._faults += error.diagnostics

    # --- failures ------------------------------------------------------------------------------

    def _failure(self, built: BuildResult | None = None) -> BaseException:
        """What went wrong: a bug before all, then failures; the cancelled only heard of it.

        A failure that concerns no part of a build file, such as a lost connection, stays what it
        is where there is nothing else to tell.
        """
        errors = {name: self._errors[name] for name in self._jobs if name in self._errors}
        real = {n: e for n, e in errors.items() if not isinstance(e, CancelledError)} or errors
        for error in real.values():
            if not isinstance(error, (DaemonError, OutputError)):
                return error
        told = built or self._faults or any(isinstance(each, _OF_JOBS) for each in real.values())
        if not told:
            return next(iter(real.values()))
        found = (*(self._diagnose(name, each) for name, each in real.items()), *self._faults)
        return BuildFailedError(dict.fromkeys(found), built)

    def _diagnose(self, name: str, error: BaseException) -> Diagnostic:
        job, share = self._jobs[name]
        return diagnose(
            job,
            error,
            lambda vertex: self._progress.tail(_marked(vertex, share.mark), _LOG_LINES),
        )


@contextmanager
def _exit_at_second_interrupt() -> Iterator[None]:
    """Let the first Ctrl-C cancel the build, and a second one not wait for the daemon to hear.

    Leaves alone what another thread or a handler of the caller's own decides.
    """
    usual = signal.default_int_handler

    def first(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, lambda *_: os._exit(Exit.INTERRUPTED))
        usual(number, frame)

    with _at_interrupt(first):
        yield


def _uninterrupted() -> AbstractContextManager[None]:
    """Leave Ctrl-C unheard, for what is short and has to be done whole."""
    return _at_interrupt(signal.SIG_IGN)


@contextmanager
def _at_interrupt(
    handler: Callable[[int, FrameType | None], None] | signal.Handlers,
) -> Iterator[None]:
    usual = signal.default_int_handler
    if threading.current_thread() is not threading.main_thread() or (
        signal.getsignal(signal.SIGINT) is not usual
    ):
        yield
        return
    signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)


def _of_daemon(event: Event, daemon: str) -> Event:
    """An event of one daemon of several: they may run the same step, each for itself."""
    if isinstance(event, VertexEvent):
        inputs = tuple(_marked(each, daemon) for each in event.inputs)
        digest, name = _marked(event.digest, daemon), f"{daemon}: {event.name}"
        return replace(event, digest=digest, inputs=inputs, name=name)
    return replace(event, vertex=_marked(event.vertex, daemon))


def _marked(digest: str, daemon: str) -> str:
    return f"{digest}@{daemon}" if digest and daemon else digest


def _by_target(
    jobs: Iterable[tuple[Job, Share]], solved: Mapping[str, Solved]
) -> dict[str, TargetResult]:
    """The targets of which all jobs are done."""
    grouped: dict[str, list[Solved]] = {}
    daemons: dict[str, str] = {}
    unfinished = {job.target.name for job, _ in jobs if job.name not in solved}
    for job, share in jobs:
        if job.target.name not in unfinished:
            grouped.setdefault(job.target.name, []).append(solved[job.name])
            daemons[job.target.name] = share.daemon.address
    return {
        target: target_result(
            target,
            [each.response for each in several],
            tuple(file for each in several for file in each.files),
            daemon=daemons[target],
        )
        for target, several in grouped.items()
    }
