"""The same builder code inside a gateway container, on each daemon."""

from __future__ import annotations

import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daemon_shim.client import Daemon
from daemon_shim.errors import CancelledError, SolveFailedError, UnsupportedError
from daemon_shim.events import VertexEvent
from daemon_shim.gateway import GatewayBuild
from daemon_shim.info import DaemonInfo
from daemon_shim.request import Exporter, SolveRequest
from daemon_shim.results import Result
from daemon_shim.session.filesend import FileSend
from daemon_shim.session.host import SessionHost
from daemon_shim.session.outputs import FolderOutput
from daemon_shim.transports import transport_for
from tests.daemon_shim import definitions
from tests.integration import exitcodes, frontend_cases, frontends
from tests.integration.command import Workspace
from tests.real.errors import UnavailableError

_SECONDS = 60.0


@pytest.fixture(scope="session")
def frontend_image(registry: str) -> str:
    """An image whose builder is ``frontend_cases.build``, or a skip."""
    try:
        return frontends.push(registry)
    except UnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture
def client(work: Workspace) -> Iterator[Daemon]:
    with Daemon(transport_for(work.daemon.address), timeout=60.0) as client:
        yield client


@pytest.fixture
def build(client: Daemon) -> Iterator[GatewayBuild]:
    with (
        SessionHost(client.wire.transport, [], name="test") as session,
        GatewayBuild(client, SolveRequest(ref=uuid.uuid4().hex, session=session.id)) as build,
    ):
        yield build


def solve(build: GatewayBuild, image: str, case: str, base: str, **opts: str) -> Result:
    return build.solve(
        frontend="gateway.v0", opts={"source": image, "case": case, "image": base, **opts}
    )


def test_a_builder_knows_and_does_the_same_as_outside(
    client: Daemon, frontend_image: str, base_image: str, tmp_path: Path
) -> None:
    output = FolderOutput(str(tmp_path / "out"))
    with SessionHost(client.wire.transport, [FileSend([output])], name="test") as session:
        client.solve(
            SolveRequest(
                ref=uuid.uuid4().hex,
                session=session.id,
                frontend="gateway.v0",
                frontend_attrs={"source": frontend_image, "case": "look", "image": base_image},
                exporters=(Exporter(type="local"),),
            )
        )
    output.commit()
    info = client.info()
    assert json.loads((tmp_path / "out" / "told").read_text()) == {
        "names": ["c", "d"],
        "said": "hey",
        "session": session.id,
        "product": "buildkit" if not info.engine else "docker",
        "platform": info.default_platform,
        "workers": [worker.id for worker in info.workers],
        "inputs": [],
        "resolved": "sha256:",
    }


def inside(build: GatewayBuild, image: str, opts: dict[str, str]) -> Result:
    return build.solve(frontend="gateway.v0", opts={"source": image, "case": "contain", **opts})


def outside(build: GatewayBuild, image: str, opts: dict[str, str]) -> Result:
    return frontend_cases.contain(build)


@pytest.mark.parametrize("ask", [inside, outside])
def test_a_builder_has_containers(
    client: Daemon,
    frontend_image: str,
    base_image: str,
    ask: Callable[[GatewayBuild, str, dict[str, str]], Result],
) -> None:
    opts = {"image": base_image, "mark": uuid.uuid4().hex}
    request = SolveRequest(ref=uuid.uuid4().hex, session="", frontend_attrs=opts)
    with GatewayBuild(client, request) as build:
        if "gateway.exec" not in build.capabilities:
            with pytest.raises((UnsupportedError, SolveFailedError), match=r"containers.*v0\.8"):
                ask(build, frontend_image, opts)
            return
        told = json.loads(ask(build, frontend_image, opts).ref.read_file("/told"))
    signals = "gateway.exec.signals" in client.info().gateway_caps
    # v0.10 takes whatever ends a process but an exit for 255
    assert told.pop("killed") in ((137, 255) if signals else ("v0.10",))
    assert told == {
        "code": 7,
        "out": "heygroup\npasswd\n/other\n1\n1\n1\n1",
        "size": 2_000_023,
        "err": "b\n",
        "kept": "/cache:\nkept\n\n/quick:\n",
        "user": "1000\n",
        "tty": "24 80\r\n/dev/pts/0\r\n",
        "second": 0,
        "gone": "the container was released",
    }


def test_a_failing_step_keeps_its_type(
    build: GatewayBuild, info: DaemonInfo, frontend_image: str, base_image: str
) -> None:
    with pytest.raises(SolveFailedError, match=exitcodes.of_daemon(5, info)) as caught:
        solve(build, frontend_image, "fail", base_image)
    told = not re.search(exitcodes.UNTOLD, str(caught.value))
    assert caught.value.exit_code == (5 if told else None)
    if build.capabilities & {"gateway.solve.evaluate"}:
        step = definitions.run("echo no; exit 5", base_image)
        assert caught.value.vertex == step.digest


@pytest.mark.parametrize(("case", "said"), [("raise", "LookupError: not my day"), ("close", ".")])
def test_a_builder_that_breaks_ends_the_build(
    build: GatewayBuild, frontend_image: str, base_image: str, case: str, said: str
) -> None:
    with pytest.raises(SolveFailedError, match=said):
        solve(build, frontend_image, case, base_image)


def test_a_builder_that_leaves_ends_the_build(
    build: GatewayBuild, info: DaemonInfo, frontend_image: str, base_image: str
) -> None:
    with pytest.raises(SolveFailedError, match=exitcodes.of_daemon(3, info)):
        solve(build, frontend_image, "leave", base_image)


def test_a_builder_that_never_returns_ends_with_its_build(
    build: GatewayBuild, frontend_image: str, base_image: str
) -> None:
    mark = uuid.uuid4().hex

    def cancel_when_it_hangs() -> None:
        # Not while the step runs: v0.8 itself may crash of that ("failed to get edge").
        for event in build.job.events():
            if isinstance(event, VertexEvent) and mark in event.name and event.completed:
                build.job.cancel()
                return

    threading.Thread(target=cancel_when_it_hangs, daemon=True).start()
    began = time.monotonic()
    with pytest.raises(CancelledError):
        solve(build, frontend_image, "hang", base_image, mark=mark)
    assert time.monotonic() - began < _SECONDS
