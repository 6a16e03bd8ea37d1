"""The private daemon: started for real where the machine has an engine, and its refusals."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from buildfile import private
from buildfile.exits import UsageError
from daemon_shim.errors import UnreachableError

NEEDED = ("dockerd", "unshare")


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    runtime = Path(f"/tmp/bf-test-{os.getpid()}")
    values = {
        "HOME": str(tmp_path),
        "PATH": os.environ["PATH"],
        "XDG_RUNTIME_DIR": str(runtime),
    }
    yield values
    private.stop(values)
    shutil.rmtree(runtime, ignore_errors=True)


def fake(folder: Path, name: str, script: str) -> None:
    program = folder / name
    program.write_text(f"#!{sys.executable}\n{script}")
    program.chmod(0o755)


@pytest.mark.skipif(os.geteuid() != 0, reason="root starts other daemons")
def test_nothing_installed_says_what_to_install(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(private, "_search_path", lambda environment: "/nowhere")
    with pytest.raises(UnreachableError) as caught:
        private.start(environment, lambda text: None)
    assert "--daemon ADDR" in (caught.value.hint or "")


LISTENER = """
import socket, sys, time
path = next(a for a in sys.argv if a.startswith("--addr")).split("unix://")[1]
server = socket.socket(socket.AF_UNIX)
server.bind(path)
server.listen()
time.sleep(600)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="root starts other daemons")
class TestWithStandIn:
    """A stand-in on the PATH shows what the starter does; no BuildKit is asked for anything."""

    @pytest.fixture(autouse=True)
    def only_ours(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.programs = tmp_path / "bin"
        self.programs.mkdir()
        fake(self.programs, "runc", "")
        monkeypatch.setattr(private, "_search_path", lambda environment: str(self.programs))

    def test_it_is_started_once_found_again_and_stopped(self, environment: dict[str, str]) -> None:
        fake(self.programs, "buildkitd", LISTENER)
        said: list[str] = []
        first = private.start(environment, said.append)
        again = private.start(environment, said.append)
        assert first == again
        assert len(said) == 1
        assert private.status(environment).alive
        assert private.stop(environment)
        assert not private.status(environment).alive
        assert not private.stop(environment)

    def test_its_settings_are_the_users(self, environment: dict[str, str], tmp_path: Path) -> None:
        fake(self.programs, "buildkitd", LISTENER)
        settings = tmp_path / ".config/buildfile/buildkitd.toml"
        settings.parent.mkdir(parents=True)
        settings.write_text(
            'grpc.address = ["tcp://127.0.0.1:1"]\n'
            'worker.oci = { labels = { pool = "x" }, platforms = ["linux/amd64"] }\n'
            "worker.containerd.enabled = true\n"
        )
        said: list[str] = []
        record = private.start(environment, said.append)
        assert record.settings == str(settings)
        assert said[1] == (
            f"its settings: {settings}, address tcp://127.0.0.1:1, label pool=x, "
            "platform linux/amd64"
        )
        command = Path(f"/proc/{record.pid}/cmdline").read_text().split("\0")[2:-1]
        assert command == [
            f"--config={settings}",
            f"--root={tmp_path}/.local/state/buildfile/daemon/buildkit",
            f"--addr={record.address}",
            "--addr=tcp://127.0.0.1:1",
            "--oci-worker=true",
            "--containerd-worker=true",
        ]
        assert private.start(environment, said.append, settings) == record
        with pytest.raises(UsageError, match="runs already"):
            private.start(environment, said.append, tmp_path / "other.toml")

    def test_settings_are_for_a_buildkitd(
        self, environment: dict[str, str], tmp_path: Path
    ) -> None:
        (self.programs / "runc").unlink()
        fake(self.programs, "dockerd", "")
        fake(self.programs, "unshare", "")
        (tmp_path / "buildkitd.toml").write_text("")
        with pytest.raises(UnreachableError, match="is for a buildkitd, and none can be started"):
            private.start(environment, lambda text: None, tmp_path / "buildkitd.toml")

    def test_two_runs_at_once_start_one(self, environment: dict[str, str]) -> None:
        fake(self.programs, "buildkitd", LISTENER)
        said: list[str] = []
        with ThreadPoolExecutor(2) as pool:
            both = [pool.submit(private.start, environment, said.append) for _ in range(2)]
        assert both[0].result() == both[1].result()
        assert len(said) == 1

    def test_an_interrupted_start_leaves_nothing(
        self, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fake(self.programs, "buildkitd", LISTENER)
        started: list[int] = []

        def interrupted(process: subprocess.Popen[bytes], ready: object) -> bool:
            started.append(process.pid)
            raise KeyboardInterrupt

        monkeypatch.setattr(private, "_wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            private.start(environment, lambda text: None)
        assert not Path(f"/proc/{started[0]}").exists()
        assert private.status(environment).record is None

    def test_one_that_dies_shows_the_end_of_its_log(self, environment: dict[str, str]) -> None:
        fake(self.programs, "buildkitd", "import sys; sys.exit('no cgroups here')")
        with pytest.raises(UnreachableError, match="no cgroups here"):
            private.start(environment, lambda text: None)
        assert private.status(environment).record is None

    def test_a_dead_one_is_replaced(self, environment: dict[str, str]) -> None:
        fake(self.programs, "buildkitd", LISTENER)
        first = private.start(environment, lambda text: None)
        os.kill(first.pid, 9)
        private._LEFT_RUNNING.pop().wait()
        second = private.start(environment, lambda text: None)
        assert second.pid != first.pid


@pytest.mark.real
@pytest.mark.skipif(os.geteuid() != 0, reason="a private dockerd takes root")
@pytest.mark.skipif(not all(map(shutil.which, NEEDED)), reason="no dockerd on the PATH")
def test_a_real_engine_builds_and_stops(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "buildfile.yaml").write_text(
        "version: 1\n"
        "stages: {a: {from: scratch, steps: [{write: {path: /a.txt, text: made}}]}}\n"
        "targets: {a: {stage: a, outputs: [{type: local, dest: out}]}}\n"
    )
    record = private.start(environment, lambda text: None)
    subprocess.run(
        [sys.executable, "-m", "buildfile", "build", "--daemon", record.address],
        cwd=tmp_path,
        env={**os.environ, **environment, "PYTHONPATH": str(Path.cwd())},
        check=True,
        timeout=120,
    )
    assert (tmp_path / "out" / "a.txt").read_text() == "made"
    assert private.stop(environment)
    assert not Path(record.address.partition("://")[2]).exists()
