"""The client's side of ``Control.Session``: a byte stream inside one call on the control socket.

Sans-IO. Each BytesMessage (one bytes field, number 1) carries a piece of the stream; boundaries
mean nothing (session/grpchijack, all releases).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from daemon_shim.http2.connection import Connection
from daemon_shim.http2.events import (
    DataReceived,
    Event,
    GoawayReceived,
    Header,
    ResponseReceived,
    SettingsReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from daemon_shim.http2.frames import Buffer
from daemon_shim.http2.grpc_framing import (
    CONTENT_TYPE,
    MessageError,
    MessageReader,
    prefix,
    read_status,
)
from daemon_shim.session.varint import read_varint, varint

PATH = b"/moby.buildkit.v1.Control/Session"
_FIELD = 0x0A  # field 1, length-delimited


class TunnelError(Exception):
    """The daemon ended the stream. ``code`` is the gRPC status, None where it gave none."""

    def __init__(self, code: int | None, message: str) -> None:
        super().__init__(message)
        self.code = code


class Tunnel:
    """The outer connection and its only stream."""

    def __init__(self, *, authority: str, scheme: str, metadata: Sequence[Header]) -> None:
        self._connection = Connection(client=True)
        self._reader = MessageReader()
        self._farewell = ""
        self._status: tuple[int, str] | None = None
        self.settled = False
        """Whether the peer's SETTINGS came: it does speak HTTP/2."""
        self.accepted = False
        """Whether the daemon answered the call."""
        self._stream = self._connection.open_stream([*_request(authority, scheme), *metadata])

    @property
    def queued(self) -> int:
        """Bytes sent into the tunnel that wait for the daemon's windows or for ``take``."""
        return self._connection.queued(self._stream)

    def receive(self, data: Buffer) -> Iterator[memoryview]:
        """Give the stream's bytes that ``data`` brings, in pieces valid as long as ``data`` is.

        Raises ProtocolError or TunnelError.
        """
        for event in self._connection.receive(data):
            if isinstance(event, DataReceived):
                yield from self._pieces(event.data)
                self._connection.acknowledge(self._stream, len(event.data))
            else:
                self._on_event(event)

    def _pieces(self, data: memoryview) -> Iterator[memoryview]:
        try:
            for message in self._reader.feed(data):
                yield from _payloads(message)
        except MessageError as error:
            raise TunnelError(error.code, f"the daemon sent {error}") from error

    def _on_event(self, event: Event) -> None:
        if isinstance(event, SettingsReceived):
            self.settled = True
        elif isinstance(event, (ResponseReceived, TrailersReceived)):
            self._on_headers(event.headers)
        elif isinstance(event, GoawayReceived):
            self._farewell = event.debug.decode("utf-8", "replace")
        elif isinstance(event, StreamReset):
            raise TunnelError(None, self._farewell or f"the stream was reset (code {event.code})")
        elif isinstance(event, StreamEnded):
            raise TunnelError(*(self._status or (None, "no status was sent")))

    def _on_headers(self, headers: list[Header]) -> None:
        self._status = read_status(headers) or self._status
        status = dict(headers).get(b":status", b"200")
        if status != b"200" and self._status is None:
            self._status = (2, f"HTTP status {status.decode('ascii', 'replace')}")
        self.accepted = self.accepted or self._status is None

    def send(self, chunks: Iterable[Buffer]) -> None:
        """Send bytes into the stream, as one message, uncopied."""
        data = b"".join(chunks)
        field = bytes((_FIELD,)) + varint(len(data))
        self._connection.send_data(self._stream, prefix(len(field) + len(data)) + field)
        self._connection.send_data(self._stream, data)

    def close(self) -> None:
        """End our side of the stream, after all that is queued."""
        if self._connection.alive(self._stream):
            self._connection.end_stream(self._stream)
            self._connection.goaway()

    def take(self, limit: int) -> list[Buffer]:
        """Return what to write to the socket, with about ``limit`` bytes of data at most."""
        return self._connection.take(limit)[0]


def _request(authority: str, scheme: str) -> list[Header]:
    return [
        (b":method", b"POST"),
        (b":scheme", scheme.encode()),
        (b":path", PATH),
        (b":authority", authority.encode()),
        (b"content-type", CONTENT_TYPE),
        (b"user-agent", b"buildfile"),
        (b"te", b"trailers"),
    ]


def _payloads(message: memoryview) -> Iterator[memoryview]:
    """Give the data of one BytesMessage; fields of a later release are skipped."""
    at = 0
    while at < len(message):
        tag, at = _checked_varint(message, at)
        kind = tag & 7
        if kind == 2:
            size, at = _checked_varint(message, at)
            if at + size > len(message):
                raise TunnelError(None, "the daemon sent a cut message")
            if tag == _FIELD and size:
                yield message[at : at + size]
            at += size
        elif kind == 0:
            _, at = _checked_varint(message, at)
        else:
            raise TunnelError(None, "the daemon sent a message of an unknown shape")


def _checked_varint(message: memoryview, at: int) -> tuple[int, int]:
    try:
        return read_varint(message, at)
    except ValueError as error:
        raise TunnelError(None, "the daemon sent a cut message") from error
