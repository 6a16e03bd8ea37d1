"""Opening sockets: each dialler turns a place into a connected stream, and faults into sentences.

A dialler is given a deadline and returns a blocking stream whose time-out is still the deadline's;
whoever hands the stream on clears it.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from daemon_shim.errors import DaemonError, UnreachableError
from daemon_shim.transports.base import Stream
from daemon_shim.transports.deadline import Deadline

_UNIX_BUFFER = 4 << 20
"""Bytes that a unix socket is asked to hold of what we send; the system may allow less.

Its usual 200 KiB do not grow by themselves. A large piece would leave in six writes, with a wait
before each until the daemon has read.
"""


class Dialler(Protocol):
    """Something that connects."""

    @property
    def direct(self) -> str | None:
        """The place as a gRPC target, or None when gRPC cannot dial it itself."""

    def dial(self, address: str, deadline: Deadline) -> Stream:
        """Connect. ``address`` is for diagnostics. Raises UnreachableError or TlsError."""

    def last_words(self) -> str:
        """Why a connection ended, where a program carried it that says so; else ''."""


@dataclass(frozen=True, kw_only=True)
class UnixDialler:
    """A socket in the file system."""

    path: str

    @property
    def direct(self) -> str | None:
        """The socket as gRPC writes it."""
        return f"unix:{self.path}"

    def dial(self, address: str, deadline: Deadline) -> Stream:
        """Connect; raises UnreachableError."""
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _UNIX_BUFFER)
            connection.settimeout(deadline.remaining())
            connection.connect(self.path)
        except OSError as error:
            connection.close()
            raise unreachable(address, error, deadline) from error
        return connection

    def last_words(self) -> str:
        """Say nothing."""
        return ""


@dataclass(frozen=True, kw_only=True)
class TcpDialler:
    """A host and a port, without encryption.

    A peer that is gone without a word is noticed by the system's keep-alive, which also keeps
    idle connections open on their way. One of gRPC's would make daemons close the connection.
    """

    host: str
    port: int

    @property
    def direct(self) -> str | None:
        """None: gRPC sets no keep-alive of the system."""
        return None

    def dial(self, address: str, deadline: Deadline) -> socket.socket:
        """Connect; raises UnreachableError."""
        try:
            connection = socket.create_connection((self.host, self.port), deadline.remaining())
        except OSError as error:
            raise unreachable(address, error, deadline) from error
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _keep_alive(connection)
        return connection

    def last_words(self) -> str:
        """Say nothing."""
        return ""


# Seconds of silence before the first probe, between probes, and how many go unanswered.
_KEEP_ALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 6}


def _keep_alive(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEP_ALIVE.items():
        if option := getattr(socket, name, None):
            connection.setsockopt(socket.IPPROTO_TCP, option, value)


_START = "start the daemon, or name another with --daemon"
_FAULTS: dict[int, tuple[str, str]] = {
    errno.ENOENT: ("there is no socket", _START),
    errno.ECONNREFUSED: ("nobody answers there", _START),
    errno.ENOTSOCK: ("that is not a socket", "name the socket that the daemon listens on"),
    errno.EACCES: ("you may not open it", "run as a user of the socket's group, or as root"),
    errno.EPERM: ("you may not open it", "run as a user of the socket's group, or as root"),
    errno.EHOSTUNREACH: ("there is no way to that host", "check the host name and the network"),
    errno.ENETUNREACH: ("there is no way to that network", "check the host name and the network"),
    errno.ECONNRESET: ("it closed the connection at once", "check that a BuildKit daemon is there"),
    errno.EPIPE: ("it closed the connection at once", "check that a BuildKit daemon is there"),
}

# A full queue of a listener, a connection cut by what stands between, a name server at a loss.
_TRANSIENT = (
    *(errno.EAGAIN, errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE),
    socket.EAI_AGAIN,
)


def unreachable(address: str, error: OSError, deadline: Deadline) -> UnreachableError:
    """The error that says why nobody was reached, and what to do."""
    for kind, sentence in _KINDS:
        if isinstance(error, kind):
            what, hint = sentence(deadline)
            break
    else:
        default = (error.strerror or str(error), "check the address")
        what, hint = _FAULTS.get(error.errno or 0, default)
    return UnreachableError(
        f"cannot reach {address}: {what}",
        address=address,
        hint=hint,
        transient=error.errno in _TRANSIENT,
    )


_KINDS: tuple[tuple[type[OSError], Callable[[Deadline], tuple[str, str]]], ...] = (
    (
        TimeoutError,
        lambda deadline: (
            f"no answer within {deadline.seconds:g} seconds",
            "check the address, or wait longer with --timeout",
        ),
    ),
    (socket.gaierror, lambda _: ("the host name is not known", "check the spelling of the host")),
)


def not_buildkit(address: str, what: str, hint: str) -> DaemonError:
    """The error for an address where somebody answers who is not BuildKit."""
    return UnreachableError(
        f"{address} is not a BuildKit daemon: {what}", address=address, hint=hint
    )
