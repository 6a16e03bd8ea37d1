"""Ctrl-C, and daemons that die: builds end, and leave nothing running and nothing half done."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from daemon_shim.client import Daemon as Client
from daemon_shim.transports import transport_for
from tests.integration.command import Workspace
from tests.integration.tree import tree
from tests.real import engine, fleet
from tests.real.daemon import from_engine

_GUARD_SECONDS = 120

_FILE = """
version: 1
vars:
  BASE: none
stages:
  app:
    from: {image: "${BASE}"}
    steps:
      - run: mkdir /out && echo st''arted && exec sleep 9%s
targets:
  app: {stage: app, outputs: [{type: local, dest: out}, {type: tar, dest: app.tar}]}
"""


_QUICK = "  quick: {from: scratch, steps: [{write: {path: /a, text: a}}]}\n"


class Building:
    """A build as a process of its own, of which a step sleeps for ever."""

    def __init__(self, work: Workspace, text: str = _FILE, *words: str) -> None:
        # A number of seconds that no other process sleeps.
        self._seconds = f"9{uuid.uuid4().int % 10**8:08}"
        work.write("buildfile.yaml", text % self._seconds[1:])
        self.process = work.start(*words)
        self.err = b""

    def wait_for(self, text: bytes) -> None:
        """Read its progress up to ``text``."""
        assert self.process.stderr
        give_up = time.monotonic() + _GUARD_SECONDS
        while text not in self.err:
            ready, _, _ = select.select([self.process.stderr], [], [], 1)
            piece = os.read(self.process.stderr.fileno(), 65536) if ready else b""
            assert piece or not ready, self.err.decode()
            assert time.monotonic() < give_up, self.err.decode()
            self.err += piece

    def end(self) -> int:
        """Wait for its end; returns the exit code."""
        _, rest = self.process.communicate(timeout=_GUARD_SECONDS)
        self.err += rest
        return self.process.returncode

    def sleeps(self) -> bool:
        """Whether its step still runs, on this machine as all test daemons do."""
        for command in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if command.read_bytes().split(b"\0")[:2] == [b"sleep", self._seconds.encode()]:
                    return True
        return False

    def wait_until(self, sleeps: bool) -> None:
        """Wait for its step to begin, or to end."""
        give_up = time.monotonic() + _GUARD_SECONDS
        while self.sleeps() is not sleeps:
            assert time.monotonic() < give_up, f"the step has not {'begun' if sleeps else 'ended'}"
            time.sleep(0.1)


@pytest.fixture
def building(work: Workspace) -> Iterator[Building]:
    with _building(work) as started:
        yield started


def test_a_daemon_tells_what_it_builds_if_it_can(work: Workspace, building: Building) -> None:
    assert building
    with Client(transport_for(work.daemon.address), timeout=60.0) as client:
        running = client.running_builds()
        assert running is None if client.info().release < (0, 12, 4) else running


@contextlib.contextmanager
def _building(work: Workspace, text: str = _FILE, *words: str) -> Iterator[Building]:
    started = Building(work, text, *words)
    try:
        started.wait_for(b" started")
        started.wait_until(True)
        yield started
    finally:
        started.process.kill()
        started.process.communicate()


@pytest.fixture
def private(full: Workspace) -> Iterator[tuple[Workspace, int]]:
    """A workspace on an engine of its own, and the engine's process."""
    row = engine.ENGINES["trixie"]
    label = f"bftk{os.getpid()}"
    run = Path(tempfile.mkdtemp(prefix="bftk-", dir="/tmp"))
    try:
        started = engine.Engine(
            row,
            programs=fleet.fetch(row.suite),
            folder=full.folder / "engine",
            run=run / "run",
            label=label,
        )
        try:
            address = f"docker://{started.socket}"
            daemon = from_engine(row, address=address, release=started.wait())
            (full.folder / "work").mkdir()
            process = _dockerd(full.folder / "engine/data")
            yield replace(full, daemon=daemon, folder=full.folder / "work"), process
        finally:
            started.stop()
    finally:
        shutil.rmtree(run, ignore_errors=True)


def _dockerd(place: Path) -> int:
    """The process of the engine whose data lies at a place."""
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = command.read_bytes().split(b"\0")
            if words[0].endswith(b"/dockerd") and f"--data-root={place}".encode() in words:
                return int(command.parent.name)
    raise LookupError(f"no dockerd at {place}")


def test_an_interrupt_cancels_the_build_on_the_daemon(work: Workspace, building: Building) -> None:
    building.process.send_signal(signal.SIGINT)
    assert building.end() == 130, building.err.decode()
    assert b"interrupted" in building.err
    assert b"Traceback" not in building.err and b"bug" not in building.err
    building.wait_until(False)
    assert set(tree(work.folder)) == {"buildfile.yaml"}


def test_an_interrupt_leaves_nothing_of_what_was_held(work: Workspace) -> None:
    quick = "  quick: {stage: quick, outputs: [{type: tar, dest: quick.tar}]}\n"
    text = _FILE.replace("stages:\n", f"stages:\n{_QUICK}") + quick
    with _building(work, text, "--all-or-nothing", "quick", "app") as building:
        give_up = time.monotonic() + _GUARD_SECONDS
        while not any(work.folder.glob(".quick.tar.*")):
            assert time.monotonic() < give_up, building.err.decode()
            time.sleep(0.1)
        building.process.send_signal(signal.SIGINT)
        assert building.end() == 130, building.err.decode()
    assert set(tree(work.folder)) == {"buildfile.yaml"}


def test_termination_is_an_interrupt(work: Workspace, building: Building) -> None:
    building.process.terminate()
    assert building.end() in (130, 143, -signal.SIGTERM)
    building.wait_until(False)
    assert set(tree(work.folder)) == {"buildfile.yaml"}


@pytest.mark.parametrize("times", [1, 2])
def test_an_interrupt_does_not_wait_for_a_daemon_that_hears_nothing(
    private: tuple[Workspace, int], times: int
) -> None:
    work, process = private
    with _building(work) as building:
        os.kill(process, signal.SIGSTOP)
        try:
            for _ in range(times):
                building.process.send_signal(signal.SIGINT)
            assert building.end() == 130, building.err.decode()
        finally:
            os.kill(process, signal.SIGCONT)


def test_a_daemon_that_dies_ends_the_build(private: tuple[Workspace, int]) -> None:
    work, process = private
    with _building(work) as building:
        os.kill(process, signal.SIGKILL)
        code, text = building.end(), building.err.decode()
    assert code in (1, 4), text
    assert "Traceback" not in text and "bug" not in text
    assert "error:" in text
    assert set(tree(work.folder)) == {"buildfile.yaml"}
