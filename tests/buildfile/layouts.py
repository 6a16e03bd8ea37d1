"""Makes OCI layouts of images without layers, whole or broken."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

MEDIA = "application/vnd.oci.image"
TAG = "org.opencontainers.image.ref.name"
NAME = "io.containerd.image.name"
Descriptor = dict[str, Any]


class Layout:
    """A layout in ``folder``; ``finish`` writes its index.json."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def blob(self, digest: str) -> Path:
        return self.folder.joinpath("blobs", *digest.split(":"))

    def add(self, value: object, kind: str) -> Descriptor:
        data = json.dumps(value).encode()
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.blob(digest).parent.mkdir(parents=True, exist_ok=True)
        self.blob(digest).write_bytes(data)
        return {"mediaType": f"{MEDIA}.{kind}", "digest": digest, "size": len(data)}

    def image(self, word: str, platform: str = "", *, stated: bool = True) -> Descriptor:
        """An image whose config has the label ``word``; ``stated``: its descriptor says for what.

        Without a ``platform`` its config does not say, either.
        """
        parts = dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))
        parts = parts if platform else {}
        config = self.add({**parts, "config": {"Labels": {"word": word}}}, "config.v1+json")
        manifest = self.add({"config": config, "layers": []}, "manifest.v1+json")
        return {**manifest, "platform": parts} if parts and stated else manifest

    def index(self, *manifests: Descriptor) -> Descriptor:
        return self.add({"manifests": list(manifests)}, "index.v1+json")

    def finish(self, *manifests: Descriptor) -> str:
        """Write what makes it a layout; its path."""
        (self.folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        text = json.dumps({"schemaVersion": 2, "manifests": list(manifests)})
        (self.folder / "index.json").write_text(text)
        return str(self.folder)


def named(descriptor: Descriptor, tag: str = "", name: str = "") -> Descriptor:
    """The descriptor with annotations."""
    names = {key: value for key, value in ((TAG, tag), (NAME, name)) if value}
    return {**descriptor, "annotations": names}


def word(config: bytes) -> str:
    """The label of ``Layout.image``."""
    found: str = json.loads(config)["config"]["Labels"]["word"]
    return found
