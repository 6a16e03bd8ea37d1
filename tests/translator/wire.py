"""Reads protobuf's wire format, to see what no message shows: the order of the fields."""

from __future__ import annotations

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def fields(data: bytes) -> list[tuple[int, bytes]]:
    """The number of each field and its raw content, as they stand."""
    found = []
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        start, at = _content(data, at, key & 7)
        found.append((key >> 3, data[start:at]))
    return found


def numbers(data: bytes) -> list[int]:
    return [number for number, _ in fields(data)]


def _content(data: bytes, at: int, kind: int) -> tuple[int, int]:
    if kind == _VARINT:
        return at, _varint(data, at)[1]
    if kind == _BYTES:
        size, at = _varint(data, at)
        return at, at + size
    return at, at + {_FIXED64: 8, _FIXED32: 4}[kind]


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at
