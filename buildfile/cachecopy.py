"""Copying caches from one folder to another: the blobs that are not there, then the index."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from buildfile.cachecheck import Progress
from buildfile.cachefolder import CacheFolder, UnwritableLayoutError
from buildfile.cacheusage import Cache, Usage, survey
from buildfile.ocilayout import BrokenLayoutError, LayoutError
from daemon_shim.session.blobs import blob_path, open_blob
from daemon_shim.session.ingest import Ingest, WrongBlobError, algorithm_of

_CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Copied:
    """What was copied: ``size`` are the bytes of ``blobs``; others were ``present`` already."""

    path: str
    dest: str
    caches: tuple[Cache, ...]
    blobs: int
    size: int
    present: int


def copy(source: CacheFolder, dest: CacheFolder, refs: Sequence[str], progress: Progress) -> Copied:
    """Copy the caches of ``refs``, which are tags, names or digests; none means all.

    Every blob that is written is checked against its digest, and appears at once. The index comes
    last, so that a kill leaves the caches of ``dest`` as they were. Copies are as old as what they
    were made from. Raises LayoutError.
    """
    with source.importing(), dest.exporting():
        usage = survey(source)
        caches = _chosen(usage, refs)
        needs = dict.fromkeys(digest for cache in caches for digest in cache.needs)
        present = survey(dest).blobs
        wanted = [each for each in needs if each not in present]
        ingest, total, done = Ingest(dest.path), usage.bytes(wanted), 0
        for digest in wanted:
            for count in _copy(source, dest, ingest, digest):
                done += count
                progress(done, total)
        for cache in caches:
            if cache.entry.digest in wanted:
                _keep_age(dest, cache)
        dest.add(cache.entry for cache in caches)
    return Copied(
        path=source.path,
        dest=dest.path,
        caches=tuple(caches),
        blobs=len(wanted),
        size=total,
        present=len(needs) - len(wanted),
    )


def _chosen(usage: Usage, refs: Sequence[str]) -> list[Cache]:
    chosen = {id(cache): cache for ref in refs for cache in _named(usage, ref)}
    caches = list(chosen.values()) if refs else list(usage.caches)
    for cache in caches:
        lost = [f"the blob {each.digest} is missing" for each in usage.missing(cache)]
        if cache.broken or lost:
            name = cache.name or cache.entry.digest
            raise BrokenLayoutError(usage.path, f"{name} is not whole: {cache.broken or lost[0]}")
    return caches


def _named(usage: Usage, ref: str) -> list[Cache]:
    found = [
        cache
        for cache in usage.caches
        if ref in (cache.entry.tag, cache.entry.image, cache.entry.digest)
    ]
    if not found:
        known = ", ".join(dict.fromkeys(each.name for each in usage.caches if each.name))
        raise LayoutError(
            usage.path, f"no cache {ref}: there {f'are {known}' if known else 'is none'}"
        )
    return found


def _copy(source: CacheFolder, dest: CacheFolder, ingest: Ingest, digest: str) -> Iterator[int]:
    """Copy a blob; yields how many bytes each step took."""
    try:
        with closing(ingest.begin(algorithm_of(digest))) as upload:
            for data in _read(source, digest):
                upload.write([data])
                yield len(data)
            upload.commit(digest)
    except WrongBlobError as error:
        raise BrokenLayoutError(source.path, f"the blob {digest} is damaged: {error}") from error
    except OSError as error:
        reason = f"cannot write the blob {digest}: {error.strerror}"
        raise UnwritableLayoutError(dest.path, reason) from error


def _read(source: CacheFolder, digest: str) -> Iterator[bytes]:
    try:
        with os.fdopen(open_blob(Path(source.path), digest), "rb", buffering=0) as file:
            while data := file.read(_CHUNK):
                yield data
    except OSError as error:
        reason = f"cannot read the blob {digest}: {error.strerror}"
        raise BrokenLayoutError(source.path, reason) from error


def _keep_age(dest: CacheFolder, cache: Cache) -> None:
    with suppress(OSError):
        os.utime(Path(dest.path, blob_path(cache.entry.digest)), (cache.changed, cache.changed))
