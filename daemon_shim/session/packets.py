"""The messages of file transfers to us, decoded without an object for each.

``Packet`` and ``Stat`` are fsutil's (vendor/github.com/tonistiigi/fsutil/types, all releases). The
generic reader below is used instead of the generated classes because a path is whatever bytes the
file system has, which protobuf's strings refuse unless they are UTF-8. ``diffcopy`` has the
packets that go to a daemon.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeVar

from daemon_shim.session.varint import varint

PACKET_TYPE = 0x08
PACKET_STAT = 0x12
PACKET_ID = 0x18
PACKET_DATA = 0x22
BYTES_DATA = 0x0A

_PATH = 0x0A
_MODE = 0x10
_UID = 0x18
_GID = 0x20
_SIZE = 0x28
_MTIME = 0x30
_LINKNAME = 0x3A
_DEVMAJOR = 0x40
_DEVMINOR = 0x48
_XATTRS = 0x52
_KEY = 0x0A
_VALUE = 0x12

_FIXED = {1: 8, 5: 4}
_SIGN = 1 << 63
_MASK = 2 * _SIGN - 1
_SHIFTS = range(7, 70, 7)

Raw = TypeVar("Raw", bytes, memoryview)


class PacketError(Exception):
    """The daemon sent what the protocol does not allow."""


class Stat(NamedTuple):
    """An entry of a tree. ``mode`` is Go's FileMode; ``mtime`` nanoseconds since 1970.

    ``owner`` is a user and a group.
    """

    path: bytes
    mode: int
    owner: tuple[int, int]
    size: int
    mtime: int
    linkname: bytes
    device: tuple[int, int]
    xattrs: Mapping[bytes, bytes]


def scan(data: Raw, many: int = -1) -> tuple[dict[int, int], dict[int, Raw], list[Raw]]:
    """Return a message's numbers and byte fields by tag, and all byte fields with tag ``many``.

    Fields of other wire types are skipped. Raises PacketError.
    """
    numbers: dict[int, int] = {}
    blobs: dict[int, Raw] = {}
    repeated: list[Raw] = []
    at, end = 0, len(data)
    try:
        while at < end:
            tag = data[at]
            at += 1
            if tag >= 0x80:
                tag, at = _rest(data, at, tag)
            kind = tag & 7
            if kind in _FIXED:
                at += _FIXED[kind]
                continue
            value = data[at]
            at += 1
            if value >= 0x80:
                value, at = _rest(data, at, value)
            if kind == 0:
                numbers[tag] = value
            elif kind == 2:
                start, at = at, at + value
                blobs[tag] = data[start:at]
                if tag == many:
                    repeated.append(blobs[tag])
            else:
                raise PacketError("a field of an unknown kind")
    except IndexError as error:
        raise PacketError("a cut message") from error
    if at > end:
        raise PacketError("a cut message")
    return numbers, blobs, repeated


def _rest(data: bytes | memoryview, at: int, value: int) -> tuple[int, int]:
    """Return a variable-length number, whose first byte is ``value``, and the place after it."""
    value &= 0x7F
    for shift in _SHIFTS:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & _MASK, at
    raise PacketError("an overlong number")


def read_stat(data: bytes) -> Stat:
    """Decode one Stat. Raises PacketError."""
    numbers, blobs, pairs = scan(data, _XATTRS)
    number, blob = numbers.get, blobs.get
    return Stat(
        blob(_PATH, b""),
        number(_MODE, 0),
        (number(_UID, 0), number(_GID, 0)),
        _signed(number(_SIZE, 0)),
        _signed(number(_MTIME, 0)),
        blob(_LINKNAME, b""),
        (number(_DEVMAJOR, 0), number(_DEVMINOR, 0)),
        dict(map(_pair, pairs)) if pairs else {},
    )


def _signed(value: int) -> int:
    return value - 2 * _SIGN if value >= _SIGN else value


def _pair(data: bytes) -> tuple[bytes, bytes]:
    _, blobs, _ = scan(data)
    return blobs.get(_KEY, b""), blobs.get(_VALUE, b"")


def framed_request(number: int) -> bytes:
    """Return a REQ packet for the entry with that index, with its gRPC prefix."""
    packet = b"\x08\x01\x18" + varint(number) if number else b"\x08\x01"
    return b"\0" + len(packet).to_bytes(4, "big") + packet
