"""The health service, which the daemon polls to see whether the session lives.

Every 1 s to v0.9, every 5 s from v0.10 (session/grpc.go); a daemon ends the session without it.
"""

from __future__ import annotations

from collections.abc import Mapping

from daemon_shim.session.service import Call, Opener

_SERVING = b"\x08\x01"  # HealthCheckResponse: status = SERVING


class Health:
    """Answers ``grpc.health.v1.Health/Check``: always serving, for there is but one answer."""

    @property
    def methods(self) -> Mapping[str, Opener]:
        """The method served."""
        return {"/grpc.health.v1.Health/Check": _Check}


class _Check:
    def __init__(self, call: Call) -> None:
        self._call = call

    def message(self, data: memoryview) -> None:
        self._call.send(_SERVING)
        self._call.finish()

    def half_closed(self) -> None:
        pass

    def writable(self) -> None:
        pass

    def closed(self) -> None:
        pass
