"""The test support does what tests rely on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.real import engine, fleet, image
from tests.real.daemon import FEATURES, Daemon, from_engine, from_setting
from tests.real.debian import Mirror, find_mirror
from tests.real.errors import UnavailableError

HANG_SECONDS = 120
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

ORPHAN = """
import sys
from tests.real import fleet
started = fleet.start(["bookworm"])
started.wait("bookworm")
print(started.pid, flush=True)
sys.stdin.read()
"""


def test_engine_answers_at_its_address(daemon: Daemon) -> None:
    if daemon.name not in engine.ENGINES:
        pytest.skip("not an engine of ours")
    socket = Path(daemon.address.removeprefix("docker://"))
    assert engine.get(socket, "/version")["Version"] == daemon.release


def test_engine_runs_on_the_wanted_store(daemon: Daemon) -> None:
    if daemon.name not in engine.ENGINES:
        pytest.skip("not an engine of ours")
    info = engine.get(Path(daemon.address.removeprefix("docker://")), "/info")
    containerd = engine.ENGINES[daemon.name].containerd_store
    assert info["Driver"] == ("overlayfs" if containerd else "overlay2")


def test_registry_serves_the_base_image(base_image: str, registry: str) -> None:
    assert base_image == f"{registry}/base:{image.TAG}"
    manifest = _json(f"http://{registry}/v2/base/manifests/{image.TAG}")
    config = _json(f"http://{registry}/v2/base/blobs/{manifest['config']['digest']}")
    assert config["config"] == image.CONFIG


def test_layout_holds_the_same_image_as_the_registry(oci_base: Path, registry: str) -> None:
    [manifest] = json.loads((oci_base / "index.json").read_text())["manifests"]
    assert _json(f"http://{registry}/v2/base/manifests/{manifest['digest']}")["schemaVersion"] == 2


def test_several_daemons_are_all_there(daemons: list[Daemon]) -> None:
    assert len({daemon.address for daemon in daemons}) == len(daemons)


def test_full_daemon_lacks_nothing(full_daemon: Daemon) -> None:
    assert all(full_daemon.can(feature) for feature in FEATURES)


@pytest.mark.real
def test_fleet_ends_with_its_client_and_leaves_nothing() -> None:
    if reason := engine.why_not():
        pytest.skip(reason)
    client = subprocess.Popen(
        [sys.executable, "-c", ORPHAN],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with client:
        assert client.stdout
        pid = int(client.stdout.readline())
        bridge = Path("/sys/class/net", engine.label("bookworm", pid))
        assert bridge.exists()
        client.kill()
    give_up = time.monotonic() + HANG_SECONDS
    while Path(f"/proc/{pid}").exists() and time.monotonic() < give_up:
        time.sleep(0.05)
    assert not bridge.exists()
    assert not list(Path("/tmp").glob(f"bft-{pid}-*"))


@pytest.mark.real
def test_fleet_clears_away_what_a_killed_one_left() -> None:
    if reason := engine.why_not():
        pytest.skip(reason)
    killed = fleet.start(["bookworm"])
    killed.wait("bookworm")
    bridge = Path("/sys/class/net", engine.label("bookworm", killed.pid))
    os.kill(killed.pid, signal.SIGKILL)
    killed.stop()
    assert bridge.exists()

    after = fleet.start([])
    after.wait(fleet.REGISTRY)
    after.stop()
    assert not bridge.exists()
    assert not list(Path("/tmp").glob(f"bft-{killed.pid}-*"))


def test_fleet_says_why_an_engine_cannot_be_had(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "/nowhere")
    started = fleet.start(["trixie"])
    try:
        for name in ("trixie", fleet.REGISTRY):
            with pytest.raises(UnavailableError, match="needs"):
                started.wait(name)
    finally:
        started.stop()


def test_layout_has_the_same_bytes_each_time(tmp_path: Path) -> None:
    busybox = tmp_path / "busybox"
    busybox.write_text("#!/bin/sh\nprintf 'sh\\nls\\nbusybox\\n'\n")
    busybox.chmod(0o755)
    first = image.write_layout(tmp_path / "a", busybox)
    assert first == image.write_layout(tmp_path / "b", busybox)
    indexes = [(tmp_path / name / "index.json").read_bytes() for name in "ab"]
    assert indexes[0] == indexes[1]


@pytest.mark.parametrize(
    ("entry", "name", "kind"),
    [
        ("unix:///run/buildkit/buildkitd.sock", "unix-run-buildkit-buildkitd-sock", "standalone"),
        ("docker:///var/run/docker.sock", "docker-var-run-docker-sock", "engine"),
        ("old=tcp://localhost:1234", "old", "standalone"),
        ("unix:///odd=name.sock", "unix-odd-name-sock", "standalone"),
    ],
)
def test_setting_names_a_daemon(entry: str, name: str, kind: str) -> None:
    daemon = from_setting(entry)
    assert (daemon.name, daemon.kind) == (name, kind)
    assert daemon.address == entry.removeprefix("old=")


def test_oldest_engine_is_known_to_lack_features() -> None:
    row = engine.ENGINES["bookworm"]
    daemon = from_engine(row, address="docker:///none", release="20.10")
    assert not daemon.can("image")
    with pytest.raises(KeyError):
        daemon.can("fly")


@pytest.mark.parametrize(
    "sources",
    [
        f"deb [arch=amd64 signed-by={KEYRING}] http://mirror/debian bookworm main contrib\n",
        "# deb http://wrong/debian bookworm main\n"
        "deb http://wrong/security bookworm-security main\n"
        f"deb [signed-by={KEYRING}] http://mirror/debian bookworm main\n",
        "Types: deb deb-src\nURIs: http://mirror/debian\nSuites: bookworm bookworm-updates\n"
        f"Components: main\nSigned-By: {KEYRING}\n",
        "Enabled: no\nTypes: deb\nURIs: http://wrong\nSuites: bookworm\nComponents: main\n\n"
        "Types: deb\nURIs: http://mirror/debian\nSuites:\n bookworm\n sid\nComponents: main\n"
        f"Signed-By: {KEYRING}\n",
    ],
)
def test_mirror_is_found_in_both_formats_of_apt(sources: str) -> None:
    found = find_mirror(sources, "bookworm")
    assert found == Mirror(uri="http://mirror/debian", keyring=KEYRING)
    assert find_mirror(sources, "trixie") is None


def _json(url: str) -> Any:
    accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    with urllib.request.urlopen(urllib.request.Request(url, headers=accept)) as answer:
        return json.load(answer)
