"""Servers of a few bytes: what stands at an address that is not quite a BuildKit daemon."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from daemon_shim.transports import relay

SETTINGS = b"\0\0\0\x04\0\0\0\0\0"
ENGINE_PONG = (
    b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nDocker-Experimental: false\r\n"
    b"Content-Length: 2\r\n\r\nOK"
)

Serve = Callable[[socket.socket], None]


@contextlib.contextmanager
def listening(serve: Serve, path: Path | None = None) -> Iterator[str]:
    """Serve each connection on a thread, on a unix socket or a TCP port; the address."""
    server = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
    server.bind(str(path) if path else ("127.0.0.1", 0))
    server.listen()
    threads: list[threading.Thread] = []
    streams: list[socket.socket] = []

    def run(stream: socket.socket) -> None:
        with stream, contextlib.suppress(OSError):
            serve(stream)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                stream, _ = server.accept()
                streams.append(stream)
                threads.append(threading.Thread(target=run, args=(stream,), daemon=True))
                threads[-1].start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield f"unix://{path}" if path else f"tcp://127.0.0.1:{server.getsockname()[1]}"
    finally:
        shut(server)
        server.close()
        accepting.join()
        for stream in streams:
            shut(stream)
        for thread in threads:
            thread.join()


def shut(stream: socket.socket) -> None:
    with contextlib.suppress(OSError):
        stream.shutdown(socket.SHUT_RDWR)


def head(stream: socket.socket) -> bytes:
    """Read an HTTP/1 head."""
    told = b""
    while b"\r\n\r\n" not in told:
        piece = stream.recv(4096)
        if not piece:
            break
        told += piece
    return told


def answering(*pieces: bytes, wait: bool = True) -> Serve:
    """Answer whatever comes first with these pieces, then wait for the other side to go."""

    def serve(stream: socket.socket) -> None:
        stream.recv(4096)
        for piece in pieces:
            stream.sendall(piece)
        while wait and stream.recv(4096):
            pass

    return serve


def engine_before(control: str, *, behind: bytes = b"") -> Serve:
    """An engine whose BuildKit is at a socket; ``behind`` follows the 101 head in its packet."""

    def serve(stream: socket.socket) -> None:
        asked = head(stream)
        if asked.startswith(b"GET /_ping"):
            stream.sendall(ENGINE_PONG)
        elif asked.startswith(b"POST /grpc") and b"Upgrade: h2c" in asked:
            stream.sendall(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\n\r\n" + behind)
            with socket.socket(socket.AF_UNIX) as inner:
                inner.connect(control)
                relay.join(stream, inner)
        else:
            stream.sendall(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n")

    return serve


def tls_before(control: str, context: ssl.SSLContext) -> Serve:
    """A TLS end before a socket."""

    def serve(stream: socket.socket) -> None:
        with (
            context.wrap_socket(stream, server_side=True) as outer,
            socket.socket(socket.AF_UNIX) as inner,
        ):
            inner.connect(control)
            relay.join(outer, inner)

    return serve
