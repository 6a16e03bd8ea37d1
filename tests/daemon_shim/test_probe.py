from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from daemon_shim.client import Daemon
from daemon_shim.errors import LostConnectionError, SolveFailedError, UnreachableError
from daemon_shim.info import DaemonInfo
from daemon_shim.transports import transport_for
from schemas.pb import gateway_pb2
from schemas.rpc import Control, LLBBridge
from tests.fakes.control import FakeControl, until_gone


def probed(fake: FakeControl) -> DaemonInfo:
    with fake, Daemon(transport_for(fake.address)) as daemon:
        return daemon.info()


def test_a_daemon_without_info_is_as_old_as_its_newest_capability(tmp_path: Path) -> None:
    info = probed(FakeControl(tmp_path, llb=["file.base"], gateway=["frontend.caps"]))
    assert (info.version, info.release, info.engine) == ("v0.8 or later", (0, 8, 0), False)
    assert (info.llb_caps, info.gateway_caps) == ({"file.base"}, {"frontend.caps"})
    assert info.address == f"unix://{tmp_path}/control.sock"


def test_a_daemon_with_info_is_what_it_says(tmp_path: Path) -> None:
    info = probed(FakeControl(tmp_path, llb=["mergeop"], version="v0.13.2"))
    assert (info.version, info.release) == ("v0.13.2", (0, 13, 2))


@pytest.mark.parametrize("version", ["v0.0.0+unknown", ""])
def test_a_version_that_says_nothing_is_not_believed(tmp_path: Path, version: str) -> None:
    info = probed(FakeControl(tmp_path, llb=["source.image.checksum"], version=version))
    assert (info.version, info.release) == ("v0.25 or later", (0, 25, 0))


def test_a_capability_that_is_switched_off_is_not_had_but_proves_the_age(tmp_path: Path) -> None:
    info = probed(FakeControl(tmp_path, llb=["file.base"], disabled={"mergeop": "no content"}))
    assert not info.has("mergeop")
    assert info.disabled == {"mergeop": "no content"}
    assert info.release == (0, 10, 0)


def test_a_daemon_that_lists_nothing_has_what_the_first_had(tmp_path: Path) -> None:
    info = probed(FakeControl(tmp_path))
    assert info.release == (0, 3, 0)
    assert info.gateway_caps == {
        "solve.base",
        "solve.inlinereturn",
        "resolveimage",
        "readfile",
    }
    assert info.has("exec.mount.secret")
    assert not info.has("file.base")


def test_workers_and_the_default_platform(tmp_path: Path) -> None:
    info = probed(FakeControl(tmp_path, labels={"a": "b"}))
    (worker,) = info.workers
    assert (worker.id, worker.labels, worker.platforms) == ("w1", {"a": "b"}, ("linux/amd64",))
    assert info.default_platform == "linux/amd64"


def test_it_asks_once_and_ends_its_build_with_a_result(tmp_path: Path) -> None:
    with FakeControl(tmp_path) as fake, Daemon(transport_for(fake.address)) as daemon:
        assert daemon.info() is daemon.info()
        (solve,) = [call for call in fake.calls if call.path == Control.SOLVE.path]
        (ended,) = fake.sent(LLBBridge.RETURN)
    request = solve.message(Control.SOLVE)
    assert (request.Internal, request.HasField("Cache")) == (True, True)
    assert not request.HasField("Definition")
    assert ended.HasField("result")
    assert not ended.HasField("error")


def aborting(code: grpc.StatusCode, text: str) -> Any:
    def answer(body: bytes, context: grpc.ServicerContext) -> Iterator[None]:
        context.abort(code, text)

    return answer


def test_a_refused_build_does_not_wait_for_the_gateway(tmp_path: Path) -> None:
    refuse = aborting(grpc.StatusCode.PERMISSION_DENIED, "not for you")
    ping = {LLBBridge.PING.path: _waits_until_the_caller_goes}
    with (
        FakeControl(tmp_path, script={Control.SOLVE.path: refuse, **ping}) as fake,
        Daemon(transport_for(fake.address)) as daemon,
        pytest.raises(SolveFailedError, match="not for you"),
    ):
        daemon.info()


def _waits_until_the_caller_goes(
    body: bytes, context: grpc.ServicerContext
) -> gateway_pb2.PongResponse:
    until_gone(context)
    return gateway_pb2.PongResponse()


def test_another_grpc_server_is_not_buildkit(tmp_path: Path) -> None:
    unknown = aborting(grpc.StatusCode.UNIMPLEMENTED, "unknown service")
    script = {rpc.path: unknown for rpc in (Control.SOLVE, Control.LIST_WORKERS, LLBBridge.PING)}
    with (
        FakeControl(tmp_path, script=script) as fake,
        Daemon(transport_for(fake.address)) as daemon,
        pytest.raises(UnreachableError, match="does not know BuildKit's calls"),
    ):
        daemon.info()


def test_a_daemon_that_goes_away_meanwhile(tmp_path: Path) -> None:
    def leave(body: bytes, context: grpc.ServicerContext) -> None:
        context.abort(grpc.StatusCode.UNAVAILABLE, "going")

    with (
        FakeControl(tmp_path, script={LLBBridge.PING.path: leave}) as fake,
        Daemon(transport_for(fake.address)) as daemon,
        pytest.raises(LostConnectionError, match="going"),
    ):
        daemon.info()
