"""What steps write, made fit for a terminal: control sequences, carriage returns, line ends, tails.

Logs come from programs of others. Nothing that they write may move the cursor, set a title or
hide text, so only SGR (colours) ever passes, and only where the caller asks for it.
"""

from __future__ import annotations

import re

TAIL_BYTES = 16 * 1024
LINE_BYTES = 16 * 1024

_STRING = r"\x1b[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # OSC, DCS, SOS, PM, APC
_CSI = r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
_OTHER = r"\x1b[ -/]*[0-~]?"
_SEQUENCE = re.compile(f"{_STRING}|{_CSI}|{_OTHER}")
_SGR = re.compile(r"\x1b\[[0-9;]*m")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1a\x1c-\x1f\x7f-\x9f\u2028\u2029]")


def clean(text: str, *, colour: bool = False) -> str:
    """One line without control characters, tabs expanded; SGR stays where ``colour``."""

    if text.isprintable():
        return text

    def keep(match: re.Match[str]) -> str:
        return match[0] if colour and _SGR.fullmatch(match[0]) else ""

    text = _CONTROL.sub("", _SEQUENCE.sub(keep, text.expandtabs()))
    return text if colour else text.replace("\x1b", "")


def name(text: str) -> str:
    """A vertex's name on one line."""
    return " ".join(clean(" ".join(text.split())).split())


def overwritten(line: str) -> str:
    """What is left to see of a line in which carriage returns went back to its start."""
    return next((part for part in reversed(line.split("\r")) if part), "")


def shown(line: bytes, *, colour: bool = False) -> str:
    """A line of a log as it may be printed."""
    return clean(overwritten(line.decode("utf-8", "replace")), colour=colour)


class Tail:
    """The last 16 KiB of a vertex's output, whatever its length."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._cut = False

    def __len__(self) -> int:
        return len(self._data)

    def append(self, data: bytes) -> None:
        """Add output. Cutting waits for twice the limit, so that its cost is spread."""
        self._cut = self._cut or len(data) > TAIL_BYTES
        self._data += data[-TAIL_BYTES:]
        if len(self._data) > 2 * TAIL_BYTES:
            del self._data[:-TAIL_BYTES]
            self._cut = True

    def lines(self, count: int, *, colour: bool = False) -> tuple[str, ...]:
        """The last ``count`` lines, an open one included, empty ones at the end left out."""
        raw = bytes(self._data).rstrip().split(b"\n")
        whole = raw[1:] if self._cut and len(raw) > 1 else raw
        return tuple(shown(line, colour=colour) for line in whole[-count:]) if any(whole) else ()


class Lines:
    """Cuts output that comes in pieces into lines; keeps the open one."""

    def __init__(self) -> None:
        self._open = bytearray()

    def __bool__(self) -> bool:
        return bool(self._open)

    def __len__(self) -> int:
        return len(self._open)

    def feed(self, data: bytes) -> list[str]:
        """The lines that ``data`` completes. A line beyond 16 KiB is cut, never held back."""
        self._open += data
        *whole, rest = bytes(self._open).split(b"\n")
        while len(rest) > LINE_BYTES:
            whole.append(rest[:LINE_BYTES])
            rest = rest[LINE_BYTES:]
        self._open = bytearray(rest)
        return [shown(line) for line in whole]

    def flush(self) -> list[str]:
        """The open line, if there is one."""
        rest = [shown(bytes(self._open))] if self._open else []
        self._open.clear()
        return rest
