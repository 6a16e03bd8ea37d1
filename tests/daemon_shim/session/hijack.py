"""A daemon's side of the session, made of grpcio: Control.Session, and a client inside it.

``Control.Session``'s bytes are relayed to a unix socket, on which a grpcio channel stands as the
daemon's client does. So both HTTP/2 connections have a peer that is not ours.
"""

from __future__ import annotations

import queue
import socket
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

from daemon_shim.transports.base import Stream
from schemas.pb.control_pb2 import BytesMessage

SESSION = "/moby.buildkit.v1.Control/Session"


class Dialled:
    """A transport that dials one address; only what the session uses of one."""

    engine = False

    def __init__(self, path: str) -> None:
        self.address = f"unix://{path}"
        self._path = path

    def connect(self, timeout: float) -> Stream:
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(timeout)
        sock.connect(self._path)
        return sock

    def grpc_channel(self, timeout: float = 5.0) -> grpc.Channel:
        raise NotImplementedError

    def last_words(self) -> str:
        return ""

    def close(self) -> None:
        pass


class HijackDaemon(grpc.GenericRpcHandler):
    """Serves Control.Session on ``address``; ``channel`` calls into the session it carries."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="hijack-")
        self.path = str(Path(self._folder.name, "outer.sock"))
        self._inner = str(Path(self._folder.name, "inner.sock"))
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self._inner)
        self._listener.listen(1)
        self._server = grpc.server(ThreadPoolExecutor(4))
        self._server.add_generic_rpc_handlers((self,))
        self._server.add_insecure_port(f"unix://{self.path}")
        self._server.start()
        self.metadata: queue.SimpleQueue[list[tuple[str, str]]] = queue.SimpleQueue()
        self.refuse: tuple[grpc.StatusCode, str] | None = None
        self.channel = grpc.insecure_channel(f"unix://{self._inner}")
        self._context: Any = None

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        if details.method != SESSION:
            return None
        return grpc.stream_stream_rpc_method_handler(
            self._session,
            request_deserializer=BytesMessage.FromString,
            response_serializer=BytesMessage.SerializeToString,
        )

    def _session(self, messages: Iterator[BytesMessage], context: Any) -> Iterator[BytesMessage]:
        self._context = context
        self.metadata.put(list(context.invocation_metadata()))
        if self.refuse:
            context.abort(*self.refuse)
        try:
            relay, _ = self._listener.accept()
        except OSError:
            return  # stopped, and nobody had called into the session
        reader = threading.Thread(target=_drain, args=(messages, relay), daemon=True)
        reader.start()
        with relay:
            while data := relay.recv(32 << 10):
                yield BytesMessage(data=data)

    def drop(self) -> None:
        """End the session from the daemon's side."""
        self._context.cancel()

    def stop(self) -> None:
        """Go away, in the middle of whatever there is."""
        self.channel.close()
        self._server.stop(grace=None).wait()
        # Closing alone does not wake who waits in accept, and the process would never end.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._folder.cleanup()


def _drain(messages: Iterator[BytesMessage], relay: socket.socket) -> None:
    try:
        for message in messages:
            relay.sendall(message.data)
    except (grpc.RpcError, OSError):
        pass
    try:
        relay.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
