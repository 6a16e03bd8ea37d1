"""What is told of a job that failed: the step, its place in the build file, what it printed."""

from __future__ import annotations

from collections.abc import Callable

from buildfile import faults
from buildfile.cacheexport import CacheError
from buildfile.plan import Job
from buildfile.solve import SourceFaultError
from daemon_shim.errors import SolveFailedError
from daemon_shim.session.outputs import OutputError
from translator.compiled import JoinedStep
from translator.diagnostic import Diagnostic


def diagnose(job: Job, error: BaseException, log: Callable[[str], tuple[str, ...]]) -> Diagnostic:
    """Why a job failed; ``log`` gives the end of what a vertex printed."""
    if isinstance(error, SourceFaultError):
        # Where the source stands that the daemon was about to read.
        step, _ = _blame(job, getattr(error.__cause__, "vertex", ""), ())
        span = next(iter(step.spans), None) if step else None
        return faults.unreadable_source(error.fault.source, str(error), span)
    if isinstance(error, CacheError):
        return faults.cache_failed(job.name, str(error))
    if isinstance(error, OutputError):
        return faults.output_failed(job.name, str(error))
    if isinstance(error, SolveFailedError):
        return failed_step(job, error, log(error.vertex))
    return faults.job_failed(job.name, str(error))


def failed_step(job: Job, error: SolveFailedError, log: tuple[str, ...] = ()) -> Diagnostic:
    """Which step of a job failed, and where it stands; ``log`` is the end of what it printed."""
    step, log = _blame(job, error.vertex, log)
    shown = step.name if step else _by_builder(error)
    if not shown:
        return faults.job_failed(job.name, str(error))
    spans = step.spans if step else ()
    return faults.step_failed(shown, str(error), error.exit_code, spans, log)


def _by_builder(error: SolveFailedError) -> str:
    """A step of a builder's own graph, with its place where the daemon tells it."""
    place = next((f"{each.file}:{each.start_line}: " for each in error.ranges), "")
    return f"{place}{error.step}" if error.step else ""


def _blame(
    job: Job, vertex: str, log: tuple[str, ...]
) -> tuple[JoinedStep | None, tuple[str, ...]]:
    """The step of a job that a vertex failed in, and what of its log is for the user."""
    part = next((each for each in job.parts if vertex in each.names), None)
    return part.failed(vertex, log) if part else (None, log)
