"""The gRPC server inside the session's stream: calls to handlers. Sans-IO."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from daemon_shim.http2.connection import Connection
from daemon_shim.http2.events import (
    DataReceived,
    GoawayReceived,
    Header,
    RequestReceived,
    StreamEnded,
    StreamReset,
)
from daemon_shim.http2.frames import Buffer
from daemon_shim.http2.grpc_framing import CONTENT_TYPE, MessageError
from daemon_shim.session.call import Loop, ServedCall
from daemon_shim.session.service import Handler, Opener, RpcError, Status

_LOW_WATER = 64 << 10
_UNKNOWN = 2
_UNIMPLEMENTED = 12
_INTERNAL = 13

_log = logging.getLogger(__name__)


class SessionServer:
    """Serves ``methods`` (full path to opener) to the daemon."""

    def __init__(self, methods: Mapping[str, Opener], loop: Loop) -> None:
        self._methods = methods
        self._loop = loop
        self._connection = Connection(client=False)
        self._calls: dict[int, ServedCall] = {}
        self._moved: dict[int, None] = {}
        """Calls that may be asked for more: new ones, and those that had bytes sent since."""
        self._leaving = False

    @property
    def abandoned(self) -> bool:
        """Whether the daemon said farewell and no call is left."""
        return self._leaving and not self._calls

    def receive(self, data: Buffer) -> None:
        """Take bytes of the daemon. Raises ProtocolError."""
        for event in self._connection.receive(data):
            if isinstance(event, DataReceived):
                self._on_data(event.stream_id, event.data)
            elif isinstance(event, RequestReceived):
                self._on_request(event)
            elif isinstance(event, StreamEnded):
                self._on_ended(event.stream_id)
            elif isinstance(event, StreamReset):
                self._on_reset(event.stream_id)
            elif isinstance(event, GoawayReceived):
                self._leaving = True

    def feed(self) -> None:
        """Ask those handlers for more whose calls have little on the way."""
        if not self._moved or self._loop.backlog >= _LOW_WATER:
            return
        for stream_id in list(self._moved):
            call = self._calls.get(stream_id)
            if call is None or call.handler is None:
                del self._moved[stream_id]
            elif call.queued < _LOW_WATER:
                del self._moved[stream_id]
                self._guard(call, call.handler.writable)

    def take(self, limit: int) -> list[Buffer]:
        """Return bytes for the daemon, with about ``limit`` bytes of messages at most."""
        out, moved = self._connection.take(limit)
        self._moved.update(dict.fromkeys(moved))
        return out

    def close(self) -> None:
        """End all calls: the session is over."""
        for call in list(self._calls.values()):
            self._close(call)

    def _on_request(self, event: RequestReceived) -> None:
        headers = dict(event.headers)
        call = ServedCall(self._connection, event.stream_id, event.headers, self._loop)
        call.guard = self._guard
        if refusal := _refusal(headers):
            self._connection.end_stream(event.stream_id, refusal)
            return
        opener = self._methods.get(headers[b":path"].decode("utf-8", "replace"))
        if opener is None:
            call.finish(Status(_UNIMPLEMENTED, "not served by this client"))
            return
        self._calls[call.stream_id] = call
        self._moved[call.stream_id] = None
        self._guard(call, lambda: self._open(call, opener))

    def _open(self, call: ServedCall, opener: Opener) -> None:
        call.handler = opener(call)

    def _on_data(self, stream_id: int, data: memoryview) -> None:
        call = self._calls.get(stream_id)
        if call is None or call.handler is None:
            self._connection.acknowledge(stream_id, len(data))
            return
        handler = call.handler
        self._guard(call, lambda: _read(call, handler, data))
        call.used(len(data))
        self._moved[stream_id] = None  # what came may be what the handler waited for

    def _on_ended(self, stream_id: int) -> None:
        call = self._calls.get(stream_id)
        if call is None or call.handler is None:
            return
        if call.reader.partial:
            call.finish(Status(_INTERNAL, "the last message was cut"))
            self._close(call)
        else:
            self._guard(call, call.handler.half_closed)

    def _on_reset(self, stream_id: int) -> None:
        call = self._calls.get(stream_id)
        if call is not None:
            self._close(call)

    def _guard(self, call: ServedCall, code: Callable[[], None]) -> None:
        try:
            code()
        except RpcError as error:
            call.finish(error.status)
        except MessageError as error:
            call.finish(Status(error.code, f"the daemon sent {error}"))
        except Exception as error:
            # The text stays here: it may name what the daemon should not know.
            _log.debug("a session handler failed", exc_info=True)
            call.finish(Status(_UNKNOWN, f"the client failed: {type(error).__name__}"))
        if call.finished and not call.over:
            self._close(call)

    def _close(self, call: ServedCall) -> None:
        call.over = True
        del self._calls[call.stream_id]
        call.release()
        if call.handler is None:
            return
        try:
            call.handler.closed()
        except Exception:
            _log.debug("a session handler failed to close", exc_info=True)


def _read(call: ServedCall, handler: Handler, data: memoryview) -> None:
    for message in call.reader.feed(data):
        handler.message(message)
        if call.finished:
            return


def _refusal(headers: Mapping[bytes, bytes]) -> list[Header] | None:
    if headers[b":method"] != b"POST":
        return [(b":status", b"405")]
    if not headers.get(b"content-type", b"").startswith(CONTENT_TYPE):
        return [(b":status", b"415")]
    return None
