"""Containers and their processes, in bytes and faults that real daemons do not show."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from daemon_shim.builder import Client
from daemon_shim.client import Daemon
from daemon_shim.container import Mount
from daemon_shim.errors import (
    CancelledError,
    LostConnectionError,
    SolveFailedError,
    UnsupportedError,
)
from daemon_shim.gateway import BuilderRun, GatewayBuild
from daemon_shim.process import Process
from daemon_shim.reference import Reference
from daemon_shim.request import SolveRequest
from daemon_shim.results import Result
from daemon_shim.transports import transport_for
from schemas.pb import gateway_pb2, ops_pb2
from schemas.rpc import LLBBridge
from tests.fakes.control import FakeControl, until_gone
from tests.fakes.processes import Answer, Containers, Talk, error, say

EXEC = ("gateway.exec",)
SIGNALS = (*EXEC, "gateway.exec.extrahosts", "gateway.exec.signals")
NEWEST = (*SIGNALS, "gateway.exec.secretenv")
ROOT = Mount(target="/", tree="id1")


def exits(code: int = 0, *output: bytes, why: str = "") -> Answer:
    def answer(talk: Talk) -> Iterator[gateway_pb2.ExecMessage]:
        begin = talk.hear()
        yield say(Started=None)
        if begin and 0 in begin.Init.Fds:
            list(talk.hear_input())
        yield from (say(File={"Fd": 1, "Data": data}) for data in output)
        told = error(why or f"exit code: {code}") if code else None
        yield say(Exit={"Code": code, "Error": told})
        yield say(File={"Fd": 1, "EOF": True})
        yield say(Done=None)

    return answer


class Set:
    """A daemon by script, and a build on it."""

    def __init__(self, fake: FakeControl, build: GatewayBuild, containers: Containers) -> None:
        self.fake = fake
        self.build = build
        self.containers = containers

    @property
    def released(self) -> list[str]:
        return [each.ContainerID for each in self.fake.sent(LLBBridge.RELEASE_CONTAINER)]


@contextmanager
def building(folder: Path, answer: Answer, gateway: Sequence[str] = NEWEST) -> Iterator[Set]:
    containers = Containers(answer)
    with (
        FakeControl(folder, gateway=gateway, script=containers.script) as fake,
        Daemon(transport_for(fake.address)) as client,
        GatewayBuild(client, SolveRequest(ref="r1", session="s1")) as build,
    ):
        yield Set(fake, build, containers)


def test_a_container_is_asked_for_in_full(tmp_path: Path) -> None:
    mounts = [
        Mount(target="/", tree=Reference("id1")),
        Mount(target="/src", tree="id2", selector="sub", readonly=True),
        Mount(target="/cache", type="cache", id="c", sharing="locked"),
        Mount(target="/tmp", type="tmpfs"),
        Mount(target="/key", type="secret", id="k", uid=1, gid=2, optional=True),
        Mount(target="/agent", type="ssh", id="default", mode=0o640),
    ]
    with building(tmp_path, exits()) as daemon:
        daemon.build.new_container(
            mounts,
            network="none",
            hosts={"db": "10.0.0.1"},
            hostname="h",
            platform="linux/arm64",
            constraints=["a==b"],
        )
        (asked,) = daemon.fake.sent(LLBBridge.NEW_CONTAINER)
    owner = {"ID": "k", "uid": 1, "gid": 2, "mode": 0o400, "optional": True}
    assert list(asked.Mounts) == [
        ops_pb2.Mount(dest="/", resultID="id1"),
        ops_pb2.Mount(dest="/src", resultID="id2", selector="sub", readonly=True),
        ops_pb2.Mount(
            dest="/cache",
            mountType=ops_pb2.CACHE,
            cacheOpt=ops_pb2.CacheOpt(ID="c", sharing=ops_pb2.LOCKED),
        ),
        ops_pb2.Mount(dest="/tmp", mountType=ops_pb2.TMPFS),
        ops_pb2.Mount(dest="/key", mountType=ops_pb2.SECRET, secretOpt=ops_pb2.SecretOpt(**owner)),
        ops_pb2.Mount(
            dest="/agent", mountType=ops_pb2.SSH, SSHOpt=ops_pb2.SSHOpt(ID="default", mode=0o640)
        ),
    ]
    assert (asked.Network, asked.hostname, len(asked.ContainerID)) == (ops_pb2.NONE, "h", 32)
    assert list(asked.extraHosts) == [ops_pb2.HostIP(Host="db", IP="10.0.0.1")]
    assert asked.platform == ops_pb2.Platform(OS="linux", Architecture="arm64")
    assert list(asked.constraints.filter) == ["a==b"]


def test_a_process_is_asked_for_in_full(tmp_path: Path) -> None:
    with building(tmp_path, exits()) as daemon:
        container = daemon.build.new_container([ROOT])
        process = container.exec(
            ["a", "b"],
            env={"K": "v=w"},
            cwd="/c",
            user="u",
            stdin=b"",
            stdout=io.BytesIO(),
            tty=True,
            security="insecure",
            secret_env={"TOKEN": "t"},
        )
        assert process.wait() == 0
        (created,) = daemon.fake.sent(LLBBridge.NEW_CONTAINER)
        (talk,) = daemon.containers.talks
        begin, end = talk.heard
    assert begin.Init == gateway_pb2.InitMessage(
        ContainerID=created.ContainerID,
        Meta=ops_pb2.Meta(args=["a", "b"], env=["K=v=w"], cwd="/c", user="u"),
        Fds=[0, 1],
        Tty=True,
        Security=ops_pb2.INSECURE,
        secretenv=[ops_pb2.SecretEnv(ID="t", name="TOKEN")],
    )
    assert begin.ProcessID == end.ProcessID != ""
    assert end.File == gateway_pb2.FdMessage(Fd=0, EOF=True)


@pytest.mark.parametrize(
    ("gateway", "ask", "said"),
    [
        ((), lambda build: build.new_container([ROOT]), r"containers for builders.*v0\.8"),
        (
            EXEC,
            lambda build: build.new_container([ROOT], hosts={"a": "b"}),
            r"extra hosts in containers.*v0\.10",
        ),
        (
            SIGNALS,
            lambda build: build.new_container([ROOT], hostname="h"),
            r"host names of containers.*v0\.12",
        ),
        (
            EXEC,
            lambda build: build.new_container([ROOT]).exec(["a"], security="insecure"),
            r"insecure processes in containers.*v0\.10",
        ),
        (
            SIGNALS,
            lambda build: build.new_container([ROOT]).exec(["a"], secret_env={"A": "b"}),
            r"secrets in a process's environment.*v0\.12",
        ),
        (
            EXEC,
            lambda build: build.new_container([ROOT]).exec(["a"]).kill(),
            r"signals for processes in containers.*v0\.10",
        ),
    ],
)
def test_what_a_daemon_lacks_is_refused_by_name(
    tmp_path: Path, gateway: Sequence[str], ask: Callable[[GatewayBuild], Any], said: str
) -> None:
    with (
        building(tmp_path, exits(), gateway) as daemon,
        pytest.raises(UnsupportedError, match=said),
    ):
        ask(daemon.build)


def test_output_that_comes_after_the_exit_code_counts(tmp_path: Path) -> None:
    def answer(talk: Talk) -> Iterator[gateway_pb2.ExecMessage]:
        talk.hear()
        yield say(Started=None)
        yield say(File={"Fd": 1, "Data": b"one "})
        yield say(Exit={"Code": 3, "Error": error("process failed: exit code: 3")})
        yield say(File={"Fd": 2, "Data": b"err"})
        yield say(File={"Fd": 1, "Data": b"two"})
        yield say(Done=None)

    out, err = io.BytesIO(), io.BytesIO()
    with building(tmp_path, answer) as daemon, daemon.build.new_container([ROOT]) as container:
        process = container.exec(["a"], stdout=out, stderr=err)
        assert (process.wait(), process.wait()) == (3, 3)
    assert (out.getvalue(), err.getvalue()) == (b"one two", b"err")


def test_the_exit_code_is_waited_for_when_the_outputs_end_first(tmp_path: Path) -> None:
    """As v0.32 does when nobody reads the input any more."""

    def answer(talk: Talk) -> Iterator[gateway_pb2.ExecMessage]:
        talk.hear()
        yield say(Started=None)
        yield say(Done=None)
        yield say(Exit={"Code": 4, "Error": error("exit code: 4")})

    with building(tmp_path, answer) as daemon:
        assert daemon.build.new_container([ROOT]).exec(["a"], stdin=b"x").wait() == 4


@pytest.mark.parametrize("size", [0, 1, 100_000, 5_000_000])
def test_all_input_arrives_and_its_end(tmp_path: Path, size: int) -> None:
    got: list[bytes] = []

    def answer(talk: Talk) -> Iterator[gateway_pb2.ExecMessage]:
        talk.hear()
        yield say(Started=None)
        got.extend(talk.hear_input())
        yield say(Exit=None)
        yield say(Done=None)

    data = bytes(range(256)) * (size // 256 + 1)
    given: tuple[Any, ...] = (data, io.BytesIO(data), iter([data[:10], data[10:]]))
    with building(tmp_path, answer) as daemon, daemon.build.new_container([ROOT]) as container:
        for stdin in given:
            got.clear()
            assert container.exec(["a"], stdin=stdin).wait() == 0
            assert b"".join(got) == data
            assert max(map(len, got)) <= 32 << 10


def test_input_that_nobody_reads_is_no_error_after_the_exit_code(tmp_path: Path) -> None:
    def answer(talk: Talk) -> Iterator[gateway_pb2.ExecMessage]:
        talk.hear()
        yield say(Started=None)
        yield say(Exit=None)
        raise ValueError("io: read/write on closed pipe")

    with building(tmp_path, answer) as daemon:
        assert daemon.build.new_container([ROOT]).exec(["a"], stdin=b"x" * 100_000).wait() == 0


def test_what_cannot_start_is_an_error(tmp_path: Path) -> None:
    with (
        building(tmp_path, exits(255, why="unable to find user x")) as daemon,
        pytest.raises(SolveFailedError, match="unable to find user x"),
    ):
        daemon.build.new_container([ROOT]).exec(["a"], user="x").wait()


def test_a_process_is_resized_signalled_and_killed(tmp_path: Path) -> None:
    def answer(talk: Talk) -> Iterator[gateway_pb2.ExecMessage]:
        talk.hear()
        yield say(Started=None)
        heard = [talk.hear() for _ in range(3)]
        assert all(heard)
        yield say(Exit={"Code": 137, "Error": error("exit code: 137")})
        yield say(Done=None)

    with building(tmp_path, answer) as daemon:
        process = daemon.build.new_container([ROOT]).exec(["a"])
        process.resize(24, 80)
        process.signal("SIGTERM")
        with pytest.raises(ValueError, match="no signal is called NONE"):
            process.signal("SIGNONE")
        process.kill()
        assert process.wait() == 137
        process.kill()
        _, resize, term, kill = daemon.containers.talks[0].heard
    assert resize.Resize == gateway_pb2.ResizeMessage(Rows=24, Cols=80)
    assert (term.Signal.Name, kill.Signal.Name) == ("TERM", "KILL")


def hangs(talk: Talk) -> Iterator[gateway_pb2.ExecMessage]:
    talk.hear()
    yield say(Started=None)
    while talk.hear():
        pass


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        (lambda daemon: daemon.fake.stop(), LostConnectionError),
        (lambda daemon: daemon.build.job.cancel(), CancelledError),
    ],
)
def test_whoever_waits_hears_of_the_end(
    tmp_path: Path, end: Callable[[Set], None], kind: type[Exception]
) -> None:
    def waits(process: Process) -> None:
        with pytest.raises(kind):
            process.wait()
        waited.append(process)

    waited: list[Process] = []
    with building(tmp_path, hangs) as daemon:
        process = daemon.build.new_container([ROOT]).exec(["a"], stdin=iter([b"x"]))
        thread = threading.Thread(target=waits, args=(process,))
        thread.start()
        end(daemon)
        thread.join(60)
        assert waited == [process]


def test_an_input_that_fails_ends_the_process(tmp_path: Path) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"x"
        raise LookupError("no more")

    with building(tmp_path, hangs) as daemon:
        with (
            pytest.raises(LookupError, match="no more"),
            daemon.build.new_container([ROOT]) as container,
        ):
            container.exec(["a"], stdin=pieces()).wait()
        assert len(daemon.released) == 1


def test_an_output_that_fails_ends_the_process(tmp_path: Path) -> None:
    class Full:
        def write(self, data: bytes) -> None:
            raise OSError("no space left")

    with building(tmp_path, exits(0, b"x")) as daemon:
        with (
            pytest.raises(OSError, match="no space left"),
            daemon.build.new_container([ROOT]) as container,
        ):
            container.exec(["a"], stdout=Full()).wait()
        assert len(daemon.released) == 1


def test_a_container_is_released_once_and_not_used_again(tmp_path: Path) -> None:
    with building(tmp_path, exits()) as daemon:
        with daemon.build.new_container([ROOT]) as container:
            container.release()
        with pytest.raises(SolveFailedError, match="the container was released"):
            container.exec(["a"])
        (created,) = daemon.fake.sent(LLBBridge.NEW_CONTAINER)
        assert daemon.released == [created.ContainerID]


def test_what_the_release_repeats_is_no_error(tmp_path: Path) -> None:
    def repeats(body: bytes, context: grpc.ServicerContext) -> None:
        context.abort(grpc.StatusCode.UNKNOWN, "exit code: 1")

    with building(tmp_path, exits(1)) as daemon:
        daemon.fake.script[LLBBridge.RELEASE_CONTAINER.path] = repeats
        with daemon.build.new_container([ROOT]) as container:
            assert container.exec(["a"]).wait() == 1


def test_a_container_that_cannot_be_released_hides_no_other_error(tmp_path: Path) -> None:
    with building(tmp_path, exits()) as daemon:
        with (
            pytest.raises(LookupError, match="first"),
            daemon.build.new_container([ROOT]),
        ):
            daemon.fake.stop()
            raise LookupError("first")
        with pytest.raises(LostConnectionError), daemon.build.new_container([ROOT]):
            pass


def test_a_build_that_is_cancelled_ends_its_containers_first(tmp_path: Path) -> None:
    """Daemons do that themselves from v0.10 on."""
    with building(tmp_path, hangs, EXEC) as daemon:
        begun = threading.Event()

        def builder(client: Client) -> Result:
            process = client.new_container([ROOT]).exec(["a"])
            begun.set()
            process.wait()
            return Result()

        going = BuilderRun(daemon.build, builder).start()
        assert begun.wait(60)
        going.cancel()
        with pytest.raises(CancelledError):
            going.result()
        assert len(daemon.released) == 1


def test_a_container_that_is_left_open_ends_with_its_builder(tmp_path: Path) -> None:
    with building(tmp_path, exits()) as daemon:

        def builder(client: Client) -> Result:
            client.new_container([ROOT])
            raise LookupError("no more")

        with pytest.raises(LookupError, match="no more"):
            BuilderRun(daemon.build, builder).start().result()
        assert len(daemon.released) == 1


def test_a_container_that_hangs_ends_with_the_build(tmp_path: Path) -> None:
    def never(body: bytes, context: grpc.ServicerContext) -> Any:
        until_gone(context)
        return gateway_pb2.NewContainerResponse()

    with building(tmp_path, exits()) as daemon:
        daemon.fake.script[LLBBridge.NEW_CONTAINER.path] = never
        threading.Timer(0.1, daemon.build.job.cancel).start()
        with pytest.raises(CancelledError):
            daemon.build.new_container([ROOT])


def test_the_root_is_never_readonly(tmp_path: Path) -> None:
    with (
        building(tmp_path, exits()) as daemon,
        pytest.raises(ValueError, match="always writable"),
    ):
        daemon.build.new_container([Mount(target="/", readonly=True)])
