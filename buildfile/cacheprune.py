"""Cleaning a cache folder: which caches go, then all blobs that nothing needs any more."""

from __future__ import annotations

import fcntl
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from buildfile.cachefolder import BusyLayoutError, CacheFolder, UnwritableLayoutError
from buildfile.cacheusage import Cache, File, Usage, survey

MIN_AGE_SECONDS = 600.0


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What may stay.

    ``keep`` are patterns of tags that stay; ``max_size`` is the most bytes that blobs may take on
    the disk, None for any. With ``keep`` alone, all other caches go; with ``max_size``, the oldest
    of the others go until the rest fits. With neither, only those go that nothing can import. A
    blob that no cache needs stays for ``min_age`` seconds after it was written.
    """

    keep: tuple[str, ...] = ()
    max_size: int | None = None
    min_age: float = MIN_AGE_SECONDS


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """What goes from a folder, which was as ``usage`` says."""

    usage: Usage
    caches: tuple[Cache, ...]
    blobs: tuple[File, ...]
    unfinished: tuple[File, ...]

    @property
    def left(self) -> int:
        """Bytes of the blobs that stay."""
        before = self.usage.bytes(self.usage.blobs)
        return before - sum(file.size for file in self.blobs)


def prune(folder: CacheFolder, policy: Policy, *, dry_run: bool = False) -> Pruned:
    """Clean a folder, or with ``dry_run`` only tell what would go.

    Builds of ours hold the folder while they use it. BuildKit's own clients do not
    (https://github.com/moby/buildkit/issues/7102): they are known by unfinished files that are
    younger than ``policy.min_age``, and what they have written already is left alone, being as
    young. Raises BusyLayoutError where the folder is in use, and any other LayoutError.

    The caches go first, so that a kill leaves none without its blobs.
    """
    if dry_run:
        return _choose(survey(folder), policy)
    with folder.pruning():
        usage = survey(folder)
        _refuse_if_written(usage, policy)
        chosen = _choose(usage, policy)
        folder.drop(cache.entry for cache in chosen.caches)
        needed = {digest for cache in survey(folder).caches for digest in cache.needs}
        kept = {usage.blobs[digest] for digest in needed & usage.blobs.keys()}
        chosen = replace(chosen, blobs=tuple(each for each in chosen.blobs if each not in kept))
        for file in (*chosen.blobs, *chosen.unfinished):
            _remove(folder, file)
    return chosen


def _refuse_if_written(usage: Usage, policy: Policy) -> None:
    young = time.time() - policy.min_age
    for file in usage.unfinished:
        if _is_locked(file) or (file.is_folder and file.changed > young):
            raise BusyLayoutError(usage.path, f"an export is writing {file.path}, or was killed")


def _is_locked(file: File) -> bool:
    """Whether a writer of ours has it; one of containerd's content store locks nothing."""
    try:
        with Path(file.path).open("rb") as opened:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _choose(usage: Usage, policy: Policy) -> Pruned:
    young = time.time() - policy.min_age
    left = {digest: file for digest, file in usage.unused.items() if file.changed > young}
    caches = _caches(usage, policy, left)
    staying = {digest for cache in usage.caches if cache not in caches for digest in cache.needs}
    blobs = (file for digest, file in usage.blobs.items() if digest not in staying | left.keys())
    unfinished = (file for file in usage.unfinished if file.changed <= young)
    return Pruned(
        usage=usage, caches=tuple(caches), blobs=tuple(blobs), unfinished=tuple(unfinished)
    )


def _caches(usage: Usage, policy: Policy, left: Iterable[str]) -> list[Cache]:
    """The caches that go: what is broken, then what the policy does not keep, oldest first."""
    going = [each for each in usage.caches if each.broken]
    others = [each for each in usage.caches if not each.broken and not _keeps(policy, each)]
    if policy.max_size is None:
        return going + (others if policy.keep else [])
    for cache in sorted(others, key=lambda each: each.changed):
        staying = {digest for each in usage.caches if each not in going for digest in each.needs}
        if usage.bytes(staying.union(left)) <= policy.max_size:
            break
        going.append(cache)
    return going


def _keeps(policy: Policy, cache: Cache) -> bool:
    names = (cache.entry.image, cache.entry.tag)
    return any(fnmatchcase(name, pattern) for name in names for pattern in policy.keep)


def _remove(folder: CacheFolder, file: File) -> None:
    try:
        if file.is_folder:
            shutil.rmtree(file.path)
        else:
            Path(file.path).unlink()
    except FileNotFoundError:
        pass
    except OSError as error:
        reason = f"cannot remove {error.filename}: {error.strerror}"
        raise UnwritableLayoutError(folder.path, reason) from error
