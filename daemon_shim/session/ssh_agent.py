"""SSH agents that steps may use: the user's own, behind a filter, or one made of key files.

The protocol is draft-ietf-sshm-ssh-agent: a four-byte length, a type, and its fields. Only listing
identities and signing are let through, as buildctl does (session/sshforward/sshprovider): a step
neither adds nor removes keys, and locks nothing.
"""

from __future__ import annotations

import contextlib
import socket
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from daemon_shim.session.ssh_wire import pack, unpack

if TYPE_CHECKING:
    from daemon_shim.session.ssh_keys import Key

MAX_MESSAGE = 256 << 10
_FAILURE = b"\x05"
_LIST = 11
_IDENTITIES = 12
_SIGN = 13
_SIGNATURE = 14
_CONNECT_SECONDS = 2.0
_MAX_KEY_FILE = 100 << 10


class SshError(Exception):
    """An agent or a key file cannot be used; the text says why and what to do."""


class Connection(Protocol):
    """One user of an agent."""

    def ask(self, request: bytes) -> bytes:
        """Answer one message, both without the length; may wait for the user. Raises OSError."""

    def close(self) -> None:
        """End it, from any thread; an ``ask`` under way fails."""


class Agent(Protocol):
    """What a step's SSH mount leads to."""

    def connect(self) -> Connection:
        """Begin to use it. Raises OSError."""


def agent_of(paths: Sequence[str], *, auth_sock: str = "") -> Agent:
    """Make an agent of one agent's socket, or of private key files.

    Without ``paths``, ``auth_sock`` (the value of SSH_AUTH_SOCK) is the socket. Raises SshError.
    """
    wanted = [path for path in paths if path] or ([auth_sock] if auth_sock else [])
    if not wanted:
        raise SshError("no SSH agent is running (SSH_AUTH_SOCK is not set); give a socket or a key")
    sockets = [path for path in wanted if _is_socket(path)]
    if not sockets:
        return KeyAgent(_keys(wanted))
    if len(wanted) > 1:
        raise SshError("an SSH agent's socket stands alone, without other sockets or keys")
    return SocketAgent(sockets[0])


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(Path(path).stat().st_mode)
    except OSError as error:
        raise SshError(f"{path}: {error.strerror}") from error


def _keys(paths: Sequence[str]) -> list[Key]:
    from daemon_shim.session.ssh_keys import load_key

    keys = []
    for path in paths:
        try:
            with Path(path).open("rb") as file:
                data = file.read(_MAX_KEY_FILE)
        except OSError as error:
            raise SshError(f"{path}: {error.strerror}") from error
        try:
            keys.append(load_key(data, comment=path.rpartition("/")[2]))
        except ValueError as error:
            raise SshError(f"{path}: {error}") from error
    return keys


def is_allowed(request: bytes) -> bool:
    """Whether a message may pass: only listing and signing."""
    return request[:1] in (bytes([_LIST]), bytes([_SIGN]))


class SocketAgent:
    """The agent that listens at ``path``."""

    def __init__(self, path: str) -> None:
        self._path = path

    def connect(self) -> Connection:
        """Connect to its socket."""
        return _SocketConnection(self._path)


class _SocketConnection:
    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.settimeout(_CONNECT_SECONDS)
            self._socket.connect(path)
            self._socket.settimeout(None)
        except BaseException:
            self._socket.close()
            raise

    def ask(self, request: bytes) -> bytes:
        if not is_allowed(request):
            return _FAILURE
        self._socket.sendall(pack(request))
        size = int.from_bytes(self._read(4), "big")
        if not 0 < size <= MAX_MESSAGE:
            raise OSError(0, "the SSH agent answered nonsense")
        return self._read(size)

    def _read(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            piece = self._socket.recv(size - len(data))
            if not piece:
                raise OSError(0, "the SSH agent closed the connection")
            data += piece
        return bytes(data)

    def close(self) -> None:
        with contextlib.suppress(OSError):  # the agent may have closed it
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class KeyAgent:
    """An agent that holds ``keys``, and is its own connection: it has no state."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self._keys = {key.public: key for key in keys}

    def connect(self) -> Connection:
        """Return the agent itself."""
        return self

    def close(self) -> None:
        """Nothing is held."""

    def ask(self, request: bytes) -> bytes:
        """Answer one message."""
        if request == bytes([_LIST]):
            return self._list()
        if request[:1] == bytes([_SIGN]):
            return self._sign(request[1:])
        return _FAILURE

    def _list(self) -> bytes:
        listed = b"".join(pack(key.public) + pack(key.comment) for key in self._keys.values())
        return bytes([_IDENTITIES]) + len(self._keys).to_bytes(4, "big") + listed

    def _sign(self, fields: bytes) -> bytes:
        try:
            public, rest = unpack(fields)
            data, flags = unpack(rest)
            key = self._keys[public]
        except (ValueError, KeyError):
            return _FAILURE
        return bytes([_SIGNATURE]) + pack(key.sign(data, int.from_bytes(flags[:4], "big")))
