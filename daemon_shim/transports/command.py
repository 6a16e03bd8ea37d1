"""Dialling by a command-line client: a program that pipes its standard streams to the daemon."""

from __future__ import annotations

import re
import shlex
import shutil
import socket
import threading
import time
from collections.abc import Mapping

from daemon_shim.errors import UnreachableError
from daemon_shim.transports.clients import Command
from daemon_shim.transports.deadline import Deadline
from daemon_shim.transports.dial import unreachable
from daemon_shim.transports.process import Process, ProcessStream, quoted, start

_LAST_WORDS_SECONDS = 1.0
_TRANSIENT = re.compile(
    r"ssh ended with status 255.*"
    r"(?:kex_exchange_identification|reset by peer|closed by remote host)",
    re.DOTALL,
)
"""An ssh server that has enough of new connections for a moment (sshd, MaxStartups)."""
_FRAME_HEAD = 9
_TEXT = 4096


class CommandDialler:
    """Starts a command for each connection. ``environment`` is what the command gets."""

    direct = None
    """gRPC cannot dial it itself."""

    def __init__(self, command: Command, environment: Mapping[str, str]) -> None:
        self._command = command
        self._environment = environment
        self._lock = threading.Lock()
        self._processes: list[Process] = []

    def dial(self, address: str, deadline: Deadline) -> ProcessStream:
        """Start the command and hear the daemon; raises UnreachableError."""
        stream = self._start(address)
        try:
            stream.settimeout(deadline.remaining())
            if self._command.greets:
                self._hear(stream, address, deadline)
        except BaseException:
            stream.close()
            with self._lock:
                self._processes = [each for each in self._processes if each != stream.process]
            raise
        return stream

    def last_words(self) -> str:
        """Why a command of this dialler ended, where one did that should not have; else ''."""
        with self._lock:
            known = tuple(self._processes)
        end = time.monotonic() + _LAST_WORDS_SECONDS
        told = (each.words(max(0.0, end - time.monotonic())) for each in reversed(known))
        return next(filter(None, told), "")

    def _start(self, address: str) -> ProcessStream:
        program = self._command.program
        if not shutil.which(program, path=self._environment.get("PATH")):
            raise UnreachableError(
                f"cannot reach {address}: there is no {program} on the PATH, which would make the "
                "connection",
                address=address,
                hint=f"install {program}, or name another daemon with --daemon",
            )
        try:
            stream = start(self._command.arguments, self._environment)
        except OSError as error:
            raise self._fault(address, f"{program} cannot be started: {error.strerror}") from error
        with self._lock:
            self._processes = [each for each in self._processes if each.noteworthy]
            self._processes.append(stream.process)
        return stream

    def _hear(self, stream: ProcessStream, address: str, deadline: Deadline) -> None:
        """Wait for the daemon's first frame, and leave it where it is."""
        try:
            head = stream.recv(_FRAME_HEAD, socket.MSG_PEEK)
        except OSError as error:
            late = unreachable(address, error, deadline)
            said = stream.process.complaint()
            raise UnreachableError(f"{late}{said}", address=address, hint=late.hint) from error
        if not head:
            raise self._ended(stream, address)
        if not _is_settings(head):
            raise self._babble(stream, address)

    def _ended(self, stream: ProcessStream, address: str) -> UnreachableError:
        """The error for a command that ends before the daemon is heard."""
        words = stream.process.words(_LAST_WORDS_SECONDS)
        program = self._command.program
        what = words or f"{program} ends without a connection{stream.process.complaint()}"
        return self._fault(address, what, transient=bool(_TRANSIENT.match(what)))

    def _babble(self, stream: ProcessStream, address: str) -> UnreachableError:
        """The error for a command that says something which is not the daemon's."""
        said = b""
        stream.settimeout(_LAST_WORDS_SECONDS)
        try:
            while len(said) < _TEXT and (piece := stream.recv(_TEXT)):
                said += piece
        except OSError:
            pass
        text = quoted(said) + stream.process.complaint()
        return self._fault(address, f"{self._command.program} answers in its place{text}")

    def _fault(self, address: str, what: str, *, transient: bool = False) -> UnreachableError:
        by_hand = shlex.join(self._command.arguments)
        return UnreachableError(
            f"cannot reach {address}: {what}",
            address=address,
            hint=f"at the other end {self._command.needs}; to try it by hand: {by_hand}",
            transient=transient,
        )


def _is_settings(head: bytes) -> bool:
    """Whether HTTP/2 begins there: a SETTINGS frame on stream 0, as much as there is of it."""
    return head[3:4] in (b"", b"\4") and not any(head[5:9])
