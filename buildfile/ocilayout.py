"""An OCI layout folder of the client: its index.json, its JSON blobs, and the images in it.

This is the only reader of these files. ``buildfile.cachefolder`` writes them.
"""

from __future__ import annotations

import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import IO, Any

from buildfile.platforms import runs_on
from daemon_shim.mediatypes import INDEXES
from daemon_shim.session.blobs import blob_path, open_blob
from translator.platform import Platform

IMAGE_NAME = "io.containerd.image.name"
TAG = "org.opencontainers.image.ref.name"
_READ = frozenset(("mediaType", "digest", "size", "annotations"))
MAX_JSON = 4 << 20
"""Bytes of an index, a manifest or a config; daemons read no more (v0.32)."""
_MAX_DEPTH = 8
_MAX_ENTRIES = 4096
"""Manifests and indexes of one image: far more than there are platforms and attestations."""
_NO_PLATFORM = "unknown"
"""The operating system of what is no image, such as attestations (v0.11 and later)."""


class LayoutError(Exception):
    """The layout in the folder ``path`` cannot be used as it was asked for."""

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
    ``manifest`` is that of the platform, and ``config`` its image config, as JSON.
    """

    digest: str
    manifest: str
    config: bytes


@dataclass(frozen=True, kw_only=True)
class Descriptor:
    """What an index or a manifest says of a blob (OCI image spec, descriptor.md).

    ``size`` is in bytes, negative where nothing tells it. ``rest`` are the other keys of its JSON,
    for writing it again.
    """

    media_type: str = ""
    digest: str
    size: int = -1
    annotations: Mapping[str, str] = field(default_factory=dict)
    platform: Platform | None = None
    rest: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, value: Any) -> Descriptor:
        """Read a descriptor. Raises ValueError, TypeError, KeyError or AttributeError."""
        blob_path(value["digest"])
        annotations = dict(value.get("annotations") or {})
        return cls(
            media_type=str(value.get("mediaType") or ""),
            digest=value["digest"],
            size=int(value["size"]),
            annotations={str(key): str(each) for key, each in annotations.items()},
            platform=_platform(value.get("platform") or {}),
            rest={key: each for key, each in value.items() if key not in _READ},
        )

    def as_data(self) -> dict[str, Any]:
        """It as JSON; not for one whose size nothing told."""
        annotations = {"annotations": dict(self.annotations)} if self.annotations else {}
        known = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        return {**known, **annotations, **self.rest}

    @property
    def is_index(self) -> bool:
        """Whether it stands for several manifests."""
        return self.media_type in INDEXES

    @property
    def image(self) -> str:
        """The full name of the image that it is, or ''."""
        return self.annotations.get(IMAGE_NAME, "")

    @property
    def tag(self) -> str:
        """Its tag, or ''."""
        return self.annotations.get(TAG, "")


NAMES: tuple[Callable[[Descriptor], str], ...] = (attrgetter("image"), attrgetter("tag"))
"""What an entry may be named by, in the order in which buildctl looks for it (v0.32)."""


@dataclass(frozen=True, kw_only=True)
class Index:
    """An index.json as read: its bytes, the JSON in them, and its lines.

    ``data`` is None where there is no such file.
    """

    data: bytes | None
    document: Mapping[str, Any]
    entries: tuple[Descriptor, ...]


@dataclass(frozen=True, kw_only=True)
class _Choice:
    """A manifest, and the line of index.json that leads to it."""

    manifest: Descriptor
    entry: Descriptor


def find_image(path: str, ref: str, platform: Platform) -> LayoutImage:
    """Find the image ``ref``, a tag or a digest, of the layout in ``path`` for ``platform``.

    An image of one manifest that states no platform is taken for any, as daemons do. What is read
    is checked against its digest. Raises LayoutError.
    """
    layout = Layout(path)
    return layout.choose(layout.named(ref), ref, platform)


def read_index(path: str) -> Index:
    """Read the index.json of the folder ``path``; a missing or empty one has no entries.

    BuildKit's clients create it empty before they fill it (client/ociindex, v0.4 to v0.32).
    Raises NoLayoutError where the path is a file, and BrokenLayoutError.
    """
    try:
        data = Path(path, "index.json").read_bytes()
    except FileNotFoundError:
        return Index(data=None, document={}, entries=())
    except NotADirectoryError as error:
        raise NoLayoutError(path, "the folder is a file") from error
    except OSError as error:
        raise BrokenLayoutError(path, f"index.json: {error.strerror}") from error
    return parse_index(path, data)


def parse_index(path: str, data: bytes) -> Index:
    """Read the text of an index.json for the layout in ``path``. Raises BrokenLayoutError."""
    if not data:
        return Index(data=data, document={}, entries=())
    document = _parsed(path, data, "index.json")
    # BuildKit's clients write null for an index without entries (encoding/json of a nil slice).
    entries = _descriptors(path, document.get("manifests") or [], "index.json")
    return Index(data=data, document=document, entries=entries)


class Documents(ABC):
    """Manifests and configs at ``path``, and the way through them. Raises LayoutError throughout.

    Where they are kept is up to ``blob``.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    @abstractmethod
    def blob(self, entry: Descriptor) -> bytes:
        """The bytes of a manifest, an index or a config, checked against its digest."""

    def choose(self, entries: Iterable[Descriptor], ref: str, platform: Platform) -> LayoutImage:
        """The image among ``entries``, which ``ref`` names, that suits a platform best."""
        choices = [
            _Choice(manifest=manifest, entry=entry)
            for entry in entries
            for manifest in self.manifests(entry)
        ]
        if len(choices) == 1 and not choices[0].manifest.platform:
            choice = choices[0]
        else:
            choice = self._best(choices, ref, platform)
        return LayoutImage(
            digest=choice.entry.digest,
            manifest=choice.manifest.digest,
            config=self.config(choice.manifest),
        )

    def manifests(self, entry: Descriptor) -> Iterator[Descriptor]:
        """The manifests that an entry of an index stands for: itself, or those of its index."""
        for count, found in enumerate(self._below(entry, 0), 1):
            if count > _MAX_ENTRIES:
                reason = f"{entry.digest} leads to more than {_MAX_ENTRIES} manifests and indexes"
                raise BrokenLayoutError(self.path, reason)
            if found is not None:
                yield found

    def _below(self, entry: Descriptor, depth: int) -> Iterator[Descriptor | None]:
        """What an entry leads to, with None for each index on the way."""
        if depth and not entry.is_index:
            yield entry  # not read: images for other platforms may have been left out
            return
        document = self.document(entry)
        if "manifests" not in document:
            yield entry
        elif depth == _MAX_DEPTH:
            raise BrokenLayoutError(self.path, f"{entry.digest} is an index {depth} indexes deep")
        else:
            yield None
            for inner in self.descriptors(document["manifests"], entry):
                yield from self._below(inner, depth + 1)

    def config(self, manifest: Descriptor) -> bytes:
        """The config of a manifest."""
        described = self.document(manifest).get("config")
        return self.blob(*self.descriptors([described], manifest))

    def platform(self, manifest: Descriptor) -> Platform | None:
        """The platform that a manifest's config states."""
        return _platform(_parsed(self.path, self.config(manifest), manifest.digest))

    def document(self, manifest: Descriptor) -> dict[str, Any]:
        """The JSON object in the blob of an index or a manifest."""
        return _parsed(self.path, self.blob(manifest), manifest.digest)

    def descriptors(self, values: Any, within: Descriptor) -> tuple[Descriptor, ...]:
        """Read the descriptors in a list of the document ``within``."""
        return _descriptors(self.path, values, within.digest)

    def _best(self, choices: Iterable[_Choice], ref: str, platform: Platform) -> _Choice:
        """The first of those that suit best."""
        offers: dict[Platform, _Choice] = {}
        for choice in choices:
            offered = choice.manifest.platform or self.platform(choice.manifest)
            if offered and offered.os != _NO_PLATFORM:
                offers.setdefault(offered, choice)
        for wanted in runs_on(platform):
            if wanted in offers:
                return offers[wanted]
        raise UnknownPlatformError(self.path, ref, platform, offers)


