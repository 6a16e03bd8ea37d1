"""The session: dials the daemon, and serves its calls on a thread of its own.

The bytes' way, inside out: handlers -> ``server`` (inner HTTP/2) -> ``tunnel`` (messages of
Control.Session on an outer HTTP/2) -> ``link`` (socket). Nothing waits but the selector, and each
stage takes from the one before only what fits, so that a daemon that stops reading stops the
handlers, and memory stays bounded.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterable

from daemon_shim.errors import DaemonError, LostConnectionError, TlsError, UnreachableError
from daemon_shim.http2.errors import Http2Error
from daemon_shim.http2.events import Header
from daemon_shim.session.health import Health
from daemon_shim.session.link import Link
from daemon_shim.session.pool import Pool
from daemon_shim.session.server import SessionServer
from daemon_shim.session.service import Opener, Service
from daemon_shim.session.tunnel import Tunnel, TunnelError
from daemon_shim.transports.base import Stream, Transport

_ON_THE_WAY = 2 << 20
"""Bytes that the tunnel and the socket each take at most: a handler's largest piece, 1 MiB with its
frames, as one message of the tunnel. A daemon unwraps one such sooner than several small ones, and
up to v0.12 takes 4 MiB at most.
"""
_CLOSE_SECONDS = 5.0
_SILENCE = 120.0
"""Seconds after which a silent daemon counts as gone: it asks for our health every 1 to 5 seconds
(session/grpc.go, all releases), whatever carries the connection."""
_UNIMPLEMENTED = 12


class SessionHost:
    """A session with one daemon.

    ``services`` are what the daemon may call, and nothing else but the health service.
    ``session_id`` names the session in a solve's request. ``shared_key`` and ``name`` tell a
    daemon which earlier transfers of a local source to reuse. ``on_lost`` is called once, on the
    session's thread, when the session ends by itself.
    """

    def __init__(  # noqa: PLR0913 - keyword options of one thing
        self,
        transport: Transport,
        services: Iterable[Service],
        *,
        name: str = "",
        shared_key: str = "",
        session_id: str | None = None,
        on_lost: Callable[[DaemonError], None] | None = None,
    ) -> None:
        self._transport = transport
        self._methods = _methods([*services, Health()])
        self._name = name
        self._shared_key = shared_key
        self._id = session_id or uuid.uuid4().hex
        self._on_lost = on_lost
        self._error: DaemonError | None = None
        self._ready = threading.Event()
        self._closing = False
        self._runner: _Runner | None = None
        self._thread: threading.Thread | None = None

    @property
    def id(self) -> str:
        """The session's id, for SolveRequest.Session and SessionID fields."""
        return self._id

    @property
    def alive(self) -> bool:
        """Whether the session serves."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def error(self) -> DaemonError | None:
        """Why the session ended by itself; None while it lives, or when ``close`` ended it."""
        return self._error

    def start(self, timeout: float = 20.0) -> None:
        """Dial, open the session, and serve it from now on.

        Returns when the daemon has answered on the connection; ``timeout`` in seconds bounds
        dialling and that answer, each. Raises UnreachableError or TlsError.
        """
        stream = self._transport.connect(timeout)
        self._runner = _Runner(stream, self._tunnel(stream), self._methods, self._ready.set)
        self._thread = threading.Thread(target=self._serve, name="buildkit-session", daemon=True)
        self._thread.start()
        try:
            answered = self._ready.wait(timeout)
        except BaseException:
            self.close()
            raise
        if self._error is not None:
            raise self._error
        if not answered:
            self.close()
            raise UnreachableError("no answer on the connection", address=self._transport.address)

    def close(self) -> None:
        """End the session. Safe from any thread, and more than once."""
        self._closing = True
        if self._runner is not None:
            self._runner.stop()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_CLOSE_SECONDS)

    def __enter__(self) -> SessionHost:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _tunnel(self, stream: Stream) -> Tunnel:
        return Tunnel(
            authority="localhost",  # as gRPC's channel has it; an address need not be a host
            scheme="https" if isinstance(stream, ssl.SSLSocket) else "http",
            metadata=self._metadata(),
        )

    def _metadata(self) -> list[Header]:
        """The session's announcement (session/session.go, all releases)."""
        named = [
            ("uuid", self._id),
            ("name", self._name),
            ("sharedkey", self._shared_key),
            *(("grpc-method", path) for path in self._methods),
        ]
        return [(b"x-docker-expose-session-" + k.encode(), v.encode()) for k, v in named]

    def _serve(self) -> None:
        assert self._runner is not None  # noqa: S101 - set before the thread starts
        try:
            self._runner.run()
        except Exception as error:
            if not self._closing:
                self._error = self._reason(error, settled=self._ready.is_set())
        finally:
            self._runner.end()
            self._ready.set()
        if self._error is not None and self._on_lost is not None:
            self._on_lost(self._error)

    def _reason(self, error: Exception, *, settled: bool) -> DaemonError:
        address = self._transport.address
        if isinstance(error, TunnelError) and error.code == _UNIMPLEMENTED:
            return UnreachableError("what answers is not BuildKit", address=address)
        if isinstance(error, ssl.SSLError) and not settled:
            return TlsError(f"the TLS handshake failed: {error.reason}", address=address)
        if isinstance(error, Http2Error) and not settled:
            return UnreachableError("what answers does not speak gRPC", address=address)
        kind = LostConnectionError if settled else UnreachableError
        why = self._transport.last_words() or error
        reason = kind(f"the session with the daemon ended: {why}", address=address)
        reason.__cause__ = error
        return reason


