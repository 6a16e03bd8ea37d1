from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from daemon_shim.client import Daemon
from daemon_shim.errors import CancelledError, LostConnectionError, SolveFailedError
from daemon_shim.events import LogEvent, StatusEvent, VertexEvent, WarningEvent
from daemon_shim.request import SolveRequest
from daemon_shim.transports import transport_for
from schemas.pb import control_pb2, ops_pb2, status_pb2
from schemas.rpc import Control
from tests.fakes.control import FakeControl, until_gone
from tests.fakes.peers import engine_before, listening

Context = grpc.ServicerContext
PLAIN = SolveRequest(ref="r1", session="s1", definition=b"\x0a\x02op")
FAILED = control_pb2.Vertex(digest="sha256:bad", name="bad", error="step failed: exit code: 4")
GUARD = 60


def failing(text: str, *, details: bytes = b"") -> Callable[[bytes, Context], Any]:
    def answer(body: bytes, context: Context) -> Any:
        request = control_pb2.SolveRequest.FromString(body)
        if request.Internal:
            return control_pb2.SolveResponse()
        if details:
            context.set_trailing_metadata((("grpc-status-details-bin", details),))
        return context.abort(grpc.StatusCode.UNKNOWN, text)

    return answer


def hanging(body: bytes, context: Context) -> Any:
    until_gone(context)
    return control_pb2.SolveResponse()


def statuses(*responses: control_pb2.StatusResponse) -> Callable[[bytes, Context], Any]:
    return lambda body, context: iter(responses)


def endless(body: bytes, context: Context) -> Iterator[control_pb2.StatusResponse]:
    """A Status call of a job that the daemon does not know: it waits."""
    until_gone(context)
    yield from ()


class Scripted:
    """A fake whose probe has been done, so that a script may speak of the build alone."""

    def __init__(self, folder: Path, **script: Any) -> None:
        self.fake = FakeControl(folder)
        self.daemon = Daemon(transport_for(self.fake.address))
        self._script = {getattr(Control, name).path: answer for name, answer in script.items()}

    def __enter__(self) -> Daemon:
        self.fake.__enter__()
        self.daemon.info()
        self.fake.script.update(self._script)
        return self.daemon

    def __exit__(self, *error: object) -> None:
        self.daemon.close()
        self.fake.stop()


def test_a_build_that_goes_well(tmp_path: Path) -> None:
    log = control_pb2.VertexLog(vertex="v", stream=1, msg=b"hello")
    stream = statuses(control_pb2.StatusResponse(logs=[log]))
    with Scripted(tmp_path, STATUS=stream) as daemon:
        job = daemon.start(PLAIN)
        assert [event.data for event in job.events() if isinstance(event, LogEvent)] == [b"hello"]
        assert job.result() == {"done": "r1"}
        assert job.done()


def test_every_kind_of_event_arrives_as_it_was_sent(tmp_path: Path) -> None:
    vertex = control_pb2.Vertex(
        digest="d",
        name="n",
        inputs=["a", "b"],
        cached=True,
        started=Timestamp(seconds=5, nanos=500_000_000),
        progressGroup=ops_pb2.ProgressGroup(id="g", name="group"),
    )
    status = control_pb2.VertexStatus(
        ID="layer", vertex="d", name="pull", current=3, total=7, timestamp=Timestamp(seconds=6)
    )
    log = control_pb2.VertexLog(vertex="d", stream=2, msg=b"\xff", timestamp=Timestamp(seconds=7))
    warning = control_pb2.VertexWarning(
        vertex="d", level=2, short=b"short \xff", detail=[b"one", b"two"], url="https://x"
    )
    response = control_pb2.StatusResponse(
        vertexes=[vertex], statuses=[status], logs=[log], warnings=[warning]
    )
    with Scripted(tmp_path, STATUS=statuses(response)) as daemon:
        assert list(daemon.start(PLAIN).events()) == [
            VertexEvent(
                digest="d", name="n", inputs=("a", "b"), cached=True, started=5.5, group="group"
            ),
            StatusEvent(id="layer", vertex="d", name="pull", current=3, total=7, timestamp=6.0),
            LogEvent(vertex="d", stream=2, data=b"\xff", timestamp=7.0),
            WarningEvent(
                vertex="d", short="short \ufffd", detail=("one", "two"), url="https://x", level=2
            ),
        ]


def test_an_old_daemons_failing_vertex_is_found_by_its_words(tmp_path: Path) -> None:
    others = [
        control_pb2.Vertex(digest="sha256:other", error="context canceled"),
        FAILED,
        control_pb2.Vertex(digest="sha256:last", error="context canceled"),
    ]
    stream = statuses(control_pb2.StatusResponse(vertexes=others))
    solve = failing("rpc error: code = Unknown desc = step failed: exit code: 4")
    with (
        Scripted(tmp_path, SOLVE=solve, STATUS=stream) as daemon,
        pytest.raises(SolveFailedError) as caught,
    ):
        daemon.solve(PLAIN)
    assert str(caught.value) == "step failed: exit code: 4"
    assert (caught.value.vertex, caught.value.exit_code) == ("sha256:bad", 4)


def test_another_builds_vertex_is_not_blamed(tmp_path: Path) -> None:
    stream = statuses(control_pb2.StatusResponse(vertexes=[FAILED]))
    with (
        Scripted(tmp_path, SOLVE=failing("job ID r1 exists"), STATUS=stream) as daemon,
        pytest.raises(SolveFailedError, match="job ID r1 exists") as caught,
    ):
        daemon.solve(PLAIN)
    assert caught.value.vertex == ""


