"""Running plans: jobs side by side, their events to one display, their failures to the user."""

from __future__ import annotations

import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from types import FrameType
from typing import TypeAlias

from buildfile import faults
from buildfile.blame import diagnose
from buildfile.display.base import Display
from buildfile.exits import Exit
from buildfile.failure import BuildFailedError, RefusedError
from buildfile.plan import Job, Plan
from buildfile.progress import Outcome, Progress
from buildfile.results import BuildResult, TargetResult, target_result
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
from daemon_shim.releases import Release
from daemon_shim.session.outputs import OutputError
from translator.diagnostic import Diagnostic
from translator.target import STDOUT

_TICK = 0.1
_SIDE_BY_SIDE = 32
_MOUNTS_FOR_SEVERAL: Release = (0, 6, 0)
"""The first release that mounts one tree for two builds at once without fail. Before, what a build
reads can be gone when another one goes on from it (cache/refs.go; seen on v0.3.3 and v0.4.0).
"""
_OF_JOBS = (SourceFaultError, OutputError, SolveFailedError)
_LOST = (LostConnectionError, UnreachableError)
_LOG_LINES = 20
Follow: TypeAlias = "Callable[[Mapping[str, Solved], Sequence[DaemonError]], Sequence[Share]]"


@dataclass(frozen=True, kw_only=True, eq=False)
class Share:
    """What one daemon does at a time. ``mark`` tells its steps from those of other daemons, ''
    where there is no other.
    """

    plan: Plan
    daemon: Daemon
    mark: str = ""

    def most(self) -> int:
        """How many jobs it gets at once."""
        if self.plan.info.release < _MOUNTS_FOR_SEVERAL:
            return 1
        return min(self.daemon.max_parallel or _SIDE_BY_SIDE, _SIDE_BY_SIDE)


