"""Makes OCI layouts of caches, and of images without layers, whole or broken."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

MEDIA = "application/vnd.oci.image"
TAG = "org.opencontainers.image.ref.name"
NAME = "io.containerd.image.name"
PROVENANCE = "https://slsa.dev/provenance/v0.2"
Descriptor = dict[str, Any]
_INDEXES = {
    "index": f"{MEDIA}.index.v1+json",
    "list": "application/vnd.docker.distribution.manifest.list.v2+json",
}


class Layout:
    """A layout in ``folder``; ``finish`` writes its index.json."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def blob(self, digest: str) -> Path:
        return self.folder.joinpath("blobs", *digest.split(":"))

    def add(self, value: object, kind: str) -> Descriptor:
        return self.write(json.dumps(value).encode(), f"{MEDIA}.{kind}")

    def write(self, data: bytes, media_type: str) -> Descriptor:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.blob(digest).parent.mkdir(parents=True, exist_ok=True)
        self.blob(digest).write_bytes(data)
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

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

    def attested(self, image: Descriptor, **predicates: object) -> Descriptor:
        """What an image's index says of it beside: ``provenance``, in v0.2, and other types."""
        layers = []
        for name, predicate in predicates.items():
            kind = PROVENANCE if name == "provenance" else f"https://example.com/{name}"
            subject = [{"name": "_", "digest": {"sha256": image["digest"].removeprefix("sha256:")}}]
            statement = {"predicateType": kind, "subject": subject, "predicate": predicate}
            layer = self.write(json.dumps(statement).encode(), "application/vnd.in-toto+json")
            layers.append({**layer, "annotations": {"in-toto.io/predicate-type": kind}})
        ids = {"diff_ids": [each["digest"] for each in layers]}
        config = self.add({"rootfs": ids}, "config.v1+json")
        return {
            **self.add({"config": config, "layers": layers}, "manifest.v1+json"),
            "annotations": {"vnd.docker.reference.digest": image["digest"]},
            "platform": {"os": "unknown", "architecture": "unknown"},
        }

    def cache(self, *layers: Descriptor, form: str = "manifest") -> Descriptor:
        """A cache of layers as BuildKit writes it: ``manifest`` (v0.21), ``index`` (v0.8) or
        ``list`` (v0.4).
        """
        words = json.dumps([each["digest"] for each in layers]).encode()
        config = self.write(words, "application/vnd.buildkit.cacheconfig.v0")
        if form == "manifest":
            return self.add({"config": config, "layers": list(layers)}, "manifest.v1+json")
        document = json.dumps({"manifests": [*layers, config]}).encode()
        return self.write(document, _INDEXES[form])

    def layer(self, size: int, letter: str = "x") -> Descriptor:
        return self.write(letter.encode() * size, f"{MEDIA}.layer.v1.tar+gzip")

    def age(self, seconds: float, *digests: str) -> None:
        """Let blobs be as old as that: those of ``digests``, else all."""
        changed = time.time() - seconds
        for blob in map(self.blob, digests) if digests else self.blobs():
            os.utime(blob, (changed, changed))

    def blobs(self) -> set[Path]:
        """The files of all blobs."""
        return set(self.folder.glob("blobs/*/*"))

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