class Layout(Documents):
    """The JSON files of a layout.

    ``index`` is what was read before; without it, a folder without index.json is an error. Of a
    blob, ``most`` bytes are read.
    """

    def __init__(self, path: str, index: Index | None = None, *, most: int = MAX_JSON) -> None:
        super().__init__(path)
        self._most = most
        self._folder = Path(path)
        self._index = (index or self._read_index()).entries

    def named(self, ref: str) -> list[Descriptor]:
        """The lines of index.json that bear a name; or the one of a digest, made if need be."""
        for name in NAMES:
            if found := [each for each in self._index if ref and name(each) == ref]:
                return found
        listed = next((entry for entry in self._index if entry.digest == ref), None)
        if not listed and not self._has(ref):
            names = (name(entry) for entry in self._index for name in NAMES)
            raise UnknownImageError(self.path, ref, dict.fromkeys(filter(None, names)))
        return [listed or Descriptor(digest=ref)]

    def blob(self, entry: Descriptor) -> bytes:
        """The bytes of a manifest, an index or a config, checked against its digest."""
        try:
            fd = open_blob(self._folder, entry.digest)
        except FileNotFoundError as error:
            raise BrokenLayoutError(self.path, f"the blob {entry.digest} is missing") from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise BrokenLayoutError(self.path, f"the blob {entry.digest}: {reason}") from error
        with os.fdopen(fd, "rb") as file:
            return checked(self.path, entry, file, self._most)

    def _read_index(self) -> Index:
        if not self._folder.exists():
            raise NoLayoutError(self.path, "the folder does not exist")
        index = read_index(self.path)
        if index.data is None:
            raise NoLayoutError(self.path, "the folder has no index.json")
        return index

    def _has(self, digest: str) -> bool:
        try:
            return (self._folder / blob_path(digest)).exists()
        except ValueError:
            return False


