"""Calls to a daemon at the other end of two pipes, as a gateway container has it.

One call after the other, by the thread that makes it: gRPC's library cannot take pipes, and needs
threads, which new C libraries cannot start where the daemon's seccomp profile refuses ``clone3``
(seen in v0.8). Without it a frontend starts sooner, too.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import threading
from collections.abc import Sequence
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from daemon_shim import failure
from daemon_shim.errors import DaemonError, LostConnectionError
from daemon_shim.http2.connection import Connection
from daemon_shim.http2.errors import Http2Error
from daemon_shim.http2.events import (
    DataReceived,
    Event,
    GoawayReceived,
    Header,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from daemon_shim.http2.grpc_framing import (
    CONTENT_TYPE,
    MessageError,
    MessageReader,
    prefix,
    read_status,
)
from daemon_shim.http2.limits import Limits
from schemas.rpc import Rpc

Req = TypeVar("Req", bound=Message)
Res = TypeVar("Res", bound=Message)

ADDRESS = "the daemon"
_PIECE = 256 << 10
# A failed step's trailers hold the whole source file (errdefs.Source, v0.8 and later).
_TRAILERS = 64 << 20
_LIMITS = Limits(
    header_list_size=_TRAILERS, header_block_size=_TRAILERS, continuations=_TRAILERS >> 14
)
_MESSAGE = 64 << 20


class Pipes:
    """The connection: reads from ``read`` and writes to ``write``, two descriptors.

    Threads may share it; their calls wait for one another.
    """

    def __init__(self, read: int, write: int) -> None:
        self._read = read
        self._write = write
        self._connection = Connection(client=True, allowed=_LIMITS)
        self._lock = threading.Lock()

    def call(self, rpc: Rpc[Req, Res], message: Req, *, blame: bool = True) -> Res:
        """Make a call and wait for its answer. Raises a DaemonError.

        Nobody tells this side which vertex failed where the status does not (to v0.7).
        """
        with self._lock:
            answer = _Answer(self._ask(rpc.path, message.SerializeToString()))
            try:
                while not answer.done:
                    self._flush()
                    self._take_in(answer)
                self._flush()
            except (Http2Error, MessageError) as error:
                raise _lost(str(error)) from error
        try:
            return rpc.response.FromString(answer.result())
        except DecodeError as error:
            raise _lost("its answer cannot be read") from error

    def _ask(self, path: str, body: bytes) -> int:
        try:
            stream = self._connection.open_stream(_request(path))
        except Http2Error as error:
            raise _lost(str(error)) from error
        self._connection.send_data(stream, prefix(len(body)) + body)
        self._connection.end_stream(stream)
        return stream

    def _flush(self) -> None:
        """Write all that the daemon's windows allow."""
        while buffers := self._connection.take(_PIECE)[0]:
            for buffer in buffers:
                view = memoryview(buffer)
                while view:
                    try:
                        view = view[os.write(self._write, view) :]
                    except OSError as error:
                        raise _lost(f"standard output: {error.strerror}") from error

    def _take_in(self, answer: _Answer) -> None:
        try:
            data = os.read(self._read, _PIECE)
        except OSError as error:
            raise _lost(f"standard input: {error.strerror}") from error
        if not data:
            raise _lost("standard input was closed")
        for event in self._connection.receive(data):
            if isinstance(event, DataReceived):
                self._connection.acknowledge(event.stream_id, len(event.data))
            answer.add(event)


class _Answer:
    """What has come of the answer to the call on ``stream``."""

    def __init__(self, stream: int) -> None:
        self._stream = stream
        self._reader = MessageReader(_MESSAGE)
        self._message: bytes | None = None
        self._status: tuple[int, str] | None = None
        self._packed = b""
        self.done = False

    def add(self, event: Event) -> None:
        """Take an event in; those of earlier streams, and of the connection, tell nothing."""
        if isinstance(event, GoawayReceived) and event.last_stream_id < self._stream:
            raise _lost("it takes no more calls")
        if getattr(event, "stream_id", None) != self._stream:
            return
        if isinstance(event, DataReceived):
            for message in self._reader.feed(event.data):
                self._message = bytes(message)
        elif isinstance(event, (ResponseReceived, TrailersReceived)):
            self._read_headers(event.headers)
        elif isinstance(event, (StreamEnded, StreamReset)):
            self.done = True

    def result(self) -> bytes:
        """The message. Raises the error that the status tells of."""
        if self._status is None:
            raise _lost("a call was broken off")
        code, text = self._status
        if code or self._message is None:
            name = failure.CODES[code] if 0 < code < len(failure.CODES) else "UNKNOWN"
            told = failure.of_status(name, text, self._packed)
            raise failure.to_error(told, address=ADDRESS)
        return self._message

    def _read_headers(self, headers: list[Header]) -> None:
        self._status = read_status(headers) or self._status
        packed = dict(headers).get(failure.DETAILS.encode(), b"")
        with contextlib.suppress(binascii.Error):  # then the message is all there is
            self._packed = base64.b64decode(packed + b"=" * (-len(packed) % 4)) or self._packed


def _request(path: str) -> Sequence[Header]:
    return (
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", path.encode()),
        (b":authority", b"localhost"),
        (b"content-type", CONTENT_TYPE),
        (b"user-agent", b"buildfile"),
        (b"te", b"trailers"),
    )


def _lost(why: str) -> DaemonError:
    return LostConnectionError(f"lost the connection to the daemon: {why}", address=ADDRESS)
