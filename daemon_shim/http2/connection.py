"""An HTTP/2 connection without I/O, in either role (RFC 9113).

``receive`` takes bytes and returns events; ``take`` returns what to send. Flow control is done
here in both directions: data is queued without limit and leaves as the peer's windows allow
(``queued`` tells how much waits), and received data must be acknowledged once it is used. Push
and priorities are not used; the peer's are refused and ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from daemon_shim.http2 import frames, limits
from daemon_shim.http2.errors import ErrorCode, Http2Error, ProtocolError, StreamError
from daemon_shim.http2.events import (
    DataReceived,
    Event,
    GoawayReceived,
    Header,
    RequestReceived,
    ResponseReceived,
    SettingsReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from daemon_shim.http2.frames import Buffer
from daemon_shim.http2.headers import (
    NO_PSEUDO,
    REQUEST_PSEUDO,
    RESPONSE_PSEUDO,
    HeaderBlock,
    HeaderReader,
    check_headers,
)
from daemon_shim.http2.limits import Limits
from daemon_shim.http2.outbox import Outbox
from daemon_shim.http2.stream import Move, State, Stream
from daemon_shim.http2.streams import Streams
from daemon_shim.http2.windows import ReceiveWindow


class Connection:
    """One end of a connection. Not thread-safe."""

    def __init__(self, *, client: bool, allowed: Limits | None = None) -> None:
        self._client = client
        self._limits = allowed or Limits()
        self._preface = b"" if client else frames.PREFACE
        self._reader = frames.FrameReader(self._limits.frame_size)
        self._headers = HeaderReader(self._limits)
        self._outbox = Outbox(self._sent_end)
        self._window = ReceiveWindow(self._limits.connection_window)
        self._streams = Streams(client=client, allowed=self._limits)
        self._settled = False
        self._broken = False
        self._handlers: dict[int, Callable[[int, int, memoryview, list[Event]], None]] = {
            frames.DATA: self._on_data,
            frames.HEADERS: self._on_headers,
            frames.CONTINUATION: self._on_continuation,
            frames.RST_STREAM: self._on_rst_stream,
            frames.SETTINGS: self._on_settings,
            frames.PUSH_PROMISE: self._on_push_promise,
            frames.PING: self._on_ping,
            frames.GOAWAY: self._on_goaway,
            frames.WINDOW_UPDATE: self._on_window_update,
            frames.PRIORITY: self._on_priority,
        }
        self._outbox.control(self._opening())

    def _opening(self) -> bytes:
        grown = self._limits.connection_window - limits.DEFAULT_WINDOW
        return b"".join(
            (
                frames.PREFACE if self._client else b"",
                frames.settings_frame(self._limits.settings(client=self._client)),
                frames.window_update(0, grown) if grown > 0 else b"",
            )
        )

    # Sending

    def open_stream(self, headers: Sequence[Header]) -> int:
        """Send a request's headers (client role); return its stream id.

        Raises Http2Error when the peer allows no more streams.
        """
        stream = self._streams.open()
        self._send_headers(stream, headers)
        return stream.id

    def send_headers(self, stream_id: int, headers: Sequence[Header]) -> None:
        """Send response headers (server role)."""
        self._send_headers(self._stream(stream_id), headers)

    def _send_headers(self, stream: Stream, headers: Sequence[Header]) -> None:
        stream.move(Move.SEND_HEADERS)
        self._outbox.headers(stream.id, headers, end_stream=False)

    def send_data(self, stream_id: int, data: Buffer) -> None:
        """Queue data; it must not change afterwards."""
        stream = self._stream(stream_id)
        if stream.ending:
            raise Http2Error("data after the end", ErrorCode.INTERNAL_ERROR)
        stream.move(Move.SEND_DATA)
        if data:
            stream.put(data)
            self._outbox.wake(stream)

    def end_stream(self, stream_id: int, trailers: Sequence[Header] | None = None) -> None:
        """End our side once all queued data is sent. Headers must not have been sent before, if
        the stream is to consist of ``trailers`` alone.
        """
        stream = self._stream(stream_id)
        if stream.ending:
            raise Http2Error("ended twice", ErrorCode.INTERNAL_ERROR)
        stream.ending, stream.trailers = True, trailers
        self._outbox.wake(stream)

    def reset_stream(self, stream_id: int, code: ErrorCode = ErrorCode.CANCEL) -> None:
        """Drop a stream and what it has queued. Streams already gone are left alone."""
        stream = self._streams.drop(stream_id)
        if stream is not None:
            self._outbox.forget(stream)
            self._streams.remember_reset(stream_id)
            self._outbox.control(frames.rst_stream(stream_id, code))

    def acknowledge(self, stream_id: int, size: int) -> None:
        """Let the peer send ``size`` bytes more on a stream: what DataReceived brought is used.

        The connection's own window is given back as data comes, so that a stream that waits for
        this holds up no other.
        """
        stream = self._streams.get(stream_id)
        if stream is not None and (update := stream.window.give(size)):
            self._outbox.control(frames.window_update(stream_id, update))

    def goaway(self, code: ErrorCode = ErrorCode.NO_ERROR, debug: str = "") -> None:
        """Tell the peer that no more streams are taken."""
        self._outbox.control(frames.goaway(self._streams.last_of_peer, code, debug.encode()))

    def queued(self, stream_id: int) -> int:
        """Return how many data bytes of a stream wait for the peer's windows or for ``take``."""
        stream = self._streams.get(stream_id)
        return stream.queued if stream else 0

    def alive(self, stream_id: int) -> bool:
        """Return whether a stream is neither ended both ways nor reset."""
        return self._streams.get(stream_id) is not None

    def take(self, limit: int) -> tuple[list[Buffer], list[int]]:
        """Return what to send now, and the streams whose data it has.

        All control frames, and about ``limit`` bytes of data at most. The buffers are the queued
        ones, uncopied.
        """
        return self._outbox.take(limit)

    def _stream(self, stream_id: int) -> Stream:
        stream = self._streams.get(stream_id)
        if stream is None:
            raise Http2Error(f"stream {stream_id} is gone", ErrorCode.STREAM_CLOSED)
        return stream

    def _sent_end(self, stream: Stream) -> None:
        stream.move(Move.SEND_END)
        if stream.state is State.CLOSED:
            self._streams.finish(stream.id)
        elif not self._client:  # an answer needs no more of the question (section 8.1)
            self.reset_stream(stream.id, ErrorCode.NO_ERROR)

    # Receiving

    def receive(self, data: Buffer) -> list[Event]:
        """Take bytes from the peer; return what they mean.

        Raises ProtocolError when the connection is broken; a GOAWAY is queued then, and all
        further calls raise, too.
        """
        if self._broken:
            raise ProtocolError("the connection is broken")
        events: list[Event] = []
        try:
            for kind, flags, stream_id, payload in self._reader.feed(self._after_preface(data)):
                self._on_frame(kind, flags, stream_id, payload, events)
        except ProtocolError as error:
            self._broken = True
            self.goaway(error.code, str(error))
            raise
        return events

    def _after_preface(self, data: Buffer) -> Buffer:
        if not self._preface:
            return data
        size = min(len(data), len(self._preface))
        if bytes(data[:size]) != self._preface[:size]:
            raise ProtocolError("not HTTP/2")
        self._preface = self._preface[size:]
        return memoryview(data)[size:]

    def _on_frame(
        self, kind: int, flags: int, stream_id: int, payload: memoryview, events: list[Event]
    ) -> None:
        expecting = self._headers.expecting
        if expecting and (kind != frames.CONTINUATION or stream_id != expecting):
            raise ProtocolError("a header block was interrupted")
        if not self._settled and (kind != frames.SETTINGS or flags & frames.ACK):
            raise ProtocolError("the first frame is not SETTINGS")
        handler = self._handlers.get(kind)
        if handler is None:
            return  # unknown types are ignored (section 4.1)
        try:
            handler(flags, stream_id, payload, events)
        except StreamError as error:
            self._fail_stream(error, events)

    def _fail_stream(self, error: StreamError, events: list[Event]) -> None:
        if self._streams.get(error.stream_id):
            self.reset_stream(error.stream_id, error.code)
            events.append(StreamReset(error.stream_id, error.code, False))
        else:
            self._streams.remember_reset(error.stream_id)
            self._outbox.control(frames.rst_stream(error.stream_id, error.code))
        self._streams.count_reset()

    def _on_data(
        self, flags: int, stream_id: int, payload: memoryview, events: list[Event]
    ) -> None:
        size = len(payload)
        if not self._window.take(size):
            raise ProtocolError("more data than allowed", ErrorCode.FLOW_CONTROL_ERROR)
        if update := self._window.give(size):
            self._outbox.control(frames.window_update(0, update))
        data = frames.without_padding(flags, payload)
        stream = self._streams.get(stream_id)
        if stream is None:
            self._on_data_of_none(stream_id)
            return
        if not stream.window.take(size):
            raise StreamError(stream_id, "more data than allowed", ErrorCode.FLOW_CONTROL_ERROR)
        if not stream.headed:
            raise StreamError(stream_id, "data before headers")
        stream.move(Move.RECEIVE_DATA)
        if size > len(data):
            self.acknowledge(stream_id, size - len(data))
        if data:
            stream.empty_frames = 0
            events.append(DataReceived(stream_id, data))
        else:
            self._count_empty(stream)
        if flags & frames.END_STREAM:
            self._received_end(stream, events)

    def _on_data_of_none(self, stream_id: int) -> None:
        if self._streams.was_reset(stream_id):
            return
        if self._streams.is_idle(stream_id):
            raise ProtocolError("data on a stream that was never opened")
        raise StreamError(stream_id, "data on a closed stream", ErrorCode.STREAM_CLOSED)

    def _count_empty(self, stream: Stream) -> None:
        stream.empty_frames += 1
        if stream.empty_frames > self._limits.empty_frames:
            raise ProtocolError("too many empty frames", ErrorCode.ENHANCE_YOUR_CALM)

    def _on_headers(
        self, flags: int, stream_id: int, payload: memoryview, events: list[Event]
    ) -> None:
        if not stream_id:
            raise ProtocolError("headers on stream 0")
        fragment = frames.without_priority(flags, frames.without_padding(flags, payload))
        end_stream = bool(flags & frames.END_STREAM)
        self._headers.begin(stream_id, fragment, end_stream=end_stream)
        if flags & frames.END_HEADERS:
            self._on_block(self._headers.finish(), events)

    def _on_continuation(
        self, flags: int, stream_id: int, payload: memoryview, events: list[Event]
    ) -> None:
        if not self._headers.expecting:
            raise ProtocolError("CONTINUATION without HEADERS")
        self._headers.add(payload)
        if flags & frames.END_HEADERS:
            self._on_block(self._headers.finish(), events)

    def _on_block(self, block: HeaderBlock, events: list[Event]) -> None:
        stream = self._streams.get(block.stream_id)
        if stream is None:
            if self._streams.was_reset(block.stream_id):
                return
            stream = self._streams.accept(block.stream_id)
        if stream.headed:
            self._on_trailers(stream, block, events)
        elif self._client:
            self._on_response(stream, block, events)
        else:
            check_headers(stream.id, block.headers, REQUEST_PSEUDO)
            self._head(stream)
            events.append(RequestReceived(stream.id, block.headers))
        if block.end_stream:
            self._received_end(stream, events)

    def _on_response(self, stream: Stream, block: HeaderBlock, events: list[Event]) -> None:
        check_headers(stream.id, block.headers, RESPONSE_PSEUDO)
        status = dict(block.headers)[b":status"]
        if status.startswith(b"1") and not block.end_stream:
            return  # an interim answer
        self._head(stream)
        events.append(ResponseReceived(stream.id, block.headers))

    def _on_trailers(self, stream: Stream, block: HeaderBlock, events: list[Event]) -> None:
        check_headers(stream.id, block.headers, NO_PSEUDO)
        stream.move(Move.RECEIVE_HEADERS)
        if not block.end_stream:
            raise StreamError(stream.id, "headers in the middle")
        events.append(TrailersReceived(stream.id, block.headers))

    def _head(self, stream: Stream) -> None:
        stream.move(Move.RECEIVE_HEADERS)
        stream.headed = True

    def _received_end(self, stream: Stream, events: list[Event]) -> None:
        stream.move(Move.RECEIVE_END)
        events.append(StreamEnded(stream.id))
        if stream.state is State.CLOSED:
            self._streams.finish(stream.id)

    def _on_rst_stream(
        self, flags: int, stream_id: int, payload: memoryview, events: list[Event]
    ) -> None:
        code = frames.word(payload)
        if self._streams.is_idle(stream_id):
            raise ProtocolError("RST_STREAM on a stream that was never opened")
        stream = self._streams.drop(stream_id)
        if stream is not None:
            self._outbox.forget(stream)
            self._streams.count_reset()
            events.append(StreamReset(stream_id, code, True))

    def _on_settings(
        self, flags: int, stream_id: int, payload: memoryview, events: list[Event]
    ) -> None:
        if stream_id:
            raise ProtocolError("SETTINGS on a stream")
        if flags & frames.ACK:
            if payload:
                raise ProtocolError("SETTINGS ACK with data", ErrorCode.FRAME_SIZE_ERROR)
            return
        self._settled = True
        settings = frames.read_settings(payload)
        for name, value in settings:
            self._apply(name, value)
        self._answer(frames.frame(frames.SETTINGS, frames.ACK, 0))
        events.append(SettingsReceived(dict(settings)))

    def _apply(self, name: int, value: int) -> None:
        if name == limits.INITIAL_WINDOW_SIZE:
            self._streams.resize(value)
            for stream in self._streams:
                self._outbox.wake(stream)
        elif name == limits.MAX_FRAME_SIZE:
            if not frames.MIN_FRAME_SIZE <= value <= frames.MAX_FRAME_SIZE:
                raise ProtocolError("a frame size out of bounds")
            self._outbox.max_frame = value
        elif name == limits.HEADER_TABLE_SIZE:
            self._outbox.table_size(value)
        elif name == limits.MAX_CONCURRENT_STREAMS:
            self._streams.peer_allows = value
        elif name == limits.ENABLE_PUSH and (value > 1 or (self._client and value)):
            raise ProtocolError("a push setting out of bounds")

    def _on_ping(
        self, flags: int, stream_id: int, payload: memoryview, events: list[Event]
    ) -> None:
        if stream_id:
            raise ProtocolError("PING on a stream")
        if len(payload) != 8:
            raise ProtocolError("PING of a wrong size", ErrorCode.FRAME_SIZE_ERROR)
        if not flags & frames.ACK:
            self._answer(frames.frame(frames.PING, frames.ACK, 0, bytes(payload)))

    def _answer(self, data: bytes) -> None:
        self._outbox.answer(data)
        if self._outbox.answers > self._limits.pending_answers:
            raise ProtocolError("answers are not read", ErrorCode.ENHANCE_YOUR_CALM)

    def _on_goaway(
        self, flags: int, stream_id: int, payload: memoryview, events: list[Event]
    ) -> None:
        if stream_id:
            raise ProtocolError("GOAWAY on a stream")
        last, code, debug = frames.read_goaway(payload)
        events.append(GoawayReceived(last, code, debug))
        if self._client:
            for gone in [stream for stream in self._streams if stream.id > last]:
                self._streams.drop(gone.id)
                self._outbox.forget(gone)
                events.append(StreamReset(gone.id, ErrorCode.REFUSED_STREAM, True))

    def _on_window_update(
        self, flags: int, stream_id: int, payload: memoryview, events: list[Event]
    ) -> None:
        increment = frames.word(payload) & limits.MAX_WINDOW
        if not stream_id:
            self._outbox.window += increment
            if not increment:
                raise ProtocolError("an empty WINDOW_UPDATE")
            if self._outbox.window > limits.MAX_WINDOW:
                raise ProtocolError("a window out of bounds", ErrorCode.FLOW_CONTROL_ERROR)
            return
        stream = self._streams.get(stream_id)
        if stream is None:
            if self._streams.is_idle(stream_id):
                raise ProtocolError("WINDOW_UPDATE on a stream that was never opened")
            return  # it may have been on its way when the stream closed
        stream.send_window += increment
        if not increment:
            raise StreamError(stream_id, "an empty WINDOW_UPDATE")
        if stream.send_window > limits.MAX_WINDOW:
            raise StreamError(stream_id, "a window out of bounds", ErrorCode.FLOW_CONTROL_ERROR)
        self._outbox.wake(stream)

    def _on_priority(
        self, flags: int, stream_id: int, payload: memoryview, events: list[Event]
    ) -> None:
        if not stream_id:
            raise ProtocolError("PRIORITY on stream 0")
        if len(payload) != 5:
            raise StreamError(stream_id, "PRIORITY too short", ErrorCode.FRAME_SIZE_ERROR)

    def _on_push_promise(
        self, flags: int, stream_id: int, payload: memoryview, events: list[Event]
    ) -> None:
        raise ProtocolError("a push, which we forbade")
