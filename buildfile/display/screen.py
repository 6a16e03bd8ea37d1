"""The lower part of a terminal as a frame that is redrawn in place, under lines that scroll away.

The cursor rests at the end of the frame's last line. Automatic line wrap is off while we write, so
that a glyph that is wider than we think can't break the frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from buildfile.display.stream import Writer

_HIDE, _SHOW = "\x1b[?25l", "\x1b[?25h"
_WRAP_OFF, _WRAP_ON = "\x1b[?7l", "\x1b[?7h"
_CLEAR_RIGHT, _CLEAR_BELOW = "\x1b[K", "\x1b[J"


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A line as it is written, with its escape sequences, and its width in cells."""

    text: str
    cells: int


class Screen:
    """Writes frames; each one in a single write, so that it does not flicker."""

    def __init__(self, out: Writer) -> None:
        self._out = out
        self._frame: Sequence[Row] = ()
        self._columns = 0
        self._hidden = False

    def draw(self, scrolled: Sequence[Row], frame: Sequence[Row], columns: int) -> None:
        """Let lines scroll away above, and draw the frame anew below them."""
        rows = [f"{row.text}{_CLEAR_RIGHT}" for row in (*scrolled, *frame)]
        ending = "" if frame else "\n" if scrolled else ""
        start = f"{'' if self._hidden else _HIDE}{self._back(columns)}{_WRAP_OFF}"
        body = "\n".join(rows) + ending
        self._hidden = True
        self._frame, self._columns = frame, columns
        self._out.write(f"{start}{body}{_CLEAR_BELOW}{_WRAP_ON}")
        self._out.flush()

    def restore(self) -> None:
        """Show the cursor again."""
        if self._hidden:
            self._hidden = False
            self._out.write(_WRAP_ON + _SHOW)
            self._out.flush()

    def _back(self, columns: int) -> str:
        """Go to the first line of the frame that is on the screen.

        Terminals break lines anew that became too long when the window became narrower.
        """
        if not self._frame:
            return "\r"
        rows = len(self._frame)
        if columns < self._columns:
            rows = sum(max(1, -(-row.cells // columns)) for row in self._frame)
        return f"\r\x1b[{rows - 1}A" if rows > 1 else "\r"
