"""A daemon of a release without one: what a plain buildkitd of that age is and can do.

For plans and tables about daemons that are not at hand. It is made of the rows of
``daemon_shim.releases`` alone, so it has all capabilities that its release announces.
"""

from __future__ import annotations

import re

from daemon_shim import releases
from daemon_shim.info import DaemonInfo, Worker
from daemon_shim.releases import Release

_NAME = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?")


def parse(text: str) -> Release | None:
    """Read ``v0.8`` or ``v0.8.3``; None for what is no release."""
    match = _NAME.fullmatch(text)
    return (int(match[1]), int(match[2]), int(match[3] or 0)) if match else None


def is_known(release: Release) -> bool:
    """Whether there are rows for a release of that age."""
    return releases.FIRST <= release <= releases.LAST


def imagine(release: Release, platform: str = "linux/amd64") -> DaemonInfo:
    """A plain buildkitd of the release; ``platform`` is its own."""
    known = releases.known_to(release)
    return DaemonInfo(
        address="a plain buildkitd",
        engine=False,
        version=releases.exact(release),
        release=release,
        llb_caps=known,
        gateway_caps=known,
        workers=(Worker(id="", platforms=(platform,), version=releases.exact(release)),),
        imagined=True,
    )
