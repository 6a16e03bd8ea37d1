"""What a test is told about a daemon."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from tests.real.engine import EngineRow

FEATURES = {
    "image": "exporters oci, docker and image, with push",
    "cache-export": "cache exports to a folder and to a registry",
    "oci-layout": "sources out of an OCI layout",
    "several-exports": "more than one exporter in a request; before, the second is lost unsaid",
    "merge": "merge and diff operations",
}


@dataclass(frozen=True, kw_only=True)
class Daemon:
    """A daemon that answers.

    ``address`` is what ``--daemon`` takes, ``release`` what an engine says of itself (empty for
    others), and ``lacks`` the FEATURES known to be missing; tests may ask a daemon of
    ``BUILDFILE_TEST_DAEMONS`` themselves, for nothing is known of it.
    """

    name: str
    address: str
    kind: Literal["engine", "standalone"]
    release: str = ""
    lacks: frozenset[str] = frozenset()

    def can(self, feature: str) -> bool:
        """Tell whether it has one of FEATURES; raises KeyError for any other word."""
        return bool(FEATURES[feature]) and feature not in self.lacks


def from_engine(row: EngineRow, *, address: str, release: str) -> Daemon:
    """Return what is known of an engine of ours.

    Docker 20.10 has none of FEATURES; with the containerd image store, which later ones run
    with here, an engine has all (measured on 26.1 and 28.5).
    """
    lacks = frozenset[str]() if row.containerd_store else frozenset(FEATURES)
    return Daemon(name=row.suite, address=address, kind="engine", release=release, lacks=lacks)


def from_setting(entry: str) -> Daemon:
    """Read an entry of ``BUILDFILE_TEST_DAEMONS``: ``ADDRESS`` or ``NAME=ADDRESS``."""
    name, named, address = entry.partition("=")
    if not named or "/" in name:
        name, address = re.sub(r"\W+", "-", entry).strip("-"), entry
    engine = address.startswith("docker://") or address.endswith("docker.sock")
    return Daemon(name=name, address=address, kind="engine" if engine else "standalone")
