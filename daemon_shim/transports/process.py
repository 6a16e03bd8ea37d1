"""A client program that carries a connection: its standard input and output are the byte stream.

The program runs in a session of its own: Ctrl-C on the terminal is for this side, which says what
ends when. Both its streams are one socket, so that it reads the end when this side goes, however
that happens; one that does not listen is made to end.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from typing import IO

_GRACE = 2.0
"""Seconds that a program gets to end by itself, and then to heed a signal."""
_TAIL = 4096
_LINES = 5
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[@-Z\\-_])")


class Process:
    """A program that runs. ``name`` is how faults call it."""

    def __init__(self, name: str, popen: subprocess.Popen[bytes], said: IO[bytes]) -> None:
        self._name = name
        self._popen = popen
        self._said = said
        self._kept: bytes | None = None
        self._lock = threading.Lock()
        self._dismissed = False

    @property
    def status(self) -> int | None:
        """Its exit code; below 0 for a signal, None while it runs."""
        return self._popen.poll()

    @property
    def noteworthy(self) -> bool:
        """Whether it runs for somebody, or ended by itself and not well."""
        return not self._dismissed and self.status != 0

    def words(self, within: float) -> str:
        """How it ended by itself, and what it said; '' when it has not failed.

        ``within`` in seconds is how long to wait for its end.
        """
        try:
            status = self._popen.wait(within)
        except subprocess.TimeoutExpired:
            return ""
        if self._dismissed or status == 0:
            return ""
        how = f"ended with status {status}" if status > 0 else f"was ended by signal {-status}"
        return f"{self._name} {how}{self.complaint() or ', and said nothing'}"

    def complaint(self) -> str:
        """The end of its standard error, as the end of a sentence; '' for none."""
        with self._lock:
            return quoted(self._tail() if self._kept is None else self._kept)

    def _tail(self) -> bytes:
        size = os.fstat(self._said.fileno()).st_size
        return os.pread(self._said.fileno(), _TAIL, max(0, size - _TAIL))

    def end(self, *, dismissed: bool) -> None:
        """Have it end, without waiting for that. Its streams are closed already.

        ``dismissed`` is whether that was our wish: then it is no failure, however it ends.
        """
        self._dismissed = self._dismissed or dismissed
        if self.status is not None:
            return self._release()
        try:  # no daemon thread: the interpreter waits for it, and so for the program
            threading.Thread(target=self._stop, name="client-end", daemon=False).start()
        except RuntimeError:  # the interpreter takes no new threads at its end
            self._stop()

    def _stop(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                self._popen.wait(_GRACE)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._popen.pid, number)
        self._popen.wait()
        self._release()

    def _release(self) -> None:
        """Keep what is left to say, and close the file that it stood in."""
        with self._lock:
            if self._kept is None:
                self._kept = self._tail()
                self._said.close()


class ProcessStream(socket.socket):
    """Our end of the stream. The program ends with it."""

    def __init__(self, process: Process, fileno: int) -> None:
        super().__init__(fileno=fileno)
        self.process = process

    def close(self) -> None:
        """Close it, and have the program end."""
        dismissed = not self._is_cut()
        super().close()
        self.process.end(dismissed=dismissed)

    def _is_cut(self) -> bool:
        """Whether the program has closed it before."""
        try:
            return not self.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except OSError:
            return False


def start(arguments: Sequence[str], environment: Mapping[str, str]) -> ProcessStream:
    """Start a program of the PATH, without a shell. Raises OSError where that fails."""
    ours, theirs = socket.socketpair()
    said = tempfile.TemporaryFile()  # noqa: SIM115 -- it lives as long as the process
    with theirs:
        try:
            popen = subprocess.Popen(
                arguments,
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=said,
                start_new_session=True,
                env=dict(environment),
            )
        except BaseException:
            ours.close()
            said.close()
            raise
    return ProcessStream(Process(os.path.basename(arguments[0]), popen, said), ours.detach())  # noqa: PTH119


def quoted(text: bytes) -> str:
    """What a program said, as the end of a sentence: its last lines, free of control characters."""
    lines = _ESCAPES.sub("", text.decode("utf-8", "replace")).splitlines()
    clean = ["".join(filter(str.isprintable, line)).strip() for line in lines]
    told = [line for line in clean if line][-_LINES:]
    return f": {told[0]}" if len(told) == 1 else "".join(f"\n    {line}" for line in told)
