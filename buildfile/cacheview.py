"""Cache folders in words, and as JSON (docs/reference/commands.md has its shape)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from typing import Any

from buildfile.cachecheck import Verified
from buildfile.cachecopy import Copied
from buildfile.cacheprune import Pruned
from buildfile.cacheusage import Cache, File, Usage
from buildfile.columns import columns
from buildfile.display.units import age, counted, size

_SHOWN_DIGITS = 12


# --- ls ----------------------------------------------------------------------------------------


def usage_text(usage: Usage, now: float) -> Iterator[str]:
    """What is in a folder; ``now`` is in seconds since 1970."""
    yield f"{usage.path}: {_sum(usage)}"
    rows = [_row(usage, cache, now) for cache in usage.caches]
    yield from columns([("TAG", "SIZE", "SHARED", "AGE", "DIGEST"), *rows] if rows else [])
    if usage.unused:
        yield f"not needed: {_files('blob', usage.unused.values())}"
    if usage.unfinished:
        yield f"unfinished: {_files('file', usage.unfinished)}"


def _sum(usage: Usage) -> str:
    caches = counted(len(usage.caches), "cache")
    return f"{caches}, {_files('blob', usage.blobs.values())}"


def _files(noun: str, files: Iterable[File]) -> str:
    sizes = [file.size for file in files]
    return f"{counted(len(sizes), noun)}, {size(sum(sizes))}"


def _row(usage: Usage, cache: Cache, now: float) -> tuple[str, ...]:
    algorithm, _, digits = cache.entry.digest.partition(":")
    missing = len(usage.missing(cache))
    notes = (
        [cache.broken] if cache.broken else [f"{counted(missing, 'blob')} missing"] * (missing > 0)
    )
    return (
        cache.name or "(no tag)",
        size(usage.size([cache])),
        size(usage.shared(cache)),
        (age(now - cache.changed) or "now") if cache.changed else "-",
        f"{algorithm}:{digits[:_SHOWN_DIGITS]}",
        *notes,
    )


def usage_data(usage: Usage, now: float) -> dict[str, Any]:
    """``usage_text`` as plain data."""
    return {
        "path": usage.path,
        "caches": [_cache_data(usage, cache, now) for cache in usage.caches],
        "blobs": _files_data(usage.blobs.values()),
        "unused": _files_data(usage.unused.values()),
        "unfinished": _files_data(usage.unfinished),
    }


def _cache_data(usage: Usage, cache: Cache, now: float) -> dict[str, Any]:
    exported = datetime.fromtimestamp(cache.changed, timezone.utc) if cache.changed else None
    return {
        "tag": cache.entry.tag,
        "image": cache.entry.image,
        "digest": cache.entry.digest,
        "media-type": cache.entry.media_type,
        "size": usage.size([cache]),
        "shared": usage.shared(cache),
        "exported": exported.isoformat(timespec="seconds") if exported else None,
        "age": round(now - cache.changed) if exported else None,
        "missing": [each.digest for each in usage.missing(cache)],
        "broken": cache.broken,
    }


def _files_data(files: Iterable[File]) -> dict[str, int]:
    sizes = [file.size for file in files]
    return {"count": len(sizes), "size": sum(sizes)}


# --- verify ------------------------------------------------------------------------------------


def verified_text(verified: Verified) -> Iterator[str]:
    """What was found in a folder."""
    found = counted(len(verified.faults), "fault") if verified.faults else "all are whole"
    yield f"{verified.usage.path}: {_sum(verified.usage)}: {found}"
    for fault in verified.faults:
        names = ", ".join(each.name or "an entry without a tag" for each in fault.caches)
        yield f"{fault.digest} {fault.reason}, needed by {names or 'no cache'}"


def verified_data(verified: Verified) -> dict[str, Any]:
    """``verified_text`` as plain data."""
    return {
        "path": verified.usage.path,
        "blobs": _files_data(verified.usage.blobs.values()),
        "faults": [
            {
                "digest": fault.digest,
                "reason": fault.reason,
                "caches": [each.name for each in fault.caches],
            }
            for fault in verified.faults
        ],
    }


# --- prune -------------------------------------------------------------------------------------


def pruned_text(pruned: Pruned, *, dry_run: bool) -> Iterator[str]:
    """What went from a folder, or would go."""
    verb = "would remove" if dry_run else "removed"
    caches = counted(len(pruned.caches), "cache")
    files = _files("file", (*pruned.blobs, *pruned.unfinished))
    yield f"{pruned.usage.path}: {verb} {caches}, {files}; {size(pruned.left)} left"
    yield from (f"{verb} {each.name or each.entry.digest}" for each in pruned.caches)


def pruned_data(pruned: Pruned, *, dry_run: bool) -> dict[str, Any]:
    """``pruned_text`` as plain data."""
    return {
        "path": pruned.usage.path,
        "dry-run": dry_run,
        "caches": [
            {"tag": each.entry.tag, "image": each.entry.image, "digest": each.entry.digest}
            for each in pruned.caches
        ],
        "removed": _files_data((*pruned.blobs, *pruned.unfinished)),
        "left": pruned.left,
    }


# --- copy --------------------------------------------------------------------------------------


def copied_text(copied: Copied) -> Iterator[str]:
    """What went from one folder to the other."""
    blobs = f"{counted(copied.blobs, 'blob')}, {size(copied.size)}"
    there = f"; {copied.present} were there" if copied.present else ""
    caches = counted(len(copied.caches), "cache")
    yield f"{copied.path} to {copied.dest}: {caches}, {blobs} copied{there}"
    yield from (f"copied {each.name or each.entry.digest}" for each in copied.caches)
