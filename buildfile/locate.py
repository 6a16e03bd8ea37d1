"""Which daemon a run talks to: named by the user, found on this machine, or started for it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from buildfile.buildkitdtoml import listening_places

if TYPE_CHECKING:
    from buildfile.private import Record


@dataclass(frozen=True, kw_only=True)
class Located:
    """A daemon's address, and in words how it was found."""

    address: str
    origin: str


def locate(
    named: str | None, environment: Mapping[str, str], say: Callable[[str], None]
) -> Located:
    """Find a daemon, or start one of our own; ``say`` hears of that. Raises UnreachableError."""
    if located := find(named, environment):
        return located
    from buildfile import private

    return _private(private.start(environment, say))


def find(named: str | None, environment: Mapping[str, str]) -> Located | None:
    """Find one: ``named``, ``BUILDKIT_HOST``, a buildkitd's socket, an engine's, our own's.

    Nothing is started: None where none is named and none runs.
    """
    if named:
        return Located(address=named, origin="--daemon")
    if host := environment.get("BUILDKIT_HOST"):
        return Located(address=host, origin="BUILDKIT_HOST")
    for address, origin in _usual_places(environment):
        if _listens(address):
            return Located(address=address, origin=origin)
    from buildfile import private

    running = private.status(environment)
    return _private(running.record) if running.record and running.alive else None


def _private(record: Record) -> Located:
    return Located(address=record.address, origin=f"private {record.kind}")


def _usual_places(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    runtime = environment.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    yield "unix:///run/buildkit/buildkitd.sock", "local buildkitd"
    yield f"unix://{runtime}/buildkit/buildkitd.sock", "rootless buildkitd"
    for address in listening_places(environment):
        yield address, "buildkitd.toml"
    if host := environment.get("DOCKER_HOST"):
        scheme, _, place = host.partition("://")
        named = {"unix": f"docker://{place}", "tcp": f"docker://{place}", "ssh": "docker://"}
        yield named.get(scheme, host), "DOCKER_HOST"
        return
    yield "docker:///var/run/docker.sock", "Docker Engine"
    yield f"docker://{runtime}/docker.sock", "rootless Docker Engine"


def _listens(address: str) -> bool:
    """Whether somebody answers at a socket; one left by a dead daemon, or another's, does not.

    An address that is no socket's was named by the user, so it counts.
    """
    path = address.partition("://")[2]
    if not path.startswith("/"):
        return True
    if not Path(path).is_socket():
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(2.0)
        return probe.connect_ex(path) == 0
