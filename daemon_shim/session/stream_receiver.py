"""Receiving into a stream that may be slow, such as a pipe.

The stream is written on another thread, one lump at a time; what comes meanwhile is kept, and the
daemon is held back while that is much.
"""

from __future__ import annotations

from typing import BinaryIO

from daemon_shim.session.receiving import BytesReceiver, Report
from daemon_shim.session.service import Call

_MUCH = 1 << 20


class StreamReceiver(BytesReceiver):
    """Takes one file's bytes into ``stream``."""

    def __init__(self, call: Call, report: Report, stream: BinaryIO) -> None:
        super().__init__(call, report, self._keep)
        self._stream = stream
        self._kept = bytearray()
        self._writing = False
        self._ended = False

    def _keep(self, piece: memoryview) -> None:
        self._kept += piece
        if len(self._kept) > _MUCH:
            self._call.pause()
        self._go_on()

    def half_closed(self) -> None:
        """All bytes came; the call ends when they are written."""
        self._ended = True
        self._go_on()

    def _go_on(self) -> None:
        if self._writing or self._over:
            return
        if self._kept:
            lump, self._kept = self._kept, bytearray()
            self._writing = True
            self._call.resume()
            self._call.spawn(lambda: self._write_lump(lump), self._written)
        elif self._ended:
            self._complete()
            self._call.finish()

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
        self._writing = False
        if isinstance(error, OSError):
            raise self._os_failure(error)
        self._go_on()
