"""gRPC's framing on a stream: prefixed messages, status trailers (gRPC's PROTOCOL-HTTP2.md).

Compression is neither announced nor accepted.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from daemon_shim.http2.events import Header
from daemon_shim.http2.frames import Buffer

CONTENT_TYPE = b"application/grpc"
MAX_MESSAGE = 16 << 20
"""Bytes of the largest message taken; daemons since v0.14 send up to this (control API)."""

_PREFIX = struct.Struct(">BL")
_PREFIX_SIZE = 5
_UNRESERVED = frozenset(range(0x20, 0x7F)) - {ord("%")}


class MessageError(Exception):
    """A message that cannot be taken; ``code`` is the gRPC status that says why."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def prefix(size: int) -> bytes:
    """Return the five bytes before a message of ``size`` bytes."""
    return _PREFIX.pack(0, size)


class MessageReader:
    """Cuts a stream's data into messages."""

    def __init__(self, limit: int = MAX_MESSAGE) -> None:
        self._limit = limit
        self._begun = bytearray()

    @property
    def partial(self) -> bool:
        """Whether the data so far ends within a message."""
        return bool(self._begun)

    def feed(self, data: Buffer) -> Iterator[memoryview]:
        """Give the messages that ``data`` completes, valid until the next call.

        Only what comes in parts is copied. Raises MessageError for a message that is compressed or
        over the limit, before it is kept.
        """
        view = memoryview(data)
        if self._begun:
            view = self._add(view, _PREFIX_SIZE)
            if len(self._begun) < _PREFIX_SIZE:
                return
            view = self._add(view, _PREFIX_SIZE + self._size(self._begun, 0))
            if len(self._begun) < _PREFIX_SIZE + self._size(self._begun, 0):
                return
            begun, self._begun = self._begun, bytearray()
            yield memoryview(begun)[_PREFIX_SIZE:]
        yield from self._cut(view)

    def _add(self, view: memoryview, size: int) -> memoryview:
        """Bring the message that was begun to ``size`` bytes; return what is left."""
        lacking = max(0, size - len(self._begun))
        self._begun += view[:lacking]
        return view[lacking:]

    def _size(self, view: Buffer, at: int) -> int:
        """The size of the message whose prefix stands at ``at``."""
        compressed, size = _PREFIX.unpack_from(view, at)
        if compressed or size > self._limit:
            raise _refusal(compressed, size)
        return int(size)

    def _cut(self, view: memoryview) -> Iterator[memoryview]:
        at, end = 0, len(view)
        while end - at >= _PREFIX_SIZE:
            stop = at + _PREFIX_SIZE + self._size(view, at)
            if stop > end:
                break
            yield view[at + _PREFIX_SIZE : stop]
            at = stop
        self._begun += view[at:]


def _refusal(compressed: int, size: int) -> MessageError:
    if compressed:
        return MessageError(12, "a compressed message")  # UNIMPLEMENTED
    return MessageError(8, f"a message of {size} bytes")  # RESOURCE_EXHAUSTED


def status_trailers(code: int, message: str) -> list[Header]:
    """Return the trailers that end a call."""
    trailers = [(b"grpc-status", str(code).encode())]
    if message:
        trailers.append((b"grpc-message", _percent_encoded(message)))
    return trailers


def read_status(trailers: list[Header]) -> tuple[int, str] | None:
    """Return code and message of a call's trailers, None where they have no status."""
    found = dict(trailers)
    code = found.get(b"grpc-status", b"")
    if not code.isdigit():
        return None
    message = unquote_to_bytes(found.get(b"grpc-message", b""))
    return int(code), message.decode("utf-8", "replace")


def _percent_encoded(message: str) -> bytes:
    raw = message.encode("utf-8", "replace")
    return b"".join(bytes((b,)) if b in _UNRESERVED else b"%%%02X" % b for b in raw)
