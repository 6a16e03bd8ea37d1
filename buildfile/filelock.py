"""A lock between processes that is a file, such as BuildKit's clients use.

The kernel lets it go when its holder dies, however that happens.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

SHARED, EXCLUSIVE = fcntl.LOCK_SH, fcntl.LOCK_EX
_POLL_SECONDS = 0.01


@contextmanager
def locked(path: str, kind: int, *, seconds: float = 0) -> Iterator[None]:
    """Hold the lock in the file ``path``, ``SHARED`` or ``EXCLUSIVE``; the file is made and stays.

    BuildKit's clients take theirs with flock, do not wait for it, and remove the file when they are
    done (client/ociindex, v0.4 to v0.32). So a lock may turn out to be on a file that is gone, and
    is taken anew. Raises BlockingIOError when others hold it for ``seconds``, and any OSError of
    opening.
    """
    deadline = time.monotonic() + seconds
    while True:
        fd = _open(path)
        try:
            _lock(fd, kind, deadline)
            if _is_at(fd, path):
                yield
                return
        finally:
            os.close(fd)


def _open(path: str) -> int:
    flags = os.O_CREAT | os.O_CLOEXEC
    try:
        return os.open(path, flags | os.O_RDWR, 0o644)  # NFS locks nothing that is read only
    except PermissionError:
        return os.open(path, flags | os.O_RDONLY, 0o644)


def _lock(fd: int, kind: int, deadline: float) -> None:
    while True:
        try:
            return fcntl.flock(fd, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_POLL_SECONDS)


def _is_at(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))  # noqa: PTH116 - beside fstat
    except FileNotFoundError:
        return False
