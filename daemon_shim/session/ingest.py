"""Writing blobs into an OCI layout folder: each is checked, and then appears at once.

What comes is written to a file of its own in ``ingest/``, the folder that containerd's local store
has for it, and renamed to its digest when it is whole. So several builds may write one blob, and a
process that is killed leaves a layout that can be read. Its unfinished file is removed by the next
build that writes there: a file is locked for as long as somebody writes to it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import threading
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from daemon_shim.session.blobs import blob_path, open_blob

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PARTIAL = ".partial"
_DEFAULT = "sha256"


class WrongBlobError(Exception):
    """What came is not what was announced."""


class Ingest:
    """The folder of a layout that blobs are written to. It is made for the first of them.

    ``error`` is why a blob could not be written, the first reason. ``newest`` is the digest of the
    blob that was offered last, whether it was there already or not: a cache's manifest comes after
    all that it names (cache/remotecache/export.go, v0.4 to v0.32). A folder that is not ``lasting``
    is gone after the run, and need not outlive a power failure.
    """

    def __init__(self, folder: str | os.PathLike[str], *, lasting: bool = True) -> None:
        self.folder = Path(folder)
        self.lasting = lasting
        self.error: OSError | None = None
        self.newest = ""
        self._lock = threading.Lock()
        self._ready = False

    def holds(self, digest: str, size: int = 0) -> bool:
        """Whether a blob is there, of ``size`` bytes unless that is 0.

        Raises ValueError for what is no digest, and OSError.
        """
        try:
            fd = open_blob(self.folder, digest)
        except (FileNotFoundError, NotADirectoryError):
            return False
        try:
            return size in (0, os.fstat(fd).st_size)
        finally:
            os.close(fd)

    def begin(self, algorithm: str = _DEFAULT) -> Upload:
        """Start to write a blob. Raises OSError, also where the layout is a symlink within."""
        with self._lock:
            if not self._ready:
                self.folder.mkdir(parents=True, exist_ok=True)
                with self.part("ingest") as ingest:
                    _sweep(ingest)
                self._ready = True
        return Upload(self, algorithm)

    @contextlib.contextmanager
    def part(self, *names: str) -> Iterator[int]:
        """The descriptor of a folder in the layout, which is made if need be."""
        fd = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for name in names:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, dir_fd=fd)
                deeper = os.open(name, _FOLDER, dir_fd=fd)
                os.close(fd)
                fd = deeper
            yield fd
        finally:
            os.close(fd)


class Upload:
    """A blob on its way. Its methods block, and may be called on any thread, one at a time.

    ``close`` is the exception: it never blocks, and may come while another method is at work.
    """

    def __init__(self, ingest: Ingest, algorithm: str) -> None:
        self.size = 0
        self._ingest = ingest
        self._hash = hashlib.new(algorithm)
        self._algorithm = algorithm
        self._lock = threading.Lock()
        self._closing = False
        with ingest.part("ingest") as folder:
            self._name, self._fd = _new_file(folder)

    def write(self, pieces: Sequence[bytes | memoryview]) -> None:
        """Append ``pieces``. Raises OSError."""
        with self._at_work():
            for piece in pieces:
                _write_all(self._fd, piece)
                self._hash.update(piece)
                self.size += len(piece)

    def restart(self) -> None:
        """Forget what came. Raises OSError."""
        with self._at_work():
            os.ftruncate(self._fd, 0)
            os.lseek(self._fd, 0, os.SEEK_SET)
            self._hash = hashlib.new(self._algorithm)
            self.size = 0

    def commit(self, digest: str = "", size: int = 0) -> str:
        """Put the blob in its place, and return its digest. Nothing can be written after that.

        ``digest`` and ``size`` are what it has to have; '' and 0 take it as it came. Raises
        WrongBlobError, ValueError for what is no digest, and OSError.
        """
        with self._at_work():
            actual = f"{self._algorithm}:{self._hash.hexdigest()}"
            if size not in (0, self.size):
                raise WrongBlobError(f"{self.size} bytes came instead of {size}")
            if digest not in ("", actual):
                raise WrongBlobError(f"{actual} came instead of {digest}")
            _, algorithm, name = blob_path(actual).split("/")
            os.fchmod(self._fd, os.fstat(self._fd).st_mode & 0o444)
            if self._ingest.lasting:
                os.fsync(self._fd)  # else a power failure may leave an empty file of that name
            with self._ingest.part("ingest") as source, self._ingest.part("blobs", algorithm) as to:
                os.rename(self._name, name, src_dir_fd=source, dst_dir_fd=to)
            os.close(self._fd)
            self._fd = -1
            return actual

    def close(self) -> None:
        """Drop what is not committed."""
        self._closing = True
        self._drop()

    @contextlib.contextmanager
    def _at_work(self) -> Iterator[None]:
        try:
            with self._lock:
                if self._fd < 0:
                    raise WrongBlobError("the upload has ended")
                yield
        finally:
            if self._closing:
                self._drop()

    def _drop(self) -> None:
        """Remove the file, unless a method is at work: that one does it when it is done."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1
                with contextlib.suppress(OSError), self._ingest.part("ingest") as folder:
                    os.unlink(self._name, dir_fd=folder)
        finally:
            self._lock.release()


def algorithm_of(digest: str) -> str:
    """The algorithm that a digest names, the usual one for ''. Raises ValueError."""
    if not digest:
        return _DEFAULT
    blob_path(digest)
    return digest.partition(":")[0]


def _new_file(folder: int) -> tuple[str, int]:
    """Make an empty file, locked by its descriptor."""
    while True:
        name = f"{uuid.uuid4().hex}{_PARTIAL}"
        fd = os.open(name, _NEW, 0o666, dir_fd=folder)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(fd).st_nlink:
                return name, fd
        except BlockingIOError:
            pass
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)  # somebody swept it away before it was locked


def _sweep(folder: int) -> None:
    """Remove the files that nobody writes to any more."""
    for name in os.listdir(folder):
        if not name.endswith(_PARTIAL):
            continue
        with contextlib.suppress(OSError):
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(name, dir_fd=folder)
            finally:
                os.close(fd)


def _write_all(fd: int, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
