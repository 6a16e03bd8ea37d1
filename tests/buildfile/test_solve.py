"""One job, without a daemon: what is written where, and cancelling before anything began."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from buildfile.solve import Solving, _cause, _is_plain, _output
from daemon_shim.errors import CancelledError, LostConnectionError, SolveFailedError
from daemon_shim.session.outputs import FileOutput, FolderOutput, OutputError, StreamOutput
from tests.buildfile.projects import planned
from tests.daemon_shim.infos import info

TEXT = """version: 1
stages: {{s: {{from: scratch, steps: [{{write: {{path: /a, text: a}}}}]}}}}
targets: {{t: {{stage: s, outputs: [{}]}}}}
"""


class NoDaemon:
    """Whatever is asked of it fails the test."""

    address = "unix:///test.sock"


def job(folder: Path, output: str) -> Any:
    (made,) = planned(folder, TEXT.format(output), info((0, 13, 0))).jobs
    return made


def test_a_job_that_was_cancelled_first_never_begins(tmp_path: Path) -> None:
    daemon: Any = NoDaemon()
    nothing: Any = None
    solving = Solving(job(tmp_path, "{type: tar, dest: a}"), daemon, nothing, nothing)
    solving.cancel()
    with pytest.raises(CancelledError):
        solving.run()
    assert [each.name for each in tmp_path.iterdir()] == ["buildfile.yaml"]


@pytest.mark.parametrize(
    ("output", "kind"),
    [
        ("{type: local, dest: out}", FolderOutput),
        ("{type: tar, dest: out}", FileOutput),
        ("{type: oci}", StreamOutput),
        ("{type: docker, dest: '-'}", StreamOutput),
        ("{type: image, name: x}", type(None)),
    ],
)
def test_places_of_outputs(tmp_path: Path, output: str, kind: type) -> None:
    (export,) = job(tmp_path, output).exports
    assert type(_output(export)) is kind


def test_images_and_platforms_take_a_gateway_build(tmp_path: Path) -> None:
    assert _is_plain(job(tmp_path, "{type: local, dest: out}"))
    assert not _is_plain(job(tmp_path, "{type: oci}"))


class Session:
    def __init__(self, error: Exception | None = None) -> None:
        self.error = error


class Sources:
    errors: tuple[Any, ...] = ()


def cause(error: Any, session: Any, *outputs: Any) -> Exception:
    sources: Any = Sources()
    return _cause(error, sources, list(outputs), session)


def test_the_reason_on_this_side_comes_first(tmp_path: Path) -> None:
    output = FileOutput(str(tmp_path / "x"))
    output.fail("disk full")
    failed = SolveFailedError("rpc broke", code="UNKNOWN")
    assert isinstance(cause(failed, Session(), None, output), OutputError)
    assert cause(failed, Session(), None) is failed


def test_a_lost_session_is_the_reason_of_a_cancelled_build() -> None:
    lost = LostConnectionError("the session ended")
    assert cause(CancelledError("cancelled"), Session(lost)) is lost


def test_what_cancelling_broke_off_is_no_reason(tmp_path: Path) -> None:
    output = FileOutput(str(tmp_path / "x"))
    output.fail("the daemon did not send all")
    cancelled = CancelledError("cancelled")
    assert cause(cancelled, Session(), output) is cancelled
