"""A folder that holds BuildKit's local caches: an OCI layout, with a tag for each cache.

The index is changed as ``client/ociindex`` of BuildKit does it (v0.4 to v0.32), so that buildctl
may use the folder at the same time; but here a change appears all at once, or not at all.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from operator import attrgetter
from pathlib import Path

from buildfile.filelock import EXCLUSIVE, SHARED, locked
from buildfile.ocilayout import (
    NAMES,
    TAG,
    BrokenLayoutError,
    Descriptor,
    Index,
    LayoutError,
    read_index,
)
from daemon_shim.mediatypes import OCI_INDEX
from daemon_shim.session.blobs import blob_path

LATEST = "latest"
"""The tag of a cache that is exported or imported without one (client/solve.go, v0.4 and later)."""
INGEST = "ingest"
"""The folder of files that are being written, as in containerd's content store."""

_LAYOUT = "oci-layout"
_LAYOUT_TEXT = b'{"imageLayoutVersion":"1.0.0"}'
INDEX_LOCK = "index.json.lock"
_BLOBS_LOCK = "blobs.lock"
_LOCK_SECONDS = 60.0
_BUSY = {
    INDEX_LOCK: f"another program holds {INDEX_LOCK}",
    _BLOBS_LOCK: "a build or a cleaning uses it",
}

Change = Callable[[tuple[Descriptor, ...]], Iterable[Descriptor]]


class UnwritableLayoutError(LayoutError):
    """The folder cannot be written."""


class BusyLayoutError(LayoutError):
    """Others use the folder and do not let go of it."""


