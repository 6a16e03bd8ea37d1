"""Drives a handler of the session without a session: what the host would do, by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from daemon_shim.session.service import OK, Handler, Opener, RpcError, Status
from schemas.pb.fsutil_pb2 import Packet, Stat

DIR, SYMLINK, DEVICE, FIFO, SOCKET = 1 << 31, 1 << 27, 1 << 26, 1 << 25, 1 << 24
SETUID, CHARDEV, STICKY = 1 << 23, 1 << 21, 1 << 20


class FakeCall:
    """A ``Call`` that keeps what is sent; ``spawn`` runs at once unless ``later`` is true."""

    def __init__(self, metadata: Mapping[str, Sequence[str]] | None = None) -> None:
        self.metadata = metadata or {}
        self.queued = 0
        self.sent = bytearray()
        self.status: Status | None = None
        self.paused = False
        self.later = False
        self.waiting: list[Callable[[], None]] = []
        self.handler: Handler | None = None

    def send(self, message: bytes) -> None:
        self.send_framed(b"\0" + len(message).to_bytes(4, "big") + message)

    def send_framed(self, frames: bytes | bytearray | memoryview) -> None:
        assert self.status is None, "sent after the end"
        self.sent += frames

    def finish(self, status: Status = OK) -> None:
        self.status = self.status or status

    def spawn(self, work: Callable[[], object], done: Callable[[object], None]) -> None:
        def job() -> None:
            result = work()
            self._guard(lambda: done(result))

        self.waiting.append(lambda: self._guard(job))
        if not self.later:
            self.run()

    def run(self) -> None:
        """Run what was spawned."""
        while self.waiting:
            self.waiting.pop(0)()

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def watch(self, fileno: int, readable: Callable[[], None] | None) -> None:
        raise NotImplementedError

    # The daemon's side

    def open(self, opener: Opener) -> FakeCall:
        """Make the handler."""

        def make() -> None:
            self.handler = opener(self)

        self._guard(make)
        if self.handler is not None:
            self._guard(self.handler.writable)
        return self

    def give(self, *messages: bytes) -> FakeCall:
        """Have messages arrive, until the call ends."""
        for message in messages:
            handler = self.handler
            if self.status is not None or handler is None:
                break
            self._guard(lambda: handler.message(memoryview(message)))  # noqa: B023 - run at once
        return self

    def half_close(self) -> FakeCall:
        if self.status is None and self.handler is not None:
            self._guard(self.handler.half_closed)
        return self

    def drop(self) -> None:
        """End the call from outside, if it has not ended."""
        if self.handler is not None:
            handler, self.handler = self.handler, None
            handler.closed()

    def _guard(self, code: Callable[[], None]) -> None:
        try:
            code()
        except RpcError as error:
            self.finish(error.status)
        except Exception as error:
            self.finish(Status(2, repr(error)))
        if self.status is not None:
            self.drop()

    @property
    def messages(self) -> list[bytes]:
        """The messages sent so far."""
        found, at = [], 0
        while at < len(self.sent):
            size = int.from_bytes(self.sent[at + 1 : at + 5], "big")
            found.append(bytes(self.sent[at + 5 : at + 5 + size]))
            at += 5 + size
        return found


def stat(path: str, mode: int, **fields: object) -> bytes:
    """Return a STAT packet."""
    entry = Stat(path=path, mode=mode, **fields)  # type: ignore[arg-type]
    return Packet(stat=entry).SerializeToString()


def folder(path: str, **fields: object) -> bytes:
    return stat(path, DIR | 0o755, **fields)


def file(path: str, mode: int = 0o644, **fields: object) -> bytes:
    return stat(path, mode, **fields)


def data(number: int, content: bytes = b"") -> bytes:
    """Return a DATA packet; without content it is the end."""
    return Packet(type=Packet.PACKET_DATA, ID=number, data=content).SerializeToString()


LAST = Packet().SerializeToString()
FIN = Packet(type=Packet.PACKET_FIN).SerializeToString()


def fault(text: str) -> bytes:
    return Packet(type=Packet.PACKET_ERR, data=text.encode()).SerializeToString()


def requests(call: FakeCall) -> list[int]:
    """Return what was asked for, in order."""
    packets = [Packet.FromString(message) for message in call.messages]
    return [packet.ID for packet in packets if packet.type == Packet.PACKET_REQ]


def said_fin(call: FakeCall) -> bool:
    return FIN in call.messages


def raw_stat(path: bytes, mode: int) -> bytes:
    """Return a STAT packet whose path need not be UTF-8."""
    entry = b"\x0a" + _varint(len(path)) + path + b"\x10" + _varint(mode)
    return b"\x12" + _varint(len(entry)) + entry


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def send_tree(call: FakeCall, entries: Iterable[bytes], contents: Mapping[int, bytes]) -> None:
    """Play an honest daemon: all entries, what is asked for, and the end."""
    call.give(*entries, LAST)
    sent = 0
    while waiting := requests(call)[sent:]:
        for number in waiting:
            content = contents.get(number, b"")
            call.give(*([data(number, content)] if content else []), data(number))
        sent += len(waiting)
    if said_fin(call):
        call.give(FIN)
