"""Address to byte stream: which scheme is dialled how.

A scheme is a row of ``_SCHEMES``; adding one is writing a dialler and a row.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from daemon_shim.errors import UnreachableError
from daemon_shim.transports import clients
from daemon_shim.transports.base import TlsFiles
from daemon_shim.transports.clients import Command, command_of, engine_command_of
from daemon_shim.transports.command import CommandDialler
from daemon_shim.transports.dial import Dialler, TcpDialler, UnixDialler
from daemon_shim.transports.stream import StreamTransport
from daemon_shim.transports.tls import TlsDialler

ENGINE_SOCKET = "/var/run/docker.sock"


def transport_for(
    address: str, *, tls: TlsFiles | None = None, environment: Mapping[str, str] | None = None
) -> StreamTransport:
    """Make the transport of an address; nothing is dialled yet.

    ``environment`` has the DOCKER_HOST of a bare ``docker://``, and is what a client program gets;
    None means this process's own. Raises UnreachableError for an address that cannot be read.
    """
    scheme, _, place = _absolute(address).partition("://")
    row = _SCHEMES.get(scheme)
    if not row:
        raise _unreadable(address, "its scheme is not known")
    wanted = tls if tls != TlsFiles() else None
    surroundings = os.environ if environment is None else environment
    try:
        return row(_Request(address=address, place=place, tls=wanted, environment=surroundings))
    except ValueError as error:
        raise _unreadable(address, str(error)) from error


@dataclass(frozen=True, kw_only=True)
class _Request:
    address: str
    place: str
    tls: TlsFiles | None
    environment: Mapping[str, str]


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
        host = asked.environment.get("DOCKER_HOST") or f"unix://{ENGINE_SOCKET}"
        scheme, _, place = host.partition("://")
        asked = replace(asked, place=place)
        if scheme == "ssh":
            return _by_command(asked, engine_command_of(place), engine=True)
        if scheme not in ("unix", "tcp"):
            raise _unreadable(host, "DOCKER_HOST is neither unix://, tcp:// nor ssh://")
    dialler = _socket(asked) if asked.place.startswith("/") else _network(asked)
    return StreamTransport(address=asked.address, dialler=dialler, engine=True)


def _client(asked: _Request) -> StreamTransport:
    scheme = asked.address.partition("://")[0]
    return _by_command(asked, command_of(scheme, asked.place), engine=False)


def _by_command(asked: _Request, command: Command, *, engine: bool) -> StreamTransport:
    if asked.tls:
        raise ValueError("TLS files are of no use where a command makes the connection")
    dialler = CommandDialler(command, asked.environment)
    return StreamTransport(address=asked.address, dialler=dialler, engine=engine)


_SCHEMES: dict[str, Callable[[_Request], StreamTransport]] = {
    "unix": _unix,
    "tcp": _tcp,
    "tls": _tls,
    "docker": _docker,
    **dict.fromkeys(clients.SCHEMES, _client),
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
        "DOCKER_HOST), docker:///PATH, docker://HOST:PORT, ssh://[USER@]HOST[:PORT][/SOCKET], "
        "docker-container://, podman-container:// or nerdctl-container://NAME, or kube-pod://POD",
    )
