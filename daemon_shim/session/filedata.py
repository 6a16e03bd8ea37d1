"""The data of requested files, as DATA packets: small files joined, large ones in pieces."""

from __future__ import annotations

import os
from collections import deque

from daemon_shim.session import diffcopy
from daemon_shim.session.root import Root
from daemon_shim.session.walk import Listed, SourceError

_BATCH = 64 << 10
_PIECE = (1 << 20) - 4096
"""Daemons take messages of 4 MiB (to v0.12) or more; a little under 1 MiB measured best."""


class FileData:
    """Reads files below a root. Each file's size is the one it was listed with.

    What was appended since is left out; a file that shrank cannot be sent. Raises SourceError.
    """

    def __init__(self, root: Root) -> None:
        self._root = root
        self._id = 0
        self._file: Listed = ("", "", 0)
        self._fd = -1
        self._left = 0

    def batch(self, wanted: deque[tuple[int, Listed]]) -> list[bytes]:
        """Return the next packets, taking files off the front of ``wanted``; none if it is empty.

        Many small files, or a piece of a large one.
        """
        if self._fd >= 0:
            return self._piece()
        small: list[bytes] = []
        size = 0
        while wanted and size < _BATCH:
            file_id, file = wanted[0]
            if file[2] > _BATCH:
                if not small:
                    wanted.popleft()
                    self._start(file_id, file)
                    return self._piece()
                break
            data = self._whole(file)
            wanted.popleft()
            if data:
                small.append(diffcopy.data_head(file_id, len(data)))
                small.append(data)
            small.append(diffcopy.data_end(file_id))
            size += len(data)
        return [b"".join(small)] if small else []

    def close(self) -> None:
        """Close the file that is being read."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _whole(self, file: Listed) -> bytes:
        size = file[2]
        if not size:
            return b""
        fd = self._open(file)
        try:
            return self._read(fd, file, size)
        finally:
            os.close(fd)

    def _start(self, file_id: int, file: Listed) -> None:
        self._fd = self._open(file)
        self._id, self._file, self._left = file_id, file, file[2]

    def _piece(self) -> list[bytes]:
        size = min(_PIECE, self._left)
        data = self._read(self._fd, self._file, size)
        self._left -= size
        packets = [diffcopy.data_head(self._id, size), data]
        if not self._left:
            packets.append(diffcopy.data_end(self._id))
            self.close()
        return packets

    def _open(self, file: Listed) -> int:
        try:
            return self._root.open_file(file[0], file[1])
        except OSError as error:
            raise SourceError.of(_path(file), error) from error

    def _read(self, fd: int, file: Listed, size: int) -> bytes:
        try:
            data = os.read(fd, size)
            while len(data) < size and (more := os.read(fd, size - len(data))):
                data += more
        except OSError as error:
            raise SourceError.of(_path(file), error) from error
        if len(data) < size:
            raise SourceError(_path(file), "the file shrank while it was being sent")
        return data


def _path(file: Listed) -> str:
    folder, name, _ = file
    return f"{folder}/{name}" if folder else name