class _Runner:
    """The loop: implements ``call.Loop`` for the server. All but ``stop`` runs on its thread."""

    def __init__(
        self, stream: Stream, tunnel: Tunnel, methods: dict[str, Opener], ready: Callable[[], None]
    ) -> None:
        self._link = Link(stream)
        self._tunnel = tunnel
        self._server = SessionServer(methods, self)
        self._ready = ready
        self._pool = Pool("buildkit-session-work")
        self._posted: deque[Callable[[], None]] = deque()
        self._stopped = False
        self._waker, self._wakened = socket.socketpair()
        self._waker.setblocking(False)
        self._wakened.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wakened, selectors.EVENT_READ, self._on_wake)
        self._interest = selectors.EVENT_READ | selectors.EVENT_WRITE
        self._selector.register(self._link.fileno(), self._interest, self._on_link)

    @property
    def backlog(self) -> int:
        return self._tunnel.queued + self._link.backlog

    def run(self) -> None:
        """Serve until ``stop``. Raises what ends the session: OSError, Http2Error, TunnelError."""
        more = True
        while not self._stopped:
            ready = self._selector.select(0 if more else _SILENCE)
            if not ready and not more:
                raise TunnelError(None, f"nothing was heard of it for {_SILENCE:g} seconds")
            for key, _ in ready:
                key.data()
            while self._posted:
                self._posted.popleft()()
            more = self._turn()

    def _turn(self) -> bool:
        """Move bytes one stage on; return whether another turn at once may move more."""
        self._server.feed()
        room = _ON_THE_WAY - self._tunnel.queued
        if room > 0 and (chunks := self._server.take(room)):
            self._tunnel.send(chunks)
        if not self._link.backlog:
            self._link.put(self._tunnel.take(_ON_THE_WAY))
        wrote = self._link.flush()
        if self._server.abandoned:
            raise TunnelError(None, "the daemon gave it up")
        if self._link.interest != self._interest:
            self._interest = self._link.interest
            self._selector.modify(self._link.fileno(), self._interest, self._on_link)
        return self._link.more() or (wrote > 0 and self._link.writable)

    def _on_link(self) -> None:
        data = self._link.receive()
        if data is None:
            return
        if not data:
            raise TunnelError(None, "the connection was closed")
        pieces = list(self._tunnel.receive(data))
        if pieces:
            self._server.receive(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if self._tunnel.settled:
            self._ready()

    def _on_wake(self) -> None:
        try:
            self._wakened.recv(4096)
        except BlockingIOError:
            return

    def _post(self, code: Callable[[], None]) -> None:
        self._posted.append(code)
        self._wake()

    def _wake(self) -> None:
        try:
            self._waker.send(b"\0")
        except OSError:
            return  # full: a wake-up waits already; or closed: nobody is left to wake

    def spawn(self, work: Callable[[], object], done: Callable[[object], None]) -> None:
        def job() -> None:
            result: object
            try:
                result = work()
            except Exception as error:
                result = error
            self._post(lambda: done(result))

        self._pool.run(job)

    def watch(self, fileno: int, readable: Callable[[], None] | None) -> None:
        if fileno in self._selector.get_map():
            self._selector.unregister(fileno)
        if readable is not None:
            self._selector.register(fileno, selectors.EVENT_READ, readable)

    def stop(self) -> None:
        """Have ``run`` return. Safe from any thread."""
        self._stopped = True
        self._wake()

    def end(self) -> None:
        """End all calls, say farewell if that does not have to wait, and free everything."""
        self._server.close()
        self._pool.close()
        try:
            self._tunnel.close()
            self._link.put(self._tunnel.take(_ON_THE_WAY))
            self._link.flush()
        except (OSError, Http2Error):
            pass  # the connection is gone, and with it who would have heard
        finally:
            self._selector.close()
            self._link.close()
            self._waker.close()
            self._wakened.close()


def _methods(services: Iterable[Service]) -> dict[str, Opener]:
    return {path: opener for service in services for path, opener in service.methods.items()}
