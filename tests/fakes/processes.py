"""A daemon's side of ExecProcess, by script."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from schemas.pb import gateway_pb2, status_pb2
from schemas.rpc import LLBBridge


def say(**values: Any) -> gateway_pb2.ExecMessage:
    """A message, such as ``say(Exit={"Code": 1})``."""
    return gateway_pb2.ExecMessage(**{key: value or {} for key, value in values.items()})


def error(message: str) -> status_pb2.Status:
    """An error of the daemon's."""
    return status_pb2.Status(code=2, message=message)


class Talk:
    """One ExecProcess as the daemon has it: ``heard`` keeps what came, ``hear`` waits for it."""

    def __init__(self, bodies: Iterator[bytes]) -> None:
        self.heard: list[gateway_pb2.ExecMessage] = []
        self._news: queue.SimpleQueue[gateway_pb2.ExecMessage | None] = queue.SimpleQueue()
        threading.Thread(target=self._listen, args=(bodies,), daemon=True).start()

    def hear(self) -> gateway_pb2.ExecMessage | None:
        """The next message of the client; None when its side ended."""
        return self._news.get(timeout=60)

    def hear_input(self) -> Iterator[bytes]:
        """The pieces of the input, up to its end."""
        while (message := self.hear()) is not None and not message.File.EOF:
            assert message.WhichOneof("Input") == "File", message
            yield message.File.Data

    def _listen(self, bodies: Iterator[bytes]) -> None:
        # gRPC has no kind of its own for a stream that was broken off.
        with contextlib.suppress(Exception):
            for body in bodies:
                self.heard.append(gateway_pb2.ExecMessage.FromString(body))
                self._news.put(self.heard[-1])
        self._news.put(None)


Answer = Callable[[Talk], Iterator[gateway_pb2.ExecMessage]]


class Containers:
    """Answers the calls of containers; ``answer`` is what becomes of each process."""

    def __init__(self, answer: Answer) -> None:
        self.talks: list[Talk] = []
        self.script: dict[str, Callable[[Any, grpc.ServicerContext], Any]] = {
            LLBBridge.NEW_CONTAINER.path: lambda *_: gateway_pb2.NewContainerResponse(),
            LLBBridge.RELEASE_CONTAINER.path: lambda *_: gateway_pb2.ReleaseContainerResponse(),
            LLBBridge.EXEC_PROCESS.path: self._process,
        }
        self._answer = answer

    def _process(self, bodies: Iterator[bytes], _: grpc.ServicerContext) -> Iterator[Any]:
        self.talks.append(Talk(bodies))
        yield from self._answer(self.talks[-1])
