"""Daemons as probing finds them, for tests that need no wire."""

from __future__ import annotations

from daemon_shim import releases
from daemon_shim.info import DaemonInfo, Worker

_LABEL = "org.mobyproject.buildkit.worker.snapshotter"


def info(
    release: releases.Release, *, engine: bool = False, snapshotter: str = "overlayfs"
) -> DaemonInfo:
    """A daemon of a release with all the capabilities that the release has."""
    known = releases.known_to(release)
    labels = {_LABEL: snapshotter} if snapshotter else {}
    return DaemonInfo(
        address="unix:///test.sock",
        engine=engine,
        version=releases.exact(release),
        release=release,
        llb_caps=known,
        gateway_caps=known,
        workers=(Worker(id="w1", labels=labels, platforms=("linux/amd64", "linux/386")),),
    )


def graphdriver(release: releases.Release) -> DaemonInfo:
    """An engine without the containerd image store."""
    return info(release, engine=True, snapshotter="")