class CacheFolder:
    """The caches in the folder ``path``, which need not exist yet. Raises LayoutError throughout.

    Several threads and processes may use one folder at once.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._folder = Path(path)

    def index(self) -> Index:
        """Read the index; without a folder or a file it has no entries.

        No lock is taken: it could make an export of buildctl fail, which does not wait for one.
        Since buildctl writes in place, what cannot be understood is read again under the lock.
        """
        try:
            return read_index(self.path)
        except BrokenLayoutError:
            with suppress(UnwritableLayoutError, BusyLayoutError), self._held(INDEX_LOCK, SHARED):
                return read_index(self.path)
            raise

    def tags(self) -> Mapping[str, Descriptor]:
        """The caches by their tags."""
        entries = reversed(self.index().entries)  # the first one counts, as in find
        return {cache_tag(each): each for each in entries if cache_tag(each)}

    def find(self, ref: str = LATEST, index: Index | None = None) -> Descriptor | None:
        """The cache of a tag or a digest; None where there is none (yet).

        A name or tag may also be of an image that was exported to the same folder. A digest may be
        one that no entry has: then only its size is known. ``index`` is what was read before.
        """
        entries = (index or self.index()).entries if ref else ()
        matches = (each for name in _NAMES for each in entries if name(each) == ref)
        return next(matches, None) or self._blob(ref)

    def put(self, tag: str, descriptor: Descriptor) -> None:
        """Let ``tag`` name a cache from now on, whose blobs have been written.

        All else in the index stays as it is, and the blobs of what the tag named before stay, too.
        The time of change of the manifest's file becomes that of this export: the cache's age.
        """
        self.add([replace(descriptor, annotations={**descriptor.annotations, TAG: tag})])
        with suppress(OSError):  # another user's file: then the cache is as old as it was
            os.utime(self._folder / blob_path(descriptor.digest))

    def add(self, entries: Iterable[Descriptor]) -> None:
        """Put entries into the index, each in the place of one with the same names."""
        added = {_identity(each): each for each in entries}
        self._change(
            lambda before: (
                *(each for each in before if _identity(each) not in added),
                *added.values(),
            )
        )

    def drop(self, entries: Iterable[Descriptor]) -> None:
        """Take entries out of the index, as far as they are still what they were when read."""
        gone = tuple(entries)
        if gone:
            self._change(lambda before: (each for each in before if each not in gone))

    @contextmanager
    def exporting(self) -> Iterator[None]:
        """Hold the blobs from before the first is written until after ``put``, against ``pruning``.

        Makes the folder. Any number of builds may export and import at once.
        """
        self._make()
        with self._held(_BLOBS_LOCK, SHARED):
            yield

    @contextmanager
    def importing(self) -> Iterator[None]:
        """Hold the blobs while they are read, against ``pruning``.

        A folder that does not exist, or that we may not write, is not held.
        """
        with ExitStack() as held:
            with suppress(UnwritableLayoutError):
                held.enter_context(self._held(_BLOBS_LOCK, SHARED))
            yield

    @contextmanager
    def pruning(self) -> Iterator[None]:
        """Have the blobs alone, to delete some. Raises BusyLayoutError where others use them.

        BuildKit's own clients do not take this lock (v0.32), so that theirs go unnoticed.
        """
        with self._held(_BLOBS_LOCK, EXCLUSIVE, patient=False):
            yield

    def _blob(self, digest: str) -> Descriptor | None:
        try:
            return Descriptor(digest=digest, size=(self._folder / blob_path(digest)).stat().st_size)
        except (ValueError, OSError):
            return None

    def _change(self, change: Change) -> None:
        self._make()
        while not self._swap(change):
            pass  # somebody else was faster: begin again with what is there now

    def _swap(self, change: Change) -> bool:
        """Replace the index, unless it is another one by now.

        It is written before the lock is taken, which buildctl would not wait for: so the lock is
        held for a moment only.
        """
        before = self.index()
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            **before.document,
            "manifests": [each.as_data() for each in change(before.entries)],
        }
        with self._staged(json.dumps(document).encode(), "index.json") as file:
            with self._held(INDEX_LOCK, EXCLUSIVE):
                if read_index(self.path).data != before.data:
                    return False
                self._place(file, "index.json")
            return True

    def _make(self) -> None:
        """Make what makes an OCI layout of the folder, where it is not there."""
        with self._writing(INGEST):
            (self._folder / INGEST).mkdir(parents=True, exist_ok=True)
        layout = self._folder / _LAYOUT
        if not layout.exists() or not layout.stat().st_size:
            with self._staged(_LAYOUT_TEXT, _LAYOUT) as file:
                self._place(file, _LAYOUT)

    @contextmanager
    def _staged(self, data: bytes, name: str) -> Iterator[Path]:
        """Write what shall become the file ``name``, in the place of unfinished files.

        It gets the mode of the file that it stands in for, and the owner if we may give it.
        """
        staged = self._folder / INGEST / f"{name}-{secrets.token_hex(8)}"
        try:
            with self._writing(name), staged.open("xb") as file:
                file.write(data)
                file.flush()
                with suppress(OSError):
                    before = (self._folder / name).stat()
                    os.fchmod(file.fileno(), before.st_mode & 0o777)
                    os.fchown(file.fileno(), before.st_uid, before.st_gid)
                os.fsync(file.fileno())
            yield staged
        finally:
            with suppress(OSError):
                staged.unlink(missing_ok=True)

    def _place(self, staged: Path, name: str) -> None:
        with self._writing(name):
            staged.replace(self._folder / name)
            folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    @contextmanager
    def _held(self, name: str, kind: int, *, patient: bool = True) -> Iterator[None]:
        seconds = _LOCK_SECONDS if patient else 0
        with ExitStack() as held:
            with self._writing(name):
                held.enter_context(locked(str(self._folder / name), kind, seconds=seconds))
            yield

    @contextmanager
    def _writing(self, name: str) -> Iterator[None]:
        """Turn the errors of the system into ours."""
        try:
            yield
        except BlockingIOError as error:
            raise BusyLayoutError(self.path, _BUSY[name]) from error
        except OSError as error:
            reason = f"cannot write {name}: {error.strerror}"
            raise UnwritableLayoutError(self.path, reason) from error


def cache_tag(entry: Descriptor) -> str:
    """The tag of an entry that is a cache, else ''.

    An image that was exported to the folder has a name beside its tag, and both may be there with
    one tag (client/ociindex, v0.19 and later).
    """
    return "" if entry.image else entry.tag


def _identity(entry: Descriptor) -> tuple[str, ...]:
    """What only one entry of an index may have; for one without names it is its digest."""
    names = (entry.image, entry.tag)
    return names if any(names) else (entry.digest,)


_NAMES: tuple[Callable[[Descriptor], str], ...] = (cache_tag, *NAMES, attrgetter("digest"))
"""What ``find`` looks for, in this order."""
