"""Debian's docker-registry on a free loopback port, and pushing an OCI layout to it.

Daemons take a registry on loopback without TLS, so that it needs no certificate.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from pathlib import Path
from typing import Any

from tests.real.process import Process

_READY_SECONDS = 30


class Registry:
    """A running registry; ``name`` is what image names begin with, such as ``localhost:5055``."""

    def __init__(self, program: Path, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._port = _free_port()
        self.name = f"localhost:{self._port}"
        config = folder / "config.json"  # JSON is YAML
        config.write_text(json.dumps(_config(folder / "data", self._port)))
        self._process = Process([str(program), "serve", str(config)], log=folder / "log")
        self._process.wait_until(self._answers, seconds=_READY_SECONDS)

    def stop(self) -> None:
        """End the registry."""
        self._process.stop()

    def push(self, layout: Path, name: str) -> str:
        """Push the only image of an OCI layout as ``name`` (``base:1``); return its full name."""
        repository, tag = name.split(":")
        [descriptor] = json.loads((layout / "index.json").read_text())["manifests"]
        manifest = _blob(layout, descriptor["digest"])
        parsed = json.loads(manifest)
        with contextlib.closing(self._connect()) as connection:
            for part in [parsed["config"], *parsed["layers"]]:
                _upload(connection, repository, part["digest"], _blob(layout, part["digest"]))
            _put(connection, f"/v2/{repository}/manifests/{tag}", manifest, parsed["mediaType"])
        return f"{self.name}/{name}"

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=_READY_SECONDS)

    def _answers(self) -> bool:
        with contextlib.closing(self._connect()) as connection, contextlib.suppress(OSError):
            connection.request("GET", "/v2/")
            return connection.getresponse().status == http.client.OK
        return False


def _config(data: Path, port: int) -> dict[str, Any]:
    return {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(data)}, "delete": {"enabled": True}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _blob(layout: Path, digest: str) -> bytes:
    return layout.joinpath("blobs", *digest.split(":")).read_bytes()


def _upload(
    connection: http.client.HTTPConnection, repository: str, digest: str, data: bytes
) -> None:
    connection.request("POST", f"/v2/{repository}/blobs/uploads/")
    answer = connection.getresponse()
    answer.read()
    place = answer.headers["Location"]
    query = "&" if "?" in place else "?"
    _put(connection, f"{place}{query}digest={digest}", data, "application/octet-stream")


def _put(connection: http.client.HTTPConnection, place: str, data: bytes, media_type: str) -> None:
    connection.request("PUT", place, body=data, headers={"Content-Type": media_type})
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != http.client.CREATED:
        raise RuntimeError(f"registry refused {place}: {answer.status} {text!r}")
