"""What daemons tell of how a process ended."""

from __future__ import annotations

from daemon_shim.info import DaemonInfo


def tells_exit_codes(info: DaemonInfo) -> bool:
    """Whether failures hold the exit code: all but v0.7 do (executor/runcexecutor)."""
    return not (0, 7, 0) <= info.release < (0, 8, 0)
