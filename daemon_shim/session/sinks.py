"""Where the bytes of a file go that a daemon sends: to the disk at once, or to a slow stream.

A stream such as a pipe is written on another thread, one lump at a time; what comes meanwhile is
kept, and the daemon is held back while that is much.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import BinaryIO, Protocol, TypeAlias

from daemon_shim.session.service import Call, RpcError

_MUCH = 1 << 20

Failure: TypeAlias = Callable[[OSError], RpcError]
"""Reports an error of the disk or stream, and makes of it the end of the call."""


class Sink(Protocol):
    """Takes the bytes of one file in their order."""

    def write(self, piece: bytes | bytearray | memoryview) -> None:
        """Take a piece, which is valid only during the call. May raise OSError."""

    def end(self, done: Callable[[], None]) -> None:
        """Call ``done`` when all is written, now or later."""


def write_all(fd: int, data: bytes | bytearray | memoryview) -> None:
    """Write all of ``data``. Raises OSError."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


class FileSink:
    """A file on the disk."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, piece: bytes | bytearray | memoryview) -> None:
        """Write it."""
        write_all(self._fd, piece)

    def end(self, done: Callable[[], None]) -> None:
        """Nothing waits to be written."""
        done()


class StreamSink:
    """A stream that may be slow. ``failure`` is raised where writing fails later on."""

    def __init__(self, call: Call, stream: BinaryIO, failure: Failure) -> None:
        self._call = call
        self._stream = stream
        self._failure = failure
        self._kept = bytearray()
        self._writing = False
        self._done: Callable[[], None] | None = None

    def write(self, piece: bytes | bytearray | memoryview) -> None:
        """Keep it until the stream takes it."""
        self._kept += piece
        if len(self._kept) > _MUCH:
            self._call.pause()
        self._go_on()

    def end(self, done: Callable[[], None]) -> None:
        """Call ``done`` when the stream has taken all."""
        self._done = done
        self._go_on()

    def _go_on(self) -> None:
        if self._writing:
            return
        if self._kept:
            lump, self._kept = self._kept, bytearray()
            self._writing = True
            self._call.resume()
            self._call.spawn(lambda: self._write_lump(lump), self._written)
        elif self._done:
            self._done()

    def _write_lump(self, lump: bytearray) -> OSError | None:
        """Write on the other thread; a closed stream raises ValueError."""
        try:
            self._stream.write(lump)
            self._stream.flush()
        except OSError as error:
            return error
        except ValueError:
            return OSError(0, "the stream is closed")
        return None

    def _written(self, error: object) -> None:
        if isinstance(error, OSError):
            raise self._failure(error)
        self._writing = False
        self._go_on()
