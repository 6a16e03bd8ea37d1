"""Where a run writes on this machine: no two outputs to one place, no archives on a terminal,
nothing cleared that is wanted, and nothing that is seen too early.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from buildfile import faults
from buildfile.exits import UsageError
from buildfile.exports import Export, is_layout
from buildfile.failure import RefusedError
from buildfile.plan import Job
from translator.diagnostic import Diagnostic, InvalidCommandError, InvalidFileError
from translator.span import Span
from translator.target import STDOUT, Target


def check_places(jobs: Sequence[Job], stdout: TextIO) -> None:
    """Refuse what would be mixed or lost, before anything is built.

    Folders that the build file gives to several outputs are meant to be merged; one that an option
    gives to all targets, or that an output would clear, is not. Nor is one cleared in which the
    build file, a local cache or another output is. Raises UsageError about standard output,
    InvalidFileError about places.
    """
    # Any number of daemons may write blobs into one layout.
    placed = [
        (job.target, each) for job in jobs for each in job.exports if each.dest and not each.stored
    ]
    streams = [target.name for target, each in placed if each.dest == STDOUT]
    if len(streams) > 1:
        raise UsageError(
            f"several outputs would be mixed on standard output: {', '.join(streams)}",
            hint="give each its own dest=FILE",
        )
    if streams and stdout.isatty():
        raise UsageError(
            f"the output of {streams[0]} would garble the terminal",
            hint="give it dest=FILE, or send standard output to a file or a pipe",
        )
    found = list(dict.fromkeys((*_shared(placed), *_cleared(placed, jobs))))
    if found and all(map(_is_option, found)):
        raise InvalidCommandError(found)
    if found:
        raise InvalidFileError(found)


def check_held(jobs: Iterable[Job]) -> None:
    """Refuse outputs that cannot be held until all targets are done: images that a daemon or a
    registry has as soon as they are made, and standard output. Raises RefusedError.
    """
    found = [
        faults.cannot_be_held(each.output, job.target, streamed=each.dest == STDOUT)
        for job in jobs
        for each in job.exports
        if not job.inner and each.exporter and each.dest in ("", STDOUT)
    ]
    if found:
        raise RefusedError(dict.fromkeys(found))


def _shared(placed: Iterable[tuple[Target, Export]]) -> Iterator[Diagnostic]:
    first: dict[str, tuple[Target, Export]] = {}
    for target, each in placed:
        before = first.setdefault(each.dest, (target, each))
        if before[1] is not each and each.dest != STDOUT and not _merges(before[1], each):
            layouts = is_layout(each.output) and is_layout(before[1].output)
            yield faults.same_place(
                each.output, target, before[1].output, before[0], layouts=layouts
            )


def _cleared(placed: Sequence[tuple[Target, Export]], jobs: Iterable[Job]) -> Iterator[Diagnostic]:
    kept = dict(_kept(jobs))
    others = {each.dest: f"an output of {target.name}" for target, each in placed}
    for _, each in placed:
        if each.dest == STDOUT or each.output.attrs.get("mode") != "delete":
            continue
        beside = {path: what for path, what in others.items() if path not in (STDOUT, each.dest)}
        for path, what in {**beside, **kept}.items():
            if _is_within(path, each.dest):
                yield faults.would_be_cleared(each.output, what, path)


def _kept(jobs: Iterable[Job]) -> Iterator[tuple[str, str]]:
    """What the run needs on this machine, by its path."""
    for job in jobs:
        file = job.target.span.file
        path = Path(file.folder, Path(file.name).name)
        if path.is_file():
            yield str(path), "the build file"
        for cache in (*job.cache_imports, *job.cache_exports):
            if cache.folder:
                yield cache.folder, "a local cache"


def _is_within(path: str, folder: str) -> bool:
    return Path(path).resolve().is_relative_to(Path(folder).resolve())


def _merges(one: Export, other: Export) -> bool:
    outputs = one.output, other.output
    return all(
        each.type == "local"
        and each.attrs.get("mode") != "delete"
        and not (each.span and _of_option(each.span))
        for each in outputs
    )


def _is_option(fault: Diagnostic) -> bool:
    return fault.span is not None and _of_option(fault.span)


def _of_option(span: Span) -> bool:
    """Whether it stands on the command line, which has the option as its file."""
    return span.file.name.startswith("--")
