"""A daemon by script: it records every byte it is sent, and answers as it is told.

Without a script it does what all releases do: Ping and ListWorkers answer from what it was made
with, a Solve of nothing waits for Return, and whatever it does not know is UNIMPLEMENTED.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import grpc
from google.protobuf.message import Message

from schemas.pb import apicaps_pb2, control_pb2, gateway_pb2, ops_pb2, types_pb2
from schemas.rpc import Control, LLBBridge, Rpc

BUILD_ID = "buildkit-controlapi-buildid"


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """One call as it came: path, bytes and metadata."""

    path: str
    body: bytes
    metadata: tuple[tuple[str, Any], ...]

    def message(self, rpc: Rpc[Any, Any]) -> Any:
        """The bytes as the message of a row."""
        return rpc.request.FromString(self.body)


@dataclass
class FakeControl:
    """Listens on a socket in a folder while the context lasts."""

    folder: Path
    llb: Iterable[str] = ()
    gateway: Iterable[str] = ()
    disabled: dict[str, str] = field(default_factory=dict)
    version: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    script: dict[str, Callable[[Any, grpc.ServicerContext], Any]] = field(default_factory=dict)
    calls: list[Recorded] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.socket = str(self.folder / "control.sock")
        self._returns: dict[str, futures.Future[gateway_pb2.ReturnRequest]] = {}
        self._lock = threading.Lock()
        self._usual: dict[str, Callable[[bytes, grpc.ServicerContext], Any]] = {
            Control.LIST_WORKERS.path: self._workers,
            Control.SOLVE.path: self._solve,
            Control.STATUS.path: lambda body, context: iter(()),
            LLBBridge.PING.path: self._pong,
            LLBBridge.RETURN.path: self._return,
        }
        if self.version is not None:
            self._usual[Control.INFO.path] = self._info
        self._server = grpc.server(futures.ThreadPoolExecutor(16))
        self._server.add_generic_rpc_handlers((_Handlers(self),))
        self._server.add_insecure_port(f"unix:{self.socket}")

    def __enter__(self) -> FakeControl:
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def address(self) -> str:
        return f"unix://{self.socket}"

    def stop(self) -> None:
        """Go away in the middle of whatever is under way."""
        self._server.stop(grace=None).wait()
        with self._lock:
            # Who still waits for a Return would keep the process from ending.
            for waiting in self._returns.values():
                waiting.cancel()

    def sent(self, rpc: Rpc[Any, Any]) -> list[Any]:
        """The messages of every call of a row, in order, but for the probe's."""
        with self._lock:
            calls = list(self.calls)
        messages = [call.message(rpc) for call in calls if call.path == rpc.path]
        return [message for message in messages if not getattr(message, "Internal", False)]

    def handler(self, path: str) -> Callable[[Any, grpc.ServicerContext], Any] | None:
        return self.script.get(path) or self._usual.get(path)

    def record(self, path: str, body: bytes, context: grpc.ServicerContext) -> None:
        metadata = tuple((item.key, item.value) for item in context.invocation_metadata())
        with self._lock:
            self.calls.append(Recorded(path=path, body=body, metadata=metadata))

    def ended(self, ref: str) -> futures.Future[gateway_pb2.ReturnRequest]:
        """What a gateway build will be ended with."""
        with self._lock:
            return self._returns.setdefault(ref, futures.Future())

    def _info(self, body: bytes, context: grpc.ServicerContext) -> Message:
        version = types_pb2.BuildkitVersion(version=self.version)
        return control_pb2.InfoResponse(buildkitVersion=version)

    def _workers(self, body: bytes, context: grpc.ServicerContext) -> Message:
        platform = ops_pb2.Platform(OS="linux", Architecture="amd64")
        record = types_pb2.WorkerRecord(ID="w1", Labels=self.labels, platforms=[platform, platform])
        return control_pb2.ListWorkersResponse(record=[record])

    def _pong(self, body: bytes, context: grpc.ServicerContext) -> Message:
        return gateway_pb2.PongResponse(
            FrontendAPICaps=[apicaps_pb2.APICap(ID=name, Enabled=True) for name in self.gateway],
            LLBCaps=[
                *(apicaps_pb2.APICap(ID=name, Enabled=True) for name in self.llb),
                *(
                    apicaps_pb2.APICap(ID=name, DisabledReasonMsg=why)
                    for name, why in self.disabled.items()
                ),
            ],
        )

    def _solve(self, body: bytes, context: grpc.ServicerContext) -> Message:
        request = control_pb2.SolveRequest.FromString(body)
        if request.HasField("Definition") or request.Frontend:
            return control_pb2.SolveResponse(ExporterResponse={"done": request.Ref})
        waiting = self.ended(request.Ref)
        if not context.add_callback(waiting.cancel):
            waiting.cancel()
        end = waiting.result()
        if end.HasField("error"):
            code = next(code for code in grpc.StatusCode if code.value[0] == end.error.code)
            context.abort(code, end.error.message)
        return control_pb2.SolveResponse(ExporterResponse={"returned": request.Ref})

    def _return(self, body: bytes, context: grpc.ServicerContext) -> Message:
        request = gateway_pb2.ReturnRequest.FromString(body)
        # Which is what kills the real ones.
        assert request.HasField("result") or request.HasField("error")
        ref = dict(context.invocation_metadata())[BUILD_ID]
        self.ended(ref).set_result(request)
        return gateway_pb2.ReturnResponse()


def until_gone(context: grpc.ServicerContext) -> None:
    """Wait until the caller goes; not at all if it went before it could be asked to tell."""
    gone = threading.Event()
    assert not context.add_callback(gone.set) or gone.wait(60)


def _hold(bodies: Iterator[bytes], _: grpc.ServicerContext) -> Iterator[bytes]:
    """Keep a session open, and ask it for nothing, as long as the client does."""
    for _body in bodies:
        pass
    yield from ()


class _Handlers(grpc.GenericRpcHandler):
    """Every path, in bytes."""

    def __init__(self, fake: FakeControl) -> None:
        self._fake = fake

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        path = details.method
        if path == Control.SESSION.path:
            return grpc.stream_stream_rpc_method_handler(_hold)
        answer = self._fake.handler(path)
        if not answer:
            return None

        def unary(body: bytes, context: grpc.ServicerContext) -> bytes:
            self._fake.record(path, body, context)
            message: Message = answer(body, context)
            return message.SerializeToString()

        def stream(body: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
            self._fake.record(path, body, context)
            yield from (message.SerializeToString() for message in answer(body, context))

        def both(bodies: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
            yield from (message.SerializeToString() for message in answer(bodies, context))

        if path == LLBBridge.EXEC_PROCESS.path:
            return grpc.stream_stream_rpc_method_handler(both)
        if path in (Control.STATUS.path, Control.LISTEN_BUILD_HISTORY.path):
            return grpc.unary_stream_rpc_method_handler(stream)
        return grpc.unary_unary_rpc_method_handler(unary)
