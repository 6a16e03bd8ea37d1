"""A registry on this machine's loopback, for daemons that lack a store that the session serves.

It stands for the time of a build and serves OCI layouts, each as a repository whose name nobody
can guess: who knows the name may read that layout, and write to it if the build exports there. It
is called ``localhost:PORT``, since v0.3 speaks plain HTTP with no other host (containerd 1.2,
remotes/docker/resolver.go), and listens at both addresses that this may stand for, so that no
other program answers in its place.
"""

from __future__ import annotations

import contextlib
import errno
import secrets
import selectors
import socket
import threading
from types import TracebackType

from daemon_shim.registry.served import Offer, Served
from daemon_shim.registry.serving import Handler

_MOST_CONNECTIONS = 128
_ATTEMPTS = 20
# Too many open files, or too little memory for one: a connection waits for others to end.
_FULL = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_PAUSE = 0.1
_NO_IPV6 = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT)


class LoopbackRegistry:
    """The registry as a context: within it, what ``serve`` was told can be pulled and pushed.

    Entering raises OSError where no port can be had.
    """

    def __init__(self) -> None:
        self._served: dict[str, Served] = {}
        self._lock = threading.Lock()
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._listening: list[socket.socket] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._accept, name="loopback registry", daemon=True)
        self.port = 0

    def __enter__(self) -> LoopbackRegistry:
        self._listening, self.port = _listen()
        self._waking, self._wake = socket.socketpair()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End all connections, and drop what was not pushed completely."""
        self._ending.set()
        self._wake.close()
        self._thread.join()
        self._waking.close()
        for each in self._listening:
            each.close()
        with self._lock:
            threads = dict(self._connections)
        for connection in threads:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in threads.values():
            thread.join()
        for served in self._served.values():
            served.close()

    def serve(self, offer: Offer) -> Served:
        """Serve what is offered from now on."""
        path = f"{secrets.token_hex(16)}/layout"
        served = Served(f"localhost:{self.port}/{path}", offer)
        with self._lock:
            self._served[path] = served
        return served

    def _find(self, path: str) -> Served | None:
        with self._lock:
            return self._served.get(path)

    def _accept(self) -> None:
        with selectors.DefaultSelector() as selector:
            for each in (*self._listening, self._waking):
                selector.register(each, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._waking:
                        return
                    try:
                        self._begin(key.fileobj.accept()[0])  # type: ignore[union-attr]
                    except OSError as error:  # gone before it was accepted, unless
                        if error.errno in _FULL:
                            self._ending.wait(_PAUSE)

    def _begin(self, connection: socket.socket) -> None:
        thread = threading.Thread(target=self._talk, args=(connection,), daemon=True)
        with self._lock:
            if len(self._connections) >= _MOST_CONNECTIONS:
                connection.close()
                return
            self._connections[connection] = thread
        thread.start()

    def _talk(self, connection: socket.socket) -> None:
        try:
            with contextlib.suppress(OSError):
                Handler(connection, self._find)
        finally:
            with self._lock:
                del self._connections[connection]
            connection.close()


def _listen() -> tuple[list[socket.socket], int]:
    """Listen at one port of both loopback addresses."""
    for _ in range(_ATTEMPTS):
        first = _bound(socket.AF_INET, "127.0.0.1", 0)
        port = first.getsockname()[1]
        try:
            return [first, _bound(socket.AF_INET6, "::1", port)], port
        except OSError as error:
            if error.errno in _NO_IPV6:
                return [first], port
            first.close()
            if error.errno != errno.EADDRINUSE:
                raise
    raise OSError(errno.EADDRINUSE, "no port is free at both loopback addresses")


def _bound(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.bind((address, port))
        made.listen(_MOST_CONNECTIONS)
        made.setblocking(False)
    except BaseException:
        made.close()
        raise
    return made
