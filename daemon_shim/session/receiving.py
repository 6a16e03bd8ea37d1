"""The receiving sides of FileSend/DiffCopy: a tree (local exporter) or one file's bytes.

The tree's protocol is fsutil's, with the daemon as its sender (send.go, all releases): it announces
entries in order, we ask for files by their index, it sends their pieces and an empty one as the
end; our FIN says that all is there, and its FIN ends the call, for it never half-closes. What is
made of a tree is for ``TreeReceiver`` here, or ``daemon_shim.session.archive``.
"""

from __future__ import annotations

import contextlib
import errno
import os
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Protocol

from daemon_shim.session import diffcopy, packets
from daemon_shim.session.packets import PacketError, Stat
from daemon_shim.session.service import Call, RpcError
from daemon_shim.session.sinks import Failure, Sink, write_all
from daemon_shim.session.tree import (
    GO_DEVICE,
    GO_DIR,
    GO_FIFO,
    GO_SYMLINK,
    GO_TYPE,
    Folder,
    Tree,
    seal,
)

_MAX_DEPTH = 400  # moving a tree into place needs descriptors for each level
_REQUESTS = 16  # joined into one write while others are on their way
_ON_THE_WAY = 128
"""How many files are asked for and not yet there, at most. The daemon queues as many requests; with
more it waits for good once its stream is broken (fsutil's send.go, ``sendpipeline``, v0.3 to v0.32;
seen on v0.17.3), so that neither a failure here nor a client that goes away would end its build.
"""

_UNKNOWN = 2
_STATUS_OF = {
    errno.ENOSPC: 8,  # RESOURCE_EXHAUSTED
    errno.EDQUOT: 8,
    errno.EMFILE: 8,
    errno.EACCES: 7,  # PERMISSION_DENIED
    errno.EPERM: 7,
    errno.EROFS: 7,
}


class Report(Protocol):
    """Where a receiver says what became of its stream."""

    def complete(self) -> None:
        """All of the stream is there."""

    def fail(self, reason: str) -> None:
        """The stream failed. Only the first reason counts."""

    def warn(self, text: str) -> None:
        """Something was left out."""


class Receiver:
    """What all kinds share: any failure is reported, and ends the call with its status."""

    def __init__(self, call: Call, report: Report) -> None:
        self.call = call
        self.report = report
        self._over = False

    def _attempt(self, work: Callable[[], None]) -> None:
        try:
            work()
        except PacketError as error:
            raise self._failure(f"the daemon broke the protocol: {error}") from error
        except OSError as error:
            raise self.os_failure(error) from error

    def _failure(self, reason: str, code: int = _UNKNOWN, told: str = "") -> RpcError:
        """Report ``reason`` and return the error for the daemon, which is told no local path."""
        self._over = True
        self.report.fail(reason)
        return RpcError(code, f"client: {told or reason}")

    def os_failure(self, error: OSError) -> RpcError:
        """Report that the output cannot be written."""
        text = error.strerror or str(error)
        name = error.filename2 or error.filename
        where = f" ({os.fsdecode(name)})" if isinstance(name, (str, bytes)) else ""
        code = _STATUS_OF.get(error.errno or 0, _UNKNOWN)
        return self._failure(f"{text}{where}", code, f"cannot write the output: {text}")

    def _complete(self) -> None:
        self._over = True
        self.report.complete()

    def half_closed(self) -> None:
        """The daemon sends no more."""
        if not self._over:
            raise self._failure("the daemon stopped sending before the end")
        self.call.finish()

    def writable(self) -> None:
        """Nothing waits to be sent."""

    def closed(self) -> None:
        """Note a call that was broken off."""
        if not self._over:
            self._over = True
            self.report.fail("the daemon broke off before the end")


class BytesReceiver(Receiver):
    """Takes one file's bytes into a sink."""

    def __init__(self, call: Call, report: Report, open_sink: Callable[[Failure], Sink]) -> None:
        super().__init__(call, report)
        self._sink = open_sink(self.os_failure)

    def message(self, data: memoryview) -> None:
        """Write one message's bytes."""
        self._attempt(lambda: self._take(data))

    def _take(self, data: memoryview) -> None:
        _, blobs, _ = packets.scan(data)
        piece = blobs.get(packets.BYTES_DATA)
        if piece:
            self._sink.write(piece)

    def half_closed(self) -> None:
        """All bytes came; the call ends when they are written."""
        if not self._over:
            self._sink.end(self._written)

    def _written(self) -> None:
        self._complete()
        self.call.finish()


class TreePackets(Receiver, ABC):
    """Follows the protocol of a tree. What becomes of its entries is for subclasses."""

    def __init__(self, call: Call, report: Report) -> None:
        super().__init__(call, report)
        self.all_listed = False
        """Whether all entries came."""
        self._count = 0

    def message(self, data: memoryview) -> None:
        """Take one packet."""
        self._attempt(lambda: self._packet(data))

    def finish(self) -> None:
        """Tell the daemon that all is there."""
        # Complete before the daemon hears of it: it may end the solve before its FIN is here.
        self._complete()
        self.call.send_framed(diffcopy.FINISHED)

    @abstractmethod
    def entry(self, number: int, entry: Stat) -> None:
        """An entry came; ``number`` asks for its content."""

    @abstractmethod
    def listed(self) -> None:
        """The last entry came."""

    @abstractmethod
    def content(self, number: int, data: memoryview | None) -> None:
        """A piece of a file that was asked for came, or with None its end."""

    def _packet(self, data: memoryview) -> None:
        numbers, blobs, _ = packets.scan(data)
        kind = numbers.get(packets.PACKET_TYPE, diffcopy.STAT)
        if kind == diffcopy.DATA:
            self.content(numbers.get(packets.PACKET_ID, 0), blobs.get(packets.PACKET_DATA))
        elif kind == diffcopy.STAT:
            self._stat(blobs.get(packets.PACKET_STAT))
        elif kind == diffcopy.FIN:
            self._fin()
        elif kind == diffcopy.ERR:
            text = bytes(blobs.get(packets.PACKET_DATA, b"")).decode("utf-8", "replace")
            raise self._failure(f"the daemon failed to send: {text}")
        else:
            raise PacketError(f"a packet of type {kind}")

    def _stat(self, data: memoryview | None) -> None:
        if self.all_listed:
            raise PacketError("an entry after the last")
        if data is None:
            self.all_listed = True
            self.listed()
            return
        self.entry(self._count, packets.read_stat(bytes(data)))
        self._count += 1

    def _fin(self) -> None:
        if not self._over:
            raise PacketError("an end before the end")
        self.call.finish()


