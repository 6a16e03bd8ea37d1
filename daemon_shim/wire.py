"""Calls to one daemon: the channel, opened at first use, and every gRPC error turned into ours."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar, cast

import grpc
from google.protobuf.message import Message

from daemon_shim import failure
from daemon_shim.errors import DaemonError, LostConnectionError
from daemon_shim.failure import Failure
from schemas.rpc import Rpc

if TYPE_CHECKING:
    from daemon_shim.transports.base import Transport

Req = TypeVar("Req", bound=Message)
Res = TypeVar("Res", bound=Message)
Metadata: TypeAlias = Sequence[tuple[str, str]]

_AHEAD = 4
"""How many messages of a feed may wait for the daemon to take them."""


class Call(Generic[Res]):
    """A call under way, which any thread may cancel."""

    def __init__(self, wire: Wire, call: grpc.CallFuture[Res]) -> None:
        self._wire = wire
        self._call = call

    def result(self, *, blame: Callable[[str], str] = lambda message: "") -> Res:
        """Wait for the answer.

        ``blame`` finds the failing vertex by the message, where the daemon's status has no
        details. Raises a DaemonError, which is CancelledError after ``cancel``.
        """
        try:
            return self._call.result()
        except grpc.FutureCancelledError as error:
            raise failure.cancelled(self._wire.address) from error
        except grpc.RpcError as error:
            told = failure.read(error)
            vertex = "" if told.details else blame(told.message)
            raise self._wire.error(told, vertex=vertex) from error

    def cancel(self) -> None:
        """Stop waiting, and tell the daemon to stop."""
        self._call.cancel()  # type: ignore[no-untyped-call]

    def done(self) -> bool:
        """Whether it has ended, however."""
        return self._call.done()

    def failed(self) -> bool:
        """Whether it has ended without an answer."""
        return self._call.done() and self._call.code() is not grpc.StatusCode.OK

    def on_end(self, tell: Callable[[], None]) -> None:
        """Call ``tell`` when it ends, on another thread, or now if it has."""
        self._call.add_done_callback(lambda _: tell())


class Stream(Generic[Res]):
    """The answers of a call that has many, which any thread may cancel."""

    def __init__(self, wire: Wire, call: grpc.CallIterator[Res]) -> None:
        self._wire = wire
        self._call = call

    def __iter__(self) -> Iterator[Res]:
        """Each answer as it comes; ends quietly after ``cancel``. Raises a DaemonError."""
        try:
            yield from self._call
        except grpc.RpcError as error:
            told = failure.read(error)
            if told.code != grpc.StatusCode.CANCELLED.name:
                raise self._wire.error(told) from error

    def cancel(self) -> None:
        """End it."""
        self._call.cancel()  # type: ignore[no-untyped-call]


class Exchange(Generic[Req, Res]):
    """A call in which both sides send messages: ``send`` and ``close`` are for any thread.

    A feed has a thread of its own, since what it reads may keep it waiting. gRPC takes a message
    when the one before has passed the daemon's windows, so that no more than a few wait here.
    """

    def __init__(
        self, wire: Wire, begin: Callable[[Iterator[Req]], grpc.CallIterator[Res]]
    ) -> None:
        self._wire = wire
        self._waiting: queue.SimpleQueue[tuple[Req, Callable[[], object]] | None]
        self._waiting = queue.SimpleQueue()
        self._room = threading.Semaphore(_AHEAD)
        self._closed = False
        self._error: Exception | None = None
        self._call = begin(self._outgoing())
        self._answers = iter(self._call)

    def send(self, message: Req) -> None:
        """Send a message; never waits."""
        self._waiting.put((message, lambda: None))

    def feed(self, messages: Iterator[Req]) -> None:
        """Send these as the daemon takes them."""
        threading.Thread(target=self._pour, args=(messages,), name="feed", daemon=True).start()

    def receive(self) -> Res | None:
        """Wait for the daemon's next message; None at its end. Raises a DaemonError."""
        try:
            return next(self._answers, None)
        except grpc.RpcError as error:
            if self._error:
                raise self._error from None
            if self._closed:
                raise failure.cancelled(self._wire.address) from error
            raise self._wire.error(failure.read(error)) from error

    def cancel(self) -> None:
        """End the call now; ``receive`` raises CancelledError."""
        self._closed = True
        self._waiting.put(None)
        self._room.release()
        self._call.cancel()  # type: ignore[no-untyped-call]

    close = cancel

    def _outgoing(self) -> Iterator[Req]:
        while (entry := self._waiting.get()) is not None:
            message, taken = entry
            yield message
            taken()

    def _pour(self, messages: Iterator[Req]) -> None:
        try:
            for message in messages:
                self._room.acquire()
                if self._closed:
                    return
                self._waiting.put((message, self._room.release))
        except Exception as error:
            self._error = error
            self.cancel()


