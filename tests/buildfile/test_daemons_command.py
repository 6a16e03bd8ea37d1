"""``buildfile daemons``: what is listed of each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from buildfile.cli import main
from schemas.pb import control_pb2, ops_pb2, types_pb2
from schemas.rpc import Control
from tests.fakes.control import FakeControl

_LINUX = [ops_pb2.Platform(OS="linux", Architecture=each) for each in ("amd64", "arm64")]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose daemons.toml has a new daemon, one that is gone, and an old one."""
    for name in ("new", "old"):
        (tmp_path / name).mkdir()
    with ExitStack() as stack:
        new = stack.enter_context(FakeControl(tmp_path / "new", version="v0.32.2"))
        new.script[Control.LIST_WORKERS.path] = lambda body, context: (
            control_pb2.ListWorkersResponse(
                record=[
                    types_pb2.WorkerRecord(ID="w1", Labels={"a": "b"}, platforms=_LINUX),
                    types_pb2.WorkerRecord(ID="w2", platforms=_LINUX[:1]),
                ]
            )
        )
        new.script[Control.LISTEN_BUILD_HISTORY.path] = lambda body, context: iter(
            [control_pb2.BuildHistoryEvent()] * 3
        )
        old = stack.enter_context(FakeControl(tmp_path / "old"))
        (tmp_path / "daemons.toml").write_text(
            f'[daemons.new]\naddress = "{new.address}"\nlabels = {{ pool = "x" }}\n'
            '[daemons.gone]\naddress = "unix:///no/such.sock"\nmax-parallel = 2\n'
            f'[daemons.old]\naddress = "{old.address}"\n'
        )
        (tmp_path / "buildfile.yaml").write_text("version: 1\n")
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("BUILDKIT_HOST", raising=False)
        yield tmp_path


def test_each_has_a_line_and_what_it_consists_of(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["daemons"]) == 0
    out = capsys.readouterr().out.replace(str(folder), "/x")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines == [
        "NAME BUILDKIT API BUILDS ADDRESS PLATFORMS",
        "new v0.32.2 current 3 unix:///x/new/control.sock linux/amd64, linux/arm64",
        "worker w1 (default)",
        "a=b",
        "pool=x (daemons.toml)",
        "worker w2 (never used by BuildKit)",
        "pool=x (daemons.toml)",
        "gone - - - unix:///no/such.sock -",
        "cannot reach unix:///no/such.sock: there is no socket",
        "old v0.3 or later legacy - unix:///x/old/control.sock linux/amd64",
        "worker w1 (default)",
    ]


def test_the_same_as_data(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["daemons", "--format", "json"]) == 0
    new, gone, old = json.loads(capsys.readouterr().out)["daemons"]
    assert (new["name"], new["builds"], new["fault"]) == ("new", 3, None)
    assert new["daemon"]["dialect"] == "current"
    assert [(each["id"], each["default"]) for each in new["workers"]] == [
        ("w1", True),
        ("w2", False),
    ]
    assert new["workers"][0]["labels"] == {"a": "b", "pool": "x"}
    assert gone == {
        "name": "gone",
        "address": "unix:///no/such.sock",
        "origin": "daemons.toml",
        "max-parallel": 2,
        "labels": {},
        "fault": "cannot reach unix:///no/such.sock: there is no socket",
        "builds": None,
        "daemon": None,
        "workers": [],
    }
    assert old["builds"] is None


def test_one_that_is_named_is_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["daemons", "--daemon", "old"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        *("NAME", "old", "worker"),
    ]
    assert main(["daemons", "--daemon", f"unix://{folder}/old/control.sock"]) == 0
    assert "(--daemon)" in capsys.readouterr().out


def test_where_there_is_none_nothing_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("buildfile.locate._usual_places", lambda environment: iter(()))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("BUILDKIT_HOST", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    assert main(["daemons"]) == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "no daemon is named and none runs: a build starts a private one\n"
