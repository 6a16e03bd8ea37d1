"""Running a plan: jobs side by side, their events to one display, their failures to the user."""

from __future__ import annotations

import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from buildfile import faults
from buildfile.display.base import Display
from buildfile.exits import Exit
from buildfile.failure import BuildFailedError
from buildfile.plan import Job, Plan
from buildfile.progress import Outcome, Progress
from buildfile.results import BuildResult, TargetResult, target_result
from buildfile.solve import Solved, Solving, SourceFaultError
from buildfile.supplies import Supplies
from daemon_shim.client import Daemon
from daemon_shim.errors import CancelledError, SolveFailedError
from daemon_shim.events import Event
from daemon_shim.session.outputs import OutputError
from translator.diagnostic import Diagnostic
from translator.span import Span

_TICK = 0.1
_LOG_LINES = 20


class Runner:
    """One run. ``run`` may be called once."""

    def __init__(self, plan: Plan, daemon: Daemon, supplies: Supplies, display: Display) -> None:
        self._plan = plan
        self._daemon = daemon
        self._display = display
        self._began = time.time()
        self._progress = Progress(began=self._began)
        self._told: queue.SimpleQueue[tuple[str, Event | None]] = queue.SimpleQueue()
        self._solvings = {
            job.name: Solving(job, daemon, supplies, self._listener(job.name)) for job in plan.jobs
        }

    def run(self) -> BuildResult:
        """Build all jobs; the first failure stops the others.

        Raises BuildFailedError, KeyboardInterrupt, or a DaemonError that is about no job.
        """
        outcome = Outcome.FAILED
        try:
            solved = self._solve_all()
            outcome = Outcome.BUILT
        except KeyboardInterrupt:
            outcome = Outcome.CANCELLED
            raise
        finally:
            count = len({job.target.name for job in self._plan.jobs})
            summary = self._progress.summary(count, outcome, time.time())
            self._display.close(summary)
        return BuildResult(
            targets=_by_target(self._plan.jobs, solved),
            daemon=self._daemon.address,
            seconds=summary.seconds,
            steps=summary.steps,
            cached=summary.cached,
        )

    def _solve_all(self) -> dict[str, Solved]:
        jobs = self._solvings
        with ThreadPoolExecutor(max(1, len(jobs)), thread_name_prefix="solve") as pool:
            futures = {
                name: pool.submit(self._guarded, name, solving) for name, solving in jobs.items()
            }
            try:
                self._show_until(lambda: all(f.done() for f in futures.values()))
            except BaseException:
                _exit_at_once_when_interrupted()
                self._cancel_all()
                raise
        self._show_waiting()
        self._raise_failures(futures)
        return {name: future.result() for name, future in futures.items()}

    def _guarded(self, name: str, solving: Solving) -> Solved:
        try:
            return solving.run()
        except BaseException:
            self._cancel_all()
            raise
        finally:
            self._told.put((name, None))

    def _cancel_all(self) -> None:
        for solving in self._solvings.values():
            solving.cancel()

    def _listener(self, name: str) -> Callable[[Event], None]:
        return lambda event: self._told.put((name, event))

    def _show_until(self, done: Callable[[], bool]) -> None:
        while not done():
            try:
                self._show(*self._told.get(timeout=_TICK))
                self._show_waiting()
            except queue.Empty:
                pass
            self._display.tick(time.time())

    def _show_waiting(self) -> None:
        """Show what is there now, without waiting for more."""
        for _ in range(self._told.qsize()):
            self._show(*self._told.get())

    def _show(self, name: str, event: Event | None) -> None:
        if event is None:
            self._progress.end(name)
        elif change := self._progress.apply(name, event, time.time()):
            self._display.update(change)

    # --- failures ------------------------------------------------------------------------------

    def _raise_failures(self, futures: dict[str, Future[Solved]]) -> None:
        errors = {name: error for name, f in futures.items() if (error := f.exception())}
        real = {n: e for n, e in errors.items() if not isinstance(e, CancelledError)} or errors
        if not real:
            return
        known = [d for name, error in real.items() for d in self._diagnose(name, error)]
        if not known:
            raise next(iter(real.values()))
        raise BuildFailedError(_unique(known))

    def _diagnose(self, name: str, error: BaseException) -> Iterable[Diagnostic]:
        if isinstance(error, SourceFaultError):
            yield faults.unreadable_source(error.fault.source, str(error))
        elif isinstance(error, OutputError):
            yield faults.output_failed(name, str(error))
        elif isinstance(error, SolveFailedError):
            yield self._failed_step(name, error)

    def _failed_step(self, name: str, error: SolveFailedError) -> Diagnostic:
        job = next(job for job in self._plan.jobs if job.name == name)
        spans, shown = _blame(job, error.vertex)
        if not shown:
            return faults.job_failed(name, str(error))
        log = self._progress.tail(error.vertex, _LOG_LINES)
        return faults.step_failed(shown, str(error), error.exit_code, spans, log)


def _exit_at_once_when_interrupted() -> None:
    """A second Ctrl-C does not wait for the daemon to hear of the first."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, lambda *_: os._exit(Exit.INTERRUPTED))


def _blame(job: Job, vertex: str) -> tuple[tuple[Span, ...], str]:
    for part in job.parts:
        if vertex in part.names:
            return part.spans.get(vertex, ()), part.names[vertex]
    return (), ""


def _by_target(jobs: Iterable[Job], solved: dict[str, Solved]) -> dict[str, TargetResult]:
    grouped: dict[str, list[Solved]] = {}
    for job in jobs:
        grouped.setdefault(job.target.name, []).append(solved[job.name])
    return {
        target: target_result(
            target,
            [each.response for each in several],
            tuple(file for each in several for file in each.files),
        )
        for target, several in grouped.items()
    }


def _unique(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    return list(dict.fromkeys(diagnostics))
