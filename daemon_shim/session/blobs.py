"""The blobs of an OCI layout folder: ``blobs/ALGORITHM/HEX``, and nothing else in it."""

from __future__ import annotations

import errno
import os
import re
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from daemon_shim.session.root import Root

ALGORITHMS = {"sha256": 64, "sha384": 96, "sha512": 128}
"""Those that daemons know (opencontainers/go-digest), with the number of their hex digits."""

_HEX = re.compile("[0-9a-f]+")
_LINKED = frozenset({errno.ELOOP, errno.ENOTDIR, errno.EMLINK})
"""What opening a symlink as what it is not gives, by system: then the slow way finds the blob."""


def blob_path(digest: str) -> str:
    """The place of a blob in a layout; raises ValueError for what is no digest."""
    algorithm, _, digits = digest.partition(":")
    if len(digits) != ALGORITHMS.get(algorithm) or not _HEX.fullmatch(digits):
        raise ValueError(f"{digest!r} is not a digest")
    return f"blobs/{algorithm}/{digits}"


def open_blob(layout: Path, digest: str) -> int:
    """Return a new descriptor of a blob, which is a plain file.

    A symlink is followed only to what is in the folder. Raises ValueError for what is no digest,
    PermissionError where a symlink leads out, and any other OSError of opening.
    """
    path = blob_path(digest)
    try:
        fd = _open_below(os.fspath(layout), path)
    except OSError as error:
        if error.errno not in _LINKED:
            raise
        fd = _open_below(*_resolved(layout, path, digest))
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise FileNotFoundError(f"blob {digest} is not a file")
    return fd


def _open_below(folder: str, path: str) -> int:
    root = Root(folder)
    try:
        return root.open_file(*os.path.split(path))
    finally:
        root.close()


def _resolved(layout: Path, path: str, digest: str) -> tuple[str, str]:
    """The folder and the blob's path below it, without symlinks."""
    folder = os.path.realpath(layout)
    place = os.path.realpath(f"{folder}/{path}")
    if os.path.commonpath((folder, place)) != folder:
        raise PermissionError(f"the symlink of blob {digest} leads out of the layout")
    return folder, os.path.relpath(place, folder)


@dataclass(frozen=True, kw_only=True)
class Store:
    """The blobs of the layout in ``folder``, and those of ``documents``, small ones by digest."""

    folder: Path
    documents: Mapping[str, bytes] = field(default_factory=dict)

    def open(self, digest: str) -> int:
        """Return a new descriptor of a blob. Raises as ``open_blob`` does."""
        if digest not in self.documents:
            return open_blob(self.folder, digest)
        with tempfile.TemporaryFile() as file:
            file.write(self.documents[digest])
            file.flush()
            return os.dup(file.fileno())
