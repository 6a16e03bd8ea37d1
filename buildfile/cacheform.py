"""The forms that a cache's manifest has had, and those that a daemon reads.

BuildKit wrote manifest lists up to v0.7 and indexes up to v0.20, which name the layers and the
cache's config as if they were manifests; v0.12 brought the form of an image, which is what is
written since v0.21 (cache/remotecache/export.go). A daemon that does not know a form finds no cache
in it, and says nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from buildfile.ocilayout import Descriptor
from daemon_shim import releases
from daemon_shim.info import DaemonInfo
from daemon_shim.mediatypes import CACHE_CONFIG, OCI_INDEX, kind_of
from daemon_shim.registry.served import Document
from daemon_shim.releases import Release

IMAGE_FORM: Release = (0, 12, 0)
"""The first release that reads a cache in the form of an image (cache/remotecache/import.go)."""
_ZSTD: Release = (0, 9, 0)
"""The first whose containerd unpacks zstd; older ones fail the build (measured: v0.3, v0.8)."""


@dataclass(frozen=True, kw_only=True)
class CacheForm:
    """A cache's manifest as a daemon is to be given it.

    ``document`` is the manifest, ``made`` whether it is another than that in the folder. With a
    ``reason`` the daemon cannot use the cache.
    """

    document: Document
    made: bool = False
    reason: str = ""


def form_for(data: bytes, found: Descriptor, info: DaemonInfo) -> CacheForm:
    """The manifest ``data`` in a form that the daemon reads.

    What is no cache that is known of is left as it is.
    """
    document = Document(media_type=found.media_type or kind_of(data), data=data)
    manifest = _parsed(data)
    if info.release < _ZSTD and any(
        _media_type(each).endswith("zstd") for each in _parts(manifest)
    ):
        since = releases.text(_ZSTD)
        reason = f"its layers are packed by zstd, which needs BuildKit {since}, and this is "
        return CacheForm(document=document, reason=reason + info.version)
    if info.release < IMAGE_FORM and _media_type(manifest.get("config")) == CACHE_CONFIG:
        parts = [*_parts(manifest), manifest["config"]]
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": parts}
        return CacheForm(
            document=Document(media_type=OCI_INDEX, data=json.dumps(index).encode()), made=True
        )
    return CacheForm(document=document)


def _parsed(data: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _parts(manifest: Mapping[str, Any]) -> list[Any]:
    found = manifest.get("layers") or manifest.get("manifests")
    return found if isinstance(found, list) else []


def _media_type(described: Any) -> str:
    told = described.get("mediaType") if isinstance(described, dict) else None
    return told if isinstance(told, str) else ""
