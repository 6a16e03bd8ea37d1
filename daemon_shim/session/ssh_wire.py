"""Fields of SSH messages: bytes behind their length (RFC 4251, section 5)."""

from __future__ import annotations


def pack(data: bytes) -> bytes:
    """Return ``data`` behind its length."""
    return len(data).to_bytes(4, "big") + data


def unpack(data: bytes) -> tuple[bytes, bytes]:
    """Split off what stands behind a length. Raises ValueError if it is cut."""
    end = 4 + int.from_bytes(data[:4], "big")
    if len(data) < max(end, 4):
        raise ValueError("a cut message")
    return data[4:end], data[end:]
