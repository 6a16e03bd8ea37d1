"""The calls of one steered build, wherever they go: what a daemon lacks, and who failed in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from threading import Lock
from typing import Protocol, TypeVar

from google.protobuf.message import Message

from daemon_shim import releases
from daemon_shim.errors import DaemonError, SolveFailedError, UnsupportedError
from daemon_shim.info import DaemonInfo
from schemas.pb import ops_pb2
from schemas.rpc import Rpc

Req = TypeVar("Req", bound=Message)
Res = TypeVar("Res", bound=Message)
Sent_contra = TypeVar("Sent_contra", bound=Message, contravariant=True)
Told_co = TypeVar("Told_co", bound=Message, covariant=True)

_NAME = "llb.customname"
_READS_AT_ONCE = (0, 6, 1)
"""Before it, two reads of one tree at a time may fail: both make and remove its view (seen in v0.3,
v0.4 and v0.5, not in v0.6.4; v0.6.0 is not told from v0.5)."""


class Exchange(Protocol[Sent_contra, Told_co]):
    """A call in which both sides send messages. To be closed, whatever becomes of it."""

    def send(self, message: Sent_contra) -> None:
        """Send a message; it may wait here until the daemon takes it."""

    def feed(self, messages: Iterator[Sent_contra]) -> None:
        """Send these as the daemon takes them, one by one, beside those of ``send``.

        What the iterator raises comes out of ``receive``.
        """

    def receive(self) -> Told_co | None:
        """Wait for the daemon's next message; None at its end. Raises a DaemonError."""

    def close(self) -> None:
        """End the call, and tell the daemon so if it is under way."""


class Caller(Protocol):
    """A way to LLBBridge: the control socket, or a gateway container's pipes."""

    def call(self, rpc: Rpc[Req, Res], message: Req, *, blame: bool = True) -> Res:
        """Make a call and wait for its answer; ``blame`` looks for the failing vertex, too.

        Raises a DaemonError.
        """

    def converse(self, rpc: Rpc[Req, Res]) -> Exchange[Req, Res]:
        """Start a call of many messages both ways. Raises a DaemonError."""


class Calls:
    """Makes the calls of one build to a daemon that can do what ``info`` says."""

    def __init__(self, caller: Caller, info: DaemonInfo) -> None:
        self.caller = caller
        self.info = info
        self._names: dict[str, str] = {}
        at_once = info.release >= _READS_AT_ONCE
        self.reading: AbstractContextManager[object] = nullcontext() if at_once else Lock()
        """Held by each call that reads files."""
        self.at_end: dict[str, Callable[[], None]] = {}
        """What is still to be done by ``end``, by name."""

    def call(self, rpc: Rpc[Req, Res], message: Req, *, blame: bool = True) -> Res:
        """Make a call and wait for its answer; without ``blame`` no step is expected to fail.

        Raises a DaemonError; a SolveFailedError knows its step's name where one of the build's
        definitions has the vertex.
        """
        try:
            return self.caller.call(rpc, message, blame=blame)
        except SolveFailedError as error:
            error.step = error.step or self._names.get(error.vertex, "")
            raise

    def has(self, capability: str) -> bool:
        """Whether the daemon lists a capability, and has it enabled."""
        return self.info.has(capability)

    def require(self, capability: str, what: str) -> None:
        """Raise UnsupportedError, with the release that has it, if the daemon lacks ``what``."""
        if self.has(capability):
            return
        release = releases.since(capability)
        since = releases.text(release) if release else ""
        told = self.info.disabled.get(capability)
        why = f"it is switched off: {told}" if told else f"it needs BuildKit {since}"
        raise UnsupportedError(
            f"{self.info.address} ({self.info.version}) has no {what}: {why}",
            feature=capability,
            since=since,
            address=self.info.address,
        )

    def end(self) -> None:
        """Do what a builder has left to be done. Daemons that cannot be told are left alone."""
        for do in list(self.at_end.values()):
            with suppress(DaemonError):
                do()

    def remember(self, definition: ops_pb2.Definition) -> None:
        """Keep the names of a definition's steps, to name the one that fails."""
        for digest, metadata in definition.metadata.items():
            if name := metadata.description.get(_NAME):
                self._names[digest] = name
