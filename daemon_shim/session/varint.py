"""Protobuf's variable-length integers, for the messages that are too many for objects."""

from __future__ import annotations

_MASK = (1 << 64) - 1
_MAX_SHIFT = 63


def _encode(value: int) -> bytes:
    value &= _MASK
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_SMALL = tuple(_encode(value) for value in range(2048))


def varint(value: int) -> bytes:
    """Return ``value`` encoded; a negative one as protobuf's int64 has it."""
    return _SMALL[value] if 0 <= value < len(_SMALL) else _encode(value)


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
