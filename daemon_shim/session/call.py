"""One call of the daemon, from the server's side (the ``Call`` of the service contract)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from daemon_shim.http2.connection import Connection
from daemon_shim.http2.errors import Http2Error
from daemon_shim.http2.events import Header
from daemon_shim.http2.frames import Buffer
from daemon_shim.http2.grpc_framing import CONTENT_TYPE, MessageReader, prefix, status_trailers
from daemon_shim.session.service import OK, Handler, Metadata, Status

_HEAD: list[Header] = [(b":status", b"200"), (b"content-type", CONTENT_TYPE)]


class Loop(Protocol):
    """What runs the calls: the host's thread, seen from below."""

    def spawn(self, work: Callable[[], object], done: Callable[[object], None]) -> None:
        """Run ``work`` on another thread, then ``done`` here with its result or exception."""

    def watch(self, fileno: int, readable: Callable[[], None] | None) -> None:
        """Have ``readable`` called whenever ``fileno`` can be read; None stops it."""

    @property
    def backlog(self) -> int:
        """Bytes that left the server but not the process."""


Guard = Callable[["ServedCall", Callable[[], None]], None]
"""Runs a call's code, and ends the call for what it raises."""


class ServedCall:
    """Implements ``service.Call`` over one stream of the inner connection."""

    def __init__(
        self, connection: Connection, stream_id: int, headers: Iterable[Header], loop: Loop
    ) -> None:
        self.stream_id = stream_id
        self.reader = MessageReader()
        self.handler: Handler | None = None
        self.finished = False
        self.over = False
        """Whether the handler was told that the call is closed."""
        self.guard: Guard = _unguarded
        self._connection = connection
        self._loop = loop
        self._metadata = _metadata(headers)
        self._headed = False
        self._watched: set[int] = set()
        self._paused = False
        self._owed = 0

    @property
    def metadata(self) -> Metadata:
        """The request's metadata."""
        return self._metadata

    @property
    def queued(self) -> int:
        """Bytes accepted but not yet handed to the socket, with what shares the way there."""
        return self._connection.queued(self.stream_id) + self._loop.backlog

    def send(self, message: bytes) -> None:
        """Queue one message."""
        self.send_framed(prefix(len(message)) + message)

    def send_framed(self, frames: Buffer) -> None:
        """Queue bytes of messages with their prefixes; a message may span several calls."""
        if self.finished or self.over:
            raise RuntimeError("the call is over")
        if not self._headed:
            self._headed = True
            self._connection.send_headers(self.stream_id, _HEAD)
        self._connection.send_data(self.stream_id, frames)

    def finish(self, status: Status = OK) -> None:
        """End the call with ``status`` once all that is queued is sent."""
        if self.finished or self.over:
            return
        self.finished = True
        trailers = status_trailers(status.code, status.message)
        if not self._headed:
            trailers = _HEAD + trailers
        try:
            self._connection.end_stream(self.stream_id, trailers)
        except Http2Error:
            return  # the daemon reset the stream meanwhile

    def spawn(self, work: Callable[[], object], done: Callable[[object], None]) -> None:
        """Run ``work`` on another thread, then ``done`` with its result on the host's thread."""

        def back(result: object) -> None:
            if not self.over:
                self.guard(self, lambda: _deliver(result, done))

        self._loop.spawn(work, back)

    def pause(self) -> None:
        """Withhold the window's credit from now on."""
        self._paused = True

    def resume(self) -> None:
        """Give the credit withheld."""
        self._paused = False
        self.used(0)

    def used(self, size: int) -> None:
        """Count ``size`` received bytes as used, now or at ``resume``."""
        self._owed += size
        if self._owed and not self._paused:
            self._connection.acknowledge(self.stream_id, self._owed)
            self._owed = 0

    def watch(self, fileno: int, readable: Callable[[], None] | None) -> None:
        """Have ``readable`` called whenever ``fileno`` can be read; None stops it."""
        if readable is None:
            self._watched.discard(fileno)
            self._loop.watch(fileno, None)
            return
        self._watched.add(fileno)
        self._loop.watch(fileno, lambda: self.guard(self, readable))

    def release(self) -> None:
        """Stop all watching, and hold nothing back."""
        self.resume()
        for fileno in self._watched:
            self._loop.watch(fileno, None)
        self._watched.clear()


def _unguarded(call: ServedCall, code: Callable[[], None]) -> None:
    code()


def _deliver(result: object, done: Callable[[object], None]) -> None:
    if isinstance(result, Exception):
        raise result
    done(result)


def _metadata(headers: Iterable[Header]) -> Metadata:
    found: dict[str, list[str]] = {}
    for name, value in headers:
        if not name.startswith(b":"):
            text = value.decode("utf-8", "surrogateescape")
            found.setdefault(name.decode("ascii", "replace"), []).append(text)
    return found
