"""The terminal that a process on a daemon takes over: its keys, its size, and giving it back."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_PIECE = 32 << 10
_ENDINGS = (signal.SIGTERM, signal.SIGHUP)


class Terminal:
    """Standard input and output of this process, where they are a terminal; else only pipes.

    ``watched`` is for the main thread, all else for the one that talks to the process.
    """

    def __init__(self) -> None:
        self._input = 0
        self.is_one = os.isatty(0) and os.isatty(1)
        self._saved: list[object] | None = None
        self._lock = threading.Lock()
        self._resized: Callable[[int, int], None] = lambda rows, columns: None

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Hear of new sizes, and leave the terminal as it was, whatever ends this process."""
        handlers: dict[int, Callable[[int, FrameType | None], None]] = {}
        if self.is_one:
            handlers = {**dict.fromkeys(_ENDINGS, self._ended), signal.SIGWINCH: self._changed}
        before = {number: signal.signal(number, do) for number, do in handlers.items()}
        try:
            yield
        finally:
            self.restore()
            for number, usual in before.items():
                signal.signal(number, usual)

    @contextmanager
    def taken(self, resized: Callable[[int, int], None]) -> Iterator[None]:
        """Hand every key on as it is, and tell ``resized`` rows and columns, now and later."""
        if not self.is_one:
            yield
            return
        self._resized = resized
        self._changed()
        try:
            with self._lock:
                self._saved = termios.tcgetattr(self._input)
                tty.setraw(self._input)
            yield
        finally:
            self._resized = lambda rows, columns: None
            self.restore()

    def restore(self) -> None:
        """Leave the terminal as it was. Harmless at any time."""
        with self._lock:
            saved, self._saved = self._saved, None
        if saved is not None:
            termios.tcsetattr(self._input, termios.TCSADRAIN, saved)  # type: ignore[arg-type]

    def _changed(self, *_: object) -> None:
        size = os.get_terminal_size(1)
        self._resized(size.lines, size.columns)

    def _ended(self, number: int, frame: FrameType | None) -> None:
        self.restore()
        signal.default_int_handler(number, frame)


class Keys:
    """Standard input in pieces as they come, until its end or ``stop``.

    It is read past Python's buffer: a thread that waits in there would break the interpreter's end.
    """

    def __init__(self) -> None:
        self._wake, self._waker = os.pipe()

    def __iter__(self) -> Iterator[bytes]:
        while piece := self._next():
            yield piece

    def _next(self) -> bytes:
        try:
            ready, _, _ = select.select([0, self._wake], [], [])
            return b"" if self._wake in ready else os.read(0, _PIECE)
        except OSError:  # there is none, or its terminal is gone
            return b""

    def stop(self) -> None:
        """End the pieces, from another thread."""
        os.close(self._waker)


class Screen:
    """Standard output or error for a process's bytes, shown at once."""

    def __init__(self, name: str) -> None:
        self._stream = getattr(sys, name).buffer
        self.has_shown = False

    def write(self, data: bytes) -> None:
        """Show all of it."""
        self.has_shown = True
        self._stream.write(data)
        self._stream.flush()
