"""A daemon of its own, which is killed while builders are at work on it."""

from __future__ import annotations

import os
import signal
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daemon_shim.builder import Client
from daemon_shim.client import Daemon
from daemon_shim.container import Mount
from daemon_shim.errors import LostConnectionError
from daemon_shim.gateway import BuilderRun, GatewayBuild
from daemon_shim.request import SolveRequest
from daemon_shim.results import Result
from daemon_shim.transports import transport_for
from tests.daemon_shim.definitions import run
from tests.real import fleet
from tests.real.errors import UnavailableError

_ENGINE = "trixie"  # its BuildKit is of v0.13

pytestmark = pytest.mark.real


@pytest.fixture
def doomed() -> Iterator[tuple[str, str]]:
    """The address of an engine of this test's own, and an image that it can pull."""
    running = fleet.start([_ENGINE])
    try:
        address = running.wait(_ENGINE)["address"]
        yield address, running.wait(fleet.REGISTRY)["base_image"]
    except UnavailableError as error:
        if _ENGINE in os.environ.get("BUILDFILE_TEST_REQUIRE", ""):
            pytest.fail(str(error))
        pytest.skip(str(error))
    finally:
        running.stop()


def _kill(address: str) -> None:
    """Kill the engine, which has a process namespace of its own, as nobody but the kernel can."""
    word = f"--host=unix://{address.removeprefix('docker://')}".encode()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        words = path.read_bytes().split(b"\0")
        if word in words and words[0].endswith(b"dockerd"):
            os.kill(int(path.parent.name), signal.SIGKILL)
            return
    raise AssertionError("no dockerd to kill")


class _Begun(threading.Event):
    """An output that tells when there is any."""

    def write(self, data: bytes) -> None:
        self.set()


def test_builders_and_processes_hear_that_their_daemon_was_killed(
    doomed: tuple[str, str],
) -> None:
    address, image = doomed
    begun = _Begun()

    def solves(client: Client) -> Result:
        return client.solve(run("sleep 1000", image).definition)

    def runs(client: Client) -> Result:
        tree = client.solve(run("true", image).definition).ref
        with client.new_container([Mount(target="/", tree=tree)]) as container:
            script = ["/bin/sh", "-c", "echo begun; sleep 1000"]
            container.exec(script, stdout=begun).wait()
        return Result()

    def start(client: Daemon, builder: Callable[[Client], Result]) -> BuilderRun:
        request = SolveRequest(ref=uuid.uuid4().hex, session="")
        return BuilderRun(GatewayBuild(client, request), builder).start()

    with Daemon(transport_for(address), timeout=60.0) as client:
        going = [start(client, builder) for builder in (solves, runs)]
        assert any("sleep" in str(event) for event in going[0].events())
        assert begun.wait(120)
        _kill(address)
        for each in going:
            with pytest.raises(LostConnectionError, match="lost the connection"):
                each.result()
            assert each.done()
