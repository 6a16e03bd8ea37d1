"""Who is there: BuildKit on its own, or a Docker Engine with BuildKit inside.

An engine's socket answers HTTP/1.1 and says so in the headers of ``GET /_ping``; buildkitd speaks
HTTP/2 only, and opens with its SETTINGS whatever it is sent (grpc-go, all releases). Some proxies
before a buildkitd wait for the proper preface, so that is tried when the first way told nothing.
"""

from __future__ import annotations

import contextlib
import re
import ssl
from dataclasses import dataclass
from enum import Enum

from daemon_shim.transports.base import Stream
from daemon_shim.transports.deadline import Deadline
from daemon_shim.transports.dial import Dialler, not_buildkit
from daemon_shim.transports.tls import TlsDialler, client_hello, cut_off, stream_error

_PING = b"GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n"
_EMPTY_SETTINGS = b"\0\0\0\x04\0\0\0\0\0"
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _EMPTY_SETTINGS
_FRAME_HEAD = 9
# An alert and a handshake, of any version.
_TLS_RECORDS = (b"\x15\x03", b"\x16\x03")
_HEAD_LIMIT = 16 * 1024
_ENGINE_HEADERS = re.compile(rb"^(api-version|docker-experimental)\s*:", re.I | re.M)


class _Answer(Enum):
    HTTP2 = "HTTP/2"
    ENGINE = "engine"
    HTTP1 = "HTTP/1"
    TLS = "TLS"
    NOTHING = "nothing"
    OTHER = "other"


@dataclass(frozen=True, kw_only=True)
class _Refusal:
    what: str
    hint: str


_REFUSALS = {
    _Answer.HTTP1: _Refusal(
        what="an HTTP/1 server answers that is not a Docker Engine",
        hint="check the address and the port",
    ),
    _Answer.TLS: _Refusal(
        what="it wants TLS", hint="name the authority's file with --tlscacert, or use tls://"
    ),
    _Answer.NOTHING: _Refusal(
        what="it closes the connection", hint="check the address, and whether it wants TLS"
    ),
    _Answer.OTHER: _Refusal(
        what="its answer is neither HTTP/2 nor HTTP/1", hint="check the address and the port"
    ),
}


def is_engine(dialler: Dialler, address: str, deadline: Deadline) -> bool:
    """Ask who is there, on connections of its own; True for a Docker Engine.

    Raises UnreachableError or TlsError; UnreachableError also when neither is there.
    """
    answer = _ask(dialler, address, deadline, _PING)
    if answer in (_Answer.HTTP1, _Answer.NOTHING, _Answer.OTHER):
        again = _ask(dialler, address, deadline, _PREFACE)
        answer = again if again is _Answer.HTTP2 else answer
    if answer is _Answer.NOTHING:
        answer = _why_nothing(dialler, address, deadline)
    if refusal := _REFUSALS.get(answer):
        raise not_buildkit(address, refusal.what, refusal.hint)
    return answer is _Answer.ENGINE


def _why_nothing(dialler: Dialler, address: str, deadline: Deadline) -> _Answer:
    """A TLS server leaves at the first plain byte; one that we speak TLS with has its reasons."""
    if isinstance(dialler, TlsDialler):
        raise cut_off(address)
    hello = _ask(dialler, address, deadline, client_hello())
    return hello if hello is _Answer.TLS else _Answer.NOTHING


def _ask(dialler: Dialler, address: str, deadline: Deadline, question: bytes) -> _Answer:
    with dialler.dial(address, deadline) as stream:
        try:
            say(stream, question)
            return _classify(_receive(stream, deadline))
        except (ConnectionResetError, BrokenPipeError):
            return _Answer.NOTHING
        except OSError as error:
            raise stream_error(address, error, deadline) from error


def say(stream: Stream, question: bytes) -> None:
    """Send a question. If the other side has gone, its reason is still to be read."""
    with contextlib.suppress(ConnectionError, ssl.SSLEOFError):
        stream.sendall(question)


def _receive(stream: Stream, deadline: Deadline) -> bytes:
    """Read until the answer can be told: a frame's head, or an HTTP/1 head, or the end."""
    answer = b""
    while not _complete(answer):
        stream.settimeout(deadline.remaining())
        piece = stream.recv(4096)
        if not piece:
            break
        answer += piece
    return answer


def _complete(answer: bytes) -> bool:
    if answer.startswith(b"HTTP/"):
        return b"\r\n\r\n" in answer or len(answer) > _HEAD_LIMIT
    return len(answer) >= _FRAME_HEAD or answer.startswith(_TLS_RECORDS)


def _classify(answer: bytes) -> _Answer:
    if not answer:
        return _Answer.NOTHING
    if answer.startswith(b"HTTP/1."):
        return _Answer.ENGINE if _ENGINE_HEADERS.search(answer) else _Answer.HTTP1
    if answer.startswith(_TLS_RECORDS):
        return _Answer.TLS
    settings = len(answer) >= _FRAME_HEAD and answer[3] == 4 and answer[5:9] == b"\0\0\0\0"
    return _Answer.HTTP2 if settings else _Answer.OTHER
