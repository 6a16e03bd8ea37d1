"""What daemons tell of how a process ended.

v0.6.2 to v0.7 do not tell its exit code (go-runc, in the version that they vendor), and v0.6.1
cannot be told from v0.6.2.
"""

from __future__ import annotations

from daemon_shim.info import DaemonInfo

UNTOLD = "runc did not terminate succ?essfully"
_MAY_NOT_TELL, _TELLS_NOT, _TELLS = (0, 6, 1), (0, 7, 0), (0, 8, 0)


def of_daemon(code: int, info: DaemonInfo) -> str:
    """A pattern for the end of a daemon's own message."""
    return _either(f"exit code: {code}", UNTOLD, info)


def shown(code: int, info: DaemonInfo) -> str:
    """A pattern for what a user is told."""
    return "failed: exit code " + _either(str(code), "unknown", info)


def _either(told: str, untold: str, info: DaemonInfo) -> str:
    if not _MAY_NOT_TELL <= info.release < _TELLS:
        return told
    return untold if info.release >= _TELLS_NOT else f"({told}|{untold})"
