"""The streams of a connection: which are open, which were, and which may come."""

from __future__ import annotations

from collections.abc import Iterator

from daemon_shim.http2 import limits
from daemon_shim.http2.errors import ErrorCode, Http2Error, ProtocolError, StreamError
from daemon_shim.http2.limits import Limits
from daemon_shim.http2.stream import Stream

_REMEMBERED_RESETS = 1000


class Streams:
    """Open streams by id; iterates over them."""

    def __init__(self, *, client: bool, allowed: Limits) -> None:
        self._client = client
        self._limits = allowed
        self._open: dict[int, Stream] = {}
        self._resets: dict[int, None] = {}
        self._next = 1
        self._early_resets = 0
        self._window = limits.DEFAULT_WINDOW
        self.last_of_peer = 0
        """The newest stream that the peer opened."""
        self.peer_allows = limits.MAX_WINDOW
        """How many streams the peer lets us open."""

    def __iter__(self) -> Iterator[Stream]:
        return iter(self._open.values())

    def get(self, stream_id: int) -> Stream | None:
        """Return an open stream."""
        return self._open.get(stream_id)

    def open(self) -> Stream:
        """Open our next stream. Raises Http2Error when the peer allows no more."""
        if len(self._open) >= self.peer_allows:
            raise Http2Error("the peer allows no more streams", ErrorCode.REFUSED_STREAM)
        self._next += 2
        return self._new(self._next - 2)

    def accept(self, stream_id: int) -> Stream:
        """Open a stream of the peer's. Raises ProtocolError or StreamError where it may not."""
        if self._client or stream_id % 2 == 0:
            raise ProtocolError("a stream id that the peer may not open")
        if stream_id <= self.last_of_peer:
            raise ProtocolError("headers on a closed stream", ErrorCode.STREAM_CLOSED)
        self.last_of_peer = stream_id
        if len(self._open) >= self._limits.streams:
            raise StreamError(stream_id, "too many streams", ErrorCode.REFUSED_STREAM)
        return self._new(stream_id)

    def _new(self, stream_id: int) -> Stream:
        stream = self._open[stream_id] = Stream(
            stream_id, send_window=self._window, receive_window=self._limits.stream_window
        )
        return stream

    def finish(self, stream_id: int) -> None:
        """Forget a stream that ended well on both sides."""
        self._open.pop(stream_id, None)
        self._early_resets = max(0, self._early_resets - 1)

    def drop(self, stream_id: int) -> Stream | None:
        """Forget a stream that was reset; return it, if it was open."""
        return self._open.pop(stream_id, None)

    def remember_reset(self, stream_id: int) -> None:
        """Note that we reset a stream: what the peer sent before it knew is to be ignored."""
        self._resets[stream_id] = None
        if len(self._resets) > _REMEMBERED_RESETS:
            del self._resets[next(iter(self._resets))]

    def was_reset(self, stream_id: int) -> bool:
        """Return whether we reset a stream lately."""
        return stream_id in self._resets

    def count_reset(self) -> None:
        """Count a stream that ended before its time. Raises ProtocolError if they are too many."""
        self._early_resets += 1
        if self._early_resets > self._limits.early_resets:
            raise ProtocolError("too many resets", ErrorCode.ENHANCE_YOUR_CALM)

    def is_idle(self, stream_id: int) -> bool:
        """Return whether a stream was never opened."""
        ours = self._client and stream_id % 2 == 1
        newest = self._next - 2 if ours else self.last_of_peer
        return stream_id == 0 or stream_id > newest

    def resize(self, window: int) -> None:
        """Obey the peer's SETTINGS_INITIAL_WINDOW_SIZE. Raises ProtocolError."""
        if window > limits.MAX_WINDOW:
            raise ProtocolError("a window out of bounds", ErrorCode.FLOW_CONTROL_ERROR)
        change, self._window = window - self._window, window
        for stream in self:
            stream.send_window += change
            if stream.send_window > limits.MAX_WINDOW:
                raise ProtocolError("a window out of bounds", ErrorCode.FLOW_CONTROL_ERROR)
