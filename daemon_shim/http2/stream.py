"""One stream: its legal moves as a table (RFC 9113, section 5.1), and what it has yet to send."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import IntEnum, auto

from daemon_shim.http2.errors import ErrorCode, Http2Error, StreamError
from daemon_shim.http2.events import Header
from daemon_shim.http2.frames import Buffer
from daemon_shim.http2.windows import ReceiveWindow


class State(IntEnum):
    """States of a stream; reserved states do not occur because push is refused."""

    IDLE = auto()
    OPEN = auto()
    HALF_CLOSED_LOCAL = auto()
    HALF_CLOSED_REMOTE = auto()
    CLOSED = auto()


class Move(IntEnum):
    """What happens on a stream. A number, because those hash fast and every frame moves."""

    SEND_HEADERS = auto()
    RECEIVE_HEADERS = auto()
    SEND_DATA = auto()
    RECEIVE_DATA = auto()
    SEND_END = auto()
    RECEIVE_END = auto()


MOVES: dict[tuple[State, Move], State] = {
    (State.IDLE, Move.SEND_HEADERS): State.OPEN,
    (State.IDLE, Move.RECEIVE_HEADERS): State.OPEN,
    (State.OPEN, Move.SEND_HEADERS): State.OPEN,
    (State.OPEN, Move.RECEIVE_HEADERS): State.OPEN,
    (State.OPEN, Move.SEND_DATA): State.OPEN,
    (State.OPEN, Move.RECEIVE_DATA): State.OPEN,
    (State.OPEN, Move.SEND_END): State.HALF_CLOSED_LOCAL,
    (State.OPEN, Move.RECEIVE_END): State.HALF_CLOSED_REMOTE,
    (State.HALF_CLOSED_LOCAL, Move.RECEIVE_HEADERS): State.HALF_CLOSED_LOCAL,
    (State.HALF_CLOSED_LOCAL, Move.RECEIVE_DATA): State.HALF_CLOSED_LOCAL,
    (State.HALF_CLOSED_LOCAL, Move.RECEIVE_END): State.CLOSED,
    (State.HALF_CLOSED_REMOTE, Move.SEND_HEADERS): State.HALF_CLOSED_REMOTE,
    (State.HALF_CLOSED_REMOTE, Move.SEND_DATA): State.HALF_CLOSED_REMOTE,
    (State.HALF_CLOSED_REMOTE, Move.SEND_END): State.CLOSED,
}
"""A missing row is an error: ours if we move, the peer's if it does."""

_RECEIVED = {Move.RECEIVE_HEADERS, Move.RECEIVE_DATA, Move.RECEIVE_END}


class Stream:
    """A stream that is not closed yet."""

    __slots__ = (
        "_chunks",
        "empty_frames",
        "ending",
        "headed",
        "id",
        "queued",
        "send_window",
        "state",
        "trailers",
        "window",
    )

    def __init__(self, stream_id: int, *, send_window: int, receive_window: int) -> None:
        self.id = stream_id
        self.state = State.IDLE
        self.send_window = send_window
        self.window = ReceiveWindow(receive_window)
        self.headed = False
        """Whether the peer's (final) headers came, so that the next are trailers."""
        self.empty_frames = 0
        self.queued = 0
        self.ending = False
        self.trailers: Sequence[Header] | None = None
        self._chunks: deque[memoryview] = deque()

    def move(self, move: Move) -> None:
        """Go to the next state. Raises StreamError (the peer's fault) or Http2Error (ours)."""
        following = MOVES.get((self.state, move))
        if following is not None:
            self.state = following
        elif move in _RECEIVED:
            raise StreamError(self.id, f"{move.name} in {self.state.name}", ErrorCode.STREAM_CLOSED)
        else:
            raise Http2Error(f"{move.name} in {self.state.name}", ErrorCode.INTERNAL_ERROR)

    def put(self, data: Buffer) -> None:
        """Queue data to send."""
        self._chunks.append(memoryview(data))
        self.queued += len(data)

    def take(self, size: int, out: list[Buffer]) -> None:
        """Move ``size`` queued bytes to ``out``, uncopied."""
        self.queued -= size
        chunks = self._chunks
        while size:
            chunk = chunks[0]
            if len(chunk) <= size:
                out.append(chunks.popleft())
                size -= len(chunk)
            else:
                out.append(chunk[:size])
                chunks[0] = chunk[size:]
                return
