"""Calls into a gateway build: LLBBridge on the control socket, found by the build's ref.

The service forwards a call to the build named in the metadata (control/gateway, all releases incl.
v0.3.0), and waits 3 s for one that it does not know. So a call ends here as soon as the build does.
"""

from __future__ import annotations

import threading
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from daemon_shim.errors import DaemonError
from daemon_shim.job import Job
from daemon_shim.wire import Call, Exchange, Wire
from schemas.pb import gateway_pb2
from schemas.rpc import LLBBridge, Rpc

Req = TypeVar("Req", bound=Message)
Res = TypeVar("Res", bound=Message)

_BUILD_ID = "buildkit-controlapi-buildid"


class Bridge:
    """The calls of one build."""

    def __init__(self, wire: Wire, job: Job) -> None:
        self._wire = wire
        self._job = job
        self._lock = threading.Lock()
        self._open: set[Call[Any] | Exchange[Any, Any]] = set()
        job.on_end(self._cut)

    def call(
        self,
        rpc: Rpc[Req, Res],
        message: Req,
        *,
        timeout: float | None = None,
        blame: bool = True,
    ) -> Res:
        """Make a call and wait for its answer.

        With ``blame`` a failing vertex is waited for a moment, where the status names none (to
        v0.7). Raises a DaemonError; the build's own when it has ended meanwhile.
        """
        call = self._begin(rpc, message, timeout)
        with self._lock:
            self._open.add(call)
        try:
            if self._job.done():
                call.cancel()
            return call.result(blame=self._job.failed_vertex) if blame else call.result()
        except DaemonError:
            self.raise_end()
            raise
        finally:
            with self._lock:
                self._open.discard(call)

    def converse(self, rpc: Rpc[Req, Res]) -> BuildExchange[Req, Res]:
        """Start a call of many messages both ways, which ends when the build does."""
        exchange = self._wire.converse(rpc, metadata=((_BUILD_ID, self._job.ref),))
        with self._lock:
            self._open.add(exchange)
        if self._job.done():
            exchange.cancel()
        return BuildExchange(exchange, self)

    def leave(self, exchange: Exchange[Any, Any]) -> None:
        """Forget an exchange that was closed."""
        with self._lock:
            self._open.discard(exchange)

    def raise_end(self) -> None:
        """Raise what became of the build, if it has ended without a result."""
        if self._job.done():
            self._job.result()

    def finish(self, message: gateway_pb2.ReturnRequest) -> None:
        """Hand the build's result or error over, which ends it.

        A build that ends by this may end before the call does, and one that has ended needs none;
        what became of it is for ``Job.result`` to say.
        """
        if self._job.done():
            return
        call = self._begin(LLBBridge.RETURN, message, None)
        try:
            call.result()
        except DaemonError:
            if not self._job.done():
                raise

    def _begin(self, rpc: Rpc[Req, Res], message: Req, timeout: float | None) -> Call[Res]:
        metadata = ((_BUILD_ID, self._job.ref),)
        return self._wire.begin(rpc, message, metadata=metadata, timeout=timeout)

    def _cut(self) -> None:
        with self._lock:
            calls = list(self._open)
        for call in calls:
            call.cancel()


class BuildExchange(Generic[Req, Res]):
    """An exchange of one build."""

    def __init__(self, exchange: Exchange[Req, Res], bridge: Bridge) -> None:
        self._exchange = exchange
        self._bridge = bridge
        self.send = exchange.send
        self.feed = exchange.feed

    def receive(self) -> Res | None:
        """Wait for the daemon's next message; None at its end.

        Raises a DaemonError; the build's own when it has ended meanwhile.
        """
        try:
            return self._exchange.receive()
        except DaemonError:
            self._bridge.raise_end()
            raise

    def close(self) -> None:
        """End the call, and tell the daemon so if it is under way."""
        self._exchange.close()
        self._bridge.leave(self._exchange)
