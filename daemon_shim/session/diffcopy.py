"""The packets of a file sync, as bytes (fsutil's Packet and Stat, all releases). Sans-IO.

Every file costs several packets, so they are put together and taken apart without objects. Each
function that makes one returns it with gRPC's prefix, ready for ``Call.send_framed``.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from daemon_shim.session.varint import BITS, INNER, LOW, read_varint, varint

STAT, REQ, DATA, FIN, ERR = range(5)

_PREFIX = struct.Struct(">BL")
_TYPES = {  # Go's os.FileMode
    stat.S_IFDIR: 1 << 31,
    stat.S_IFLNK: 1 << 27,
    stat.S_IFBLK: 1 << 26,
    stat.S_IFCHR: 1 << 26 | 1 << 21,
    stat.S_IFIFO: 1 << 25,
    stat.S_IFREG: 0,
    stat.S_IFSOCK: 0,  # as Go's clients do since v0.6: the daemon gets an empty file
}
_BITS = {stat.S_ISUID: 1 << 23, stat.S_ISGID: 1 << 22, stat.S_ISVTX: 1 << 20}
_KEPT = 4096


class Packet(NamedTuple):
    """A packet from the daemon. ``data`` is valid as long as the message is."""

    kind: int
    id: int
    data: memoryview


def _framed(packet: bytes) -> bytes:
    return _PREFIX.pack(0, len(packet)) + packet


LAST_STAT = _framed(b"")
"""After the last file: a STAT packet without a stat."""
FINISHED = _framed(b"\x08\x03")


def go_mode(mode: int) -> int:
    """Return ``st_mode`` as Go's os.FileMode."""
    bits = sum(go for unix, go in _BITS.items() if mode & unix)
    return _TYPES[stat.S_IFMT(mode)] | bits | mode & 0o777


def mode_field(mode: int) -> bytes:
    """Return the mode of a stat for ``stat_packet``; few differ, so keep them."""
    return b"\x10" + varint(go_mode(mode))


def stat_packet(path: bytes, mode: bytes, size: int, mtime_ns: int, rest: bytes = b"") -> bytes:
    """Return a STAT packet; owner and group are 0.

    ``mode`` is a ``mode_field``, ``size`` in bytes, ``mtime_ns`` in nanoseconds since 1970, and
    ``rest`` what ``link_field``, ``device_field`` and ``xattr_field`` gave.
    """
    sized = b"\x28" + varint(size) if size else b""
    body = b"".join((varint(len(path)), path, mode, sized, b"\x30", _time(mtime_ns), rest))
    return _stat_head(len(body)) + body


@lru_cache(_KEPT)
def _stat_head(size: int) -> bytes:
    """What stands before the ``size`` bytes from a path's length on."""
    head = b"\x12" + varint(size + 1) + b"\x0a"
    return _PREFIX.pack(0, len(head) + size) + head


def _time(value: int) -> bytes:
    """Encode nanoseconds: files of one tree share the upper part."""
    upper = value >> 2 * BITS
    if upper <= 0:
        return varint(value)
    return INNER[value & LOW] + INNER[value >> BITS & LOW] + _upper(upper)


_upper = lru_cache(_KEPT)(varint)


def link_field(target: bytes) -> bytes:
    """Return a symlink's target, or the path already sent of the same file."""
    return b"\x3a" + varint(len(target)) + target


def device_field(major: int, minor: int) -> bytes:
    """Return a device's numbers."""
    return b"\x40" + varint(major) + b"\x48" + varint(minor)


def xattr_field(xattrs: Mapping[bytes, bytes]) -> bytes:
    """Return extended attributes by name."""
    out = []
    for name, value in sorted(xattrs.items()):
        pair = b"\x0a" + varint(len(name)) + name + b"\x12" + varint(len(value)) + value
        out.append(b"\x52" + varint(len(pair)) + pair)
    return b"".join(out)


def data_head(file_id: int, size: int) -> bytes:
    """Return what stands before ``size`` bytes of a file, to make a DATA packet of them."""
    head = b"\x08\x02\x18" + varint(file_id) + b"\x22" + varint(size)
    return _PREFIX.pack(0, len(head) + size) + head


def data_end(file_id: int) -> bytes:
    """Return the DATA packet after a file's last byte."""
    return _framed(b"\x08\x02\x18" + varint(file_id))


def error_packet(message: str) -> bytes:
    """Return an ERR packet."""
    text = message.encode("utf-8", "replace")
    return _framed(b"\x08\x04\x22" + varint(len(text)) + text)


def read_packet(message: memoryview) -> Packet:
    """Take a packet apart; a stat in it is passed over. Raises ValueError if it is no packet."""
    if len(message) > 3 and message[0] == 0x08 and message[2] == 0x18:  # a REQ of any release
        file_id, at = read_varint(message, 3)
        if at == len(message):
            return Packet(message[1], file_id, message[:0])
    return _read_fields(message)


def _read_fields(message: memoryview) -> Packet:
    numbers: dict[int, int] = {}
    data, at = message[:0], 0
    while at < len(message):
        tag, at = read_varint(message, at)
        value, at = read_varint(message, at)
        if tag & 7 == 0:
            numbers[tag >> 3] = value
        elif tag & 7 == 2 and at + value <= len(message):
            data = message[at : at + value] if tag >> 3 == 4 else data
            at += value
        else:
            raise ValueError("a packet of an unknown shape")
    return Packet(numbers.get(1, STAT), numbers.get(3, 0), data)
