"""Where errors end: each kind becomes words on standard error and an exit code, by one table."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from buildfile.exits import Exit, UsageError
from daemon_shim.errors import (
    CancelledError,
    DaemonError,
    TlsError,
    UnreachableError,
    UnsupportedError,
)
from translator.diagnostic import Diagnostic, InvalidCommandError, InvalidFileError

if TYPE_CHECKING:
    from buildfile.results import BuildResult


class BuildFailedError(Exception):
    """The build failed; ``diagnostics`` say where in the build file, and why.

    ``built`` are the targets that were finished all the same (``keep_going``), None where none was.
    """

    def __init__(self, diagnostics: Iterable[Diagnostic], built: BuildResult | None = None) -> None:
        self.diagnostics = tuple(diagnostics)
        self.built = built
        super().__init__("; ".join(each.message for each in self.diagnostics))


class RefusedError(Exception):
    """No daemon can do what the build file asks for; ``diagnostics`` name each feature."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__("; ".join(each.message for each in self.diagnostics))


def report(error: BaseException) -> int:
    """Tell the user what went wrong; returns the exit code."""
    for kinds, code, show in _endings():
        if isinstance(error, kinds):
            show(error)
            return code
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        _show_hinted(error)
        return Exit.FAILED
    _show_bug(error)
    return Exit.BUG


def print_diagnostics(diagnostics: Iterable[Diagnostic], *, as_json: bool = False) -> None:
    """Draw diagnostics on standard error, or as one JSON document on standard output."""
    import click

    from buildfile import render
    from buildfile.annotations import annotation

    if as_json:
        click.echo(render.to_json(diagnostics))
        return
    colour = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    for number, diagnostic in enumerate(diagnostics):
        gap = "\n" if number else ""
        click.echo(gap + render.to_text(diagnostic, colour=colour), err=True)
        if told := annotation(diagnostic, os.environ):
            click.echo(told, err=True)


def _show_diagnostics(error: BaseException) -> None:
    if isinstance(error, (InvalidFileError, BuildFailedError, RefusedError)):
        print_diagnostics(error.diagnostics)


def _show_click(error: BaseException) -> None:
    import click

    if isinstance(error, click.ClickException):
        error.show()


def _show_hinted(error: BaseException) -> None:
    import click

    address = error.address if isinstance(error, DaemonError) else ""
    where = f"{address}: " if address and address not in str(error) else ""
    click.echo(f"error: {where}{error}", err=True)
    if isinstance(error, (UsageError, DaemonError)) and error.hint:
        click.echo(f"  hint: {error.hint}", err=True)


def _show_nothing(_: BaseException) -> None:
    """Say nothing: the reader of our output went away, as with ``| head``."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show_interrupted(_: BaseException) -> None:
    import click

    click.echo("interrupted", err=True)


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_Ending = tuple[tuple[type[BaseException], ...], Exit, Callable[[BaseException], None]]


def _endings() -> tuple[_Ending, ...]:
    """The table. Its library is one of the command line, which a frontend does without."""
    import click

    from buildfile.ocilayout import LayoutError

    return (
        ((KeyboardInterrupt, click.Abort, CancelledError), Exit.INTERRUPTED, _show_interrupted),
        ((BrokenPipeError,), Exit.DONE, _show_nothing),
        ((click.ClickException,), Exit.USAGE, _show_click),
        ((UsageError,), Exit.USAGE, _show_hinted),
        ((InvalidCommandError,), Exit.USAGE, _show_diagnostics),
        ((InvalidFileError,), Exit.INVALID, _show_diagnostics),
        ((RefusedError,), Exit.NO_DAEMON, _show_diagnostics),
        ((UnreachableError, TlsError, UnsupportedError), Exit.NO_DAEMON, _show_hinted),
        ((BuildFailedError,), Exit.FAILED, _show_diagnostics),
        ((DaemonError, LayoutError), Exit.FAILED, _show_hinted),
    )


def _show_bug(error: BaseException) -> None:
    """Leave a report to paste. It holds the traceback, no values of variables and no secrets."""
    import platform
    import tempfile
    import traceback
    from importlib.metadata import version

    import click

    text = "".join(traceback.format_exception(error))
    head = f"buildfile {version('buildfile')}, Python {platform.python_version()}\n"
    with tempfile.NamedTemporaryFile(
        "w", prefix="buildfile-bug-", suffix=".txt", delete=False, encoding="utf-8"
    ) as out:
        out.write(head + text)
    click.echo(f"error: this is a bug in buildfile: {type(error).__name__}: {error}", err=True)
    click.echo(f"  hint: please report it with the contents of {out.name}", err=True)
