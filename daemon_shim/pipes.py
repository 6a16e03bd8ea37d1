"""Calls to a daemon at the other end of two pipes, as a gateway container has it.

No thread of its own: gRPC's library cannot take pipes, and needs threads, which new C libraries
cannot start where the daemon's seccomp profile refuses ``clone3`` (seen in v0.8). Without it a
frontend starts sooner, too. Whoever waits for an answer reads for all who wait.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from google.protobuf.message import DecodeError, Message

from daemon_shim import failure
from daemon_shim.errors import DaemonError, LostConnectionError
from daemon_shim.http2.connection import Connection
from daemon_shim.http2.errors import Http2Error
from daemon_shim.http2.events import (
    DataReceived,
    Event,
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
_AHEAD = 64 << 10
"""Bytes of a feed that may wait for the daemon's windows."""
# A failed step's trailers hold the whole source file (errdefs.Source, v0.8 and later).
_TRAILERS = 64 << 20
_LIMITS = Limits(
    header_list_size=_TRAILERS, header_block_size=_TRAILERS, continuations=_TRAILERS >> 14
)
_MESSAGE = 64 << 20


class Pipes:
    """The connection: reads from ``read`` and writes to ``write``, two descriptors.

    Threads may share it, each with calls of its own.
    """

    def __init__(self, read: int, write: int) -> None:
        self._read = read
        self._write = write
        self._connection = Connection(client=True, allowed=_LIMITS)
        self._turn = threading.Condition()
        self._answers: dict[int, _Answer] = {}
        self._is_read = False
        self._broken: DaemonError | None = None

    def call(self, rpc: Rpc[Req, Res], message: Req, *, blame: bool = True) -> Res:
        """Make a call and wait for its answer. Raises a DaemonError.

        Nobody tells this side which vertex failed where the status does not (to v0.7).
        """
        exchange = self.converse(rpc)
        try:
            exchange.send(message, last=True)
            answer = exchange.receive()
            if answer is None or exchange.receive() is not None:
                raise _lost("a call has not one answer")
            return answer
        finally:
            exchange.close()

    def converse(self, rpc: Rpc[Req, Res]) -> PipeExchange[Req, Res]:
        """Start a call of many messages both ways. Raises a DaemonError."""
        with self._turn:
            self._check()
            try:
                stream = self._connection.open_stream(_request(rpc.path))
            except Http2Error as error:
                raise _lost(str(error)) from error
            answer = self._answers[stream] = _Answer()
        return PipeExchange(self, rpc, stream, answer)

    # --- for exchanges -------------------------------------------------------------------------

    def put(self, stream: int, data: bytes, *, last: bool) -> None:
        """Send as much of a message as the daemon's windows allow; the rest follows later.

        What is for a call that has ended goes nowhere.
        """
        with self._turn:
            self._check()
            if not self._connection.alive(stream) or self._answers[stream].done:
                return
            self._connection.send_data(stream, prefix(len(data)) + data)
            if last:
                self._connection.end_stream(stream)
            self._flush()

    def wait(self, stream: int, ready: Callable[[], bool]) -> None:
        """Wait until ``ready``, letting the daemon send more of ``stream`` meanwhile."""
        answer = self._answers[stream]
        with self._turn:
            while not ready():
                self._check()
                self._connection.acknowledge(stream, answer.take_held())
                self._flush()
                if self._is_read:
                    self._turn.wait()
                else:
                    self._take_in()

    def has_room(self, stream: int) -> bool:
        """Whether more of a feed may be queued."""
        return self._connection.queued(stream) < _AHEAD

    def drop(self, stream: int) -> None:
        """Forget a call; the daemon is told, if it is under way."""
        with self._turn:
            if self._answers.pop(stream, None) and not self._broken:
                self._connection.reset_stream(stream)
                self._flush()

    # --- the two descriptors -------------------------------------------------------------------

    def _check(self) -> None:
        if self._broken:
            raise self._broken

    def _break(self, why: str, cause: Exception | None = None) -> None:
        self._broken = _lost(why)
        raise self._broken from cause

    def _flush(self) -> None:
        """Write all that the daemon's windows allow."""
        while buffers := self._connection.take(_PIECE)[0]:
            for buffer in buffers:
                view = memoryview(buffer)
                while view:
                    try:
                        view = view[os.write(self._write, view) :]
                    except OSError as error:
                        self._break(f"standard output: {error.strerror}", error)

    def _take_in(self) -> None:
        """Read for all: the others may send meanwhile, and hear of it when there is something."""
        self._is_read = True
        self._turn.release()
        try:
            data, error = _read(self._read)
        finally:
            self._turn.acquire()
            self._is_read = False
            self._turn.notify_all()
        if not data:
            self._break(
                f"standard input: {error.strerror}" if error else "standard input was closed"
            )
        try:
            for event in self._connection.receive(data):
                answer = self._answers.get(getattr(event, "stream_id", 0))
                if answer:
                    answer.add(event)
        except (Http2Error, MessageError) as problem:
            self._break(str(problem), problem)


