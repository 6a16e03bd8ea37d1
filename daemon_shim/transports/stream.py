"""The transport: a dialler, who was found behind it, and what gRPC is told to dial."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from daemon_shim.errors import UnreachableError
from daemon_shim.transports.base import Stream
from daemon_shim.transports.deadline import Deadline
from daemon_shim.transports.dial import Dialler, UnixDialler
from daemon_shim.transports.greeting import is_engine
from daemon_shim.transports.relay import Relay
from daemon_shim.transports.retry import retried
from daemon_shim.transports.upgrade import upgrade

if TYPE_CHECKING:
    import grpc

RECEIVE_LIMIT = 64 * 1024 * 1024
_DIAL_SECONDS = 5.0
_OPTIONS: tuple[tuple[str, int | str], ...] = (
    ("grpc.max_receive_message_length", RECEIVE_LIMIT),
    # The daemon judges what is too long for it (4 MiB to v0.13, then 16 MiB).
    ("grpc.max_send_message_length", -1),
    # A failed build's trailers hold the whole source file (errdefs.Source, v0.8 and later); the
    # daemon resets the stream where they are longer than this, and no reason is left.
    ("grpc.max_metadata_size", RECEIVE_LIMIT),
    ("grpc.absolute_max_metadata_size", RECEIVE_LIMIT),
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),
    # A channel's connections are its own: another's failures must not hold it back.
    ("grpc.use_local_subchannel_pool", 1),
    # gRPC would spell the socket's path, which HTTP servers may refuse as a host.
    ("grpc.default_authority", "localhost"),
)


class StreamTransport:
    """Reaches one daemon. ``engine`` is None where asking must tell."""

    def __init__(self, *, address: str, dialler: Dialler, engine: bool | None = None) -> None:
        self.address = address
        self._dialler = dialler
        self._engine = engine
        self._relay: Relay | None = None
        self._patience = _DIAL_SECONDS
        self._lock = threading.Lock()

    @property
    def engine(self) -> bool:
        """Whether a Docker Engine is there; asks once. Raises UnreachableError or TlsError."""
        return self._known_engine(Deadline(_DIAL_SECONDS))

    @property
    def local(self) -> bool:
        """Whether it is dialled by a socket in this machine's file system."""
        return isinstance(self._dialler, UnixDialler)

    def connect(self, timeout: float) -> Stream:
        """Dial; see ``Transport.connect``. The relay dials with the longest time ever given."""
        self._patience = max(self._patience, timeout)
        deadline = Deadline(timeout)
        return retried(lambda: self._connect(deadline), deadline)

    def dial(self, timeout: float) -> Stream:
        """Open a stream to the address itself: for an engine, one that speaks HTTP/1.

        Raises UnreachableError or TlsError.
        """
        deadline = Deadline(timeout)
        stream = retried(lambda: self._dialler.dial(self.address, deadline), deadline)
        stream.settimeout(None)
        return stream

    def grpc_channel(self, timeout: float = _DIAL_SECONDS) -> grpc.Channel:
        """A new channel; see ``Transport.grpc_channel``."""
        import grpc

        return grpc.insecure_channel(self._target(timeout), options=_OPTIONS)

    def last_words(self) -> str:
        """Why a connection ended; see ``Transport.last_words``."""
        return self._dialler.last_words()

    def close(self) -> None:
        """Close the relay, and with it the channels that go through it."""
        with self._lock:
            relay, self._relay = self._relay, None
        if relay:
            relay.close()

    def _known_engine(self, deadline: Deadline) -> bool:
        with self._lock:
            if self._engine is None:
                self._engine = is_engine(self._dialler, self.address, deadline)
            return self._engine

    def _connect(self, deadline: Deadline) -> Stream:
        engine = self._known_engine(deadline)
        stream = self._dialler.dial(self.address, deadline)
        try:
            if engine:
                self._upgrade(stream, deadline)
        except BaseException:
            stream.close()
            raise
        stream.settimeout(None)
        return stream

    def _upgrade(self, stream: Stream, deadline: Deadline) -> None:
        try:
            upgrade(stream, self.address, deadline)
        except UnreachableError as error:
            words = self.last_words()
            if not words:
                raise
            raise UnreachableError(
                f"cannot reach {self.address}: {words}", address=self.address, hint=error.hint
            ) from error

    def _target(self, timeout: float) -> str:
        """What gRPC dials. Somebody is there: the relay gets the stream that showed it."""
        stream = self.connect(timeout)
        direct = self._dialler.direct
        if direct and not self.engine:
            stream.close()
            return direct
        with self._lock:
            if not self._relay:
                self._relay = Relay(lambda: self.connect(self._patience))
            self._relay.offer(stream)
            return self._relay.target