def test_a_whole_source_file_in_the_trailers_is_taken(tmp_path: Path) -> None:
    status = status_pb2.Status(code=2, message="m")
    value = {"info": {"filename": "f", "data": "x" * 500_000}, "ranges": [{"start": {"line": 3}}]}
    status.details.add(type_url="errdefs.Source+json", value=json.dumps(value).encode())
    solve = failing("broken", details=status.SerializeToString())
    with (
        Scripted(tmp_path, SOLVE=solve) as daemon,
        pytest.raises(SolveFailedError, match="broken") as caught,
    ):
        daemon.solve(PLAIN)
    assert [place.start_line for place in caught.value.ranges] == [3]


def test_a_refused_build_does_not_wait_for_its_status(tmp_path: Path) -> None:
    with Scripted(tmp_path, SOLVE=failing("refused"), STATUS=endless) as daemon:
        job = daemon.start(PLAIN)
        with pytest.raises(SolveFailedError, match="refused"):
            job.result()
        assert list(job.events()) == []


def test_cancelling_from_another_thread(tmp_path: Path) -> None:
    with Scripted(tmp_path, SOLVE=hanging, STATUS=endless) as daemon:
        job = daemon.start(PLAIN)
        threading.Timer(0.1, job.cancel).start()
        assert list(job.events()) == []
        with pytest.raises(CancelledError):
            job.result()
        assert job.done()


def test_the_daemon_hears_of_a_cancelled_build(tmp_path: Path) -> None:
    heard, began = threading.Event(), threading.Event()

    def solve(body: bytes, context: Context) -> Any:
        context.add_callback(heard.set)
        began.set()
        return hanging(body, context)

    with Scripted(tmp_path, SOLVE=solve) as daemon:
        job = daemon.start(PLAIN)
        assert began.wait(GUARD)
        job.cancel()
        assert heard.wait(GUARD)


def test_cancelling_what_has_ended_changes_nothing(tmp_path: Path) -> None:
    with Scripted(tmp_path) as daemon:
        job = daemon.start(PLAIN)
        assert job.result() == {"done": "r1"}
        job.cancel()
        assert job.result() == {"done": "r1"}


def test_closing_the_daemon_ends_its_builds(tmp_path: Path) -> None:
    with Scripted(tmp_path, SOLVE=hanging, STATUS=endless) as daemon:
        job = daemon.start(PLAIN)
        daemon.close()
        with pytest.raises(CancelledError):
            job.result()
        assert list(job.events()) == []
        with pytest.raises(CancelledError):
            daemon.list_workers()


def test_on_end_is_told_once_the_build_ends(tmp_path: Path) -> None:
    told = threading.Event()
    with Scripted(tmp_path) as daemon:
        job = daemon.start(PLAIN)
        job.on_end(told.set)
        job.result()
        assert told.wait(GUARD)


def test_a_daemon_that_dies_in_the_middle(tmp_path: Path) -> None:
    began = threading.Event()

    def solve(body: bytes, context: Context) -> Any:
        if not control_pb2.SolveRequest.FromString(body).Internal:
            began.set()
            hanging(body, context)
        return control_pb2.SolveResponse()

    with FakeControl(tmp_path) as fake:
        with listening(engine_before(fake.socket), tmp_path / "s") as address:
            daemon = Daemon(transport_for(address))
            daemon.info()
            fake.script[Control.SOLVE.path] = solve
            job = daemon.start(PLAIN)
            assert began.wait(GUARD)
        with daemon, pytest.raises(LostConnectionError, match="lost the connection to unix://"):
            job.result()


def test_without_watching_no_status_is_asked_for(tmp_path: Path) -> None:
    scripted = Scripted(tmp_path)
    with scripted as daemon:
        job = daemon.start(PLAIN, watch=False)
        assert list(job.events()) == []
        job.result()
        assert not [call for call in scripted.fake.calls if call.path == Control.STATUS.path]


def test_status_of_any_ref(tmp_path: Path) -> None:
    def status(body: bytes, context: Context) -> Iterator[control_pb2.StatusResponse]:
        if control_pb2.StatusRequest.FromString(body).Ref != "known":
            context.abort(grpc.StatusCode.NOT_FOUND, "no such job")
        yield control_pb2.StatusResponse(vertexes=[FAILED])

    with Scripted(tmp_path, STATUS=status) as daemon:
        assert [event.digest for event in daemon.status("known")] == ["sha256:bad"]  # type: ignore[union-attr]
        with pytest.raises(SolveFailedError, match="no such job"):
            list(daemon.status("unknown"))


def test_workers_are_filtered_by_the_daemon(tmp_path: Path) -> None:
    scripted = Scripted(tmp_path)
    with scripted as daemon:
        assert [worker.id for worker in daemon.list_workers(["id==w1", "labels.a==b"])] == ["w1"]
        asked = scripted.fake.sent(Control.LIST_WORKERS)[-1]
    assert list(asked.filter) == ["id==w1", "labels.a==b"]


def test_a_stray_peer_cannot_pass_for_a_daemon(tmp_path: Path) -> None:
    """Settings and then silence: the call ends when the connection does."""

    def serve(stream: socket.socket) -> None:
        stream.recv(100)
        stream.sendall(b"\0\0\0\x04\0\0\0\0\0")

    with (
        listening(serve, tmp_path / "s") as address,
        Daemon(transport_for(address)) as daemon,
        pytest.raises(LostConnectionError),
    ):
        daemon.list_workers()
