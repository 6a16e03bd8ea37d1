"""Connections that a program carries: what it is given, how it ends, and what is said of it."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daemon_shim.client import Daemon
from daemon_shim.errors import LostConnectionError, UnreachableError
from daemon_shim.session.host import SessionHost
from daemon_shim.transports import process, transport_for
from daemon_shim.transports.stream import StreamTransport
from schemas.pb import control_pb2
from schemas.rpc import Control
from tests.daemon_shim.session.hijack import HijackDaemon
from tests.fakes.clients import StandIns
from tests.fakes.control import FakeControl
from tests.fakes.peers import engine_before, listening

_GUARD_SECONDS = 60
_ADDRESS = "docker-container://c"


@pytest.fixture
def standins(tmp_path: Path) -> StandIns:
    folder = tmp_path / "bin"
    folder.mkdir()
    return StandIns(folder=folder)


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeControl]:
    with FakeControl(tmp_path, llb=["file.base"]) as control:
        yield control


def reach(standins: StandIns, address: str = _ADDRESS, **environment: str) -> StreamTransport:
    return transport_for(address, environment={**standins.environment(), **environment})


def until(true: Callable[[], bool]) -> None:
    give_up = time.monotonic() + _GUARD_SECONDS
    while not true():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def fault(transport: StreamTransport, timeout: float = 30.0) -> UnreachableError:
    with pytest.raises(UnreachableError) as caught:
        transport.connect(timeout)
    assert caught.value.address == transport.address
    return caught.value


def test_a_daemon_is_asked_through_one_process(standins: StandIns, fake: FakeControl) -> None:
    standins.pipe("docker", fake.address)
    with Daemon(reach(standins), timeout=30.0) as daemon:
        assert daemon.info().has("file.base")
        (started,) = standins.started("docker")
        assert started.arguments == ("exec", "-i", "c", "buildctl", "dial-stdio")
        assert started.session == started.pid, "Ctrl-C on the terminal would reach it"
    standins.wait_for_the_end("docker")


def test_a_session_has_a_process_of_its_own(standins: StandIns, fake: FakeControl) -> None:
    standins.pipe("docker", fake.address)
    transport = reach(standins)
    stream = transport.connect(30.0)
    (started,) = standins.started("docker")
    assert started.runs
    stream.close()
    standins.wait_for_the_end("docker")


def test_a_program_that_does_not_heed_the_end_is_killed(
    standins: StandIns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_GRACE", 0.1)
    pid = standins.folder / "pid"
    standins.script(
        "docker",
        f"trap '' TERM; echo $$ > {pid}; printf '\\0\\0\\0\\4\\0\\0\\0\\0\\0'; "
        "while :; do sleep 0.05; done",
    )
    stream = reach(standins).connect(30.0)
    until(pid.exists)
    stream.close()
    until(lambda: not Path("/proc", pid.read_text().strip()).exists())


def test_a_missing_program_is_named_with_what_it_is_for(standins: StandIns) -> None:
    error = fault(transport_for(_ADDRESS, environment={"PATH": str(standins.folder)}))
    assert str(error) == (
        f"cannot reach {_ADDRESS}: there is no docker on the PATH, which would make the connection"
    )
    assert error.hint == "install docker, or name another daemon with --daemon"


def test_a_program_that_fails_is_quoted(standins: StandIns) -> None:
    standins.script("docker", "echo '\033[31mError\033[0m: No such container: c' >&2; exit 1")
    error = fault(reach(standins))
    assert str(error) == (
        f"cannot reach {_ADDRESS}: docker ended with status 1: Error: No such container: c"
    )
    assert error.hint == (
        "at the other end there must be a buildctl of v0.5 or later, and its daemon; to try it by "
        "hand: docker exec -i c buildctl dial-stdio"
    )


def test_of_a_long_complaint_the_end_is_quoted(standins: StandIns) -> None:
    standins.script("kubectl", "seq 1000 >&2; exit 1")
    assert str(fault(reach(standins, "kube-pod://p"))).endswith(
        "kubectl ended with status 1\n    996\n    997\n    998\n    999\n    1000"
    )


def test_a_program_that_says_nothing(standins: StandIns) -> None:
    standins.script("podman", "exit 125")
    transport = reach(standins, "podman-container://c")
    assert str(fault(transport)).endswith("podman ended with status 125, and said nothing")
    standins.script("podman", "exit 0")
    assert str(fault(transport)).endswith("podman ends without a connection")


def test_text_in_the_daemons_place_is_quoted(standins: StandIns) -> None:
    standins.script("docker", "echo 'OCI runtime exec failed: no buildctl'; exit 126")
    assert str(fault(reach(standins))).endswith(
        "docker answers in its place: OCI runtime exec failed: no buildctl"
    )


def test_one_that_hangs_is_given_up_with_what_it_said(standins: StandIns) -> None:
    said = standins.folder / "said"
    standins.script("nerdctl", f"echo 'waiting for the lock' >&2; : > {said}; exec sleep 600")
    transport = reach(standins, "nerdctl-container://c")
    error = fault(transport, 1.0)
    assert "no answer within 1 seconds" in str(error)
    if said.exists():
        assert str(error).endswith(": waiting for the lock")
    assert "--timeout" in (error.hint or "")


def test_only_a_server_that_sheds_connections_is_tried_again(
    standins: StandIns, fake: FakeControl
) -> None:
    standins.pipe("good", fake.address)
    once = standins.folder / "once"
    first = f"[ -e {once} ] && exec {standins.folder}/good; : > {once}"
    full = "kex_exchange_identification: Connection closed by remote host"
    standins.script("ssh", f"{first}; echo '{full}' >&2; exit 255")
    reach(standins, "ssh://host").connect(60.0).close()
    once.unlink()
    standins.script("ssh", f"{first}; echo 'Permission denied (publickey).' >&2; exit 255")
    assert "ssh ended with status 255: Permission denied" in str(
        fault(reach(standins, "ssh://host"))
    )


@pytest.mark.parametrize(
    ("number", "what"),
    [
        (signal.SIGUSR1, "docker ended with status 3: the host went away"),
        (signal.SIGKILL, "docker was ended by signal 9, and said nothing"),
    ],
)
def test_one_that_dies_in_the_middle_has_its_last_words(
    standins: StandIns, fake: FakeControl, number: signal.Signals, what: str
) -> None:
    standins.pipe("docker", fake.address)
    with Daemon(reach(standins), timeout=30.0) as daemon:
        solve = daemon.wire.begin(Control.SOLVE, control_pb2.SolveRequest(Ref="x"))
        until(lambda: any(call.path == Control.SOLVE.path for call in fake.calls))
        (started,) = standins.started("docker")
        started.kill(number)
        with pytest.raises(LostConnectionError) as caught:
            solve.result()
        assert str(caught.value) == f"lost the connection to {_ADDRESS}: {what}"


def test_the_sessions_own_program_has_last_words_too(standins: StandIns) -> None:
    daemon = HijackDaemon()
    try:
        standins.pipe("docker", f"unix://{daemon.path}")
        lost: list[Exception] = []
        with SessionHost(reach(standins), [], on_lost=lost.append):
            standins.started("docker")[0].kill(signal.SIGUSR1)
            until(lambda: bool(lost))
    finally:
        daemon.stop()
    assert str(lost[0]) == (
        "the session with the daemon ended: docker ended with status 3: the host went away"
    )


def test_what_ends_as_it_should_has_no_last_words(standins: StandIns, fake: FakeControl) -> None:
    standins.pipe("good", fake.address)
    standins.script("docker", f"{standins.folder}/good; exit 5")
    transport = reach(standins)
    transport.connect(30.0).close()
    standins.wait_for_the_end("good")
    assert transport.last_words() == ""
    standins.script("docker", "exit 5")
    fault(transport)
    assert transport.last_words() == "", "that was no connection yet"


def test_an_engine_of_docker_host_is_reached_by_ssh(
    standins: StandIns, fake: FakeControl, tmp_path: Path
) -> None:
    with listening(engine_before(fake.socket), tmp_path / "engine.sock") as address:
        standins.pipe("ssh", address.replace("unix", "docker"))
        transport = reach(standins, "docker://", DOCKER_HOST="ssh://me@host")
        with Daemon(transport, timeout=30.0) as daemon:
            assert daemon.info().engine
        started = standins.started("ssh")[0]
        assert started.arguments == ("-l", "me", "--", "host", "docker", "system", "dial-stdio")


def test_an_engine_that_ssh_does_not_reach_has_its_reason(standins: StandIns) -> None:
    standins.script("ssh", "echo 'docker: command not found' >&2; exit 127")
    error = fault(reach(standins, "docker://", DOCKER_HOST="ssh://host"))
    assert str(error) == (
        "cannot reach docker://: ssh ended with status 127: docker: command not found"
    )
