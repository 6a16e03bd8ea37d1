"""What we allow a peer, and the settings that tell it so (RFC 9113, section 6.5.2)."""

from __future__ import annotations

from dataclasses import dataclass

HEADER_TABLE_SIZE = 0x1
ENABLE_PUSH = 0x2
MAX_CONCURRENT_STREAMS = 0x3
INITIAL_WINDOW_SIZE = 0x4
MAX_FRAME_SIZE = 0x5
MAX_HEADER_LIST_SIZE = 0x6

DEFAULT_WINDOW = 65_535
MAX_WINDOW = (1 << 31) - 1


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Sizes in bytes, others in pieces. A peer over a limit loses the stream or the connection.

    The windows are large because the consumer is fast and a daemon may be far away; what is
    received is used at once, so they cost no memory. The header limits leave room for thousands
    of patterns in a file sync's request. ``early_resets`` counts streams that the peer opened and
    reset before the answer was complete, less those that ended well (the "rapid reset" attack).
    ``pending_answers`` bounds PING and SETTINGS answers that the peer does not read.
    """

    frame_size: int = 1 << 14
    stream_window: int = 16 << 20
    connection_window: int = 32 << 20
    header_list_size: int = 1 << 20
    header_block_size: int = 1 << 20
    continuations: int = 128
    streams: int = 250
    early_resets: int = 1000
    pending_answers: int = 1000
    empty_frames: int = 1000

    def settings(self, *, client: bool) -> dict[int, int]:
        """Return the SETTINGS that tell the peer."""
        told = {
            INITIAL_WINDOW_SIZE: self.stream_window,
            MAX_FRAME_SIZE: self.frame_size,
            MAX_HEADER_LIST_SIZE: self.header_list_size,
        }
        role = {ENABLE_PUSH: 0} if client else {MAX_CONCURRENT_STREAMS: self.streams}
        return told | role
