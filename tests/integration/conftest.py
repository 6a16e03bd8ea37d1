"""Workspaces on each daemon."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon_shim.client import Daemon as Client
from daemon_shim.info import DaemonInfo
from daemon_shim.releases import Release
from daemon_shim.transports import transport_for
from tests.integration import pairs
from tests.integration.command import Workspace
from tests.integration.pairs import Pair
from tests.real import bases
from tests.real.daemon import Daemon
from tests.real.errors import UnavailableError


def _values(base_image: str, registry: str) -> dict[str, str]:
    return {"BASE": base_image, "REGISTRY": registry}


@pytest.fixture
def work(tmp_path: Path, daemon: Daemon, base_image: str, registry: str) -> Workspace:
    """A workspace on each daemon; build files may declare BASE and REGISTRY."""
    return Workspace(folder=tmp_path, daemon=daemon, values=_values(base_image, registry))


@pytest.fixture
def full(tmp_path: Path, full_daemon: Daemon, base_image: str, registry: str) -> Workspace:
    """A workspace on one daemon, for what has nothing to do with a daemon's age."""
    return Workspace(folder=tmp_path, daemon=full_daemon, values=_values(base_image, registry))


_KNOWN: dict[str, DaemonInfo] = {}


@pytest.fixture
def info(daemon: Daemon) -> DaemonInfo:
    """What the daemon says of itself."""
    if daemon.name not in _KNOWN:
        with Client(transport_for(daemon.address), timeout=60.0) as client:
            _KNOWN[daemon.name] = client.info()
    return _KNOWN[daemon.name]


@pytest.fixture(params=["forth", "back"])
def pair(request: pytest.FixtureRequest, daemons: list[Daemon]) -> Iterator[Pair]:
    """The oldest and the newest daemon at hand, or the other way round."""

    def release(daemon: Daemon) -> Release:
        with Client(transport_for(daemon.address), timeout=60.0) as client:
            return client.info().release

    oldest, *_, newest = sorted(daemons, key=release)
    order = (oldest, newest) if request.param == "forth" else (newest, oldest)
    with pairs.pair(*(daemon.address for daemon in order)) as found:
        yield found


@pytest.fixture(scope="session")
def python_image(registry: str) -> str:
    """An image with the Python of this Debian, or a skip where its packages cannot be had."""
    return _pushed(next(iter(bases.pythons().values())), registry)


@pytest.fixture(scope="session")
def toolchain_image(registry: str) -> str:
    """An image with make and cc, or a skip where its packages cannot be had."""
    return _pushed(bases.toolchain(), registry)


def _pushed(base: bases.Base, registry: str) -> str:
    try:
        return bases.push(base, registry)
    except UnavailableError as error:
        reason = str(error)
    if os.environ.get("BUILDFILE_TEST_REQUIRE"):
        pytest.fail(reason)
    pytest.skip(reason)