class _File:
    """A file that was asked for."""

    __slots__ = ("entry", "fd", "folder", "name", "size")

    def __init__(self, folder: Folder, name: bytes, entry: Stat) -> None:
        self.folder = folder
        self.name = name
        self.entry = entry
        self.fd = -1
        self.size = 0


class TreeReceiver(TreePackets):
    """Takes a tree into a folder.

    ``devices`` allows device nodes; otherwise they are left out with a warning.
    """

    def __init__(self, call: Call, report: Report, tree: Tree, *, devices: bool) -> None:
        super().__init__(call, report)
        self._tree = tree
        self._devices = devices
        self._place = Place(tree.root)
        self._files: dict[int, _File] = {}
        self._links: list[tuple[Folder, bytes, bytes]] = []
        self._wanted: deque[tuple[int, _File]] = deque()

    def listed(self) -> None:
        """Ask for the last files."""
        self._ask()
        self._end_if_all()

    def entry(self, number: int, entry: Stat) -> None:
        """Make an entry, or ask for its content."""
        folder, name = self._place.of(entry.path)
        kind = entry.mode & GO_TYPE
        if kind == GO_DIR:
            self._place.enter(self._tree.folder(folder, name, entry))
        elif kind == GO_SYMLINK:
            self._tree.symlink(folder, name, entry)
        elif entry.linkname:
            self._links.append((folder, name, entry.linkname))
        elif not kind:
            self._wanted.append((number, _File(folder, name, entry)))
            if not self._files or len(self._wanted) >= _REQUESTS:
                self._ask()
        elif kind == GO_FIFO or (kind & GO_DEVICE and self._devices):
            self._tree.special(folder, name, entry)
        else:
            self.report.warn(f"{os.fsdecode(entry.path)}: special files are not written")

    def _ask(self) -> None:
        """Ask for as many files as may be on their way."""
        asked = bytearray()
        while self._wanted and len(self._files) < _ON_THE_WAY:
            number, file = self._wanted.popleft()
            self._files[number] = file
            asked += packets.framed_request(number)
        if asked:
            self.call.send_framed(asked)

    def content(self, number: int, data: memoryview | None) -> None:
        """Write a piece of a file."""
        file = self._files.get(number)
        if file is None:
            raise PacketError(f"data of entry {number}, which was not asked for")
        if self._wanted:
            self._ask()
        if file.fd < 0:
            file.fd = self._tree.create(file.folder, file.name)
        if data:
            file.size += len(data)
            write_all(file.fd, data)
            return
        self._end(number, file)

    def _end(self, number: int, file: _File) -> None:
        if file.size < file.entry.size:
            raise PacketError(f"{os.fsdecode(file.entry.path)} is shorter than announced")
        seal(file.fd, file.entry)
        fd, file.fd = file.fd, -1
        del self._files[number]
        os.close(fd)
        self._end_if_all()

    def _end_if_all(self) -> None:
        if not self.all_listed or self._files or self._wanted:
            return
        for folder, name, target in self._links:
            check_link(target)
            self._tree.link(folder, name, target)
        self.finish()

    def closed(self) -> None:
        """Close the files that are still open."""
        super().closed()
        for file in self._files.values():
            if file.fd >= 0:
                with contextlib.suppress(OSError):
                    os.close(file.fd)
        self._files.clear()


class Place:
    """Where the stream stands: entries come sorted, each in a folder that came before."""

    def __init__(self, root: Folder) -> None:
        self._folders = [root]
        self._last = [b""]

    def of(self, path: bytes) -> tuple[Folder, bytes]:
        """Return the folder and the name that ``path`` means. Raises PacketError."""
        parent, slash, name = path.rpartition(b"/")
        while self._folders[-1].path != parent and len(self._folders) > 1:
            self._folders.pop()
            self._last.pop()
        if self._folders[-1].path != parent or (slash and not parent) or name <= self._last[-1]:
            raise PacketError(f"{_shown(path)} is not in order, or its folder is not there")
        _check_name(path, name)
        self._last[-1] = name
        return self._folders[-1], name

    def enter(self, folder: Folder) -> None:
        """Expect what is in ``folder`` next."""
        if folder.depth > _MAX_DEPTH:
            raise PacketError(
                f"{_shown(folder.path)} is too deep: {_MAX_DEPTH} folders are allowed"
            )
        self._folders.append(folder)
        self._last.append(b"")


def _check_name(path: bytes, name: bytes) -> None:
    if name in (b"", b".", b"..") or b"\0" in name:
        raise PacketError(f"{_shown(path)} is not a path")


def check_link(target: bytes) -> None:
    """Raise PacketError if a hard link's target is no path in the tree."""
    for name in target.split(b"/"):
        _check_name(target, name)


def _shown(path: bytes) -> str:
    """Return a path for a message, in one line of printable text."""
    return repr(os.fsdecode(path[:200]))
