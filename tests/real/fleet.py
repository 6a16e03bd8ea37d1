"""All the engines and the registry together, held by one supervising process.

The supervisor starts everything side by side, writes what is ready (or cannot be had) to a state
file, and stops everything when it is told to or when the process that started it is gone. Its
clients, the pytest plugin and the command line, only read that file.

Everything that a supervisor makes carries its process id, so that the next one can clear away
what a killed one left.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import Any

from tests.real import debian, engine, image
from tests.real.cache import cache_folder
from tests.real.errors import UnavailableError
from tests.real.registry import Registry

REGISTRY = "registry"

_REPOSITORY = Path(__file__).parents[2]
_POLL_SECONDS = 0.05
_STOP_SECONDS = 120
_RUN_PREFIX = "bft-"

Facts = dict[str, str]


class Fleet:
    """A client's view of a running supervisor."""

    def __init__(self, pid: int, process: subprocess.Popen[bytes] | None = None) -> None:
        self.pid = pid
        self._process = process

    def wait(self, name: str) -> Facts:
        """Wait for an engine (``address``, ``release``) or for ``REGISTRY`` (``registry``,
        ``base_image``, ``oci_base``) and return its facts.

        Raises UnavailableError with the reason if it cannot be had.
        """
        while name not in (state := _read_state(self.pid)):
            if not self._alive():
                log = _log().read_text(errors="replace").strip()
                raise UnavailableError(f"the supervisor of the test daemons ended: {log[-500:]}")
            time.sleep(_POLL_SECONDS)
        if "missing" in state[name]:
            raise UnavailableError(state[name]["missing"])
        return state[name]

    def stop(self) -> None:
        """Stop all daemons and wait until they are gone."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)
        give_up = time.monotonic() + _STOP_SECONDS
        while self._alive() and time.monotonic() < give_up:
            time.sleep(_POLL_SECONDS)
        if self._process and self._process.stdin:
            self._process.stdin.close()

    def _alive(self) -> bool:
        if self._process:
            return self._process.poll() is None
        return _supervises(self.pid)


def fetch(name: str) -> Path:
    """Return the folder of the programs of an engine or of the registry, downloaded once.

    Raises UnavailableError.
    """
    if name == REGISTRY:
        return debian.unpack(debian.host_suite(), "docker-registry", "busybox-static")
    return debian.unpack(name, *engine.PACKAGES)


def start(names: Iterable[str]) -> Fleet:
    """Start the named engines and the registry; they end with this process at the latest."""
    return _spawn(names, detached=False)


def start_shared() -> Fleet:
    """Return the fleet that stays until it is told to stop; start it if it does not run."""
    with (_fleets() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if running := shared():
            return running
        fleet = _spawn(engine.ENGINES, detached=True)
        _shared_file().write_text(str(fleet.pid))
        return fleet


def shared() -> Fleet | None:
    """Return the fleet that stays, if it runs."""
    with contextlib.suppress(OSError, ValueError):
        pid = int(_shared_file().read_text())
        if _supervises(pid):
            return Fleet(pid)
    return None


def _spawn(names: Iterable[str], *, detached: bool) -> Fleet:
    with _log().open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.real", "detached" if detached else "attached", *names],
            cwd=_REPOSITORY,
            stdin=subprocess.DEVNULL if detached else subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    return Fleet(process.pid, process)


def _supervises(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return b"tests.real" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return False


def _shared_file() -> Path:
    return _fleets() / "shared"


def _log() -> Path:
    return _fleets() / "supervisor.log"


def _fleets() -> Path:
    folder = cache_folder() / "fleets"
    folder.mkdir(exist_ok=True)
    return folder


def _read_state(pid: int) -> dict[str, Facts]:
    with contextlib.suppress(FileNotFoundError):
        state: dict[str, Facts] = json.loads((_fleets() / str(pid) / "state.json").read_text())
        return state
    return {}


def supervise(names: Iterable[str], *, detached: bool) -> None:
    """Be the supervisor: run until SIGTERM, or until standard input ends unless ``detached``."""
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not detached:
        threading.Thread(target=_leave_with_parent, daemon=True).start()
    _sweep()
    with contextlib.suppress(SystemExit), contextlib.ExitStack() as running:
        _Supervisor(running).start(names)
        while True:
            signal.pause()
    os._exit(0)  # without waiting for downloads that nobody needs any more


def _leave(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit


def _leave_with_parent() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


class _Supervisor:
    """Starts things; whatever has to be stopped again is put on the stack ``running``."""

    def __init__(self, running: contextlib.ExitStack) -> None:
        self._running = running
        self._pool = ThreadPoolExecutor()
        self._pending: dict[Future[Any], Callable[[Future[Any]], None]] = {}
        self._state: dict[str, Facts] = {}
        self._folder = _fleets() / str(os.getpid())
        self._run = Path(tempfile.mkdtemp(prefix=f"{_RUN_PREFIX}{os.getpid()}-", dir="/tmp"))
        for folder in (self._run, self._folder):
            running.callback(shutil.rmtree, folder, ignore_errors=True)
        self._folder.mkdir()

    def start(self, names: Iterable[str]) -> None:
        """Start everything side by side; return when each is ready or given up."""
        self._do(REGISTRY, partial(fetch, REGISTRY), self._start_registry)
        for name in names:
            if reason := engine.why_not():
                self._settle(name, {"missing": reason})
            else:
                self._do(name, partial(fetch, name), partial(self._start_engine, name))
        while self._pending:
            done, _ = wait(self._pending, return_when=FIRST_COMPLETED)
            for future in done:
                self._pending.pop(future)(future)

    def _do(self, name: str, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Do ``work`` beside, then ``then`` with its result here on the main thread."""

        def finish(future: Future[Any]) -> None:
            try:
                then(future.result())
            except (UnavailableError, OSError) as error:
                self._settle(name, {"missing": str(error)})

        self._pending[self._pool.submit(work)] = finish

    def _start_registry(self, programs: Path) -> None:
        layout = self._folder / "base"
        image.write_layout(layout, programs / "bin/busybox")
        registry = Registry(programs / "usr/bin/docker-registry", self._folder / REGISTRY)
        self._running.callback(registry.stop)
        base = registry.push(layout, f"base:{image.TAG}")
        facts = {"registry": registry.name, "base_image": base, "oci_base": str(layout)}
        self._settle(REGISTRY, facts)

    def _start_engine(self, name: str, programs: Path) -> None:
        label = engine.label(name, os.getpid())
        self._running.callback(engine.remove_traces, label)
        started = engine.Engine(
            engine.ENGINES[name],
            programs=programs,
            folder=self._folder / name,
            run=self._run / name,
            label=label,
        )
        self._running.callback(started.stop)
        address = f"docker://{started.socket}"
        self._do(
            name,
            started.wait,
            lambda release: self._settle(name, {"address": address, "release": release}),
        )

    def _settle(self, name: str, facts: Facts) -> None:
        self._state[name] = facts
        fresh = self._folder / "state.new"
        fresh.write_text(json.dumps(self._state))
        fresh.replace(self._folder / "state.json")


def _sweep() -> None:
    """Clear away what killed supervisors left.

    Only what stands in our cache counts as ours: another container may share the network.
    """
    for folder in _fleets().glob("[0-9]*"):
        owner = int(folder.name)
        if _supervises(owner):
            continue
        for name in engine.ENGINES:
            engine.remove_traces(engine.label(name, owner))
        for path in [folder, *Path("/tmp").glob(f"{_RUN_PREFIX}{owner}-*")]:
            shutil.rmtree(path, ignore_errors=True)