class PipeExchange(Generic[Req, Res]):
    """A call in which both sides send messages.

    A feed is read by ``receive``: one that keeps it waiting keeps the daemon's messages waiting.
    """

    def __init__(self, pipes: Pipes, rpc: Rpc[Req, Res], stream: int, answer: _Answer) -> None:
        self._pipes = pipes
        self._rpc = rpc
        self._stream = stream
        self._answer = answer
        self._feed: Iterator[Req] = iter(())
        self._is_fed = True

    def send(self, message: Req, *, last: bool = False) -> None:
        """Send a message, the ``last`` one of this side or not."""
        self._pipes.put(self._stream, message.SerializeToString(), last=last)

    def feed(self, messages: Iterator[Req]) -> None:
        """Send these as the daemon takes them, whenever ``receive`` waits."""
        self._feed = messages
        self._is_fed = False

    def receive(self) -> Res | None:
        """Wait for the daemon's next message; None at its end. Raises a DaemonError."""
        while not self._answer.ready:
            if self._wants():
                self._pour()
            else:
                self._pipes.wait(self._stream, lambda: self._answer.ready or self._wants())
        message = self._answer.next()
        try:
            return None if message is None else self._rpc.response.FromString(message)
        except DecodeError as error:
            raise _lost("its answer cannot be read") from error

    def close(self) -> None:
        """End the call, and tell the daemon so if it is under way."""
        self._pipes.drop(self._stream)

    def _wants(self) -> bool:
        return not self._is_fed and self._pipes.has_room(self._stream)

    def _pour(self) -> None:
        message = next(self._feed, None)
        if message is None:
            self._is_fed = True
        else:
            self.send(message)


class _Answer:
    """What has come of the answer to a call, and is not fetched yet."""

    def __init__(self) -> None:
        self._reader = MessageReader(_MESSAGE)
        self._messages: deque[bytes] = deque()
        self._held = 0
        self._status: tuple[int, str] | None = None
        self._packed = b""
        self.done = False

    @property
    def ready(self) -> bool:
        """Whether ``next`` has something to tell."""
        return self.done or bool(self._messages)

    def add(self, event: Event) -> None:
        """Take an event in."""
        if isinstance(event, DataReceived):
            self._held += len(event.data)
            self._messages.extend(bytes(each) for each in self._reader.feed(event.data))
        elif isinstance(event, (ResponseReceived, TrailersReceived)):
            self._read_headers(event.headers)
        elif isinstance(event, (StreamEnded, StreamReset)):
            self.done = True

    def take_held(self) -> int:
        """How many bytes came since the last time."""
        held, self._held = self._held, 0
        return held

    def next(self) -> bytes | None:
        """The next message; None after the last. Raises the error that the status tells of."""
        if self._messages:
            return self._messages.popleft()
        if self._status is None:
            raise _lost("a call was broken off")
        code, text = self._status
        if code:
            told = failure.of_status(failure.code_name(code), text, self._packed)
            raise failure.to_error(told, address=ADDRESS)
        return None

    def _read_headers(self, headers: list[Header]) -> None:
        self._status = read_status(headers) or self._status
        packed = dict(headers).get(failure.DETAILS.encode(), b"")
        with contextlib.suppress(binascii.Error):  # then the message is all there is
            self._packed = base64.b64decode(packed + b"=" * (-len(packed) % 4)) or self._packed


def _read(descriptor: int) -> tuple[bytes, OSError | None]:
    try:
        return os.read(descriptor, _PIECE), None
    except OSError as error:
        return b"", error


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
