"""Attributes of exporters and caches, and the releases that know each.

Daemons take an attribute that they do not know without a word, so the client has to know. A name
that no row has is unknown to all releases up to v0.32.2. Read from exporter/containerimage,
exporter/oci, exporter/local, exporter/tar, cache/remotecache/registry and control of every tag.
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
    ``values`` are those that came later than the attribute.
    """

    since: Release
    until: Release | None = None
    inert: str = ""
    values: Mapping[str, Release] = field(default_factory=dict)


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

ROWS: Mapping[tuple[Kind, str], Mapping[str, Known]] = {
    ("exporter", "image"): _IMAGE,
    # Refused by the exporter itself before v0.7 (exporter/oci/export.go).
    ("exporter", "oci"): {**_ARCHIVE, "name": Known((0, 7, 0))},
    ("exporter", "docker"): _ARCHIVE,
    ("exporter", "local"): _FILES,
    ("exporter", "tar"): _FILES,
    # The engine's own (moby builder/builder-next/exporter/mobyexporter, Docker 20.10 to 28.5).
    ("exporter", "moby"): {"name": Known(FIRST)},
    ("cache-export", "registry"): {
        **_COMPRESSION,
        "ref": Known(FIRST),
        "mode": Known(FIRST),
        "oci-mediatypes": Known((0, 8, 0)),
        "compression": Known((0, 10, 0)),
        "force-compression": Known((0, 10, 0), inert="false"),
        "ignore-error": Known((0, 11, 0), inert="false"),
        "image-manifest": Known((0, 12, 0)),
        "registry.insecure": Known((0, 12, 0), inert="false"),
    },
    ("cache-export", "inline"): {},
    ("cache-import", "registry"): {
        "ref": Known(FIRST),
        "registry.insecure": Known((0, 12, 0), inert="false"),
    },
}


def reason(info: DaemonInfo, kind: Kind, name: str, attrs: Mapping[str, str]) -> str:
    """Why the daemon would ignore one of the attributes, '' when it heeds them all.

    An exporter or cache without rows is the caller's own venture, and let through.
    """
    rows = ROWS.get((kind, name))
    ignored = () if rows is None else _reasons(info, rows, attrs)
    return "; ".join((*ignored, *_unsaid(info, kind, attrs)))


def _unsaid(info: DaemonInfo, kind: Kind, attrs: Mapping[str, str]) -> Iterator[str]:
    """What the legacy API, where a user asks for it, has no place for: it imports by ref alone."""
    if kind == "cache-import" and info.api is Api.LEGACY:
        yield from (f"the legacy API has no place for {key}" for key in sorted({*attrs} - {"ref"}))


def _reasons(
    info: DaemonInfo, rows: Mapping[str, Known], attrs: Mapping[str, str]
) -> Iterator[str]:
    unknown = []
    for key, value in sorted(attrs.items()):
        row = rows.get("annotation" if key.startswith("annotation") else key)
        if row is None:
            unknown.append(key)
        elif value != row.inert and (why := _why(info, key, value, row)):
            yield why
    if unknown:
        yield f"it does not know {', '.join(unknown)}"


def _why(info: DaemonInfo, key: str, value: str, row: Known) -> str:
    if row.until and info.release >= row.until:
        until = releases.text(row.until)
        return f"{key} is gone since BuildKit {until}, and this is {info.version}"
    since = max(row.since, row.values.get(value, row.since))
    if info.release >= since:
        return ""
    what = f"{key}={value}" if value in row.values else key
    return f"{what} needs BuildKit {releases.text(since)}, and this is {info.version}"
