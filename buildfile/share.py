"""What one daemon does of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from daemon_shim.releases import Release

if TYPE_CHECKING:
    from buildfile.plan import Plan
    from daemon_shim.client import Daemon
    from daemon_shim.info import DaemonInfo

_SIDE_BY_SIDE = 32
_MOUNTS_FOR_SEVERAL: Release = (0, 6, 0)
"""The first release that mounts one tree for two builds at once without fail. Before, what a build
reads can be gone when another one goes on from it (cache/refs.go; seen on v0.3.3 and v0.4.0).
"""


@dataclass(frozen=True, kw_only=True, eq=False)
class Share:
    """What one daemon does. ``mark`` tells its steps from those of other daemons, '' where there
    is no other.
    """

    plan: Plan
    daemon: Daemon
    mark: str = ""


def jobs_at_once(info: DaemonInfo, max_parallel: int | None) -> int:
    """How many jobs a daemon gets at once; ``max_parallel`` is what ``daemons.toml`` says."""
    if info.release < _MOUNTS_FOR_SEVERAL:
        return 1
    return min(max_parallel or _SIDE_BY_SIDE, _SIDE_BY_SIDE)
