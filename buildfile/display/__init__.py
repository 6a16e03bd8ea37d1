"""Ways to show a run's progress: a table of modes, and which one fits a stream."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TextIO

from buildfile.display.base import Display
from buildfile.display.plain import PlainDisplay
from buildfile.display.quiet import QuietDisplay
from buildfile.display.rawjson import RawJsonDisplay
from buildfile.exits import UsageError

__all__ = ["MODES", "Display", "choose", "shown"]

_Environment = Mapping[str, str]


def choose(mode: str, stream: TextIO, environment: _Environment) -> Display:
    """The display for a ``--progress`` mode; ``auto`` follows BUILDKIT_PROGRESS, then the stream.

    Raises UsageError for a mode that does not exist, and for ``tty`` where there is no terminal.
    """
    if mode != "auto":
        return _make(mode, "--progress", stream, environment)
    named = environment.get("BUILDKIT_PROGRESS") or "auto"
    return _make(named, "BUILDKIT_PROGRESS", stream, environment)


@contextmanager
def shown(mode: str, stream: TextIO, environment: _Environment) -> Iterator[Display]:
    """As ``choose``; in the end the display is closed, however that comes."""
    display = choose(mode, stream, environment)
    try:
        yield display
    finally:
        display.close(None)


def _make(mode: str, origin: str, stream: TextIO, environment: _Environment) -> Display:
    make = MODES.get(mode)
    if make is None:
        raise UsageError(f"{origin}: no progress mode {mode!r}", hint=f"modes: {', '.join(MODES)}")
    return make(stream, environment)


def _auto(stream: TextIO, environment: _Environment) -> Display:
    return _live(stream, environment) if stream.isatty() else PlainDisplay(stream)


def _tty(stream: TextIO, environment: _Environment) -> Display:
    if not stream.isatty():
        raise UsageError(
            "progress mode 'tty' needs a terminal, and standard error is none",
            hint="use --progress plain, or auto",
        )
    return _live(stream, environment)


def _live(stream: TextIO, environment: _Environment) -> Display:
    """The live display, unless the terminal cannot move its cursor."""
    if environment.get("TERM", "dumb") in ("", "dumb", "unknown"):
        return PlainDisplay(stream)
    from buildfile.display.tty import TtyDisplay

    return TtyDisplay(stream, environment, size=lambda: _size(stream))


def _size(stream: TextIO) -> os.terminal_size:
    """Columns and lines of the stream's terminal; 80 by 24 where it does not say."""
    try:
        told = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        told = os.terminal_size((0, 0))
    return told if all(told) else os.terminal_size((80, 24))


MODES: Mapping[str, Callable[[TextIO, _Environment], Display]] = {
    "auto": _auto,
    "plain": lambda stream, _: PlainDisplay(stream),
    "tty": _tty,
    "rawjson": lambda stream, _: RawJsonDisplay(stream),
    "quiet": lambda *_: QuietDisplay(),
    "none": lambda *_: QuietDisplay(),
}
