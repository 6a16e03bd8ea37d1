"""What one daemon does of a run."""

from __future__ import annotations

from dataclasses import dataclass

from buildfile.plan import Plan
from daemon_shim.client import Daemon
from daemon_shim.releases import Release

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

    def most(self) -> int:
        """How many jobs it gets at once."""
        if self.plan.info.release < _MOUNTS_FOR_SEVERAL:
            return 1
        return min(self.daemon.max_parallel or _SIDE_BY_SIDE, _SIDE_BY_SIDE)
