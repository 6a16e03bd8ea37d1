"""Fixtures that hand real daemons, a registry and a base image to tests.

Whatever uses one is marked ``real`` and runs after all other tests, while which the daemons
start. A daemon that cannot be had is one skip in the summary with its reason, except where
``BUILDFILE_TEST_REQUIRE`` (comma-separated names, set in CI) names it: there it is a failure.
``BUILDFILE_TEST_KEEP=1`` uses the daemons of ``python -m tests.real up`` and leaves them running.
``BUILDFILE_TEST_DAEMONS`` (comma-separated ``ADDRESS`` or ``NAME=ADDRESS``) adds daemons.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.real import fleet
from tests.real.daemon import Daemon, from_engine, from_setting
from tests.real.engine import ENGINES
from tests.real.errors import UnavailableError

_FIXTURES = {"daemon", "daemons", "full_daemon", "registry", "base_image", "oci_base"}
_FULL = "trixie"


class RealDaemons:
    """The daemons of one test session."""

    def __init__(self) -> None:
        self.added = {daemon.name: daemon for daemon in map(from_setting, _listed("DAEMONS"))}
        self.used: Counter[str] = Counter()
        self.missing: dict[str, str] = {}
        self._required = _listed("REQUIRE")
        self._keep = os.environ.get("BUILDFILE_TEST_KEEP", "") not in ("", "0")
        self._fleet: fleet.Fleet | None = None

    @property
    def names(self) -> list[str]:
        """All daemons that the tests want."""
        return [*ENGINES, *self.added]

    def start(self) -> fleet.Fleet:
        """Start our own, without waiting for them."""
        if not self._fleet:
            self._fleet = fleet.start_shared() if self._keep else fleet.start(ENGINES)
        return self._fleet

    def stop(self) -> None:
        """Stop what was started, unless it is to be kept."""
        if self._fleet and not self._keep:
            self._fleet.stop()

    def get(self, name: str) -> Daemon:
        """Return a daemon that answers.

        Raises UnavailableError if it cannot be had.
        """
        if name in self.added:
            return self.added[name]
        facts = self.start().wait(name)
        return from_engine(ENGINES[name], address=facts["address"], release=facts["release"])

    def use(self, name: str) -> Daemon:
        """Return a daemon for a test, or skip the test (or fail it, if the daemon is required)."""
        try:
            return self.get(name)
        except UnavailableError as error:
            reason = str(error)
        raise self._want_of(name, reason)

    def facts(self) -> fleet.Facts:
        """Return the registry's facts, or skip the test."""
        try:
            return self.start().wait(fleet.REGISTRY)
        except UnavailableError as error:
            reason = str(error)
        raise self._want_of(fleet.REGISTRY, reason)

    def _want_of(self, name: str, reason: str) -> BaseException:
        text = self.missing[name] = f"{name} cannot be had: {reason}"
        if name in self._required:
            return pytest.fail.Exception(text, pytrace=False)
        return pytest.skip.Exception(text)


_KEY: pytest.StashKey[RealDaemons] = pytest.StashKey()


def _listed(setting: str) -> list[str]:
    words = os.environ.get(f"BUILDFILE_TEST_{setting}", "").split(",")
    return [word.strip() for word in words if word.strip()]


def pytest_configure(config: pytest.Config) -> None:
    """Read the settings; nothing starts yet."""
    config.stash[_KEY] = RealDaemons()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run whatever takes ``daemon`` once for each."""
    if "daemon" in metafunc.fixturenames:
        names = metafunc.config.stash[_KEY].names
        metafunc.parametrize("daemon", names, indirect=True, scope="session")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs real daemons, and put it last."""
    for item in items:
        if _FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.real)
    items.sort(key=lambda item: item.get_closest_marker("real") is not None)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start the daemons beside the first tests, if any test that is left will want them."""
    wanted = any(item.get_closest_marker("real") for item in session.items)
    if wanted and not session.config.option.collectonly:
        session.config.stash[_KEY].start()


def pytest_runtest_call(item: pytest.Item) -> None:
    """Count the tests of each daemon."""
    for value in getattr(item, "funcargs", {}).values():
        if isinstance(value, Daemon):
            item.config.stash[_KEY].used[value.name] += 1


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Give all skips for want of one daemon the same place, so that pytest shows them as one."""
    report = yield
    reason = str(call.excinfo.value) if call.excinfo else ""
    if report.skipped and reason in item.config.stash[_KEY].missing.values():
        report.longrepr = (__file__, 1, reason)
    return report


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the daemons, however the session ended."""
    config.stash[_KEY].stop()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say which daemons were tested, and loudly which were not."""
    real = config.stash[_KEY]
    if not real.used and not real.missing:
        return
    terminalreporter.section("real daemons")
    for name, count in real.used.items():
        daemon = real.get(name)
        terminalreporter.line(f"{name}: {count} tests on {daemon.release or daemon.address}")
    for reason in real.missing.values():
        terminalreporter.line(f"NOT TESTED: {reason}", red=True, bold=True)


@pytest.fixture(scope="session")
def daemon(request: pytest.FixtureRequest) -> Daemon:
    """Each daemon at hand: a test that takes it runs once for each."""
    return request.config.stash[_KEY].use(request.param)


@pytest.fixture(scope="session")
def daemons(request: pytest.FixtureRequest) -> list[Daemon]:
    """All daemons at hand, for tests that need several at once."""
    real = request.config.stash[_KEY]
    found = []
    for name in real.names:
        with contextlib.suppress(UnavailableError):
            found.append(real.get(name))
    if not found:
        pytest.skip("no daemon can be had")
    return found


@pytest.fixture(scope="session")
def full_daemon(request: pytest.FixtureRequest) -> Daemon:
    """One daemon that can do everything, for tests that say nothing about a daemon's age."""
    return request.config.stash[_KEY].use(_FULL)


@pytest.fixture(scope="session")
def registry(request: pytest.FixtureRequest) -> str:
    """A registry without TLS or login, as image names begin with it: ``localhost:PORT``.

    It lasts as long as the daemons, so a test takes a repository name of its own.
    """
    return request.config.stash[_KEY].facts()["registry"]


@pytest.fixture(scope="session")
def base_image(request: pytest.FixtureRequest) -> str:
    """The full name of the base image in the registry; ``image.CONFIG`` is its config."""
    return request.config.stash[_KEY].facts()["base_image"]


@pytest.fixture(scope="session")
def oci_base(request: pytest.FixtureRequest) -> Path:
    """The base image as an OCI layout folder, tagged ``image.TAG``; not to be written to."""
    return Path(request.config.stash[_KEY].facts()["oci_base"])
