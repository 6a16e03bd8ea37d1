"""What can go wrong with a daemon. The whole tree stands here; gRPC never leaves this package.

DaemonError
├── UnreachableError      nobody answers at the address, or not BuildKit
├── TlsError              the certificate is not trusted, or ours is refused
├── LostConnectionError   the daemon went away in the middle
├── UnsupportedError      the daemon lacks something that the build needs
├── SolveFailedError      the build failed on the daemon
│   └── NoSuchFileError   a result has no file of that name
└── CancelledError        the build was stopped on our side
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class SourceRange:
    """A place in a source that the definition carried; lines and characters as sent (1, 0).

    ``text`` is all of the source, where the daemon tells it.
    """

    file: str
    start_line: int
    start_character: int
    end_line: int
    end_character: int
    text: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True)
class StackFrame:
    """A place in the daemon's own code that an error passed, as it tells from v0.8 on."""

    function: str
    file: str
    line: int


class DaemonError(Exception):
    """Any failure that comes from, or on the way to, a daemon. ``address`` says which."""

    def __init__(self, message: str, *, address: str = "", hint: str | None = None) -> None:
        super().__init__(message)
        self.address = address
        self.hint = hint


class UnreachableError(DaemonError):
    """Nobody answers at the address, or what answers is not BuildKit.

    ``transient`` is whether dialling again at once may do better.
    """

    def __init__(
        self, message: str, *, address: str = "", hint: str | None = None, transient: bool = False
    ) -> None:
        super().__init__(message, address=address, hint=hint)
        self.transient = transient


class TlsError(DaemonError):
    """The TLS handshake failed: an unknown authority, a wrong name, or our certificate."""


class LostConnectionError(DaemonError):
    """The daemon went away in the middle of a call."""


class UnsupportedError(DaemonError):
    """The daemon lacks a feature; ``since`` is the BuildKit release that has it ('' unknown)."""

    def __init__(self, message: str, *, feature: str, since: str = "", address: str = "") -> None:
        super().__init__(message, address=address)
        self.feature = feature
        self.since = since


class SolveFailedError(DaemonError):
    """The build failed on the daemon.

    ``vertex`` is the failing vertex's digest where the daemon tells (v0.8 and later), ``ranges``
    the places in the definition's sources, ``exit_code`` a failed process's, ``code`` the gRPC
    status name such as ``UNKNOWN``. ``step`` is the vertex's name where a builder's own definition
    has it. ``stack`` is the way through the daemon's code, the innermost place first. ``status``
    is the daemon's serialised ``google.rpc.Status``, which a builder hands on with its Return;
    empty to v0.7. ``mounts`` are ids of the trees of a process's mounts when it failed, '' where
    one has none. Only a builder has them, for as long as its build lasts.
    """

    def __init__(  # noqa: PLR0913 - a value object in an exception's clothes
        self,
        message: str,
        *,
        code: str,
        vertex: str = "",
        ranges: Sequence[SourceRange] = (),
        exit_code: int | None = None,
        address: str = "",
        stack: Sequence[StackFrame] = (),
        status: bytes = b"",
        mounts: Sequence[str] = (),
    ) -> None:
        super().__init__(message, address=address)
        self.mounts = tuple(mounts)
        self.code = code
        self.vertex = vertex
        self.ranges = tuple(ranges)
        self.exit_code = exit_code
        self.stack = tuple(stack)
        self.status = status
        self.step = ""


class NoSuchFileError(SolveFailedError):
    """A result has no file or folder of the name that was asked for."""


class CancelledError(DaemonError):
    """The build was stopped on our side, and the daemon was told."""
