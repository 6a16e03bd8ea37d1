"""The Python API, as far as a scripted daemon goes; tests/integration builds on real ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import buildfile
from buildfile import api, cli
from buildfile.exits import Exit
from buildfile.results import BuildResult, TargetResult
from tests.fakes.control import FakeControl
from translator.diagnostic import InvalidCommandError
from translator.llb.capabilities import CAPABILITIES

FILE = """version: 1
vars: {X: a}
stages: {s: {from: scratch, steps: [{run: [/a, "${X}"], security: insecure}]}}
targets: {t: {stage: s, description: "${X}"}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "buildfile.yaml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def old(folder: Path) -> Iterator[FakeControl]:
    """A daemon that runs nothing with all privileges."""
    known = [name for name in CAPABILITIES if name != "exec.meta.security"]
    with FakeControl(folder=folder, llb=known, gateway=["return"]) as control:
        yield control


def test_every_public_name_is_there() -> None:
    assert all(getattr(buildfile, name) for name in buildfile.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        getattr(buildfile, "nothing")  # noqa: B009 - the module's own __getattr__ is meant


def test_load_takes_what_the_command_takes(folder: Path) -> None:
    path = folder / "buildfile.yaml"
    made = buildfile.load(path, variables={"X": "b"}, overrides=["t.no-cache=true"], environment={})
    (target,) = made.select()
    assert (target.description, target.no_cache) == ("b", True)


def test_what_a_daemon_lacks_is_refused(folder: Path, old: FakeControl) -> None:
    with pytest.raises(buildfile.RefusedError, match=r"needs BuildKit v0\.5\.0"):
        buildfile.build(buildfile.load(), daemon=old.address)


def test_a_wrong_name_asks_no_daemon(folder: Path, old: FakeControl) -> None:
    with pytest.raises(InvalidCommandError, match="no target or group u"):
        buildfile.build(buildfile.load(), targets=["u"], daemon=old.address)
    assert old.calls == []


def test_pushing_without_an_image_is_told_before_any_daemon_is_asked(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["build", "--push", "--daemon", "unix:///no/such.sock"]
    assert cli.main([*words, "--output", "type=oci,name=x,dest=x.tar"]) == Exit.USAGE
    assert "no target of this run has an output of type image" in capsys.readouterr().err


def test_a_wrong_time_is_told_before_any_daemon_is_asked(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "today")
    assert cli.main(["build", "--daemon", "unix:///no/such.sock"]) == Exit.USAGE
    assert "SOURCE_DATE_EPOCH is 'today', which is no whole number" in capsys.readouterr().err


def test_pushing_leaves_other_outputs_alone(folder: Path) -> None:
    text = "outputs: [{type: image, name: x}, {type: local, dest: d}, {type: oci, dest: f}]"
    (folder / "buildfile.yaml").write_text(FILE.replace('description: "${X}"', text))
    (target,) = buildfile.load().select()
    image, *others = target.pushing().outputs
    assert image.attrs == {"name": "x", "push": "true"}
    assert (*others,) == target.outputs[1:]


def test_refusals_have_an_exit_code_of_their_own(
    folder: Path, old: FakeControl, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("build", "plan"):
        assert cli.main([command, "--daemon", old.address]) == Exit.NO_DAEMON
        assert "needs BuildKit v0.5.0" in capsys.readouterr().err
    assert cli.main(["plan", "--daemon", old.address, "--format", "json"]) == Exit.NO_DAEMON
    seen: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert len(seen["refusals"]) == 1


def test_a_daemon_that_goes_away_is_an_error_of_its_own(
    folder: Path, old: FakeControl, capsys: pytest.CaptureFixture[str]
) -> None:
    old.stop()
    assert cli.main(["build", "--daemon", old.address]) == Exit.NO_DAEMON
    assert old.address in capsys.readouterr().err


RESULT = BuildResult(
    targets={"t": TargetResult(target="t", metadata={"k": "v"})},
    daemon="unix:///x",
    seconds=1.0,
    steps=1,
    cached=0,
)


def test_metadata_are_written_at_once(tmp_path: Path) -> None:
    api._write_metadata(str(tmp_path / "m.json"), RESULT)
    assert [each.name for each in tmp_path.iterdir()] == ["m.json"]
    assert json.loads((tmp_path / "m.json").read_text()) == {"t": {"k": "v"}}


def test_metadata_that_cannot_be_written_fail_the_build(tmp_path: Path) -> None:
    (tmp_path / "m.json").mkdir()
    with pytest.raises(buildfile.BuildFailedError, match=r"built, but .* could not be written"):
        api._write_metadata(str(tmp_path / "m.json"), RESULT)
    assert [each.name for each in tmp_path.iterdir()] == ["m.json"]
