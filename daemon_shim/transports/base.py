"""The contract of a transport: it gives byte streams on which the daemon speaks HTTP/2 at once.

A transport is made from an address by ``daemon_shim.transports.transport_for`` (scheme table). It
serves two users: the session dials connections of its own (``connect``), and grpcio gets a target
that it can dial itself (``grpc_channel``): a socket in the file system, or a private relay on one
where the stream needs work first (TCP's keep-alive, TLS, a Docker Engine's upgrade, a command).
"""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    import grpc

Stream: TypeAlias = socket.socket | ssl.SSLSocket


@dataclass(frozen=True, kw_only=True)
class TlsFiles:
    """Paths of PEM files: the authority to trust, our certificate and key, and the name to expect.

    All may be empty: the system's authorities, no client certificate, the address's host.
    """

    ca: str = ""
    cert: str = ""
    key: str = ""
    server_name: str = ""


class Transport(Protocol):
    """How to reach one daemon."""

    @property
    def address(self) -> str:
        """The address as diagnostics show it."""

    @property
    def engine(self) -> bool:
        """Whether a Docker Engine stands at the address, with its BuildKit inside."""

    @property
    def local(self) -> bool:
        """Whether it is dialled by a socket in this machine's file system."""

    def connect(self, timeout: float) -> Stream:
        """Dial; returns a blocking stream ready for an HTTP/2 client preface.

        ``timeout`` in seconds bounds dialling, TLS and upgrade together, and the tries again that
        ``retry`` allows. Raises UnreachableError or TlsError.
        """

    def dial(self, timeout: float) -> Stream:
        """Dial without an upgrade: an engine then speaks HTTP/1. As ``connect`` else."""

    def grpc_channel(self, timeout: float = 5.0) -> grpc.Channel:
        """A new grpcio channel to the daemon, receive limit 16 MiB or more, no keepalive.

        It is dialled first, as ``connect`` does, for gRPC does not say why it fails.
        """

    def last_words(self) -> str:
        """Why a connection ended, where a program carried it that says so; else ''."""

    def close(self) -> None:
        """Free what the transport holds (a relay's socket)."""
