"""Frames: bytes to frames and back (RFC 9113, sections 4 and 6)."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import TypeAlias

from daemon_shim.http2.errors import ErrorCode, ProtocolError

Buffer: TypeAlias = bytes | bytearray | memoryview
RawFrame: TypeAlias = tuple[int, int, int, memoryview]
"""Type, flags, stream id and payload. The payload is valid until the reader is fed again."""

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA = 0x0
HEADERS = 0x1
PRIORITY = 0x2
RST_STREAM = 0x3
SETTINGS = 0x4
PUSH_PROMISE = 0x5
PING = 0x6
GOAWAY = 0x7
WINDOW_UPDATE = 0x8
CONTINUATION = 0x9

END_STREAM = 0x1
ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITY_FLAG = 0x20

MIN_FRAME_SIZE = 1 << 14
MAX_FRAME_SIZE = (1 << 24) - 1

_HEADER = struct.Struct(">BHBBL")
_HEADER_SIZE = 9
_WORD = struct.Struct(">L")
_SETTING = struct.Struct(">HL")
_GOAWAY = struct.Struct(">LL")


class FrameReader:
    """Cuts a byte stream into frames of at most ``limit`` payload bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._begun = bytearray()

    def feed(self, data: Buffer) -> Iterator[RawFrame]:
        """Give the frames that ``data`` completes; only one that comes in parts is copied.

        Raises ProtocolError (FRAME_SIZE_ERROR) for a frame over the limit, before its payload is
        kept.
        """
        view = memoryview(data)
        if self._begun:
            view = self._add(view, _HEADER_SIZE)
            if len(self._begun) < _HEADER_SIZE:
                return
            view = self._add(view, self._whole())
            if len(self._begun) < self._whole():
                return
            begun, self._begun = self._begun, bytearray()
            yield from self._cut(memoryview(begun))
        yield from self._cut(view)

    def _add(self, view: memoryview, size: int) -> memoryview:
        """Bring the frame that was begun to ``size`` bytes; return what is left."""
        lacking = max(0, size - len(self._begun))
        self._begun += view[:lacking]
        return view[lacking:]

    def _whole(self) -> int:
        """How many bytes the frame that was begun has; its header is there."""
        high, low, *_ = _HEADER.unpack_from(self._begun)
        return _HEADER_SIZE + self._checked(high << 16 | low)

    def _checked(self, size: int) -> int:
        if size > self._limit:
            raise ProtocolError("a frame over the limit", ErrorCode.FRAME_SIZE_ERROR)
        return size

    def _cut(self, view: memoryview) -> Iterator[RawFrame]:
        at, end = 0, len(view)
        while end - at >= _HEADER_SIZE:
            high, low, kind, flags, stream_id = _HEADER.unpack_from(view, at)
            stop = at + _HEADER_SIZE + self._checked(high << 16 | low)
            if stop > end:
                break
            yield kind, flags, stream_id & 0x7FFFFFFF, view[at + _HEADER_SIZE : stop]
            at = stop
        self._begun += view[at:]


def frame_header(size: int, kind: int, flags: int, stream_id: int) -> bytes:
    """Return the nine bytes before a payload of ``size`` bytes."""
    return _HEADER.pack(size >> 16, size & 0xFFFF, kind, flags, stream_id)


def frame(kind: int, flags: int, stream_id: int, payload: Buffer = b"") -> bytes:
    """Return one whole frame."""
    return frame_header(len(payload), kind, flags, stream_id) + payload


def settings_frame(settings: Mapping[int, int]) -> bytes:
    """Return a SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(*pair) for pair in settings.items()))


def window_update(stream_id: int, size: int) -> bytes:
    """Return a WINDOW_UPDATE frame; stream 0 is the connection."""
    return frame(WINDOW_UPDATE, 0, stream_id, _WORD.pack(size))


def rst_stream(stream_id: int, code: int) -> bytes:
    """Return a RST_STREAM frame."""
    return frame(RST_STREAM, 0, stream_id, _WORD.pack(code))


def goaway(last_stream_id: int, code: int, debug: bytes = b"") -> bytes:
    """Return a GOAWAY frame."""
    return frame(GOAWAY, 0, 0, _GOAWAY.pack(last_stream_id, code) + debug)


def header_frames(stream_id: int, block: bytes, max_size: int, *, end_stream: bool) -> bytes:
    """Return HEADERS and as many CONTINUATION frames as ``block`` needs."""
    cuts = [block[at : at + max_size] for at in range(0, len(block), max_size)] or [b""]
    out = []
    for index, cut in enumerate(cuts):
        flags = END_HEADERS if index == len(cuts) - 1 else 0
        if index == 0:
            out.append(frame(HEADERS, flags | (END_STREAM if end_stream else 0), stream_id, cut))
        else:
            out.append(frame(CONTINUATION, flags, stream_id, cut))
    return b"".join(out)


def without_padding(flags: int, payload: memoryview) -> memoryview:
    """Return a DATA or HEADERS payload without its padding. Raises ProtocolError."""
    if not flags & PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise ProtocolError("padding longer than the frame")
    return payload[1 : len(payload) - payload[0]]


def without_priority(flags: int, payload: memoryview) -> memoryview:
    """Return a HEADERS payload without its obsolete priority fields. Raises ProtocolError."""
    if not flags & PRIORITY_FLAG:
        return payload
    if len(payload) < 5:
        raise ProtocolError("HEADERS too short", ErrorCode.FRAME_SIZE_ERROR)
    return payload[5:]


def word(payload: memoryview) -> int:
    """Return the payload of RST_STREAM or WINDOW_UPDATE. Raises ProtocolError."""
    if len(payload) != 4:
        raise ProtocolError("a frame of the wrong size", ErrorCode.FRAME_SIZE_ERROR)
    value: int = _WORD.unpack(payload)[0]
    return value


def read_settings(payload: memoryview) -> list[tuple[int, int]]:
    """Return the pairs of a SETTINGS payload in their order. Raises ProtocolError."""
    if len(payload) % 6:
        raise ProtocolError("SETTINGS of a wrong size", ErrorCode.FRAME_SIZE_ERROR)
    return list(_SETTING.iter_unpack(payload))


def read_goaway(payload: memoryview) -> tuple[int, int, bytes]:
    """Return last stream id, code and debug data of a GOAWAY payload. Raises ProtocolError."""
    if len(payload) < 8:
        raise ProtocolError("GOAWAY too short", ErrorCode.FRAME_SIZE_ERROR)
    last, code = _GOAWAY.unpack_from(payload)
    return last & 0x7FFFFFFF, code, bytes(payload[8:])
