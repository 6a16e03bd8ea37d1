"""A builder in a process of its own, with its pipes joined to a daemon by script."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from daemon_shim import frontend, pipes
from daemon_shim.errors import SolveFailedError
from daemon_shim.http2.events import TrailersReceived
from daemon_shim.info import Worker
from schemas.pb import gateway_pb2, status_pb2
from schemas.rpc import LLBBridge
from tests.fakes.control import FakeControl
from tests.fakes.processes import Containers, Talk, error, say

REPOSITORY = Path(__file__).parents[2]
CODE = """
import time, os
from daemon_shim.results import Result

def ask(client):
    print("for the log")
    ref = client.solve(b"").ref
    assert ref.read_file("/f") == b"x" * 5_000_000
    assert dict(client.opts) == {"key": "a=b"}, client.opts
    return Result.one(ref)

def raises(client):
    raise LookupError("not my day")

def fails(client):
    client.resolve_image("nobody/knows")

def contains(client):
    import io, threading
    from daemon_shim.container import Mount
    out = io.BytesIO()
    tree = client.solve(b"").ref
    with client.new_container([Mount(target="/", tree=tree)]) as container:
        echo = container.exec(["cat"], stdin=b"y" * 300_000, stdout=out)
        other = container.exec(["sleep"])
        # Other calls go on while processes run.
        assert len(tree.read_file("/f")) == 5_000_000
        assert echo.wait() == 0
        assert out.getvalue() == b"y" * 300_000
        # Whoever waits reads for the others.
        ended = []
        waiting = threading.Thread(target=lambda: ended.append(other.wait()))
        waiting.start()
        assert len(tree.read_file("/f")) == 5_000_000
        other.kill()
        waiting.join()
        assert ended == [137]
    return Result.one(tree)

def waits(client):
    from daemon_shim.container import Mount
    with client.new_container([Mount(target="/")]) as container:
        process = container.exec(["sleep"])
        client.warn("waiting")
        process.wait()

def hangs(client):
    client.warn("hanging")
    while True:
        time.sleep(60)
