"""What no call tells of a daemon: exporters, cache types, and how many of each.

A row says which release brought a feature, the capability that proves it where there is one, and
the image stores that have it. Read from cmd/buildkitd/main.go, worker/base/worker.go and control/
control.go of the releases, and measured on Docker 20.10, 26.1 and 28.5 with either image store: an
engine on graphdrivers announces ``source.ocilayout`` and cannot do it, and announces nothing of
the exporters and cache exports that it lacks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from daemon_shim import releases
from daemon_shim.errors import UnsupportedError
from daemon_shim.info import TYPED_CACHES, Api, DaemonInfo, ImageStore
from daemon_shim.releases import Release

Kind: TypeAlias = Literal[
    "exporter", "cache-export", "cache-import", "several", "source", "builder", "frontend"
]

_ALL = frozenset(ImageStore)
_ENGINES = _ALL - {ImageStore.BUILDKIT}
_WITH_CONTENT = _ALL - {ImageStore.GRAPHDRIVER}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One feature; ``capability`` proves it, and without one the release must be new enough."""

    label: str
    since: Release
    stores: frozenset[ImageStore] = _ALL
    capability: str = ""

    def reason(self, info: DaemonInfo) -> str:
        """Why the daemon lacks the feature, '' when it has it."""
        if info.store not in self.stores:
            return f"a {info.store.value} has no {self.label}"
        if self.capability and not info.has(self.capability):
            told = info.disabled.get(self.capability)
            return f"{self.label} is switched off: {told}" if told else self._too_old(info)
        return "" if self.capability or info.release >= self.since else self._too_old(info)

    def _too_old(self, info: DaemonInfo) -> str:
        since = releases.text(self.since)
        return f"{self.label} needs BuildKit {since}, and this is {info.version}"


def _row(
    label: str, since: Release, stores: frozenset[ImageStore] = _ALL, capability: str = ""
) -> Row:
    return Row(label=label, since=since, stores=stores, capability=capability)


_OLDEST = releases.FIRST
ROWS: dict[tuple[Kind, str], Row] = {
    ("exporter", "local"): _row("local output", _OLDEST),
    # v0.5.0 to v0.7.0 have one that writes symbolic links as hard links (fsutil's tarwriter.go).
    ("exporter", "tar"): _row("tar output", (0, 7, 1)),
    ("exporter", "oci"): _row("output as an OCI archive", _OLDEST, _WITH_CONTENT),
    ("exporter", "docker"): _row("output as a Docker archive", _OLDEST, _WITH_CONTENT),
    ("exporter", "image"): _row("image exporter", _OLDEST, _WITH_CONTENT),
    ("exporter", "moby"): _row("engine's own image exporter", _OLDEST, _ENGINES),
    ("cache-export", "registry"): _row("cache export to a registry", _OLDEST, _WITH_CONTENT),
    ("cache-export", "inline"): _row("inline cache", (0, 4, 0)),
    ("cache-export", "local"): _row("cache export to a folder", (0, 4, 0), _WITH_CONTENT),
    ("cache-export", "gha"): _row("GitHub cache", (0, 9, 0), _WITH_CONTENT, "cache.gha"),
    ("cache-export", "s3"): _row("S3 cache", (0, 11, 0), _WITH_CONTENT, "cache.s3"),
    ("cache-export", "azblob"): _row("Azure cache", (0, 11, 0), _WITH_CONTENT, "cache.azblob"),
    ("cache-import", "registry"): _row("cache import from a registry", _OLDEST),
    ("cache-import", "local"): _row("cache import from a folder", (0, 4, 0)),
    ("cache-import", "gha"): _row("GitHub cache", (0, 9, 0), _WITH_CONTENT, "cache.gha"),
    ("cache-import", "s3"): _row("S3 cache", (0, 11, 0), _WITH_CONTENT, "cache.s3"),
    ("cache-import", "azblob"): _row("Azure cache", (0, 11, 0), _WITH_CONTENT, "cache.azblob"),
    ("several", "exporters"): _row(
        "more than one output in a build", (0, 13, 0), _ALL, "exporter.multiple"
    ),
    ("several", "cache-exports"): _row("more than one cache export in a build", (0, 11, 0)),
    ("source", "oci-layout"): _row(
        "source from an OCI layout", (0, 11, 0), _WITH_CONTENT, "source.ocilayout"
    ),
    ("builder", "containers"): _row("container beside steps", (0, 8, 0), capability="gateway.exec"),
    ("frontend", "stages"): _row(
        "stage of a frontend among others", (0, 7, 0), _ALL, "frontend.inputs"
    ),
    # frontend/dockerfile/builder/build.go
    ("frontend", "contexts"): _row("Dockerfile with contexts", (0, 10, 0)),
}


def reason(info: DaemonInfo, kind: Kind, name: str) -> str:
    """Why a daemon lacks a feature, '' when it has it.

    A name without a row is the caller's own venture (``x-`` cache types), and let through where
    the request has a place for it.
    """
    row = ROWS.get((kind, name))
    return (row.reason(info) if row else "") or _unsaid(info, kind, name)


# What the legacy fields of a request have a place for, of the kinds that they limit.
_LEGACY: Mapping[Kind, frozenset[str]] = {
    "cache-export": frozenset(("registry",)),
    "cache-import": frozenset(("registry",)),
    "several": frozenset(),
}


def _unsaid(info: DaemonInfo, kind: Kind, name: str) -> str:
    """Why a request in the daemon's dialect has no place for a feature, or would lose it."""
    if kind not in _LEGACY:
        return ""
    row = ROWS.get((kind, name))
    label = row.label if row else f"{kind.replace('-', ' ')} of type {name}"
    if info.is_legacy and name not in _LEGACY[kind]:
        return f"{label} has no place in the legacy API{_chosen(info)}"
    if info.api is Api.CURRENT and not info.has_typed_caches:
        since = releases.text(TYPED_CACHES)
        return f"{label} in the current API needs BuildKit {since}, and this is {info.version}"
    return ""


def _chosen(info: DaemonInfo) -> str:
    """Who chose the dialect, where the daemon's age did not."""
    return "" if info.api is Api.AUTO else ", which --api or daemons.toml asks for"


def require(info: DaemonInfo, kind: Kind, name: str) -> None:
    """Raise UnsupportedError, with the release that has it, if a daemon lacks a feature."""
    if why := reason(info, kind, name):
        raise UnsupportedError(
            f"{info.address} cannot do this build: {why}",
            feature=f"{kind} {name}",
            since=releases.text(row.since) if (row := ROWS.get((kind, name))) else "",
            address=info.address,
        )
