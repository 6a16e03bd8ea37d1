from __future__ import annotations

import socket
import stat
import threading
from pathlib import Path

import grpc
import pytest

from daemon_shim.client import Daemon
from daemon_shim.errors import DaemonError, UnreachableError
from daemon_shim.transports import transport_for
from daemon_shim.transports.relay import Relay
from schemas.pb import control_pb2, types_pb2
from schemas.rpc import Control
from tests.fakes.control import FakeControl
from tests.fakes.peers import engine_before, listening

BIG = 8 * 1024 * 1024


def test_grpc_reaches_an_engines_buildkit(tmp_path: Path) -> None:
    with (
        FakeControl(tmp_path, llb=["file.base"]) as control,
        listening(engine_before(control.socket), tmp_path / "s") as address,
        Daemon(transport_for(address)) as daemon,
    ):
        assert daemon.info().engine
        assert daemon.info().release == (0, 5, 0)


def test_large_messages_pass_both_ways(tmp_path: Path) -> None:
    def workers(body: bytes, context: grpc.ServicerContext) -> control_pb2.ListWorkersResponse:
        size = len(control_pb2.ListWorkersRequest.FromString(body).filter[0])
        record = types_pb2.WorkerRecord(ID="w" * (size * 2))
        return control_pb2.ListWorkersResponse(record=[record])

    # The fake's own limit is gRPC's 4 MiB for what it receives.
    half = 3 * 1024 * 1024
    with (
        FakeControl(tmp_path, script={Control.LIST_WORKERS.path: workers}) as control,
        listening(engine_before(control.socket), tmp_path / "s") as address,
        Daemon(transport_for(address)) as daemon,
    ):
        assert len(daemon.list_workers(["x" * half])[0].id) == half * 2


def relayed(relay: Relay) -> socket.socket:
    stream = socket.socket(socket.AF_UNIX)
    stream.settimeout(30)
    stream.connect(relay.target.removeprefix("unix:"))
    return stream


def test_nobody_else_may_enter_the_folder_and_nothing_is_left_of_it() -> None:
    relay = Relay(lambda: socket.socketpair()[0])
    folder = Path(relay.target.removeprefix("unix:")).parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    relay.close()
    assert not folder.exists()


def test_bytes_pass_while_one_side_is_slow_and_the_end_comes_last() -> None:
    near, far = socket.socketpair()
    relay = Relay(lambda: near)
    received = bytearray()

    def collect() -> None:
        while piece := far.recv(64 * 1024):
            received.extend(piece)

    with far, relayed(relay) as stream:
        stream.sendall(b"x")
        writer = threading.Thread(target=lambda: (stream.sendall(b"y" * BIG), stream.close()))
        writer.start()
        collect()
        writer.join()
    relay.close()
    assert len(received) == BIG + 1


def test_a_connection_ends_when_the_other_does() -> None:
    near, far = socket.socketpair()
    relay = Relay(lambda: near)
    with relayed(relay) as stream:
        with far:
            stream.sendall(b"hello")
            assert far.recv(10) == b"hello"
            far.sendall(b"bye")
        assert stream.recv(10) == b"bye"
        assert stream.recv(10) == b""
    relay.close()


def test_closing_cuts_what_is_open() -> None:
    near, far = socket.socketpair()
    relay = Relay(lambda: near)
    with far, relayed(relay) as stream:
        stream.sendall(b"hello")
        assert far.recv(10) == b"hello"
        relay.close()
        assert stream.recv(10) == b""
        assert far.recv(10) == b""


def test_a_dial_that_fails_closes_the_connection() -> None:
    def dial() -> socket.socket:
        raise UnreachableError("nobody")

    relay = Relay(dial)
    with relayed(relay) as stream:
        assert stream.recv(10) == b""
    relay.close()


def test_an_engine_that_went_away_is_named(tmp_path: Path) -> None:
    with FakeControl(tmp_path) as control:
        with listening(engine_before(control.socket), tmp_path / "s") as address:
            daemon = Daemon(transport_for(address))
            daemon.list_workers()
        (tmp_path / "s").unlink()
        with daemon, pytest.raises(DaemonError, match="there is no socket"):
            daemon.list_workers()
