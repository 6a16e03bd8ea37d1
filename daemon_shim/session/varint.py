"""Protobuf's variable-length integers, for the messages that are too many for objects."""

from __future__ import annotations

import struct

_MASK = (1 << 64) - 1
_MAX_SHIFT = 63
BITS = 14
LOW = (1 << BITS) - 1
"""The bits that two bytes hold."""


def _pairs(last: int) -> tuple[bytes, ...]:
    """Two bytes for each number of 14 bits, ``last`` set in the second."""
    table = bytearray(2 << BITS)
    table[0::2] = bytes(range(0x80, 0x100)) * 0x80
    table[1::2] = b"".join(bytes((high | last,)) * 0x80 for high in range(0x80))
    return struct.unpack("2s" * (1 << BITS), table)


INNER = _pairs(0x80)
"""Two bytes of a longer varint, by their 14 bits."""
_WHOLE = (*(bytes((value,)) for value in range(0x80)), *_pairs(0)[0x80:])


def varint(value: int) -> bytes:
    """Return ``value`` encoded; a negative one as protobuf's int64 has it."""
    if 0 <= value <= LOW:
        return _WHOLE[value]
    value &= _MASK
    return INNER[value & LOW] + varint(value >> BITS)


def read_varint(data: memoryview, at: int) -> tuple[int, int]:
    """Return the value at ``at`` (unsigned, up to 64 bits) and the place after it.

    Raises ValueError if it is cut or too long.
    """
    value = shift = 0
    while at < len(data) and shift <= _MAX_SHIFT:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & _MASK, at
        shift += 7
    raise ValueError("a cut or overlong varint")