class Runner:
    """One run, on one daemon or several. ``run`` may be called once.

    Jobs of one target are all on one daemon, and no two jobs have the same name. ``steer`` gives
    the builder of each job, where not what the jobs say is to be delivered. ``follow`` hears what
    came of the jobs that were done last, and of daemons that were lost, whose jobs are done only as
    far as it hears of them; it gives the jobs that come next, none in the end. Without it, a lost
    daemon is a failure. ``keep_going`` is whether a failure leaves the other targets alone,
    ``all_or_nothing`` whether outputs are held until all jobs are done; none may be of those that
    ``places.check_held`` refuses.
    """

    def __init__(  # noqa: PLR0913 -- each is a setting of its own, by name
        self,
        shares: Sequence[Share],
        supplies: Supplies,
        display: Display,
        steer: Callable[[Job], Steer | None] = lambda job: None,
        follow: Follow | None = None,
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
        self._follow = follow
        self._jobs: dict[str, tuple[Job, Share]] = {}
        self._errors: dict[str, BaseException] = {}
        self._faults: list[Diagnostic] = []
        self._gone: Set[str] = frozenset()
        self._began = time.time()
        self._progress = Progress(began=self._began)
        self._told: queue.SimpleQueue[tuple[str, Event | None]] = queue.SimpleQueue()
        self._solvings: dict[str, Solving] = {}

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
            raise self._failure(self._errors, result if result.targets else None)
        return result

    def _has_failed(self) -> bool:
        """Whether it went on after a failure."""
        return bool(self._errors or self._faults)

    def _delivered(self) -> list[tuple[Job, Share]]:
        """The jobs that the user asked for, with their daemons."""
        return [(job, share) for job, share in self._jobs.values() if not job.inner]

    def _solve_all(self) -> dict[str, Solved]:
        solved: dict[str, Solved] = {}
        shares = self._first
        try:
            with _exit_at_second_interrupt():
                while shares:
                    done, lost = self._solve(shares)
                    solved |= done
                    shares = self._next(done, lost)
            if self._all_or_nothing and self._has_failed():
                return {}
            with _uninterrupted():
                self._place_held()
        finally:
            for solving in self._held.values():
                solving.abandon()
        return solved

    def _next(self, done: Mapping[str, Solved], lost: Sequence[DaemonError]) -> Sequence[Share]:
        """What comes next; nothing after a failure of that where it is to keep going."""
        try:
            shares = self._follow(done, lost) if self._follow else ()
        except (DaemonError, BuildFailedError, RefusedError) as error:
            if not self._keep_going:
                raise
            if isinstance(error, DaemonError):
                self._faults.append(faults.daemon_lost(error))
            else:
                self._faults += error.diagnostics
            return ()
        self._jobs = {name: each for name, each in self._jobs.items() if name not in self._gone}
        return shares

    def _place_held(self) -> None:
        """Put all in place that was held. Raises BuildFailedError."""
        for name in self._jobs:
            if name in self._held:
                try:
                    self._held[name].place()
                except OutputError as error:
                    raise BuildFailedError([self._diagnose(name, error)]) from error

    def _solve(self, shares: Sequence[Share]) -> tuple[dict[str, Solved], list[DaemonError]]:
        """Do what the daemons have to do now; what is done, and why daemons were lost."""
        self._solvings = {
            job.name: Solving(
                job,
                share.daemon,
                self._supplies,
                self._listener(job.name, share.mark),
                self._steer(job),
            )
            for share in shares
            for job in share.plan.jobs
        }
        self._jobs |= {job.name: (job, share) for share in shares for job in share.plan.jobs}
        with ExitStack() as pools:
            try:
                futures: dict[str, Future[Solved]] = {}
                for share in shares:
                    workers = max(1, min(len(share.plan.jobs), share.most()))
                    pool = pools.enter_context(ThreadPoolExecutor(workers, "solve"))
                    futures |= self._submitted(share.plan.jobs, pool)
                self._show_all()
            except BaseException:
                self._cancel_all()
                raise
        errors = {name: error for name, f in futures.items() if (error := f.exception())}
        lost = self._lost(errors)
        failed = {name: error for name, error in errors.items() if self._jobs[name][1] not in lost}
        if self._keep_going:
            self._errors |= failed
        elif failed:
            raise self._failure(failed)
        self._gone = errors.keys() - failed.keys()
        done = {name: future.result() for name, future in futures.items() if name not in errors}
        return done, list(lost.values())

    def _lost(self, errors: Mapping[str, BaseException]) -> dict[Share, DaemonError]:
        """The daemons that are gone, if nothing else is wrong with them and others may help."""
        lost: dict[Share, DaemonError] = {}
        for name, error in errors.items() if self._follow else ():
            if isinstance(error, _LOST):
                lost.setdefault(self._jobs[name][1], error)
        for name, error in errors.items():
            if not isinstance(error, (*_LOST, CancelledError)):
                lost.pop(self._jobs[name][1], None)
        return lost

    def _submitted(
        self, jobs: Iterable[Job], pool: ThreadPoolExecutor
    ) -> dict[str, Future[Solved]]:
        """Begin the jobs of a daemon. One that is only apart because the daemon wants it follows
        the one before of its target: what both push to one registry at once can fail there.
        """
        futures: dict[str, Future[Solved]] = {}
        last: dict[str, Future[Solved]] = {}
        for job in jobs:
            before = last.get(job.target.name) if job.note else None
            future = pool.submit(self._guarded, job.name, before)
            futures[job.name] = last[job.target.name] = future
        return futures

    def _guarded(self, name: str, before: Future[Solved] | None) -> Solved:
        try:
            if before:
                wait([before])
            return self._done(name)
        except BaseException as error:
            job, share = self._jobs[name]
            if self._follow and isinstance(error, _LOST):
                self._cancel(share.plan.jobs)
            elif self._keep_going:
                self._cancel(each for each in share.plan.jobs if each.target is job.target)
            else:
                self._cancel_all()
            raise
        finally:
            self._told.put((name, None))

    def _done(self, name: str) -> Solved:
        solving, (job, _) = self._solvings[name], self._jobs[name]
        if not self._all_or_nothing or job.inner:
            return solving.run()
        solved = solving.build()
        self._held[name] = solving
        return solved

    def _cancel(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            self._solvings[job.name].cancel()

    def _cancel_all(self) -> None:
        for solving in self._solvings.values():
            solving.cancel()

    def _listener(self, name: str, mark: str) -> Callable[[Event], None]:
        if not mark:
            return lambda event: self._told.put((name, event))
        return lambda event: self._told.put((name, _of_daemon(event, mark)))

    def _show_all(self) -> None:
        """Show what the jobs tell until each has told that it ended."""
        left = len(self._solvings)
        while left:
            try:
                told = [self._told.get(timeout=_TICK)]
                told += [self._told.get() for _ in range(self._told.qsize())]
            except queue.Empty:
                told = []
            left -= sum(event is None for _, event in told)
            for name, event in told:
                self._show(name, event)
            self._display.tick(time.time())

    def _show(self, name: str, event: Event | None) -> None:
        if event is None:
            self._progress.end(name)
        elif change := self._progress.apply(name, event, time.time()):
            self._display.update(change)

    # --- failures ------------------------------------------------------------------------------

    def _failure(
        self, errors: Mapping[str, BaseException], built: BuildResult | None = None
    ) -> BaseException:
        """What went wrong: a bug before all, then failures; the cancelled only heard of it.

        A failure that concerns no part of a build file, such as a lost connection, stays what it
        is where there is nothing else to tell.
        """
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
