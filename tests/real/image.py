"""A small base image of our own, as an OCI layout: the same bytes from the same busybox.

Its config sets everything that an image config can carry over into a build, so that tests can
see it arrive.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import platform
import subprocess
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

TAG = "1"
CONFIG: dict[str, Any] = {
    "User": "",
    "Env": ["PATH=/usr/bin:/bin", "GREETING=hello from the base"],
    "WorkingDir": "/work",
    "Cmd": ["sh"],
    "Labels": {"org.example.base": "busybox"},
}

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_MEDIA = "application/vnd.oci.image"
_EPOCH = "1970-01-01T00:00:00Z"
_FOLDERS = {"bin": 0o755, "dev": 0o755, "etc": 0o755, "proc": 0o755, "root": 0o700}
_FOLDERS |= {"sys": 0o755, "tmp": 0o1777, "usr/bin": 0o755, "work": 0o755}
_FILES = {
    "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\nworker:x:1000:1000::/work:/bin/sh\n",
    "etc/group": b"root:x:0:\nworker:x:1000:\n",
}


def host_architecture() -> str:
    """Return this machine's architecture in OCI's words, such as ``amd64``."""
    return _ARCHITECTURES.get(platform.machine(), platform.machine())


def write_layout(
    folder: Path,
    busybox: Path,
    *,
    upper: Iterable[bytes] = (),
    config: Mapping[str, Any] = MappingProxyType({}),
) -> str:
    """Write the OCI layout of the base image to ``folder``; return its manifest's digest.

    ``busybox`` is a statically linked busybox for this machine, ``upper`` are layers above it, as
    tar archives, and ``config`` is laid over the usual one. The layout's only manifest is tagged
    ``TAG``.
    """
    tars = [_layer(busybox), *upper]
    layout = _Layout(folder)
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": f"{_MEDIA}.manifest.v1+json",
        "config": layout.add_json(_image(tars, config), f"{_MEDIA}.config.v1+json"),
        "layers": [
            layout.add(gzip.compress(tar, 6, mtime=0), f"{_MEDIA}.layer.v1.tar+gzip")
            for tar in tars
        ],
    }
    descriptor = layout.add_json(manifest, manifest["mediaType"])
    layout.finish(
        descriptor
        | {
            "platform": {"architecture": host_architecture(), "os": "linux"},
            "annotations": {"org.opencontainers.image.ref.name": TAG},
        }
    )
    return str(descriptor["digest"])


class _Layout:
    """An OCI layout folder that is being filled."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)

    def add(self, data: bytes, media_type: str) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        (self._folder / "blobs" / "sha256" / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    def add_json(self, value: object, media_type: str) -> dict[str, Any]:
        return self.add(json.dumps(value, sort_keys=True).encode(), media_type)

    def finish(self, manifest: dict[str, Any]) -> None:
        index = {
            "schemaVersion": 2,
            "mediaType": f"{_MEDIA}.index.v1+json",
            "manifests": [manifest],
        }
        (self._folder / "index.json").write_text(json.dumps(index, sort_keys=True))
        (self._folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')


def _image(tars: Sequence[bytes], config: Mapping[str, Any]) -> dict[str, Any]:
    layers = [f"sha256:{hashlib.sha256(tar).hexdigest()}" for tar in tars]
    return {
        "architecture": host_architecture(),
        "os": "linux",
        "created": _EPOCH,
        "config": CONFIG | dict(config),
        "rootfs": {"type": "layers", "diff_ids": layers},
        "history": [{"created": _EPOCH, "created_by": "tests.real.image"} for _ in layers],
    }


def _layer(busybox: Path) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, mode in _FOLDERS.items():
            _add(tar, name, kind=tarfile.DIRTYPE, mode=mode)
        for name, content in _FILES.items():
            _add(tar, name, content, mode=0o644)
        _add(tar, "bin/busybox", busybox.read_bytes(), mode=0o755)
        for applet in _applets(busybox):
            _add(tar, f"bin/{applet}", kind=tarfile.SYMTYPE, link="busybox")
    return data.getvalue()


def _add(
    tar: tarfile.TarFile,
    name: str,
    content: bytes = b"",
    *,
    kind: bytes = tarfile.REGTYPE,
    mode: int = 0o777,
    link: str = "",
) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.linkname, entry.size = kind, mode, link, len(content)
    tar.addfile(entry, io.BytesIO(content))


def _applets(busybox: Path) -> list[str]:
    listed = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
    return sorted(set(listed.stdout.split()) - {"busybox"})
