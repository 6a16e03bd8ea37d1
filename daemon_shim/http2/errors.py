"""What can go wrong inside an HTTP/2 connection.

Http2Error
├── ProtocolError   the connection is broken: a GOAWAY is queued, nothing more can be read
└── StreamError     one stream is broken: a RST_STREAM is queued, the others go on
"""

from __future__ import annotations

from enum import IntEnum


class ErrorCode(IntEnum):
    """Error codes of RST_STREAM and GOAWAY (RFC 9113, section 7)."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    SETTINGS_TIMEOUT = 0x4
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    COMPRESSION_ERROR = 0x9
    CONNECT_ERROR = 0xA
    ENHANCE_YOUR_CALM = 0xB
    INADEQUATE_SECURITY = 0xC
    HTTP_1_1_REQUIRED = 0xD


class Http2Error(Exception):
    """Any breach of the protocol; ``code`` is what the peer is told."""

    def __init__(self, message: str, code: ErrorCode = ErrorCode.PROTOCOL_ERROR) -> None:
        super().__init__(message)
        self.code = code


class ProtocolError(Http2Error):
    """The peer broke the connection's rules, or one of our limits."""


class StreamError(Http2Error):
    """The peer broke the rules of one stream."""

    def __init__(
        self, stream_id: int, message: str, code: ErrorCode = ErrorCode.PROTOCOL_ERROR
    ) -> None:
        super().__init__(message, code)
        self.stream_id = stream_id