"""
LARGE = b"x" * 5_000_000


def _solve(body: bytes, context: grpc.ServicerContext) -> Any:
    return gateway_pb2.SolveResponse(result=gateway_pb2.Result(ref=gateway_pb2.Ref(id="id1")))


def _read(body: bytes, context: grpc.ServicerContext) -> Any:
    asked = gateway_pb2.ReadFileRequest.FromString(body).Range
    return gateway_pb2.ReadFileResponse(Data=LARGE[asked.Offset : asked.Offset + asked.Length])


def _process(talk: Talk) -> Iterator[gateway_pb2.ExecMessage]:
    """Cat, or sleep until a signal comes."""
    begin = talk.hear()
    yield say(Started=None)
    if begin and list(begin.Init.Meta.args) == ["cat"]:
        for data in talk.hear_input():
            yield say(File={"Fd": 1, "Data": data})
        yield say(Exit=None)
    elif talk.hear():
        yield say(Exit={"Code": 137, "Error": error("exit code: 137")})
    yield say(Done=None)


def _refuse(body: bytes, context: grpc.ServicerContext) -> Any:
    status = status_pb2.Status(code=2, message="pull access denied: ünknown")
    packed = ("grpc-status-details-bin", status.SerializeToString())
    context.set_trailing_metadata((packed,))
    context.abort(grpc.StatusCode.UNKNOWN, status.message)


@pytest.mark.parametrize("details", [b"abcde", b"\xff\xfe=", b"AAAA"])
def test_details_that_cannot_be_read_leave_the_message(details: bytes) -> None:
    answer = pipes._Answer()
    headers = [
        (b"grpc-status", b"2"),
        (b"grpc-message", b"no space"),
        (b"grpc-status-details-bin", details),
    ]
    answer.add(TrailersReceived(stream_id=1, headers=headers))
    with pytest.raises(SolveFailedError, match="no space"):
        answer.next()


class Joined:
    """The process, its daemon, and what it returned."""

    def __init__(self, fake: FakeControl, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.fake = fake

    def end(self) -> tuple[int, str]:
        _, log = self.process.communicate(timeout=60)
        return self.process.returncode, log.decode()

    @property
    def returned(self) -> Any:
        return self.fake.sent(LLBBridge.RETURN)[-1]


@contextmanager
def joined(folder: Path, function: str) -> Iterator[Joined]:
    (folder / "mine.py").write_text(CODE)
    script = {
        LLBBridge.SOLVE.path: _solve,
        LLBBridge.READ_FILE.path: _read,
        LLBBridge.RESOLVE_IMAGE_CONFIG.path: _refuse,
        **Containers(_process).script,
        LLBBridge.RETURN.path: lambda body, context: gateway_pb2.ReturnResponse(),
    }
    caps = ("readfile", "proto.refarray", "gateway.solve.evaluate", "gateway.exec")
    caps += ("gateway.exec.signals",)
    with FakeControl(folder, gateway=caps, script=script) as fake:
        into, out = os.pipe(), os.pipe()
        process = subprocess.Popen(
            [sys.executable, "-m", "buildfile.frontend", f"mine:{function}"],
            stdin=into[0],
            stdout=out[1],
            stderr=subprocess.PIPE,
            cwd=folder,
            env={
                "PYTHONPATH": str(REPOSITORY),
                "BUILDKIT_FRONTEND_OPT_0": "key=a=b",
                "BUILDKIT_SESSION_ID": "s1",
            },
        )
        os.close(into[0])
        os.close(out[1])
        control = socket.socket(socket.AF_UNIX)
        control.connect(fake.socket)
        threading.Thread(target=_carry, args=(control, into[1]), daemon=True).start()
        threading.Thread(target=_carry_back, args=(out[0], control), daemon=True).start()
        try:
            yield Joined(fake, process)
        finally:
            process.kill()
            process.wait()
            control.close()


def _carry(control: socket.socket, write: int) -> None:
    with contextlib.suppress(OSError), os.fdopen(write, "wb", buffering=0) as pipe:
        while piece := control.recv(1 << 16):
            pipe.write(piece)


def _carry_back(read: int, control: socket.socket) -> None:
    while piece := os.read(read, 1 << 16):
        try:
            control.sendall(piece)
        except OSError:
            break
    os.close(read)


def test_a_builder_reads_large_files_and_returns(tmp_path: Path) -> None:
    with joined(tmp_path, "ask") as process:
        code, log = process.end()
        assert (code, log) == (0, "for the log\n"), log
        assert process.returned.result.ref.id == "id1"


def test_a_builder_has_containers(tmp_path: Path) -> None:
    with joined(tmp_path, "contains") as process:
        code, log = process.end()
        assert (code, log) == (0, ""), log
        assert process.returned.result.ref.id == "id1"
        assert len(process.fake.sent(LLBBridge.RELEASE_CONTAINER)) == 1


@pytest.mark.parametrize(
    ("function", "code", "said"),
    [
        ("raises", 2, "LookupError: not my day"),
        ("fails", 2, "pull access denied: ünknown"),
        ("absent", 2, "UsageError: the module mine has no function absent"),
    ],
)
def test_whatever_goes_wrong_is_returned(
    tmp_path: Path, function: str, code: int, said: str
) -> None:
    with joined(tmp_path, function) as process:
        assert process.end()[0] == 1
        error = process.returned.error
        assert (error.code, error.message) == (code, said)


def test_a_builder_that_hangs_ends_when_its_input_closes(tmp_path: Path) -> None:
    with joined(tmp_path, "hangs") as process:
        assert process.process.stderr is not None
        assert b"hanging" in process.process.stderr.readline()
        process.fake.stop()
        assert process.end()[0] == 1


def test_a_builder_that_waits_for_a_process_hears_of_the_end(tmp_path: Path) -> None:
    with joined(tmp_path, "waits") as process:
        assert process.process.stderr is not None
        assert b"waiting" in process.process.stderr.readline()
        process.fake.stop()
        code, log = process.end()
        assert (code, "Traceback" in log) == (1, False)


def test_the_environment_of_all_ages_is_read() -> None:
    old = '[{"ID":"w","Labels":{"a":"b"},"Platforms":[{"architecture":"amd64","os":"linux"}]}]'
    new = '[{"id":"w","labels":{"a":"b"},"platforms":[{"architecture":"amd64","os":"linux"}]}]'
    worker = Worker(id="w", labels={"a": "b"}, platforms=("linux/amd64",))
    for text in (old, new):
        assert list(frontend.read_workers(text)) == [worker]
    for text in ("", "null", "{", '["x"]', '[{"ID":"","Platforms":null}]'):
        assert all(not each.platforms for each in frontend.read_workers(text))
