"""The stream that displays write to: what its encoding lacks is replaced, never an error."""

from __future__ import annotations

from typing import TextIO


class Writer:
    """Text to a stream, whatever its encoding."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._encoding = stream.encoding or "utf-8"
        self.unicode = self._encoding.lower().replace("-", "").startswith("utf")

    def line(self, text: str) -> None:
        """Write a line."""
        self.write(f"{text}\n")

    def write(self, text: str) -> None:
        """Write text as it is."""
        if not text.isascii():
            text = text.encode(self._encoding, "replace").decode(self._encoding)
        self._stream.write(text)

    def flush(self) -> None:
        """Hand on what is buffered."""
        self._stream.flush()
