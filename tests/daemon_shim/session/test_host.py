"""The session's host against grpcio on both of its connections."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest

from daemon_shim.errors import DaemonError, LostConnectionError, TlsError, UnreachableError
from daemon_shim.session.filesync import FileSync, LocalFolder
from daemon_shim.session.host import SessionHost
from daemon_shim.session.service import Call, Handler, Opener, RpcError, Status
from daemon_shim.transports import transport_for
from daemon_shim.transports.base import TlsFiles
from schemas.pb.fsutil_pb2 import Packet
from tests.daemon_shim.session.hijack import Dialled, HijackDaemon
from tests.daemon_shim.transports.certificates import Authority
from tests.fakes.peers import listening, tls_before

HANG_SECONDS = 60
MIB = 1 << 20


class Script:
    """A handler whose reactions are given; counts how often it was closed."""

    def __init__(self, call: Call, reactions: Mapping[str, Callable[..., None]]) -> None:
        self.call = call
        self.closings = 0
        self.gone = threading.Event()
        self._reactions = reactions

    def _react(self, name: str, *arguments: Any) -> None:
        if name in self._reactions:
            self._reactions[name](self.call, *arguments)

    def message(self, data: memoryview) -> None:
        self._react("message", bytes(data))

    def half_closed(self) -> None:
        self._react("half_closed")

    def writable(self) -> None:
        self._react("writable")

    def closed(self) -> None:
        self.closings += 1
        self.gone.set()


class Scripted:
    """A service with one method, ``/test.Script/Run``."""

    def __init__(self, **reactions: Callable[..., None]) -> None:
        self.handlers: list[Script] = []
        self._reactions = reactions

    @property
    def methods(self) -> Mapping[str, Opener]:
        return {"/test.Script/Run": self._open}

    def _open(self, call: Call) -> Handler:
        if "open" in self._reactions:
            self._reactions["open"](call)
        self.handlers.append(Script(call, self._reactions))
        return self.handlers[-1]


def echo(call: Call, data: bytes) -> None:
    call.send(data)


def end(call: Call) -> None:
    call.finish()


@pytest.fixture
def daemon_side() -> Iterator[HijackDaemon]:
    daemon = HijackDaemon()
    yield daemon
    daemon.stop()


def run(daemon: HijackDaemon, messages: Iterator[bytes], **options: Any) -> Any:
    call = daemon.channel.stream_stream("/test.Script/Run")
    return call(messages, timeout=HANG_SECONDS, wait_for_ready=True, **options)


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + HANG_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_the_daemon_is_told(daemon_side: HijackDaemon) -> None:
    services = [Scripted(), FileSync({})]
    host = SessionHost(
        Dialled(daemon_side.path), services, name="naïve", shared_key="key", session_id="me"
    )
    with host:
        metadata = daemon_side.metadata.get(timeout=HANG_SECONDS)
    prefix = "x-docker-expose-session-"
    told = [(k.removeprefix(prefix), v) for k, v in metadata if k.startswith(prefix)]
    assert ("uuid", "me") in told
    assert ("sharedkey", "key") in told
    assert sorted(value for key, value in told if key == "grpc-method") == [
        "/grpc.health.v1.Health/Check",
        "/moby.filesync.v1.FileSync/DiffCopy",
        "/test.Script/Run",
    ]
    assert host.id == "me"
    assert not host.alive
    assert host.error is None


def test_calls_of_all_sizes_and_health(daemon_side: HijackDaemon) -> None:
    with SessionHost(Dialled(daemon_side.path), [Scripted(message=echo, half_closed=end)]):
        sizes = (0, 1, 100, 70_000, 5 * MIB, 3)
        messages = [os.urandom(size) for size in sizes]
        channel_limit = run(daemon_side, iter(m for m in messages if len(m) < 4 * MIB))
        assert list(channel_limit) == [m for m in messages if len(m) < 4 * MIB]
        check = daemon_side.channel.unary_unary("/grpc.health.v1.Health/Check")
        assert check(b"", timeout=HANG_SECONDS) == b"\x08\x01"


def test_several_calls_at_once_with_metadata(daemon_side: HijackDaemon) -> None:
    def tell(call: Call) -> None:
        call.send(repr(sorted(v for k, v in call.metadata.items() if k == "x-key")).encode())

    with SessionHost(Dialled(daemon_side.path), [Scripted(open=tell, half_closed=end)]):
        calls = [
            run(daemon_side, iter(()), metadata=[("x-key", "one"), ("x-key", str(number))])
            for number in range(50)
        ]
        for number, call in enumerate(calls):
            assert list(call) == [repr([["one", str(number)]]).encode()]


def test_what_is_not_served(daemon_side: HijackDaemon) -> None:
    with SessionHost(Dialled(daemon_side.path), [Scripted()]):
        other = daemon_side.channel.unary_unary("/test.Script/Other")
        with pytest.raises(grpc.RpcError) as caught:
            other(b"", timeout=HANG_SECONDS, wait_for_ready=True)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def _fail(error: Exception) -> Callable[..., None]:
    def reaction(*_: object) -> None:
        raise error

    return reaction


@pytest.mark.parametrize("place", ["open", "message", "half_closed", "writable"])
@pytest.mark.parametrize(
    ("error", "code", "details"),
    [
        (RpcError(5, "not here: ä %"), grpc.StatusCode.NOT_FOUND, "not here: ä %"),
        (ValueError("a secret"), grpc.StatusCode.UNKNOWN, "the client failed: ValueError"),
    ],
)
def test_exceptions_end_the_call(
    daemon_side: HijackDaemon, place: str, error: Exception, code: grpc.StatusCode, details: str
) -> None:
    service = Scripted(**{place: _fail(error)})
    with SessionHost(Dialled(daemon_side.path), [service]) as host:
        with pytest.raises(grpc.RpcError) as caught:
            list(run(daemon_side, iter([b"x"])))
        assert (caught.value.code(), caught.value.details()) == (code, details)
        assert host.alive
    assert [handler.closings for handler in service.handlers] == ([] if place == "open" else [1])


def test_slow_work_comes_back_to_the_thread(daemon_side: HijackDaemon) -> None:
    names: list[str] = []

    def work() -> bytes:
        names.append(threading.current_thread().name)
        return b"result"

    def done(call: Call, result: object) -> None:
        names.append(threading.current_thread().name)
        assert isinstance(result, bytes)
        call.send(result)
        call.finish(Status(0))

    def start(call: Call, data: bytes) -> None:
        call.spawn(work, lambda result: done(call, result))

    with SessionHost(Dialled(daemon_side.path), [Scripted(message=start)]):
        assert list(run(daemon_side, iter([b"x"]))) == [b"result"]
    assert names == ["buildkit-session-work", "buildkit-session"]


def test_slow_work_that_fails(daemon_side: HijackDaemon) -> None:
    def start(call: Call, data: bytes) -> None:
        call.spawn(_fail(RpcError(7, "no")), lambda _: None)

    with (
        SessionHost(Dialled(daemon_side.path), [Scripted(message=start)]),
        pytest.raises(grpc.RpcError) as caught,
    ):
        list(run(daemon_side, iter([b"x"])))
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


def test_watched_descriptors(daemon_side: HijackDaemon) -> None:
    ours, theirs = socket.socketpair()

    def start(call: Call, data: bytes) -> None:
        call.watch(ours.fileno(), lambda: pass_on(call))
        theirs.sendall(data)

    def pass_on(call: Call) -> None:
        call.send(ours.recv(1000))
        call.watch(ours.fileno(), None)
        call.finish()

    with ours, theirs, SessionHost(Dialled(daemon_side.path), [Scripted(message=start)]):
        for data in (b"one", b"two"):
            assert list(run(daemon_side, iter([data]))) == [data]


def test_a_daemon_that_does_not_read_stops_the_handler(daemon_side: HijackDaemon) -> None:
    made: list[int] = []
    highest: list[int] = []

    def produce(call: Call) -> None:
        while call.queued < 64 << 10 and len(made) < 400:
            made.append(1)
            call.send(bytes(100_000))
            highest.append(call.queued)
        if len(made) == 400:
            call.finish()

    with SessionHost(Dialled(daemon_side.path), [Scripted(writable=produce)]):
        call = run(daemon_side, iter(()))
        first = next(call)
        time.sleep(0.5)  # whatever would go on without end has had its chance
        assert len(made) < 300
        assert max(highest) < MIB
        assert len(first) == 100_000
        assert sum(map(len, call)) == 399 * 100_000


def test_a_call_that_the_daemon_cancels(daemon_side: HijackDaemon) -> None:
    service = Scripted(message=echo)
    with SessionHost(Dialled(daemon_side.path), [service]) as host:
        call = run(daemon_side, iter([b"x"]))
        assert next(call) == b"x"
        call.cancel()
        assert service.handlers[0].gone.wait(HANG_SECONDS)
        assert host.alive
    assert service.handlers[0].closings == 1


def test_closing_ends_every_call_once(daemon_side: HijackDaemon) -> None:
    service = Scripted(message=echo)
    host = SessionHost(Dialled(daemon_side.path), [service])
    host.start()
    calls = [run(daemon_side, iter([b"x"])) for _ in range(3)]
    assert [next(call) for call in calls] == [b"x"] * 3
    host.close()
    host.close()
    assert [handler.closings for handler in service.handlers] == [1, 1, 1]
    assert not host.alive
    assert host.error is None


def test_a_file_sync_over_grpcio(daemon_side: HijackDaemon, tmp_path: Path) -> None:
    content = os.urandom(3 * MIB)
    for number in range(300):
        (tmp_path / f"f{number:03}").write_bytes(b"%d" % number)
    (tmp_path / "large").write_bytes(content)
    to_send: list[Packet] = []
    room = threading.Condition()

    def requests() -> Iterator[bytes]:
        while True:
            with room:
                room.wait_for(lambda: to_send, HANG_SECONDS)
                packet = to_send.pop(0)
            yield packet.SerializeToString()
            if packet.type == Packet.PACKET_FIN:
                return

    def say(packet: Packet) -> None:
        with room:
            to_send.append(packet)
            room.notify()

    method = daemon_side.channel.stream_stream("/moby.filesync.v1.FileSync/DiffCopy")
    service = FileSync({"context": LocalFolder(path=str(tmp_path))})
    with SessionHost(Dialled(daemon_side.path), [service]):
        call = method(
            requests(),
            metadata=[("dir-name", "context")],
            timeout=HANG_SECONDS,
            wait_for_ready=True,
        )
        number, open_files = 0, set[int]()
        received: dict[int, bytes] = {}
        for message in call:
            packet = Packet.FromString(message)
            if packet.HasField("stat"):
                open_files.add(number)
                say(Packet(type=Packet.PACKET_REQ, ID=number))
                number += 1
            elif packet.type == Packet.PACKET_DATA:
                received[packet.ID] = received.get(packet.ID, b"") + packet.data
                if not packet.data:
                    open_files.remove(packet.ID)
                if not open_files and number == 301:
                    say(Packet(type=Packet.PACKET_FIN))
    assert received == {n: b"%d" % n for n in range(300)} | {300: content}
    assert service.errors == ()


def started(daemon: HijackDaemon, *services: Scripted) -> tuple[SessionHost, list[DaemonError]]:
    lost: list[DaemonError] = []
    host = SessionHost(Dialled(daemon.path), services, on_lost=lost.append)
    host.start()
    daemon.metadata.get(timeout=HANG_SECONDS)
    return host, lost


def test_a_daemon_that_goes_away() -> None:
    daemon = HijackDaemon()
    service = Scripted(message=echo)
    host, lost = started(daemon, service)
    assert next(run(daemon, iter([b"x"]))) == b"x"
    daemon.stop()
    wait_for(lambda: not host.alive)
    assert isinstance(host.error, LostConnectionError)
    assert host.error.address == f"unix://{daemon.path}"
    assert lost == [host.error]
    assert [handler.closings for handler in service.handlers] == [1]
    host.close()


def test_a_daemon_that_ends_the_session(daemon_side: HijackDaemon) -> None:
    host, lost = started(daemon_side, Scripted())
    daemon_side.drop()
    wait_for(lambda: not host.alive)
    assert isinstance(host.error, LostConnectionError)
    assert lost == [host.error]


@pytest.mark.parametrize(
    ("refusal", "kind", "text"),
    [
        ((grpc.StatusCode.UNIMPLEMENTED, "unknown"), UnreachableError, "not BuildKit"),
        ((grpc.StatusCode.INTERNAL, "no room"), LostConnectionError, "no room"),
    ],
)
def test_a_daemon_that_refuses_the_session(
    daemon_side: HijackDaemon,
    refusal: tuple[grpc.StatusCode, str],
    kind: type[DaemonError],
    text: str,
) -> None:
    daemon_side.refuse = refusal
    lost: list[DaemonError] = []
    host = SessionHost(Dialled(daemon_side.path), [], on_lost=lost.append)
    try:
        host.start()
    except kind as error:
        assert text in str(error)
    wait_for(lambda: not host.alive)
    assert isinstance(host.error, kind)
    assert text in str(host.error)
    assert lost == [host.error]


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", b"\0" * 100])
def test_what_is_not_http2(answer: bytes, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        path = f"{folder}/s"
        listener.bind(path)
        listener.listen(1)

        def serve() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(100)
                peer.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        with pytest.raises(UnreachableError):
            SessionHost(Dialled(path), []).start(HANG_SECONDS)


def test_a_peer_that_says_nothing() -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{folder}/s")
        listener.listen(1)
        host = SessionHost(Dialled(f"{folder}/s"), [])
        with pytest.raises(UnreachableError, match="no answer"):
            host.start(0.2)
        assert not host.alive


def _tls(folder: Path) -> tuple[ssl.SSLContext, TlsFiles]:
    authority = Authority(folder, "ca")
    pair = authority.issue("server", hosts=("127.0.0.1",))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    context.load_verify_locations(authority.path)
    return context, TlsFiles(ca=authority.path)


def test_a_session_over_tls(daemon_side: HijackDaemon, tmp_path: Path) -> None:
    context, files = _tls(tmp_path)
    service = Scripted(message=echo, half_closed=end)
    with (
        listening(tls_before(daemon_side.path, context)) as address,
        SessionHost(transport_for(address, tls=files), [service]) as host,
    ):
        messages = [os.urandom(size) for size in (1, 3 * MIB, 100, 2 * MIB)]
        assert list(run(daemon_side, iter(messages))) == messages
        assert host.alive


def test_a_daemon_that_wants_our_certificate(daemon_side: HijackDaemon, tmp_path: Path) -> None:
    context, files = _tls(tmp_path)
    context.verify_mode = ssl.CERT_REQUIRED
    with listening(tls_before(daemon_side.path, context)) as address:
        host = SessionHost(transport_for(address, tls=files), [])
        with pytest.raises(TlsError):
            host.start(HANG_SECONDS)


CHILD = """
import sys, time
from daemon_shim.session.host import SessionHost
from tests.daemon_shim.session.hijack import Dialled
host = SessionHost(Dialled(sys.argv[1]), [])
host.start()
host._runner.spawn(lambda: time.sleep(600), print)
"""


def test_the_session_does_not_keep_the_process(daemon_side: HijackDaemon) -> None:
    subprocess.run(
        [sys.executable, "-c", CHILD, daemon_side.path], check=True, timeout=HANG_SECONDS
    )


def test_a_daemon_that_is_silent_for_long_is_gone(
    daemon_side: HijackDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[DaemonError] = []
    with SessionHost(Dialled(daemon_side.path), [], on_lost=lost.append) as host:
        monkeypatch.setattr("daemon_shim.session.host._SILENCE", 0.01)
        assert host._runner
        host._runner._post(lambda: None)  # it waits for as long as it was told before
        wait_for(lambda: lost)
    assert str(lost[0]) == (
        "the session with the daemon ended: nothing was heard of it for 0.01 seconds"
    )
