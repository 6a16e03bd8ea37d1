"""The walk over a local source: its files as STAT packets, in the order the protocol wants.

By path component, each folder before what is in it. Packets are joined to batches, because the
cost of a message is what decides a sync's speed.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from typing import TypeAlias

from daemon_shim.session import diffcopy
from daemon_shim.session.root import Root
from daemon_shim.session.selection import Selection, State

_BATCH = 64 << 10
_OPEN_LEVELS = 64
_KIND = 0o170000  # S_IFMT
_NO_XATTRS = (errno.ENOTSUP, errno.ENOSYS)
_SKIPPED_XATTRS = "com.apple."


class SourceError(Exception):
    """A file of a source that cannot be sent: its path in the source, and why."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{_shown(path)}: {reason}")
        self.path = path
        self.reason = reason

    @classmethod
    def of(cls, path: str, error: OSError) -> SourceError:
        """Wrap what the system said."""
        return cls(path, (error.strerror or str(error)).lower())


Listed: TypeAlias = tuple[str, str, int]
"""A file whose data the daemon may ask for: folder, name, and its size in bytes when listed."""


class _Level:
    """A folder on the way from the root to where the walk is."""

    def __init__(self, root: Root, path: str, state: State) -> None:
        self._root = root
        self.path = path
        self.prefix = f"{path}/" if path else ""
        self.state = state
        self.announced = True
        self._fd = root.open_folder(path)
        try:
            with os.scandir(self._fd) as entries:
                found = sorted((e.name, e.is_dir(follow_symlinks=False)) for e in entries)
        except BaseException:
            self.close()
            raise
        self.entries: Iterator[tuple[str, bool]] = iter(found)

    @property
    def fd(self) -> int:
        """The folder's descriptor, opened again if need be."""
        if self._fd < 0:
            self._fd = self._root.open_folder(self.path)
        return self._fd

    def close(self) -> None:
        """Close the descriptor; it may be asked for again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Walk:
    """Iterates over batches of STAT packets of about 64 KiB, without the last, empty one."""

    def __init__(self, root: Root, selection: Selection) -> None:
        self.files: dict[int, Listed] = {}
        """By id (the place among the packets), the files that may be asked for."""
        self._root = root
        self._selection = None if selection.everything else selection
        self._start = selection.start
        self._stack: list[_Level] = []
        self._unannounced = False
        self._count = 0
        self._modes: dict[int, bytes] = {}
        self._links: dict[tuple[int, int], bytes] = {}
        self._out: list[bytes] = []
        self._size = 0

    def __iter__(self) -> Iterator[bytes]:
        """Walk. Raises SourceError for a file or folder that cannot be read or named."""
        self._stack = [self._top()]
        try:
            while self._stack or self._size:
                if not self._stack or self._size >= _BATCH:
                    yield b"".join(self._out)
                    self._out, self._size = [], 0
                else:
                    self._go_on(self._stack[-1])
        finally:
            self.close()

    def _top(self) -> _Level:
        try:
            return _Level(self._root, "", self._start)
        except OSError as error:
            raise SourceError.of(self._root.path, error) from error

    def close(self) -> None:
        """Free the descriptors."""
        for level in self._stack:
            level.close()
        self._stack = []

    def _go_on(self, level: _Level) -> None:
        """Put out packets until the next folder, which is put on the stack, or a full batch."""
        for name, listed_as_folder in level.entries:
            is_folder = listed_as_folder
            path = level.prefix + name
            keep = descend = True
            state = level.state
            if self._selection is not None:
                keep, descend, state = self._selection.judge(path, state)
            if keep:
                if self._unannounced:
                    self._announce()
                try:
                    is_folder = self._put_entry(level, name, path)
                except FileNotFoundError:
                    continue  # removed since the folder was listed
                except OSError as error:
                    raise SourceError.of(path, error) from error
            if is_folder and descend and self._enter(path, state, kept=keep):
                return
            if self._size >= _BATCH:
                return
        level.close()
        self._stack.pop()

    def _enter(self, path: str, state: State, *, kept: bool) -> bool:
        try:
            level = _Level(self._root, path, state)
        except FileNotFoundError:
            return False
        except PermissionError as error:
            if kept:
                raise SourceError.of(path, error) from error
            return False  # as Go's clients: nobody asked for the folder itself
        except OSError as error:
            raise SourceError.of(path, error) from error
        level.announced = kept
        self._unannounced = self._unannounced or not kept
        self._stack.append(level)
        if len(self._stack) > _OPEN_LEVELS:
            self._stack[-_OPEN_LEVELS].close()
        return True

    def _announce(self) -> None:
        """Put out the folders that were left out until something in them was kept."""
        self._unannounced = False
        for level in self._stack:
            if not level.announced:
                level.announced = True
                self._put_folder(level)

    def _put_folder(self, level: _Level) -> None:
        try:
            status = os.fstat(level.fd)
            rest = self._xattrs(level.path)
        except OSError as error:
            raise SourceError.of(level.path, error) from error
        self._put(_wire(level.path), 0, status, rest)

    def _put_entry(self, level: _Level, name: str, path: str) -> bool:
        """Put out an entry; return whether it is a folder."""
        status = os.stat(name, dir_fd=level.fd, follow_symlinks=False)
        wire = _wire(path)
        size = status.st_size
        kind = status.st_mode & _KIND
        rest = self._xattrs(path)
        if kind == stat.S_IFREG:
            self.files[self._count] = (level.path, name, size)
            if status.st_nlink > 1:
                rest += self._hard_link(status, wire)
        elif kind == stat.S_IFDIR:
            size = 0
        else:
            rest += self._special(level, name, path, status)
        self._put(wire, size, status, rest)
        return kind == stat.S_IFDIR

    def _put(self, wire: bytes, size: int, status: os.stat_result, rest: bytes) -> None:
        unix_mode = status.st_mode
        mode = self._modes.get(unix_mode)
        if mode is None:
            mode = self._modes[unix_mode] = diffcopy.mode_field(unix_mode)
        packet = diffcopy.stat_packet(wire, mode, size, status.st_mtime_ns, rest)
        self._count += 1
        self._out.append(packet)
        self._size += len(packet)

    def _special(self, level: _Level, name: str, path: str, status: os.stat_result) -> bytes:
        """The fields of a symlink, device, fifo or socket."""
        kind = status.st_mode & _KIND
        if kind == stat.S_IFLNK:
            return diffcopy.link_field(_wire(os.readlink(name, dir_fd=level.fd), path))
        if kind == stat.S_IFSOCK:
            self.files[self._count] = (level.path, name, 0)
        return _device(status, kind) + self._hard_link(status, _wire(path))

    def _hard_link(self, status: os.stat_result, wire: bytes) -> bytes:
        if status.st_nlink < 2:
            return b""
        first = self._links.setdefault((status.st_dev, status.st_ino), wire)
        return b"" if first is wire else diffcopy.link_field(first)

    def _xattrs(self, path: str) -> bytes:
        """The extended attributes, as Go's clients send them; a value that cannot be read is not
        there for this user.
        """
        full = f"{self._root.path}/{path}"
        try:
            names = os.listxattr(full, follow_symlinks=False)
        except OSError as error:
            if error.errno in _NO_XATTRS:
                return b""
            raise
        return self._xattr_values(full, names) if names else b""

    def _xattr_values(self, full: str, names: list[str]) -> bytes:
        found = {}
        for name in names:
            if name.startswith(_SKIPPED_XATTRS):
                continue
            try:
                found[os.fsencode(name)] = os.getxattr(full, name, follow_symlinks=False)
            except OSError:
                continue
        return diffcopy.xattr_field(found)


def _device(status: os.stat_result, kind: int) -> bytes:
    if kind not in (stat.S_IFCHR, stat.S_IFBLK):
        return b""
    return diffcopy.device_field(os.major(status.st_rdev), os.minor(status.st_rdev))


def _wire(text: str, path: str | None = None) -> bytes:
    """Encode a name for a protobuf string. Raises SourceError if it is not UTF-8."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        what = "the name is" if path is None else "the symlink's target is"
        raise SourceError(path or text, f"{what} not UTF-8, which a daemon needs") from error


def _shown(path: str) -> str:
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
