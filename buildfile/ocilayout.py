"""Images in an OCI layout folder of the client, found without a daemon."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from buildfile.platforms import runs_on
from daemon_shim.session.blobs import blob_path, open_blob
from translator.platform import Platform

_NAMES = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
"""Annotations that name an image, in the order in which buildctl looks for them (v0.32)."""
_INDEXES = frozenset(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    )
)
_MAX_JSON = 4 << 20
"""Bytes of an index, a manifest or a config; daemons read no more (v0.32)."""
_MAX_DEPTH = 8
_NO_PLATFORM = "unknown"
"""The operating system of what is no image, such as attestations (v0.11 and later)."""


class LayoutError(Exception):
    """An image cannot be had from the layout in the folder ``path``."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class NoLayoutError(LayoutError):
    """There is no such folder, or it is no OCI layout."""


class BrokenLayoutError(LayoutError):
    """A file of the layout is missing, cannot be read, or is not what its digest says."""


class UnknownImageError(LayoutError):
    """The layout has no image of that tag or digest; ``known`` are its tags, in order."""

    def __init__(self, path: str, ref: str, known: Iterable[str]) -> None:
        super().__init__(path, f"no image {ref}")
        self.ref = ref
        self.known = tuple(known)


class UnknownPlatformError(LayoutError):
    """The image is not there for a platform; ``known`` are those that it is there for."""

    def __init__(self, path: str, ref: str, platform: Platform, known: Iterable[Platform]) -> None:
        super().__init__(path, f"no image {ref} for {platform}")
        self.ref = ref
        self.platform = platform
        self.known = tuple(known)


@dataclass(frozen=True, kw_only=True)
class LayoutImage:
    """An image found.

    ``digest`` is of the manifest, or of the index over several platforms, that index.json gives;
    ``config`` is the image config for the platform, as JSON.
    """

    digest: str
    config: bytes


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """A line of an index; ``size`` is negative where nothing tells it."""

    digest: str
    size: int = -1
    index: bool = False
    platform: Platform | None = None
    names: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Choice:
    """A manifest, and the line of index.json that leads to it."""

    manifest: _Entry
    entry: _Entry


def find_image(path: str, ref: str, platform: Platform) -> LayoutImage:
    """Find the image ``ref``, a tag or a digest, of the layout in ``path`` for ``platform``.

    An image of one manifest that states no platform is taken for any, as daemons do. What is read
    is checked against its digest. Raises LayoutError.
    """
    layout = _Layout(path)
    choices = [
        _Choice(manifest=manifest, entry=entry)
        for entry in layout.named(ref)
        for manifest in layout.manifests(entry)
    ]
    if len(choices) == 1 and not choices[0].manifest.platform:
        choice = choices[0]
    else:
        choice = _choose(layout, choices, ref, platform)
    return LayoutImage(digest=choice.entry.digest, config=layout.config(choice.manifest))


def _choose(layout: _Layout, choices: list[_Choice], ref: str, platform: Platform) -> _Choice:
    """The first of those that suit best."""
    offers: dict[Platform, _Choice] = {}
    for choice in choices:
        offered = choice.manifest.platform or layout.platform(choice.manifest)
        if offered and offered.os != _NO_PLATFORM:
            offers.setdefault(offered, choice)
    for wanted in runs_on(platform):
        if wanted in offers:
            return offers[wanted]
    raise UnknownPlatformError(layout.path, ref, platform, offers)


