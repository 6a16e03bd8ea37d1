"""A non-blocking byte stream over a socket, plain or TLS: the only place that touches it."""

from __future__ import annotations

import itertools
import mmap
import selectors
import ssl
from collections import deque
from collections.abc import Iterable

from daemon_shim.http2.frames import Buffer
from daemon_shim.transports.base import Stream

_READ_SIZE = 256 << 10
_TLS_WRITE = 64 << 10
_MAX_BUFFERS = 512  # under IOV_MAX, which is 1024 on Linux
_AGAIN = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Link:
    """Reads into one reused buffer and writes gathered buffers, never waiting."""

    def __init__(self, sock: Stream) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._buffer = memoryview(mmap.mmap(-1, _READ_SIZE))  # takes memory as it is written to
        self._out: deque[Buffer] = deque()
        self._write_blocked = False
        self._read_wants_write = False
        self.backlog = 0
        """Bytes put but not yet taken by the socket."""

    def fileno(self) -> int:
        """Return the descriptor to watch."""
        return self._sock.fileno()

    @property
    def interest(self) -> int:
        """What to watch the descriptor for, as ``selectors`` has it."""
        write = self._write_blocked or self._read_wants_write
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if write else 0)

    @property
    def writable(self) -> bool:
        """Whether more can be written without waiting for the descriptor first."""
        return not self._write_blocked

    def receive(self) -> memoryview | None:
        """Return what came, valid until the next call; None if nothing did, empty at the end.

        Raises OSError. Call again until None: TLS may hold more than the descriptor shows.
        """
        self._read_wants_write = False
        try:
            size = self._sock.recv_into(self._buffer)
        except ssl.SSLWantWriteError:
            self._read_wants_write = True
            return None
        except _AGAIN:
            return None
        except ssl.SSLEOFError:
            size = 0
        return self._buffer[:size]

    def more(self) -> bool:
        """Whether TLS holds received bytes that the descriptor does not show."""
        return isinstance(self._sock, ssl.SSLSocket) and self._sock.pending() > 0

    def put(self, buffers: Iterable[Buffer]) -> None:
        """Queue bytes; ``flush`` writes them."""
        for buffer in buffers:
            self._out.append(buffer)
            self.backlog += len(buffer)

    def flush(self) -> int:
        """Write what the socket takes; return how many bytes it took. Raises OSError."""
        before = self.backlog
        self._write_blocked = False
        while self._out and not self._write_blocked:
            try:
                self._drop(self._write_some())
            except _AGAIN:
                self._write_blocked = True
        return before - self.backlog

    def _write_some(self) -> int:
        if isinstance(self._sock, ssl.SSLSocket):  # has no sendmsg
            return self._sock.send(self._tls_record())
        return self._sock.sendmsg(itertools.islice(self._out, _MAX_BUFFERS))

    def _tls_record(self) -> Buffer:
        """Join small buffers; a write that must be repeated finds the same bytes in front."""
        first = self._out[0]
        if len(first) >= _TLS_WRITE or len(self._out) == 1:
            return first
        parts, size = [], 0
        while self._out and size < _TLS_WRITE:
            parts.append(self._out.popleft())
            size += len(parts[-1])
        joined = b"".join(parts)
        self._out.appendleft(joined)
        return joined

    def _drop(self, size: int) -> None:
        self.backlog -= size
        while size:
            first = self._out[0]
            if len(first) > size:
                self._out[0] = memoryview(first)[size:]
                return
            size -= len(first)
            self._out.popleft()

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()
