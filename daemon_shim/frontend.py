"""A builder inside a gateway container: the daemon is on standard input and output.

What the client side knows from its request stands in the environment here (frontend/gateway/
gateway.go, all releases): ``BUILDKIT_FRONTEND_OPT_N=KEY=VALUE``, ``BUILDKIT_SESSION_ID``,
``BUILDKIT_WORKERS`` (JSON, whose keys begin with a capital to v0.9) and
``BUILDKIT_EXPORTEDPRODUCT``.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

from daemon_shim import decoding, pong, returning
from daemon_shim.builder import Brief, Builder, Client
from daemon_shim.calls import Calls
from daemon_shim.errors import DaemonError
from daemon_shim.info import Worker
from daemon_shim.pipes import ADDRESS, Pipes
from schemas.pb import gateway_pb2
from schemas.rpc import LLBBridge

_OPT = "BUILDKIT_FRONTEND_OPT_"
_GRACE_SECONDS = 2.0
"""How long a builder may go on when the daemon is gone."""


def serve(
    builder: Builder, read: int, write: int, environment: Mapping[str, str] = os.environ
) -> int:
    """Run a builder for the daemon at two descriptors, and give the process's exit code.

    When the daemon closes ``read``, every call ends, and so does the process, seconds later,
    whatever the builder does. What the builder raises is told to the daemon, and to standard
    error. For the main thread of a process that does nothing else.
    """
    pipes = Pipes(read, write)
    with _leaving_when_closed(read):
        return _serve(builder, pipes, environment)


def _serve(builder: Builder, pipes: Pipes, environment: Mapping[str, str]) -> int:
    try:
        client, calls = _client(pipes, environment)
        end = returning.outcome(builder, client, calls)
        if end.error and not isinstance(end.error, DaemonError):
            traceback.print_exception(end.error)
        pipes.call(LLBBridge.RETURN, end.message)
        return 1 if end.error else 0
    except DaemonError as error:
        _say(f"error: {error}")
        return 1


def _client(pipes: Pipes, environment: Mapping[str, str]) -> tuple[Client, Calls]:
    told = pipes.call(LLBBridge.PING, gateway_pb2.PingRequest())
    workers = tuple(read_workers(environment.get("BUILDKIT_WORKERS", "")))
    info = pong.describe(
        told,
        address=ADDRESS,
        engine=False,
        told=None,
        workers=workers or decoding.workers(told.Workers),
    )
    brief = Brief(
        opts=dict(read_opts(environment)),
        session_id=environment.get("BUILDKIT_SESSION_ID", ""),
        product=environment.get("BUILDKIT_EXPORTEDPRODUCT", ""),
        workers=info.workers,
    )
    calls = Calls(pipes, info)
    return Client(calls, brief, say=_say), calls


def read_opts(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The options of ``BUILDKIT_FRONTEND_OPT_N``."""
    for name, text in environment.items():
        if name.startswith(_OPT):
            key, _, value = text.partition("=")
            yield key, value


def read_workers(text: str) -> Iterator[Worker]:
    """The workers of ``BUILDKIT_WORKERS``; none where it cannot be read."""
    try:
        listed = json.loads(text or "[]")
    except ValueError:
        return
    for each in _list(listed):
        record = _lower(each)
        if record:
            yield Worker(
                id=str(record.get("id", "")),
                labels={str(key): str(value) for key, value in _items(record, "labels")},
                platforms=tuple(
                    dict.fromkeys(filter(None, map(_platform, _list(record.get("platforms")))))
                ),
            )


def _lower(value: object) -> dict[str, Any]:
    """An object by its keys in lower case; they begin with a capital up to v0.9."""
    return {key.lower(): each for key, each in value.items()} if isinstance(value, dict) else {}


def _items(record: Mapping[str, Any], key: str) -> Iterator[tuple[object, object]]:
    value = record.get(key)
    yield from value.items() if isinstance(value, dict) else ()


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _platform(value: object) -> str:
    platform = _lower(value)
    parts = (platform.get(key) for key in ("os", "architecture", "variant"))
    return "/".join(str(part) for part in parts if part)


def _say(text: str) -> None:
    """Standard error is the daemon's log."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def _leaving_when_closed(read: int) -> Iterator[None]:
    """Watch for the daemon's end of the pipe, without a thread.

    The kernel signals whatever happens on the pipe; where nobody writes to it any more, the
    process has a little time left.
    """
    poll = select.poll()
    poll.register(read, select.POLLHUP)
    busy = again = False

    def look(_number: int, _frame: FrameType | None) -> None:
        # A signal that comes while one is being handled leaves it to look once more.
        nonlocal busy, again
        again = True
        while again and not busy:
            busy, again = True, False
            if any(event & select.POLLHUP for _, event in poll.poll(0)):
                signal.signal(signal.SIGALRM, lambda *_: os._exit(1))
                signal.setitimer(signal.ITIMER_REAL, _GRACE_SECONDS)
            busy = False

    signal.signal(signal.SIGIO, look)
    fcntl.fcntl(read, fcntl.F_SETOWN, os.getpid())
    flags = fcntl.fcntl(read, fcntl.F_GETFL)
    fcntl.fcntl(read, fcntl.F_SETFL, flags | os.O_ASYNC)
    try:
        yield
    finally:
        # What comes later would end the process: an interpreter that ends drops its handlers.
        signal.signal(signal.SIGIO, signal.SIG_IGN)
        fcntl.fcntl(read, fcntl.F_SETFL, flags)
        signal.setitimer(signal.ITIMER_REAL, 0)