class _Layout:
    """The JSON files of a layout. Raises LayoutError throughout."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._folder = Path(path)
        self._index = self._entries(self._read_index(), "index.json")

    def named(self, ref: str) -> list[_Entry]:
        """The lines of index.json that bear a name; or the one of a digest, made if need be."""
        for place in range(len(_NAMES)):
            if found := [each for each in self._index if ref and each.names[place] == ref]:
                return found
        listed = next((entry for entry in self._index if entry.digest == ref), None)
        if not listed and not self._has(ref):
            known = (name for entry in self._index for name in entry.names if name)
            raise UnknownImageError(self.path, ref, dict.fromkeys(known))
        return [listed or _Entry(digest=ref)]

    def manifests(self, entry: _Entry, depth: int = 0) -> Iterator[_Entry]:
        """The manifests that a line of index.json stands for: itself, or those of its index."""
        if depth and not entry.index:
            yield entry  # not read: images for other platforms may have been left out
            return
        document = self._document(entry)
        if "manifests" not in document:
            yield entry
        elif depth == _MAX_DEPTH:
            raise BrokenLayoutError(self.path, f"{entry.digest} is an index {depth} indexes deep")
        else:
            for inner in self._entries(document, entry.digest):
                yield from self.manifests(inner, depth + 1)

    def config(self, manifest: _Entry) -> bytes:
        """The config of a manifest."""
        described = self._document(manifest).get("config")
        with _broken(self.path, manifest.digest):
            entry = _entry(described)
        return self._blob(entry)

    def platform(self, manifest: _Entry) -> Platform | None:
        """The platform that a manifest's config states."""
        return _platform(self._parsed(self.config(manifest), manifest.digest))

    def _read_index(self) -> dict[str, Any]:
        if not self._folder.is_dir():
            what = "is a file" if self._folder.exists() else "does not exist"
            raise NoLayoutError(self.path, f"the folder {what}")
        try:
            data = (self._folder / "index.json").read_bytes()
        except FileNotFoundError as error:
            raise NoLayoutError(self.path, "the folder has no index.json") from error
        except OSError as error:
            raise BrokenLayoutError(self.path, f"index.json: {error.strerror}") from error
        return self._parsed(data, "index.json")

    def _has(self, digest: str) -> bool:
        try:
            return (self._folder / blob_path(digest)).exists()
        except ValueError:
            return False

    def _document(self, entry: _Entry) -> dict[str, Any]:
        return self._parsed(self._blob(entry), entry.digest)

    def _parsed(self, data: bytes, name: str) -> dict[str, Any]:
        with _broken(self.path, name):
            document = json.loads(data)
            if not isinstance(document, dict):
                raise TypeError
            return document

    def _entries(self, document: dict[str, Any], name: str) -> list[_Entry]:
        with _broken(self.path, name):
            return [_entry(value) for value in document["manifests"]]

    def _blob(self, entry: _Entry) -> bytes:
        try:
            fd = open_blob(self._folder, entry.digest)
        except FileNotFoundError as error:
            raise BrokenLayoutError(self.path, f"the blob {entry.digest} is missing") from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise BrokenLayoutError(self.path, f"the blob {entry.digest}: {reason}") from error
        with os.fdopen(fd, "rb") as file:
            data = file.read(_MAX_JSON + 1)
        if reason := _wrong(data, entry):
            raise BrokenLayoutError(self.path, f"the blob {entry.digest} {reason}")
        return data


def _wrong(data: bytes, entry: _Entry) -> str:
    """What is wrong with the bytes of a blob, '' for nothing."""
    if len(data) > _MAX_JSON:
        return f"is larger than {_MAX_JSON >> 20} MiB, so it is no manifest or config"
    if entry.size not in (-1, len(data)):
        return f"has {len(data)} bytes instead of {entry.size}"
    algorithm, _, expected = entry.digest.partition(":")
    if hashlib.new(algorithm, data).hexdigest() != expected:
        return "is damaged: its content has another digest"
    return ""


@contextmanager
def _broken(path: str, name: str) -> Iterator[None]:
    """Turn what reading JSON of another shape raises into a LayoutError."""
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BrokenLayoutError(path, f"{name} is not what an OCI layout has there") from error


def _entry(value: Any) -> _Entry:
    """Read a descriptor (OCI image spec, descriptor.md)."""
    blob_path(value["digest"])
    annotations = value.get("annotations") or {}
    return _Entry(
        digest=value["digest"],
        size=int(value["size"]),
        index=value.get("mediaType") in _INDEXES,
        platform=_platform(value.get("platform") or {}),
        names=tuple(str(annotations.get(name, "")) for name in _NAMES),
    )


def _platform(value: Any) -> Platform | None:
    """Read the platform of a descriptor or of a config, None where it states none."""
    parts = (value.get("os"), value.get("architecture"), value.get("variant"))
    try:
        return Platform.parse("/".join(part for part in parts if part)) if all(parts[:2]) else None
    except ValueError:
        return None
