"""The receiving side of flow control (RFC 9113, section 5.2)."""

from __future__ import annotations


class ReceiveWindow:
    """How much the peer may still send, and when to let it send more.

    Updates go out in lumps of at least half the window: often enough that the peer never waits,
    seldom enough that small messages do not each cause a frame.
    """

    __slots__ = ("_half", "_used", "left")

    def __init__(self, size: int) -> None:
        self.left = size
        self._half = size // 2
        self._used = 0

    def take(self, size: int) -> bool:
        """Count ``size`` received bytes; False if the peer had no right to send them."""
        self.left -= size
        return self.left >= 0

    def give(self, size: int) -> int:
        """Count ``size`` consumed bytes; return the increment to announce, mostly 0."""
        self._used += size
        if self._used < self._half:
            return 0
        update, self._used = self._used, 0
        self.left += update
        return update
