"""Checking a cache folder: every blob against its digest, and every cache for what it needs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from buildfile.cachefolder import CacheFolder
from buildfile.cacheusage import Cache, Usage, survey
from daemon_shim.session.blobs import open_blob

Progress = Callable[[int, int], None]
"""Is told how many bytes are done, and of how many."""

_CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What is wrong with a blob, and the ``caches`` that need it."""

    digest: str
    reason: str
    caches: tuple[Cache, ...]


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What was checked, and the ``faults`` found."""

    usage: Usage
    faults: tuple[Fault, ...]


def verify(folder: CacheFolder, progress: Progress) -> Verified:
    """Read all blobs of a folder. Raises LayoutError where that cannot be begun."""
    with folder.importing():
        usage = survey(folder)
        reasons = _damages(folder, usage, progress)
        for cache in usage.caches:
            for each in cache.needs.values():
                if each.digest not in usage.blobs:
                    reasons[each.digest] = "is missing"
                elif each.size not in (-1, size := usage.blobs[each.digest].size):
                    reasons.setdefault(each.digest, f"has {size} bytes instead of {each.size}")
            if cache.broken:
                reasons.setdefault(cache.entry.digest, f"is no manifest: {cache.broken}")
    faults = [
        Fault(
            digest=digest,
            reason=reason,
            caches=tuple(each for each in usage.caches if digest in each.needs),
        )
        for digest, reason in reasons.items()
    ]
    return Verified(usage=usage, faults=tuple(faults))


def _damages(folder: CacheFolder, usage: Usage, progress: Progress) -> dict[str, str]:
    """The blobs on the disk that are not what their names say, and why."""
    reasons: dict[str, str] = {}
    total, done = usage.bytes(usage.blobs), 0
    for digest in usage.blobs:
        algorithm = hashlib.new(digest.partition(":")[0])
        try:
            with os.fdopen(open_blob(Path(folder.path), digest), "rb", buffering=0) as file:
                while data := file.read(_CHUNK):
                    algorithm.update(data)
                    done += len(data)
                    progress(done, total)
        except OSError as error:
            reasons[digest] = f"cannot be read: {error.strerror}"
        else:
            if not digest.endswith(f":{algorithm.hexdigest()}"):
                reasons[digest] = "is damaged: its content has another digest"
    return reasons
