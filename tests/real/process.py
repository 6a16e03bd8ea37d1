"""A process that does not outlive its parent, with a log to quote when it fails."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.real.errors import UnavailableError

_STOP_SECONDS = 30
_POLL_SECONDS = 0.05


class Process:
    """A program that runs until stopped, with its output in ``log``.

    The kernel kills it when the thread that made it ends (``setpriv --pdeathsig``), so it has to
    be made on the main thread.
    """

    def __init__(
        self, command: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self._name = Path(command[0]).name
        self._log = log
        with log.open("wb") as output:
            self._popen = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
            )
        self.pid = self._popen.pid

    def wait_until(self, ready: Callable[[], bool], *, seconds: float) -> None:
        """Return once ``ready`` says so.

        Raises UnavailableError with the end of the log if the program ends or takes too long.
        """
        give_up = time.monotonic() + seconds
        while not ready():
            if (code := self._popen.poll()) is not None:
                raise UnavailableError(f"{self._name} ended with code {code}: {self._last_words()}")
            if time.monotonic() > give_up:
                raise UnavailableError(
                    f"{self._name} not ready in {seconds} s: {self._last_words()}"
                )
            time.sleep(_POLL_SECONDS)

    def stop(self, *, through: int | None = None) -> None:
        """End it, with TERM to it (or to the process ``through``), then with KILL."""
        with contextlib.suppress(ProcessLookupError):
            if self._popen.poll() is None:
                os.kill(through or self.pid, signal.SIGTERM)
        try:
            self._popen.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return " / ".join(lines[-3:]) or "it said nothing"
