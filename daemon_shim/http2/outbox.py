"""What a connection has to send, in the order in which it may go out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import hpack

from daemon_shim.http2 import frames
from daemon_shim.http2.events import Header
from daemon_shim.http2.frames import Buffer
from daemon_shim.http2.limits import DEFAULT_WINDOW
from daemon_shim.http2.stream import Stream

_TURN = 64 << 10
_MAX_TABLE = 4096


class Outbox:
    """Control frames first, then the streams' data in turns of 64 KiB as the windows allow.

    ``ended`` is called with each stream whose last frame went out.
    """

    def __init__(self, ended: Callable[[Stream], None]) -> None:
        self._ended = ended
        self._control: list[Buffer] = []
        self._ready: deque[Stream] = deque()
        self._in_ready: set[int] = set()
        self._encoder = hpack.Encoder()
        self.window = DEFAULT_WINDOW
        self.max_frame = frames.MIN_FRAME_SIZE
        self.answers = 0
        """PING and SETTINGS answers that were not taken yet."""

    def control(self, data: bytes) -> None:
        """Queue whole frames that no window limits."""
        self._control.append(data)

    def answer(self, data: bytes) -> None:
        """Queue an answer that the peer asked for."""
        self.answers += 1
        self._control.append(data)

    def headers(self, stream_id: int, headers: Sequence[Header], *, end_stream: bool) -> None:
        """Encode and queue headers; the encoder's state wants them sent in this order."""
        block = self._encoder.encode(list(headers))
        self.control(frames.header_frames(stream_id, block, self.max_frame, end_stream=end_stream))

    def table_size(self, size: int) -> None:
        """Obey the peer's SETTINGS_HEADER_TABLE_SIZE, within reason."""
        self._encoder.header_table_size = min(size, _MAX_TABLE)

    def wake(self, stream: Stream) -> None:
        """Put a stream in line: it has data or an end to send, or its window opened."""
        if stream.id not in self._in_ready and (stream.queued or stream.ending):
            self._in_ready.add(stream.id)
            self._ready.append(stream)

    def forget(self, stream: Stream) -> None:
        """Drop what a stream that is gone had in line."""
        if stream.id in self._in_ready:
            self._in_ready.discard(stream.id)
            self._ready.remove(stream)

    def take(self, limit: int) -> tuple[list[Buffer], list[int]]:
        """Return frames with about ``limit`` data bytes at most, and the streams they are of."""
        out, self._control, self.answers = self._control, [], 0
        moved: list[int] = []
        while self._ready:
            stream = self._ready[0]
            size = min(stream.queued, stream.send_window, self.window, limit, _TURN)
            if size <= 0 and stream.queued:
                if stream.send_window > 0:
                    break
                self.forget(stream)  # until its window opens
                continue
            self._ready.popleft()
            limit -= size
            self._data(stream, size, out)
            moved.append(stream.id)
            self._stand_again(stream, out)
        return out, moved

    def _data(self, stream: Stream, size: int, out: list[Buffer]) -> None:
        stream.send_window -= size
        self.window -= size
        while size:
            cut = min(size, self.max_frame)
            size -= cut
            last = cut == stream.queued and stream.ending and stream.trailers is None
            flags = frames.END_STREAM if last else 0
            out.append(frames.frame_header(cut, frames.DATA, flags, stream.id))
            stream.take(cut, out)
            if last:
                self._finish(stream)

    def _stand_again(self, stream: Stream, out: list[Buffer]) -> None:
        if stream.queued:
            self._ready.append(stream)
            return
        self._in_ready.discard(stream.id)
        if not stream.ending:
            return
        if stream.trailers is None:
            out.append(frames.frame(frames.DATA, frames.END_STREAM, stream.id))
        else:
            block = self._encoder.encode(list(stream.trailers))
            out.append(frames.header_frames(stream.id, block, self.max_frame, end_stream=True))
        self._finish(stream)

    def _finish(self, stream: Stream) -> None:
        stream.ending = False
        self._ended(stream)