class Wire:
    """Makes calls to a daemon. ``timeout`` in seconds bounds dialling."""

    def __init__(self, transport: Transport, timeout: float) -> None:
        self.transport = transport
        self.timeout = timeout
        self._lock = threading.Lock()
        self._channel: grpc.Channel | None = None
        self._closed = False

    @property
    def address(self) -> str:
        """The daemon's address, for diagnostics."""
        return self.transport.address

    def begin(
        self,
        rpc: Rpc[Req, Res],
        message: Req,
        *,
        metadata: Metadata = (),
        timeout: float | None = None,
    ) -> Call[Res]:
        """Start a call with one answer. Raises UnreachableError or TlsError."""
        method = self._open().unary_unary(
            rpc.path,
            request_serializer=rpc.request.SerializeToString,
            response_deserializer=rpc.response.FromString,
        )
        call = method.future(message, metadata=tuple(metadata), timeout=timeout)
        return Call(self, cast("grpc.CallFuture[Res]", call))

    def stream(self, rpc: Rpc[Req, Res], message: Req, *, metadata: Metadata = ()) -> Stream[Res]:
        """Start a call with many answers. Raises UnreachableError or TlsError."""
        method = self._open().unary_stream(
            rpc.path,
            request_serializer=rpc.request.SerializeToString,
            response_deserializer=rpc.response.FromString,
        )
        call = method(message, metadata=tuple(metadata))
        return Stream(self, cast("grpc.CallIterator[Res]", call))

    def converse(self, rpc: Rpc[Req, Res], *, metadata: Metadata = ()) -> Exchange[Req, Res]:
        """Start a call of many messages both ways. Raises UnreachableError or TlsError."""
        method = self._open().stream_stream(
            rpc.path,
            request_serializer=rpc.request.SerializeToString,
            response_deserializer=rpc.response.FromString,
        )

        def begin(messages: Iterator[Req]) -> grpc.CallIterator[Res]:
            return cast("grpc.CallIterator[Res]", method(messages, metadata=tuple(metadata)))

        return Exchange(self, begin)

    def error(self, told: Failure, *, vertex: str = "") -> DaemonError:
        """The error of a failed call.

        Of a lost connection the program that carried it tells most; else it is dialled once more,
        for what dialling says is plainer than gRPC. What ``close`` ended is cancelled.
        """
        if self._closed:
            return failure.cancelled(self.address)
        error = failure.to_error(told, address=self.address, vertex=vertex)
        if not isinstance(error, LostConnectionError):
            return error
        why = f": {words}" if (words := self.transport.last_words()) else self._why_now()
        if not why:
            return error
        message = f"lost the connection to {self.address}{why}"
        return LostConnectionError(message, address=self.address, hint=error.hint)

    def _why_now(self) -> str:
        """What dialling says, '' where it succeeds."""
        try:
            self.transport.connect(self.timeout).close()
        except DaemonError as why:
            return f", and now: {why}"
        return ""

    def close(self) -> None:
        """Close the channel, which cancels what is under way, and the transport."""
        with self._lock:
            self._closed = True
            channel, self._channel = self._channel, None
        if channel:
            channel.close()
        self.transport.close()

    def _open(self) -> grpc.Channel:
        with self._lock:
            if self._closed:
                raise failure.cancelled(self.address)
            if not self._channel:
                self._channel = self.transport.grpc_channel(self.timeout)
            return self._channel
