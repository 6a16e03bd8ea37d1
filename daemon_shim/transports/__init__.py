"""Address to byte stream: which scheme is dialled how.

A scheme is a row of ``_SCHEMES``; adding one is writing a dialler and a row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from daemon_shim.errors import UnreachableError
from daemon_shim.transports.base import TlsFiles
from daemon_shim.transports.dial import Dialler, TcpDialler, UnixDialler
from daemon_shim.transports.stream import StreamTransport
from daemon_shim.transports.tls import TlsDialler

ENGINE_SOCKET = "/var/run/docker.sock"


def transport_for(
    address: str, *, tls: TlsFiles | None = None, docker_host: str = ""
) -> StreamTransport:
    """Make the transport of an address; nothing is dialled yet.

    ``docker_host`` is the value of DOCKER_HOST, for a bare ``docker://``. Raises UnreachableError
    for an address that cannot be read.
    """
    scheme, _, place = _absolute(address).partition("://")
    row = _SCHEMES.get(scheme)
    if not row:
        raise _unreadable(address, "its scheme is not known")
    wanted = tls if tls != TlsFiles() else None
    return row(_Request(address=address, place=place, tls=wanted, docker_host=docker_host))


@dataclass(frozen=True, kw_only=True)
class _Request:
    address: str
    place: str
    tls: TlsFiles | None
    docker_host: str


def _absolute(address: str) -> str:
    return f"unix://{address}" if address.startswith("/") else address


def _unix(asked: _Request) -> StreamTransport:
    return StreamTransport(address=asked.address, dialler=_socket(asked))


def _tcp(asked: _Request) -> StreamTransport:
    return StreamTransport(address=asked.address, dialler=_network(asked))


def _tls(asked: _Request) -> StreamTransport:
    return _tcp(replace(asked, tls=asked.tls or TlsFiles()))


def _docker(asked: _Request) -> StreamTransport:
    if asked.place in ("", "/"):
        scheme, _, place = (asked.docker_host or f"unix://{ENGINE_SOCKET}").partition("://")
        if scheme not in ("unix", "tcp"):
            raise _unreadable(asked.docker_host, "DOCKER_HOST is neither unix:// nor tcp://")
        asked = replace(asked, place=place)
    dialler = _socket(asked) if asked.place.startswith("/") else _network(asked)
    return StreamTransport(address=asked.address, dialler=dialler, engine=True)


_SCHEMES: dict[str, Callable[[_Request], StreamTransport]] = {
    "unix": _unix,
    "tcp": _tcp,
    "tls": _tls,
    "docker": _docker,
}


def _socket(asked: _Request) -> UnixDialler:
    if not asked.place.startswith("/"):
        raise _unreadable(asked.address, "a socket's path must be absolute")
    return UnixDialler(path=asked.place)


def _network(asked: _Request) -> Dialler:
    place = _place(asked)
    return place if asked.tls is None else TlsDialler(tcp=place, files=asked.tls)


def _place(asked: _Request) -> TcpDialler:
    try:
        split = urlsplit(f"//{asked.place}")
        host, port = split.hostname, split.port
    except ValueError:
        host = port = None
    if not host or not port or split.path not in ("", "/"):
        raise _unreadable(asked.address, "it needs a host and a port")
    return TcpDialler(host=host, port=port)


def _unreadable(address: str, what: str) -> UnreachableError:
    return UnreachableError(
        f"cannot use the address {address!r}: {what}",
        address=address,
        hint="write unix:///PATH, tcp://HOST:PORT, tls://HOST:PORT, docker:// (the engine of "
        "DOCKER_HOST), docker:///PATH or docker://HOST:PORT",
    )
