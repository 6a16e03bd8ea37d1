"""Shells in results, and where builds fail, on each daemon."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from daemon_shim.info import DaemonInfo
from tests.integration.command import Workspace
from tests.integration.pseudoterminal import started

TEXT = """version: 1
secrets: {tok: {env: TOK}}
stages:
  src:
    from: scratch
    steps: [{write: {path: /text, text: "hello\\n"}}]
  app:
    from: {image: "BASE_IMAGE"}
    env: {A: "x y"}
    workdir: /data
    steps: [{user: worker}]
  bad:
    from: {image: "BASE_IMAGE"}
    workdir: /data
    steps:
      - run: "echo so far >made; echo kept >/c/kept; exit 5"
        env: {B: b}
        mounts:
          - {type: bind, from: src, target: /src}
          - {type: cache, target: /c, id: MARK}
          - {type: secret, id: tok, target: /run/tok}
          - {type: secret, id: tok, env: TOKEN}
        network: none
  badfile:
    from: app
    steps: [{copy: {from: src, paths: [/none], to: /x}}]
targets:
  app: {stage: app}
  bad: {stage: bad}
  badfile: {stage: badfile}
  src: {stage: src}
"""
_ENV = {"TOK": "s3cret", "PYTHONPATH": str(Path(__file__).parents[2]), "TERM": "xterm"}


@pytest.fixture
def written(work: Workspace, info: DaemonInfo) -> Workspace:
    """A workspace on a daemon that has containers; others refuse, which is asserted here."""
    text = TEXT.replace("BASE_IMAGE", work.values["BASE"]).replace("MARK", work.folder.name)
    work.write("buildfile.yaml", text)
    if not info.has("gateway.exec"):
        done = debug(work, "app", said="exit 0\n", code=4)
        assert "container beside steps needs BuildKit v0.8" in done.stderr
        assert not done.stdout
        pytest.skip(f"{info.version} has no containers, and refuses them")
    return work


def words(work: Workspace, *given: str) -> list[str]:
    command = [sys.executable, "-m", "buildfile", "debug", "--daemon", work.daemon.address]
    return [*command, *given]


def debug(
    work: Workspace, *given: str, said: str = "", code: int = 0
) -> subprocess.CompletedProcess[str]:
    with work.surroundings(_ENV):
        done = subprocess.run(
            words(work, "--progress", "quiet", *given),
            input=said,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    assert done.returncode == code, done.stderr
    return done


def test_a_shell_in_a_result(written: Workspace) -> None:
    said = "pwd; id -u; echo $A; echo no >&2; exit 3\n"
    done = debug(written, "app", said=said, code=3)
    assert (done.stdout, done.stderr) == ("/data\n1000\nx y\n", "no\n")
    command = ("--stage", "app", "--user", "root", "--", "sh", "-c", "pwd; id -u")
    assert debug(written, "bad", *command).stdout == "/data\n0\n"
    assert "src has no shell /bin/sh" in debug(written, "src", code=1).stderr


def test_a_shell_where_a_step_fails(written: Workspace, info: DaemonInfo) -> None:
    said = "cat made /c/kept /src/text; echo $B $TOKEN; cat /run/tok; ls /sys/class/net; exit 4\n"
    done = debug(written, "bad", "--on-error", said=said, code=4)
    env_comes = not (0, 10, 0) <= info.release < (0, 12, 0)
    told = "b s3cret" if env_comes else "b"
    kept = "step's changes to files" not in done.stderr
    assert kept or (info.engine and info.release < (0, 10, 0))
    made = "so far\n" if kept else ""
    assert done.stdout == f"{made}kept\nhello\n{told}\ns3cretlo\n"
    assert "[bad] run echo so far" in done.stderr
    assert ("secrets as variables (needs BuildKit v0.12)" in done.stderr) is not env_comes
    done = debug(written, "badfile", "--on-error", said="pwd; id -u; ls /x\n", code=1)
    assert done.stdout == "/data\n1000\n"
    assert "copy src:/none -> /x failed" in done.stderr


def test_a_terminal(written: Workspace) -> None:
    with (
        written.surroundings(_ENV),
        started(words(written, "app"), written.folder, os.environ) as terminal,
    ):
        before = terminal.settings()
        terminal.until("$ ")
        terminal.type("stty size\r")
        terminal.until("\r\n24 80\r\n")
        terminal.resize(40, 120)
        terminal.type("until stty size | grep '40 120'; do :; done\r")
        terminal.until("\r\n40 120\r\n")
        terminal.type("sh -c 'echo $((6 * 7)) begins; exec sleep 1000'\r")
        terminal.until("42 begins\r\n")
        terminal.type("\x03")
        terminal.type("echo $((40 + 2))!\r")
        terminal.until("42!\r\n")
        terminal.type("exit 6\r")
        assert (terminal.end(), terminal.settings()) == (6, before)


def test_what_ends_it_leaves_the_terminal_as_it_was(written: Workspace) -> None:
    mark = str(40_000 + os.getpid())
    with (
        written.surroundings(_ENV),
        started(words(written, "app"), written.folder, os.environ) as terminal,
    ):
        before = terminal.settings()
        terminal.until("$ ")
        terminal.type(f"sh -c 'echo $((6 * 7)) begins; exec sleep {mark}'\r")
        terminal.until("42 begins\r\n")
        terminal.send(signal.SIGTERM)
        assert (terminal.end(), terminal.settings()) == (130, before)
    for _ in range(600):
        if mark not in "".join(map(_command, Path("/proc").glob("[0-9]*/cmdline"))):
            return
        time.sleep(0.1)
    raise AssertionError("the container goes on")


def _command(path: Path) -> str:
    try:
        return path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
