"""Attributes of exporters and caches, and the releases that know each.

Daemons take an attribute that they do not know without a word, so the client has to know. A name
that no row has is unknown to all releases up to v0.32.2. Read from exporter/containerimage,
exporter/oci, exporter/local, exporter/tar, cache/remotecache, util/compression and control of every
tag.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from daemon_shim import releases
from daemon_shim.info import Api, DaemonInfo
from daemon_shim.releases import FIRST, Release

Kind: TypeAlias = Literal["exporter", "cache-export", "cache-import"]


@dataclass(frozen=True, slots=True)
class Known:
    """The releases from ``since`` on, and before ``until``, know an attribute.

    ``inert`` is the value that asks for what a daemon does anyway; '' where there is none.
    ``values`` are those that came later than the attribute. ``without`` says what a daemon that
    does not know it does instead, where that hardly matters: such an attribute can be left out.
    """

    since: Release
    until: Release | None = None
    inert: str = ""
    values: Mapping[str, Release] = field(default_factory=dict)
    without: str = ""


SECRET = frozenset(("token", "ghtoken", "access_key_id", "secret_access_key", "session_token"))
"""Attributes of caches that are never shown."""

_COMPRESSION = {
    "compression": Known((0, 7, 0), values={"estargz": (0, 10, 0), "zstd": (0, 10, 0)}),
    "force-compression": Known((0, 9, 0), inert="false"),
    "compression-level": Known((0, 10, 0)),
}
_LAYERS = {
    **_COMPRESSION,
    "name": Known(FIRST),
    "oci-mediatypes": Known(FIRST),
    "buildinfo": Known((0, 10, 0), until=(0, 12, 0)),
    "buildinfo-attrs": Known((0, 10, 0), until=(0, 12, 0), inert="false"),
    "prefer-nondist-layers": Known((0, 10, 0), inert="false"),
    "annotation": Known((0, 11, 0)),
    "attestation-inline": Known((0, 11, 0)),
    "source-date-epoch": Known((0, 11, 0)),
    "rewrite-timestamp": Known((0, 13, 0), inert="false"),
    "oci-artifact": Known((0, 19, 0), inert="false"),
}
_IMAGE = {
    **_LAYERS,
    "push": Known(FIRST),
    "registry.insecure": Known(FIRST),
    "push-by-digest": Known((0, 5, 0), inert="false"),
    "unpack": Known((0, 5, 0), inert="false"),
    "dangling-name-prefix": Known((0, 7, 0)),
    "name-canonical": Known((0, 7, 0), inert="false"),
    "store": Known((0, 11, 0), inert="true"),
    "danging-name-empty-only": Known((0, 21, 0), inert="false"),
}
_ARCHIVE = {**_LAYERS, "tar": Known((0, 11, 0), inert="true")}
_FILES = {
    "source-date-epoch": Known((0, 11, 0)),
    "attestation-prefix": Known((0, 11, 0)),
    "platform-split": Known((0, 12, 0)),
}
_REGISTRY = {"ref": Known(FIRST), "registry.insecure": Known((0, 12, 0), inert="false")}
_EXPORTED = {
    "mode": Known(FIRST),
    "ignore-error": Known(
        (0, 11, 0), inert="false", without="the build fails if the cache cannot be written"
    ),
}
# Inert is what a daemon does that does not know the attribute.
_CACHE_LAYERS = {
    "compression": Known((0, 10, 0), inert="gzip"),
    "force-compression": Known((0, 10, 0), inert="false"),
    "compression-level": Known((0, 10, 0)),
    "oci-mediatypes": Known((0, 8, 0), inert="false"),
    "image-manifest": Known((0, 12, 0), inert="false"),
}
_GHA = {
    **dict.fromkeys(("scope", "token", "url"), Known((0, 9, 0))),
    "timeout": Known((0, 13, 0), without="it waits as long as it takes"),
    "repository": Known((0, 14, 0), without="more requests are made"),
    "ghtoken": Known((0, 14, 0), without="more requests are made"),
    "version": Known((0, 20, 0), inert="1"),
    "url_v2": Known((0, 20, 0)),
}
_STORED = dict.fromkeys(
    ("name", "prefix", "blobs_prefix", "manifests_prefix", "secret_access_key"), Known((0, 11, 0))
)
_S3 = {
    **_STORED,
    **dict.fromkeys(
        ("bucket", "region", "endpoint_url", "use_path_style", "access_key_id", "session_token"),
        Known((0, 11, 0)),
    ),
    "touch_refresh": Known((0, 11, 0)),
    "upload_parallelism": Known((0, 16, 0), without="it sends layers one after another"),
    "disable_accept_encoding": Known((0, 30, 0), inert="false"),
    "retry_mode": Known((0, 30, 0), without="it tries again in its own way"),
    "retry_max_attempts": Known((0, 30, 0), without="it tries again in its own way"),
}
_AZBLOB = {
    **_STORED,
    **dict.fromkeys(("account_url", "container"), Known((0, 11, 0))),
    "account_name": Known((0, 12, 0)),
}

ROWS: Mapping[tuple[Kind, str], Mapping[str, Known]] = {
    ("exporter", "image"): _IMAGE,
    # Refused by the exporter itself before v0.7 (exporter/oci/export.go).
    ("exporter", "oci"): {**_ARCHIVE, "name": Known((0, 7, 0))},
    ("exporter", "docker"): _ARCHIVE,
    ("exporter", "local"): _FILES,
    ("exporter", "tar"): _FILES,
    # The engine's own (moby builder/builder-next/exporter/mobyexporter, Docker 20.10 to 28.5).
    ("exporter", "moby"): {"name": Known(FIRST)},
    ("cache-export", "registry"): {**_REGISTRY, **_EXPORTED, **_CACHE_LAYERS},
    ("cache-export", "inline"): {},
    ("cache-export", "local"): {"dest": Known(FIRST), **_EXPORTED, **_CACHE_LAYERS},
    ("cache-export", "gha"): {**_GHA, **_EXPORTED},
    ("cache-export", "s3"): {**_S3, **_EXPORTED},
    ("cache-export", "azblob"): {**_AZBLOB, **_EXPORTED},
    ("cache-import", "registry"): _REGISTRY,
    ("cache-import", "local"): {"src": Known(FIRST), "digest": Known(FIRST)},
    ("cache-import", "gha"): _GHA,
    ("cache-import", "s3"): _S3,
    ("cache-import", "azblob"): _AZBLOB,
}


def reason(info: DaemonInfo, kind: Kind, name: str, attrs: Mapping[str, str]) -> str:
    """Why the daemon would ignore one of the attributes that matter, '' when it heeds them all.

    An exporter or cache without rows is the caller's own venture, and let through.
    """
    rows = ROWS.get((kind, name))
    ignored = () if rows is None else _reasons(info, rows, attrs)
    return "; ".join((*ignored, *_unsaid(info, kind, name, attrs)))


def _unsaid(info: DaemonInfo, kind: Kind, name: str, attrs: Mapping[str, str]) -> Iterator[str]:
    """What the legacy API, where a user asks for it, has no place for: it imports by ref alone.

    Caches of other types have no place there at all: ``daemon_shim.support`` says so.
    """
    if (kind, name) == ("cache-import", "registry") and info.api is Api.LEGACY:
        yield from (f"the legacy API has no place for {key}" for key in sorted({*attrs} - {"ref"}))


def slight(info: DaemonInfo, kind: Kind, name: str, attrs: Mapping[str, str]) -> dict[str, str]:
    """Those attributes that the daemon would ignore and that hardly matter, with what it does."""
    rows = ROWS.get((kind, name), {})
    return {
        key: f"{why}: {rows[key].without}"
        for key, value in sorted(attrs.items())
        if key in rows and rows[key].without and (why := _why(info, key, value, rows[key]))
    }


def idle(info: DaemonInfo, kind: Kind, name: str, attrs: Mapping[str, str]) -> frozenset[str]:
    """Those attributes that ask a daemon for what it does anyway, as it does not know them yet."""
    rows = ROWS.get((kind, name), {})
    return frozenset(
        key
        for key, value in attrs.items()
        if key in rows and value == rows[key].inert and info.release < rows[key].since
    )


def _reasons(
    info: DaemonInfo, rows: Mapping[str, Known], attrs: Mapping[str, str]
) -> Iterator[str]:
    unknown = []
    for key, value in sorted(attrs.items()):
        row = rows.get("annotation" if key.startswith("annotation") else key)
        if row is None:
            unknown.append(key)
        elif not row.without and (why := _why(info, key, value, row)):
            yield why
    if unknown:
        yield f"it does not know {', '.join(unknown)}"


def _why(info: DaemonInfo, key: str, value: str, row: Known) -> str:
    if value == row.inert:
        return ""
    if row.until and info.release >= row.until:
        until = releases.text(row.until)
        return f"{key} is gone since BuildKit {until}, and this is {info.version}"
    since = max(row.since, row.values.get(value, row.since))
    if info.release >= since:
        return ""
    what = f"{key}={value}" if value in row.values else key
    return f"{what} needs BuildKit {releases.text(since)}, and this is {info.version}"
