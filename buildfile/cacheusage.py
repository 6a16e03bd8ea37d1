"""What a cache folder holds: which blobs each cache needs, and which ones nothing needs."""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from buildfile.cachefolder import INGEST, CacheFolder
from buildfile.ocilayout import BrokenLayoutError, Descriptor, Layout
from daemon_shim.session.blobs import ALGORITHMS

_DOCUMENTS = re.compile(
    r"|application/vnd\.(oci\.(image\.(index|manifest)|artifact\.manifest)\.v1|"
    r"docker\.distribution\.manifest(\.list)?\.v2)\+json"
)
"""What has descriptors of other blobs in it; an entry without a type is taken for one."""
_LISTS = ("manifests", "layers", "blobs")


@dataclass(frozen=True, kw_only=True)
class File:
    """A file, or a folder of files, as it lies on the disk: bytes, and seconds since 1970."""

    path: str
    size: int
    changed: float
    is_folder: bool = False


@dataclass(frozen=True, kw_only=True)
class Cache:
    """An entry of the index, and the ``needs`` that it leads to, by digest, with itself.

    ``broken`` says why nothing can import it, or is ''. ``changed`` is when it was exported, in
    seconds since 1970, and 0 where its manifest is missing.
    """

    entry: Descriptor
    needs: Mapping[str, Descriptor]
    broken: str
    changed: float

    @property
    def name(self) -> str:
        """The name of an image, else the tag, else ''."""
        return self.entry.image or self.entry.tag


@dataclass(frozen=True)
class Usage:
    """A folder's caches, its ``blobs`` on the disk by digest, and its ``unfinished`` files.

    All sizes are bytes on the disk, in which a blob counts once.
    """

    path: str
    caches: tuple[Cache, ...]
    blobs: Mapping[str, File]
    unfinished: tuple[File, ...]

    @cached_property
    def unused(self) -> Mapping[str, File]:
        """The blobs that no cache needs."""
        needed = {digest for cache in self.caches for digest in cache.needs}
        return {digest: file for digest, file in self.blobs.items() if digest not in needed}

    @cached_property
    def _users(self) -> Mapping[str, int]:
        return Counter(digest for cache in self.caches for digest in cache.needs)

    def missing(self, cache: Cache) -> tuple[Descriptor, ...]:
        """What a cache needs and is not there."""
        return tuple(each for digest, each in cache.needs.items() if digest not in self.blobs)

    def size(self, caches: Iterable[Cache]) -> int:
        """Bytes of all that ``caches`` need together."""
        return self.bytes({digest for cache in caches for digest in cache.needs})

    def shared(self, cache: Cache) -> int:
        """Bytes of what others need as well: so much stays when this one goes."""
        return self.bytes(digest for digest in cache.needs if self._users[digest] > 1)

    def bytes(self, digests: Iterable[str]) -> int:
        """Bytes of blobs, as far as they are there."""
        return sum(self.blobs[digest].size for digest in digests if digest in self.blobs)


def survey(folder: CacheFolder) -> Usage:
    """Look at a folder; nothing is changed or locked.

    The disk is listed before the index is read: what is listed and not in the index then is not of
    an export that has ended in between. Raises LayoutError, also where a manifest cannot be read;
    one that is missing or damaged makes its cache a broken one.
    """
    try:
        blobs, unfinished = dict(_blobs(folder.path)), tuple(_unfinished(folder.path))
    except OSError as error:
        raise BrokenLayoutError(folder.path, f"{error.filename}: {error.strerror}") from error
    index = folder.index()
    layout = Layout(folder.path, index)
    caches = tuple(_cache(layout, entry, blobs.get(entry.digest)) for entry in index.entries)
    return Usage(folder.path, caches, blobs, unfinished)


def _cache(layout: Layout, entry: Descriptor, manifest: File | None) -> Cache:
    needs, broken = _needs(layout, entry)
    if manifest is None:
        return Cache(
            entry=entry, needs=needs, broken=broken or "its manifest is missing", changed=0
        )
    return Cache(entry=entry, needs=needs, broken=broken, changed=manifest.changed)


def _needs(layout: Layout, entry: Descriptor) -> tuple[dict[str, Descriptor], str]:
    """Follow an entry of the index through all forms that caches and images have.

    A cache is an index, or a manifest list, of layers and a config (to v0.20), or an image manifest
    of them (v0.21 and later; cache/remotecache/export.go). Returns what it needs, and what is wrong
    with its own blob. Manifests within it may be left out, as those of an image's other platforms.
    """
    found: dict[str, Descriptor] = {}
    broken = ""
    waiting = [entry]
    while waiting:
        each = waiting.pop()
        if each.digest in found:
            continue
        found[each.digest] = each
        if _DOCUMENTS.fullmatch(each.media_type):
            try:
                waiting += _named_in(layout, each)
            except BrokenLayoutError as error:
                cause = error.__cause__
                if isinstance(cause, OSError) and not isinstance(cause, FileNotFoundError):
                    raise  # it may well be whole
                broken = error.reason if each is entry else broken
    return found, broken


def _named_in(layout: Layout, manifest: Descriptor) -> Iterator[Descriptor]:
    document = layout.document(manifest)
    config = [document["config"]] if document.get("config") else []
    for values in (*map(document.get, _LISTS), config):
        yield from layout.descriptors(values or [], manifest)


def _blobs(root: str) -> Iterator[tuple[str, File]]:
    for algorithm, digits in ALGORITHMS.items():
        for each in _listed(root, "blobs", algorithm):
            if not each.is_folder and re.fullmatch(f"[0-9a-f]{{{digits}}}", Path(each.path).name):
                yield f"{algorithm}:{Path(each.path).name}", each


def _unfinished(root: str) -> Iterator[File]:
    """What is being written or was left: files of ours, and folders of containerd's store."""
    for each in _listed(root, INGEST):
        inner = _listed(root, INGEST, Path(each.path).name) if each.is_folder else []
        yield replace(
            each,
            size=sum(file.size for file in inner) if each.is_folder else each.size,
            changed=max(file.changed for file in (each, *inner)),
        )


def _listed(root: str, *names: str) -> list[File]:
    """What is in a folder, in order: files and folders. One behind a symlink counts as empty."""
    place = Path(os.path.realpath(root), *names)
    if place.resolve() != place:
        return []
    try:
        with os.scandir(place) as entries:
            found = [file for each in entries if (file := _file(each))]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(found, key=lambda each: each.path)


def _file(entry: os.DirEntry[str]) -> File | None:
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None  # it was there a moment ago
    folder, plain = stat.S_ISDIR(status.st_mode), stat.S_ISREG(status.st_mode)
    if not folder and not plain:
        return None
    return File(path=entry.path, size=status.st_size, changed=status.st_mtime, is_folder=folder)
