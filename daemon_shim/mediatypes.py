"""The media types of manifests and indexes, in registries and in OCI layouts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"

OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_TAR = "application/vnd.oci.image.layer.v1.tar"

INDEXES = (OCI_INDEX, DOCKER_LIST)
MANIFESTS = (OCI_MANIFEST, DOCKER_MANIFEST)

DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
CACHE_CONFIG = "application/vnd.buildkit.cacheconfig.v0"
"""What a cache's manifest has for its config (cache/remotecache/v1, v0.3 and later)."""

_BY_KEY: Mapping[str, str] = {"manifests": OCI_INDEX, "layers": OCI_MANIFEST}


def kind_of(data: bytes) -> str:
    """The media type of a manifest or an index, as it says or by what it has; '' for neither.

    A cache's config has layers too, but no version of the schema.
    """
    try:
        document: Any = json.loads(data)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(document, dict) or document.get("schemaVersion") != 2:
        return ""
    if "mediaType" in document:
        told = document["mediaType"]
        return str(told) if told in (*INDEXES, *MANIFESTS) else ""
    return next((kind for key, kind in _BY_KEY.items() if key in document), "")
