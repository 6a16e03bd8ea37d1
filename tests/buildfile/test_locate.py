"""Which daemon a run finds, in which order."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from buildfile import locate as locating
from buildfile import private
from buildfile.locate import Located, find, locate


@pytest.fixture
def no_usual_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine may have daemons of its own; none of them counts here."""
    monkeypatch.setattr(locating, "_usual_places", lambda environment: iter(()))


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[str]:
    path = str(tmp_path / "d.sock")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        yield path


def silent(text: str) -> None:
    raise AssertionError(f"nothing is started here, but it said {text!r}")


def test_the_user_s_word_is_strongest() -> None:
    found = locate("tcp://a:1", {"BUILDKIT_HOST": "tcp://b:1"}, silent)
    assert found == Located(address="tcp://a:1", origin="--daemon")


def test_then_buildkit_host() -> None:
    found = locate(None, {"BUILDKIT_HOST": "tcp://b:1", "DOCKER_HOST": "tcp://c:1"}, silent)
    assert found == Located(address="tcp://b:1", origin="BUILDKIT_HOST")


def places(**environment: str) -> list[str]:
    return [address for address, _ in locating._usual_places(environment)]


def test_a_buildkitd_comes_before_an_engine() -> None:
    assert places(XDG_RUNTIME_DIR="/run/me") == [
        "unix:///run/buildkit/buildkitd.sock",
        "unix:///run/me/buildkit/buildkitd.sock",
        "docker:///var/run/docker.sock",
        "docker:///run/me/docker.sock",
    ]


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("unix:///x/docker.sock", "docker:///x/docker.sock"),
        ("tcp://engine:2376", "docker://engine:2376"),
        ("ssh://engine", "docker://"),
        ("npipe://engine", "npipe://engine"),
    ],
)
def test_docker_host_stands_for_the_engine_s_usual_places(host: str, address: str) -> None:
    assert places(XDG_RUNTIME_DIR="/run/me", DOCKER_HOST=host)[2:] == [address]


def test_a_socket_that_nobody_listens_on_is_passed_over(
    tmp_path: Path, listening: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = str(tmp_path / "dead.sock")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(dead)
    order = [(f"unix://{dead}", "dead"), (f"unix://{listening}", "alive")]
    monkeypatch.setattr(locating, "_usual_places", lambda environment: iter(order))
    assert locate(None, {}, silent).origin == "alive"


@pytest.mark.usefixtures("no_usual_places")
def test_last_a_private_daemon_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = private.Record(kind="dockerd", pid=1, address="docker:///p", started_ticks=0)
    monkeypatch.setattr(private, "start", lambda environment, say: record)
    home = {"HOME": str(tmp_path)}
    assert find(None, home) is None
    found = locate(None, home, silent)
    assert found == Located(address="docker:///p", origin="private dockerd")


@pytest.mark.usefixtures("no_usual_places")
def test_a_private_daemon_that_runs_is_found_without_a_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = private.Record(kind="buildkitd", pid=1, address="unix:///p", started_ticks=0)
    running = private.Status(record=record, alive=True, root=tmp_path, log=tmp_path)
    monkeypatch.setattr(private, "status", lambda environment: running)
    assert find(None, {}) == Located(address="unix:///p", origin="private buildkitd")
