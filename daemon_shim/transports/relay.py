"""A private socket for gRPC, which cannot take a connection that somebody else opened.

Whoever connects to the socket is joined to a stream of the transport's. The socket lies in a
folder that only this user may enter. One thread for each connection, because a TLS stream may not
be read and written by two threads at once.
"""

from __future__ import annotations

import contextlib
import selectors
import shutil
import socket
import ssl
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from daemon_shim.errors import DaemonError
from daemon_shim.transports.base import Stream

_PIECE = 256 * 1024
_HELD = 1024 * 1024
_CLOSE_SECONDS = 1.0


class Relay:
    """Listens until it is closed. ``dial`` opens one stream for each connection."""

    def __init__(self, dial: Callable[[], Stream]) -> None:
        self._dial = dial
        self._folder = tempfile.mkdtemp(prefix="bf-")
        path = str(Path(self._folder, "s"))
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(16)
        self._open: dict[socket.socket, threading.Thread] = {}
        self._spare: deque[Stream] = deque()
        self._lock = threading.Lock()
        self._closed = False
        self.target = f"unix:{path}"
        threading.Thread(target=self._accept, name="relay", daemon=True).start()

    def offer(self, stream: Stream) -> None:
        """Give a stream that is open already to the next connection."""
        self._spare.append(stream)

    def close(self) -> None:
        """Stop listening, cut every connection, and wait until the streams are closed."""
        with self._lock:
            self._closed = True
            serving = tuple(self._open.values())
            for side in self._open:
                _shut(side)
        while self._spare:
            self._spare.pop().close()
        _shut(self._listener)
        self._listener.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        deadline = time.monotonic() + _CLOSE_SECONDS
        for thread in serving:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                local, _ = self._listener.accept()
                threading.Thread(
                    target=self._serve, args=(local,), name="relay", daemon=True
                ).start()

    def _serve(self, local: socket.socket) -> None:
        with local:
            with self._lock:
                if self._closed:
                    return
                self._open[local] = threading.current_thread()
            try:
                with self._stream() as remote:
                    join(local, remote)
            except DaemonError:
                pass  # gRPC sees a closed connection; its caller dials again to learn why
            finally:
                with self._lock:
                    self._open.pop(local, None)

    def _stream(self) -> Stream:
        try:
            return self._spare.popleft()
        except IndexError:
            return self._dial()


def _shut(side: socket.socket) -> None:
    with contextlib.suppress(OSError):
        side.shutdown(socket.SHUT_RDWR)


class _Side:
    """One of two streams, and the bytes that wait to be written to it."""

    def __init__(self, stream: Stream) -> None:
        stream.setblocking(False)
        self.stream = stream
        self.waiting = bytearray()
        self.ended = False

    def events(self, other: _Side) -> int:
        """What to wait for. Nothing is read while the other side does not take what it has."""
        read = not self.ended and len(other.waiting) < _HELD
        return (selectors.EVENT_READ if read else 0) | (
            selectors.EVENT_WRITE if self.waiting else 0
        )

    def read_into(self, other: _Side) -> None:
        """Move what has come; TLS may hold more than its socket shows, so until there is none."""
        while len(other.waiting) < _HELD:
            try:
                piece = self.stream.recv(_PIECE)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            if not piece:
                self.ended = True
                return
            other.waiting += piece

    def flush(self) -> None:
        """Write what the stream takes now."""
        while self.waiting:
            try:
                sent = self.stream.send(self.waiting)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            del self.waiting[:sent]


def join(local: Stream, remote: Stream) -> None:
    """Carry bytes both ways until either side ends and the other has got what was sent."""
    pair = (_Side(local), _Side(remote))
    with selectors.DefaultSelector() as selector, contextlib.suppress(OSError):
        while not _finished(pair):
            _await(selector, pair)
            for side, other in (pair, pair[::-1]):
                if not side.ended:
                    side.read_into(other)
                other.flush()


def _finished(pair: tuple[_Side, _Side]) -> bool:
    return any(side.ended and not other.waiting for side, other in (pair, pair[::-1]))


def _await(selector: selectors.BaseSelector, pair: tuple[_Side, _Side]) -> None:
    """Wait until a side can go on."""
    for side, other in (pair, pair[::-1]):
        wanted = side.events(other)
        known = selector.get_map().get(side.stream)
        if known and known.events != wanted:
            selector.unregister(side.stream)
            known = None
        if wanted and not known:
            selector.register(side.stream, wanted)
    if not _buffered(pair):
        selector.select()


def _buffered(pair: tuple[_Side, _Side]) -> bool:
    """Whether TLS holds bytes that can be read now, which a selector does not see."""
    return any(
        isinstance(side.stream, ssl.SSLSocket)
        and side.stream.pending() > 0
        and len(other.waiting) < _HELD
        for side, other in (pair, pair[::-1])
    )
