"""The contract between the session's host and its services.

The daemon is the client here: it calls methods such as ``/moby.filesync.v1.FileSync/DiffCopy``
over an HTTP/2 connection that runs inside ``Control.Session`` (session/session.go, all releases).
``daemon_shim.session.host.SessionHost`` owns that connection, one thread, and the loop; a service
is a table of methods to openers. All calls into a handler come from the host's thread, one at a
time, and must not block longer than one local disk access: slow work goes to ``Call.spawn``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

Metadata = Mapping[str, Sequence[str]]
"""Request metadata, keys in lower case; ``-bin`` values stay base64. Keys may repeat."""


@dataclass(frozen=True, slots=True)
class Status:
    """How a call ends: a gRPC status code (0 is OK) and a message for the daemon's log."""

    code: int = 0
    message: str = ""


OK = Status()


class RpcError(Exception):
    """Raised by a handler or an opener to end its call with a status."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.status = Status(code, message)


class Call(Protocol):
    """One call of the daemon, as its handler sees it."""

    @property
    def metadata(self) -> Metadata:
        """The request's metadata."""

    @property
    def queued(self) -> int:
        """Bytes accepted by ``send`` and ``send_framed`` but not yet handed to the socket."""

    def send(self, message: bytes) -> None:
        """Queue one message; the five-byte gRPC prefix is added here."""

    def send_framed(self, frames: bytes | bytearray | memoryview) -> None:
        """Queue one or many messages that already carry their prefixes (the fast path)."""

    def finish(self, status: Status = OK) -> None:
        """End the call with ``status`` once all that is queued is sent. Later sends are errors."""

    def spawn(self, work: Callable[[], object], done: Callable[[object], None]) -> None:
        """Run ``work`` on another thread, then ``done`` with its result on the host's thread.

        An exception of ``work`` ends the call (RpcError: its status; others: UNKNOWN, code 2).
        ``done`` is not called when the call has ended meanwhile.
        """

    def pause(self) -> None:
        """Take no more: the daemon stops once its window (16 MiB) is full; messages of what it
        sent until then still come.
        """

    def resume(self) -> None:
        """Undo ``pause``."""

    def watch(self, fileno: int, readable: Callable[[], None] | None) -> None:
        """Have ``readable`` called whenever ``fileno`` can be read; None stops it."""


class Handler(Protocol):
    """What answers one call. Any exception raised ends the call like in ``Call.spawn``."""

    def message(self, data: memoryview) -> None:
        """One whole message came. ``data`` is valid only during this call."""

    def half_closed(self) -> None:
        """The daemon will send nothing more."""

    def writable(self) -> None:
        """``Call.queued`` is under the low-water mark (64 KiB): produce more if there is more.

        Called right after the handler was made, after messages came, and after bytes were sent;
        so a handler that produces nothing is not called until one of these happens.
        """

    def closed(self) -> None:
        """The call is over (finished, reset by the daemon, or the session ended): free things.

        Called exactly once, always last.
        """


Opener = Callable[[Call], Handler]


class Service(Protocol):
    """A plug of the session: the methods it serves, by full path."""

    @property
    def methods(self) -> Mapping[str, Opener]:
        """Full method path to the function that makes a handler for one call."""
