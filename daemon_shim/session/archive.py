"""A tree that a local exporter sends, made into a tar archive as it comes.

For daemons without a tar exporter (before v0.5). What stands in the archive is what theirs would
write of the same tree (fsutil's tarwriter.go): the entries in their order, owners as numbers, times
in whole seconds, extended attributes as ``SCHILY.xattr`` records.
"""

from __future__ import annotations

import os
import tarfile
from collections import deque
from collections.abc import Callable

from daemon_shim.session import packets
from daemon_shim.session.packets import PacketError, Stat
from daemon_shim.session.receiving import Place, Report, TreePackets, check_link
from daemon_shim.session.service import Call
from daemon_shim.session.sinks import Failure, Sink
from daemon_shim.session.tree import (
    GO_CHAR_DEVICE,
    GO_DEVICE,
    GO_DIR,
    GO_FIFO,
    GO_SYMLINK,
    GO_TYPE,
    Folder,
    posix_mode,
)

# Small files are asked for before it is their turn, and kept until then: so many, of so many bytes.
_AHEAD_FILES = 64
_AHEAD_BYTES = 4 << 20
_SECOND = 1_000_000_000
_END = bytes(2 * tarfile.BLOCKSIZE)


class _Member:
    """An entry that is not in the archive yet, with what came of its content."""

    __slots__ = ("begun", "came", "entry", "kept", "number", "whole")

    def __init__(self, number: int, entry: Stat, *, whole: bool) -> None:
        self.number = number
        self.entry = entry
        self.kept = bytearray()
        self.came = 0
        self.begun = False
        self.whole = whole


class ArchiveReceiver(TreePackets):
    """Takes a tree and writes an archive of it to a sink."""

    def __init__(self, call: Call, report: Report, open_sink: Callable[[Failure], Sink]) -> None:
        super().__init__(call, report)
        self._sink = open_sink(self.os_failure)
        self._place = Place(Folder(None, b"", None))
        self._members: deque[_Member] = deque()
        self._wanted: deque[_Member] = deque()
        self._asked: dict[int, _Member] = {}
        self._ahead = 0

    def entry(self, number: int, entry: Stat) -> None:
        """Queue an entry behind those before it."""
        folder, name = self._place.of(entry.path)
        kind = entry.mode & GO_TYPE
        if kind == GO_DIR:
            self._place.enter(Folder(folder, name, entry))
        if entry.linkname and kind != GO_SYMLINK:
            check_link(entry.linkname)
        elif kind & ~(GO_DIR | GO_SYMLINK | GO_DEVICE | GO_CHAR_DEVICE | GO_FIFO):
            self.report.warn(f"{os.fsdecode(entry.path)}: special files are not written")
            return
        whole = bool(kind or entry.linkname or not entry.size)
        member = _Member(number, entry, whole=whole)
        self._members.append(member)
        if not whole:
            self._wanted.append(member)
        self._go_on()

    def listed(self) -> None:
        """End the archive if nothing is awaited."""
        self._go_on()

    def content(self, number: int, data: memoryview | None) -> None:
        """Take a piece of a file, or its end."""
        member = self._asked.get(number)
        if member is None:
            raise PacketError(f"data of entry {number}, which was not asked for")
        if data:
            member.came += len(data)
            if member.came > member.entry.size:
                raise PacketError(f"{os.fsdecode(member.entry.path)} is longer than announced")
            if member.begun:
                self._sink.write(data)
            else:
                member.kept += data
            return
        if member.came < member.entry.size:
            raise PacketError(f"{os.fsdecode(member.entry.path)} is shorter than announced")
        member.whole = True
        del self._asked[number]
        self._ahead -= member.entry.size
        self._go_on()

    def _go_on(self) -> None:
        while self._members and self._write(self._members[0]):
            self._members.popleft()
        self._ask()
        if self.all_listed and not self._members:
            self._sink.write(_END)
            self._sink.end(self.finish)

    def _write(self, member: _Member) -> bool:
        """Write what there is of the first member, and say whether it is all."""
        if not member.begun:
            member.begun = True
            self._sink.write(header(member.entry))
            self._sink.write(member.kept)
            member.kept = bytearray()
        if member.whole and member.came:
            self._sink.write(bytes(-member.came % tarfile.BLOCKSIZE))
        return member.whole

    def _ask(self) -> None:
        requests = bytearray()
        while self._wanted and self._fits(self._wanted[0].entry.size):
            member = self._wanted.popleft()
            self._asked[member.number] = member
            self._ahead += member.entry.size
            requests += packets.framed_request(member.number)
        if requests:
            self.call.send_framed(requests)

    def _fits(self, size: int) -> bool:
        few = len(self._asked) < _AHEAD_FILES and self._ahead + size <= _AHEAD_BYTES
        return few or not self._asked


def header(entry: Stat) -> bytes:
    """The blocks that stand before an entry's content. Raises PacketError."""
    kind = entry.mode & GO_TYPE
    info = tarfile.TarInfo(_text(entry.path))
    info.mode = posix_mode(entry.mode)
    info.uid, info.gid = entry.owner
    info.mtime = (entry.mtime + _SECOND // 2) // _SECOND
    info.linkname = _text(entry.linkname)
    if kind == GO_SYMLINK:
        info.type = tarfile.SYMTYPE
    elif entry.linkname:
        info.type = tarfile.LNKTYPE
    elif kind == GO_DIR:
        info.type = tarfile.DIRTYPE
    elif kind & GO_FIFO:
        info.type = tarfile.FIFOTYPE
    elif kind & GO_DEVICE:
        info.type = tarfile.CHRTYPE if kind & GO_CHAR_DEVICE else tarfile.BLKTYPE
        info.devmajor, info.devminor = entry.device
    else:
        info.size = entry.size
    info.pax_headers = {
        f"SCHILY.xattr.{_text(name)}": _text(value) for name, value in entry.xattrs.items()
    }
    try:
        return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
    except ValueError as error:  # the number of a device may be too large
        raise PacketError(f"{_text(entry.path)} does not fit into an archive: {error}") from error


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
