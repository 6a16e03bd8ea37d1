"""Header blocks: gathered from frames, decoded, and checked (RFC 9113, sections 4.3 and 8)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import hpack

from daemon_shim.http2.errors import ErrorCode, ProtocolError, StreamError
from daemon_shim.http2.events import Header
from daemon_shim.http2.limits import Limits

_CONNECTION_HEADERS = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade")
)
_FORBIDDEN_IN_VALUES = (b"\x00", b"\r", b"\n")
REQUEST_PSEUDO = frozenset((b":method", b":scheme", b":authority", b":path"))
REQUIRED_IN_REQUEST = frozenset((b":method", b":scheme", b":path"))
RESPONSE_PSEUDO = frozenset((b":status",))
NO_PSEUDO: frozenset[bytes] = frozenset()


class HeaderBlock(NamedTuple):
    """A complete block."""

    stream_id: int
    end_stream: bool
    headers: list[Header]


class HeaderReader:
    """Gathers HEADERS and CONTINUATION payloads; the decoder's state spans the connection."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._decoder = hpack.Decoder(limits.header_list_size)
        self._stream_id = 0
        self._end_stream = False
        self._parts: list[bytes] = []
        self._size = 0

    @property
    def expecting(self) -> int:
        """The stream whose CONTINUATION must come next, or 0."""
        return self._stream_id

    def begin(self, stream_id: int, fragment: memoryview, *, end_stream: bool) -> None:
        """Take the payload of HEADERS; ``finish`` or ``add`` comes next. Raises ProtocolError."""
        self._stream_id, self._end_stream = stream_id, end_stream
        self._parts, self._size = [], 0
        self.add(fragment)

    def add(self, fragment: memoryview) -> None:
        """Take one more payload. Raises ProtocolError over the limits."""
        self._parts.append(bytes(fragment))
        self._size += len(fragment)
        too_many = len(self._parts) > self._limits.continuations
        if too_many or self._size > self._limits.header_block_size:
            raise ProtocolError("headers too long", ErrorCode.ENHANCE_YOUR_CALM)

    def finish(self) -> HeaderBlock:
        """Decode what was gathered. Raises ProtocolError: the decoder's state is lost then."""
        block = b"".join(self._parts)
        stream_id, self._stream_id, self._parts = self._stream_id, 0, []
        try:
            decoded = self._decoder.decode(block, raw=True)
        except hpack.OversizedHeaderListError as error:
            raise ProtocolError("headers too long", ErrorCode.ENHANCE_YOUR_CALM) from error
        except hpack.HPACKError as error:
            raise ProtocolError("bad compression", ErrorCode.COMPRESSION_ERROR) from error
        headers = [(bytes(name), bytes(value)) for name, value in decoded]
        return HeaderBlock(stream_id, self._end_stream, headers)


def check_headers(stream_id: int, headers: Sequence[Header], pseudo: frozenset[bytes]) -> None:
    """Check a block that may hold the pseudo headers ``pseudo``. Raises StreamError."""
    seen: set[bytes] = set()
    regular = False
    for name, value in headers:
        if name.startswith(b":"):
            if regular or name in seen or name not in pseudo:
                raise StreamError(stream_id, "a pseudo header out of place")
            seen.add(name)
            continue
        regular = True
        if not name or name != name.lower() or name in _CONNECTION_HEADERS:
            raise StreamError(stream_id, "a header name that HTTP/2 forbids")
        if name == b"te" and value != b"trailers":
            raise StreamError(stream_id, "a te header that HTTP/2 forbids")
        if any(byte in value for byte in _FORBIDDEN_IN_VALUES):
            raise StreamError(stream_id, "a control character in a header")
    required = REQUIRED_IN_REQUEST if pseudo is REQUEST_PSEUDO else pseudo
    if not required <= seen:
        raise StreamError(stream_id, "a pseudo header is missing")
