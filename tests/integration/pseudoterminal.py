"""A command in a terminal of its own, as somebody who types sees it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

_SECONDS = 60


class PseudoTerminal:
    """The command, and the other end of its terminal. Made by ``started``."""

    def __init__(self, process: subprocess.Popen[bytes], end: int) -> None:
        self._process = process
        self._end = end
        self.shown = b""

    def until(self, text: str) -> bytes:
        """Read until ``text`` is shown; what was shown since the last time."""
        before = len(self.shown)
        while text.encode() not in self.shown[before:]:
            if not select.select([self._end], [], [], _SECONDS)[0]:
                raise AssertionError(f"no {text!r} in {self.shown!r}")
            piece = self._read()
            assert piece, f"ended without {text!r}: {self.shown!r}"
        return self.shown[before:]

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._end, text.encode())

    def resize(self, rows: int, columns: int) -> None:
        """Change the terminal's size."""
        fcntl.ioctl(self._end, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def settings(self) -> list[Any]:
        """The terminal's settings, to compare."""
        return termios.tcgetattr(self._end)

    def send(self, number: signal.Signals) -> None:
        """Send the command a signal."""
        self._process.send_signal(number)

    def end(self) -> int:
        """Read to the end; the exit code, or minus the signal."""
        while self._read():
            pass
        return self._process.wait(_SECONDS)

    def _read(self) -> bytes:
        try:
            piece = os.read(self._end, 1 << 16)
        except OSError:  # as Linux says that nobody has the other end open
            piece = b""
        self.shown += piece
        return piece


@contextlib.contextmanager
def started(
    command: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> Iterator[PseudoTerminal]:
    """Start a command in a terminal of 24 rows and 80 columns."""
    end, theirs = pty.openpty()
    script = 'stty rows 24 cols 80; exec "$@"'
    process = subprocess.Popen(
        ["setsid", "--ctty", "sh", "-c", script, "sh", *command],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=folder,
        env=environment,
    )
    os.close(theirs)
    try:
        yield PseudoTerminal(process, end)
    finally:
        process.kill()
        process.wait()
        os.close(end)
