"""A folder of programs that lies in memory, to be sent as a local source.

Whatever made its files, where and when, daemons see the same: a mode, an owner and a time that
never change, so that they find earlier results by them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping

from daemon_shim.session import diffcopy

_MODE = 0o100755
_TIME = 1 << 60  # nanoseconds: a day in 2006, for a daemon that minds the year 1970


class MemoryFolder:
    """Executable files by their names; names hold no ``/``."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = sorted((name.encode(), data) for name, data in files.items())

    def open(self) -> MemoryWalk:
        """Begin to send it."""
        return MemoryWalk(self._files)


class MemoryWalk:
    """Iterates over the STAT packets; ``files`` are those that may be asked for, by id."""

    def __init__(self, files: list[tuple[bytes, bytes]]) -> None:
        self._named = files
        self.files = {number: data for number, (_, data) in enumerate(files)}

    def __iter__(self) -> Iterator[bytes]:
        mode = diffcopy.mode_field(_MODE)
        yield b"".join(
            diffcopy.stat_packet(name, mode, len(data), _TIME) for name, data in self._named
        )

    def close(self) -> None:
        """Nothing is open."""


class MemoryData:
    """The data of requested files, as DATA packets."""

    def batch(self, wanted: deque[tuple[int, bytes]]) -> list[bytes]:
        """Return the packets of the next file; none if ``wanted`` is empty."""
        if not wanted:
            return []
        file_id, data = wanted.popleft()
        head = [diffcopy.data_head(file_id, len(data)), data] if data else []
        return [*head, diffcopy.data_end(file_id)]

    def close(self) -> None:
        """Nothing is open."""
