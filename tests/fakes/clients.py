"""Stand-ins for command-line clients: programs on a PATH that pipe to a daemon, or fail."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_REPOSITORY = Path(__file__).parents[2]
_GUARD_SECONDS = 60
_PIPE = f"""#!{sys.executable}
import json, os, signal, socket, sys

sys.path.insert(0, {str(_REPOSITORY)!r})
from daemon_shim.transports import transport_for
from daemon_shim.transports.relay import join


def leave(number, frame):
    os.write(2, b"the host went away\\n")
    os._exit(3)


signal.signal(signal.SIGUSR1, leave)
with open(LOG, "a") as log:
    log.write(json.dumps([os.getpid(), os.getsid(0), *sys.argv[1:]]) + "\\n")
transport = transport_for(ADDRESS, environment={{}})
remote = transport.dial(60) if "docker system" in " ".join(sys.argv) else transport.connect(60)
join(socket.socket(fileno=0), remote)
"""


@dataclass(frozen=True, kw_only=True)
class Started:
    """One process of a stand-in that pipes."""

    pid: int
    session: int
    arguments: tuple[str, ...]

    @property
    def runs(self) -> bool:
        """Whether it still does."""
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except FileNotFoundError:
            return False

    def kill(self, number: signal.Signals) -> None:
        """Send it a signal; SIGUSR1 makes it complain and fail."""
        os.kill(self.pid, number)


@dataclass(frozen=True, kw_only=True)
class StandIns:
    """A folder of programs."""

    folder: Path

    def pipe(self, program: str, address: str) -> None:
        """Make a program that pipes to a daemon, as ``buildctl dial-stdio`` at its other end."""
        text = _PIPE.replace("ADDRESS", repr(address)).replace("LOG", repr(str(self._log(program))))
        self._write(program, text)

    def script(self, program: str, text: str) -> None:
        """Make a program of a few lines of shell."""
        self._write(program, f"#!/bin/sh\n{text}\n")

    def started(self, program: str) -> tuple[Started, ...]:
        """The processes of a program that pipes."""
        log = self._log(program)
        lines = log.read_text().splitlines() if log.exists() else ()
        return tuple(
            Started(pid=pid, session=session, arguments=tuple(arguments))
            for pid, session, *arguments in map(json.loads, lines)
        )

    def wait_for_the_end(self, program: str) -> None:
        """Wait until none of its processes runs."""
        give_up = time.monotonic() + _GUARD_SECONDS
        while running := [each for each in self.started(program) if each.runs]:
            assert time.monotonic() < give_up, running
            time.sleep(0.01)

    def environment(self) -> dict[str, str]:
        """An environment with these programs before all others."""
        return {"PATH": f"{self.folder}:{os.environ['PATH']}"}

    def _log(self, program: str) -> Path:
        return self.folder / f"{program}.log"

    def _write(self, program: str, text: str) -> None:
        path = self.folder / program
        path.write_text(text)
        path.chmod(0o755)


@contextmanager
def on_the_path(standins: StandIns) -> Iterator[None]:
    """This process finds these programs before all others."""
    before = os.environ["PATH"]
    os.environ |= standins.environment()
    try:
        yield
    finally:
        os.environ["PATH"] = before