def _parsed(path: str, data: bytes, name: str) -> dict[str, Any]:
    with broken(path, name):
        document = json.loads(data)
        if not isinstance(document, dict):
            raise TypeError
        return document


def _descriptors(path: str, values: Any, name: str) -> tuple[Descriptor, ...]:
    with broken(path, name):
        return tuple(Descriptor.parse(value) for value in values)


def checked(path: str, entry: Descriptor, file: IO[bytes], most: int = MAX_JSON) -> bytes:
    """Read a blob of ``most`` bytes, and check it. Raises BrokenLayoutError for ``path``."""
    data = file.read(most + 1)
    if reason := _wrong(data, entry, most):
        raise BrokenLayoutError(path, f"the blob {entry.digest} {reason}")
    return data


def _wrong(data: bytes, entry: Descriptor, most: int) -> str:
    """What is wrong with the bytes of a blob, '' for nothing."""
    if len(data) > most:
        return f"is larger than {most >> 20} MiB, so it is no manifest or config"
    if entry.size not in (-1, len(data)):
        return f"has {len(data)} bytes instead of {entry.size}"
    algorithm, _, expected = entry.digest.partition(":")
    if hashlib.new(algorithm, data).hexdigest() != expected:
        return "is damaged: its content has another digest"
    return ""


@contextmanager
def broken(path: str, name: str) -> Iterator[None]:
    """Turn what reading JSON of another shape raises into a LayoutError."""
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BrokenLayoutError(path, f"{name} is not what an OCI layout has there") from error


def _platform(value: Any) -> Platform | None:
    """Read the platform of a descriptor or of a config, None where it states none."""
    parts = (value.get("os"), value.get("architecture"), value.get("variant"))
    try:
        return Platform.parse("/".join(part for part in parts if part)) if all(parts[:2]) else None
    except ValueError:
        return None
