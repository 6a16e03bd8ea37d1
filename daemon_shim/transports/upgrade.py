"""A Docker Engine's way to its BuildKit: ``POST /grpc`` turns the connection into HTTP/2.

Not an upgrade as RFC 9113 knows it: after the 101 both sides speak HTTP/2 from the preface on
(moby PR 38990, Docker 19.03). The head comes in one or several reads, and HTTP/2 bytes may stand
right behind it; those belong to whoever gets the stream, so the head is read byte by byte.
"""

from __future__ import annotations

import re

from daemon_shim.errors import DaemonError, UnreachableError
from daemon_shim.transports.base import Stream
from daemon_shim.transports.deadline import Deadline
from daemon_shim.transports.greeting import say
from daemon_shim.transports.tls import stream_error

_REQUEST = (
    b"POST /grpc HTTP/1.1\r\n"
    b"Host: docker\r\n"
    b"Connection: Upgrade\r\n"
    b"Upgrade: h2c\r\n"
    b"Content-Length: 0\r\n"
    b"\r\n"
)
_END = b"\r\n\r\n"
_HEAD_LIMIT = 16 * 1024
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")


def upgrade(stream: Stream, address: str, deadline: Deadline) -> None:
    """Ask for the engine's BuildKit; afterwards the stream stands before the HTTP/2 preface.

    Raises UnreachableError, or TlsError where the engine refuses our certificate only now.
    """
    try:
        say(stream, _REQUEST)
        head = _head(stream, deadline)
    except OSError as error:
        raise stream_error(address, error, deadline) from error
    status = _STATUS.match(head)
    if not status or status[1] != b"101":
        raise _refused(address, int(status[1]) if status else None)


def _head(stream: Stream, deadline: Deadline) -> bytes:
    head = bytearray()
    while not head.endswith(_END) and len(head) < _HEAD_LIMIT:
        stream.settimeout(deadline.remaining())
        byte = stream.recv(1)
        if not byte:
            break
        head += byte
    return bytes(head)


def _refused(address: str, status: int | None) -> DaemonError:
    answer = f"it answers {status}" if status else "it does not speak HTTP/1"
    return UnreachableError(
        f"{address} has no BuildKit to offer: {answer} to POST /grpc",
        address=address,
        hint="a Docker Engine has it from 19.03 on; for a buildkitd use unix:// or tcp://",
    )
