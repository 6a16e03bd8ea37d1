"""A folder that is left by no way: files below it are reached through descriptors only.

Every component is opened from its parent's descriptor and never as a symlink, so that nothing
outside is read even if somebody swaps a folder for a link while it is being sent.
"""

from __future__ import annotations

import os
from collections import OrderedDict

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: should a fifo have taken the file's place, opening it must not wait for a writer.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_KEPT = 32


class Root:
    """An opened folder. All paths are relative to it, clean, with ``/``; "" is itself.

    Methods raise OSError, also where a component of a path is a symlink.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._folders: OrderedDict[str, int] = OrderedDict()

    def open_folder(self, path: str) -> int:
        """Return a new descriptor of a folder."""
        fd = os.dup(self._fd)
        for part in path.split("/") if path else ():
            try:
                deeper = os.open(part, _FOLDER, dir_fd=fd)
            finally:
                os.close(fd)
            fd = deeper
        return fd

    def open_file(self, folder: str, name: str) -> int:
        """Return a new descriptor of a file in a folder."""
        return os.open(name, _FILE, dir_fd=self._kept(folder))

    def stat(self, path: str) -> os.stat_result:
        """Return what is at a path, a symlink unresolved."""
        folder, _, name = path.rpartition("/")
        return os.stat(name, dir_fd=self._kept(folder), follow_symlinks=False)

    def readlink(self, path: str) -> str:
        """Return the target of the symlink at a path."""
        folder, _, name = path.rpartition("/")
        return os.readlink(name, dir_fd=self._kept(folder))

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder."""
        with os.scandir(self._kept(folder)) as entries:
            return [entry.name for entry in entries]

    def close(self) -> None:
        """Close all descriptors."""
        for fd in (*self._folders.values(), self._fd):
            os.close(fd)
        self._folders.clear()

    def _kept(self, folder: str) -> int:
        """A folder's descriptor, the lately used ones kept open."""
        fd = self._folders.get(folder)
        if fd is not None:
            self._folders.move_to_end(folder)
            return fd
        fd = self._folders[folder] = self.open_folder(folder)
        if len(self._folders) > _KEPT:
            os.close(self._folders.popitem(last=False)[1])
        return fd
