"""A folder being filled with what a daemon sends, which can never write outside of it.

Every entry is made by its name alone, relative to the descriptor of its parent folder, and a
parent is opened component by component without following symbolic links. So no path, and no link
made on the way, leads out. Owners are ours, as with buildctl.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from daemon_shim.session.packets import Stat

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_FOLDERS = 64

# Go's io/fs mode bits, of which the protocol's modes consist.
GO_DIR = 1 << 31
GO_SYMLINK = 1 << 27
GO_DEVICE = 1 << 26
GO_FIFO = 1 << 25
GO_SOCKET = 1 << 24
GO_CHAR_DEVICE = 1 << 21
GO_IRREGULAR = 1 << 19
GO_TYPE = GO_DIR | GO_SYMLINK | GO_DEVICE | GO_FIFO | GO_SOCKET | GO_CHAR_DEVICE | GO_IRREGULAR
_SPECIAL_BITS = {1 << 23: stat.S_ISUID, 1 << 22: stat.S_ISGID, 1 << 20: stat.S_ISVTX}


def posix_mode(mode: int) -> int:
    """Return the permissions of a Go mode as chmod takes them."""
    bits = mode & 0o777
    if mode & ~(GO_TYPE | 0o777):
        for go, posix in _SPECIAL_BITS.items():
            if mode & go:
                bits |= posix
    return bits


class Folder:
    """A folder of the tree; its mode and times are set when all is there."""

    __slots__ = ("depth", "fd", "name", "parent", "path", "stat")

    def __init__(self, parent: Folder | None, name: bytes, stat_: Stat | None) -> None:
        self.parent = parent
        self.name = name
        self.stat = stat_
        self.path = stat_.path if stat_ else b""
        self.depth: int = parent.depth + 1 if parent else 0
        self.fd = -1


class Tree:
    """The folder at ``root`` and what is made in it. All methods may raise OSError."""

    def __init__(self, root: Path) -> None:
        self.root = Folder(None, b"", None)
        self._root_fd = os.open(root, _FOLDER)
        self._open: dict[Folder, None] = {}
        self._folders: list[Folder] = []

    def close(self) -> None:
        """Close what is open. More than once does no harm."""
        self._close_folders()
        if self._root_fd >= 0:
            os.close(self._root_fd)
            self._root_fd = -1

    def move(self, root: Path) -> None:
        """Go on with another folder that has the same folders."""
        self.close()
        self._root_fd = os.open(root, _FOLDER)

    def folder(self, parent: Folder, name: bytes, entry: Stat) -> Folder:
        """Make a folder, or take one that another stream made."""
        made = Folder(parent, name, entry)
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=self._fd(parent))
        self._fd(made)
        self._folders.append(made)
        return made

    def create(self, parent: Folder, name: bytes) -> int:
        """Make a file; return its descriptor, to be given to ``seal`` and closed."""
        return os.open(name, _NEW_FILE, 0o600, dir_fd=self._fd(parent))

    def symlink(self, parent: Folder, name: bytes, entry: Stat) -> None:
        """Make a symbolic link. Nothing here ever follows it."""
        folder = self._fd(parent)
        os.symlink(entry.linkname, name, dir_fd=folder)
        os.utime(name, ns=(entry.mtime, entry.mtime), dir_fd=folder, follow_symlinks=False)

    def special(self, parent: Folder, name: bytes, entry: Stat) -> None:
        """Make a FIFO or a device."""
        folder = self._fd(parent)
        kind = stat.S_IFBLK
        if entry.mode & GO_FIFO:
            kind = stat.S_IFIFO
        elif entry.mode & GO_CHAR_DEVICE:
            kind = stat.S_IFCHR
        os.mknod(name, kind | 0o600, os.makedev(*entry.device), dir_fd=folder)
        os.chmod(name, posix_mode(entry.mode), dir_fd=folder)
        os.utime(name, ns=(entry.mtime, entry.mtime), dir_fd=folder)

    def link(self, parent: Folder, name: bytes, target: bytes) -> None:
        """Make a hard link to another file of the tree, by its path in the tree."""
        *parents, base = target.split(b"/")
        source = self._descend(parents)
        try:
            os.link(
                base, name, src_dir_fd=source, dst_dir_fd=self._fd(parent), follow_symlinks=False
            )
        finally:
            os.close(source)

    def settle(self) -> None:
        """Give all folders their modes and times, the inner ones first."""
        once = {folder.path: folder for folder in self._folders}
        for folder in sorted(once.values(), key=lambda one: one.depth, reverse=True):
            assert folder.stat is not None  # noqa: S101 - only the root has none
            seal(self._fd(folder), folder.stat)

    def _descend(self, names: Iterable[bytes]) -> int:
        at = os.dup(self._root_fd)
        for name in names:
            try:
                inner = os.open(name, _FOLDER, dir_fd=at)
            finally:
                os.close(at)
            at = inner
        return at

    def _fd(self, folder: Folder) -> int:
        """Return a folder's descriptor; a few are kept open, as entries come folder by folder."""
        if folder.fd >= 0:
            return folder.fd
        if folder.parent is None:
            return self._root_fd
        fd = os.open(folder.name, _FOLDER, dir_fd=self._fd(folder.parent))
        if len(self._open) >= _OPEN_FOLDERS:
            self._close_folder(next(iter(self._open)))
        folder.fd = fd
        self._open[folder] = None
        return fd

    def _close_folder(self, folder: Folder) -> None:
        del self._open[folder]
        os.close(folder.fd)
        folder.fd = -1

    def _close_folders(self) -> None:
        for folder in list(self._open):
            self._close_folder(folder)


def seal(fd: int, entry: Stat) -> None:
    """Give a file or folder its extended attributes, mode and times.

    Attributes that the file system refuses are left out, as with buildctl. They go first, for an
    access list changes the mode.
    """
    for name, value in entry.xattrs.items():
        with contextlib.suppress(OSError, ValueError):
            os.setxattr(fd, name, value)
    os.fchmod(fd, posix_mode(entry.mode))
    os.utime(fd, ns=(entry.mtime, entry.mtime))
