"""The SSH service: steps reach the agents named for this build, and no others."""

from __future__ import annotations

from collections.abc import Mapping

from daemon_shim.session import packets
from daemon_shim.session.packets import PacketError
from daemon_shim.session.service import Call, Handler, Opener, RpcError
from daemon_shim.session.ssh_agent import MAX_MESSAGE, Agent, Connection
from daemon_shim.session.ssh_wire import pack
from daemon_shim.session.unary import Unary
from schemas.pb.sshforward_pb2 import BytesMessage, CheckAgentRequest

_SERVICE = "/moby.sshforward.v1.SSH"
_ID = "buildkit.ssh.id"
_DEFAULT = "default"
_UNSENT = 1 << 20
_UNREAD = 1 << 20

_INVALID_ARGUMENT = 3
_NOT_FOUND = 5
_RESOURCE_EXHAUSTED = 8
_UNAVAILABLE = 14


class Ssh:
    """Serves ``agents`` by the id that a step's mount names; the empty id means ``default``."""

    def __init__(self, agents: Mapping[str, Agent]) -> None:
        self._agents = dict(agents)

    @property
    def methods(self) -> Mapping[str, Opener]:
        """The methods served."""
        return {
            f"{_SERVICE}/CheckAgent": lambda call: Unary(call, self._check),
            f"{_SERVICE}/ForwardAgent": self._forward,
        }

    def _agent(self, name: str) -> Agent:
        agent = self._agents.get(name or _DEFAULT)
        if agent is None:
            raise RpcError(_NOT_FOUND, f"no SSH agent {name or _DEFAULT!r} is forwarded")
        return agent

    def _check(self, request: bytes) -> bytes:
        self._agent(CheckAgentRequest.FromString(request).ID)
        return b""

    def _forward(self, call: Call) -> Handler:
        agent = self._agent((call.metadata.get(_ID) or [_DEFAULT])[0])
        try:
            return _Forward(call, agent.connect())
        except OSError as error:
            text = f"the SSH agent cannot be reached: {error.strerror or error}"
            raise RpcError(_UNAVAILABLE, text) from error


class _Forward:
    """One connection of a step to an agent: a request at a time, on another thread, for an agent
    may ask its user before it signs.
    """

    def __init__(self, call: Call, connection: Connection) -> None:
        self._call = call
        self._connection = connection
        self._received = bytearray()
        self._busy = False
        self._ended = False

    def message(self, data: memoryview) -> None:
        try:
            _, blobs, _ = packets.scan(data)
        except PacketError as error:
            raise RpcError(_INVALID_ARGUMENT, str(error)) from error
        self._received += blobs.get(packets.BYTES_DATA, b"")
        if len(self._received) > _UNREAD:
            raise RpcError(_RESOURCE_EXHAUSTED, "too many requests wait for the SSH agent")
        self._go_on()

    def half_closed(self) -> None:
        self._ended = True
        self._go_on()

    def writable(self) -> None:
        self._go_on()

    def _go_on(self) -> None:
        if self._busy or self._call.queued > _UNSENT:
            return
        request = self._next()
        if request is not None:
            self._busy = True
            self._call.spawn(lambda: self._ask(request), self._reply)
        elif self._ended:
            self._call.finish()

    def _next(self) -> bytes | None:
        if len(self._received) < 4:
            return None
        end = 4 + int.from_bytes(self._received[:4], "big")
        if not 4 < end <= MAX_MESSAGE + 4:
            raise RpcError(_INVALID_ARGUMENT, "not a message for an SSH agent")
        if len(self._received) < end:
            return None
        request = bytes(self._received[4:end])
        del self._received[:end]
        return request

    def _ask(self, request: bytes) -> bytes:
        try:
            return self._connection.ask(request)
        except OSError as error:
            raise RpcError(_UNAVAILABLE, error.strerror or "the SSH agent failed") from error

    def _reply(self, answer: object) -> None:
        assert isinstance(answer, bytes)  # noqa: S101 - what ``_ask`` returned
        self._busy = False
        self._call.send(BytesMessage(data=pack(answer)).SerializeToString())
        self._go_on()

    def closed(self) -> None:
        self._connection.close()
