"""Private Docker Engines, one for each Debian release whose BuildKit the tests run against.

An engine has its own mount and process namespaces, so that nothing of it outlives it, and shares
the network with the machine, so that it reaches a registry or a web server that a test runs on
loopback. Steps with the default network get a bridge of the engine's own, without a way out.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import json
import os
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.real.errors import UnavailableError
from tests.real.process import Process

PACKAGES = ("docker.io", "containerd")

_READY_SECONDS = 120
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NEEDED_PROGRAMS = ("ip", "runc", "setpriv", "unshare")
_CGROUPS = Path("/sys/fs/cgroup")
_NAMESPACES = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork"]
_NAMESPACES += ["--kill-child", "--mount-proc"]
_CONFIG = {
    "builder": {
        "entitlements": {"network-host": True, "security-insecure": True},
        # BuildKit 0.25.2 can die while it collects: DiskUsage meets a record that is going away
        # (cache/manager.go). Tests prune where they want to.
        "gc": {"enabled": False},
    }
}
_CONTAINERD_STORE = {"features": {"containerd-snapshotter": True}}


@dataclass(frozen=True, kw_only=True)
class EngineRow:
    """An engine that the tests want: the Debian suite that has it, and how it is set up."""

    suite: str
    buildkit: str
    containerd_store: bool


ENGINES = {
    row.suite: row
    for row in (
        EngineRow(suite="bookworm", buildkit="0.8", containerd_store=False),  # Docker 20.10
        EngineRow(suite="trixie", buildkit="0.13", containerd_store=True),  # Docker 26.1
        EngineRow(suite="sid", buildkit="0.25 or later", containerd_store=True),  # Docker 28.5
    )
}


class Engine:
    """A running dockerd, to be made on the main thread; ``socket`` is its API's unix socket.

    ``programs`` is an unpacked dockerd, ``folder`` takes its data and log, ``run`` its sockets
    (whose paths must be short), and ``label`` names its bridge and cgroups: at most 15 letters.
    """

    def __init__(
        self, row: EngineRow, *, programs: Path, folder: Path, run: Path, label: str
    ) -> None:
        self._label = label
        self.socket = run / "docker.sock"
        folder.mkdir(parents=True)
        run.mkdir(parents=True)
        config = folder / "daemon.json"
        config.write_text(json.dumps(_CONFIG | (_CONTAINERD_STORE if row.containerd_store else {})))
        own_path = f"{programs}/usr/sbin:{programs}/usr/bin"
        dockerd = shutil.which("dockerd", path=own_path)  # never the system's
        if not dockerd:
            raise UnavailableError(f"no dockerd in {programs}")
        _add_bridge(label)
        data = folder / "data"
        data.mkdir()
        self._process = Process(
            [
                *_NAMESPACES,
                *_storage(data),
                dockerd,
                f"--data-root={data}",
                *self._options(folder, run),
            ],
            log=folder / "log",
            env={"PATH": f"{own_path}:{_SYSTEM_PATH}", "HOME": "/root"},
        )

    def wait(self) -> str:
        """Wait until it answers; return the release that it says it is.

        Raises UnavailableError if it does not.
        """
        self._process.wait_until(self._answers, seconds=_READY_SECONDS)
        return str(get(self.socket, "/version")["Version"])

    def stop(self) -> None:
        """End it and take away its bridge and cgroups."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        with contextlib.suppress(OSError):
            for child in children.read_text().split():  # none if it died by itself
                self._process.stop(through=int(child))
        self._process.stop()
        remove_traces(self._label)

    def _options(self, folder: Path, run: Path) -> list[str]:
        return [
            f"--host=unix://{self.socket}",
            f"--exec-root={run / 'exec'}",
            f"--pidfile={run / 'pid'}",
            f"--config-file={folder / 'daemon.json'}",
            f"--cgroup-parent=/{self._label}",
            f"--bridge={self._label}",
            "--iptables=false",
            "--ip6tables=false",
            "--ip-forward=false",
        ]

    def _answers(self) -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            get(self.socket, "/version")
            return True
        return False


def _storage(data: Path) -> list[str]:
    """Return what begins a command whose data cannot lie where it would: overlay on overlay."""
    kind = subprocess.run(["stat", "-f", "-c", "%T", data], capture_output=True, check=True)
    if kind.stdout.strip() != b"overlayfs":
        return []
    return ["sh", "-c", 'mount -t tmpfs tmpfs "$0" && exec "$@"', str(data)]


def get(api: Path, path: str) -> Any:
    """Return what an engine answers to a GET at its API's unix socket."""
    with contextlib.closing(_UnixConnection(api)) as connection:
        connection.request("GET", path)
        return json.load(connection.getresponse())


def why_not() -> str:
    """Return why this machine cannot run engines; empty if it can."""
    if os.geteuid() != 0:
        return "needs root"
    path = f"{os.environ.get('PATH', '')}:{_SYSTEM_PATH}"
    missing = [name for name in _NEEDED_PROGRAMS if not shutil.which(name, path=path)]
    return f"needs {', '.join(missing)} on the PATH" if missing else ""


def label(suite: str, owner: int) -> str:
    """Return the label of an engine that the process ``owner`` starts."""
    return f"bft{owner}{'abcdefgh'[list(ENGINES).index(suite)]}"


def remove_traces(label: str) -> None:
    """Take away the bridge and the empty cgroups that an engine left behind."""
    if Path("/sys/class/net", label).exists():
        with contextlib.suppress(UnavailableError):
            _ip("link", "delete", label)
    for top in [*_CGROUPS.glob(label), *_CGROUPS.glob(f"*/{label}")]:
        for folder, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=10)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def _add_bridge(name: str) -> None:
    _ip("link", "add", name, "type", "bridge")
    _ip("address", "add", f"{_free_subnet()[1]}/24", "dev", name)
    _ip("link", "set", name, "up")


def _free_subnet() -> ipaddress.IPv4Network:
    routes = json.loads(_ip("-json", "-4", "route", "show", "table", "all") or "[]")
    taken = [
        ipaddress.ip_network(route["dst"], strict=False)
        for route in routes
        if route.get("dst", "default") != "default"
    ]
    for subnet in ipaddress.IPv4Network("10.192.0.0/10").subnets(new_prefix=24):
        if not any(subnet.overlaps(other) for other in taken):
            return subnet
    raise UnavailableError("no free subnet for a bridge")


def _ip(*words: str) -> str:
    try:
        done = subprocess.run(["ip", *words], capture_output=True, text=True, check=True)
    except subprocess.CalledProcessError as error:
        raise UnavailableError(f"ip {' '.join(words)}: {error.stderr.strip()}") from error
    except OSError as error:
        raise UnavailableError(str(error)) from error
    return done.stdout
