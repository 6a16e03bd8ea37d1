"""A terminal in memory: what a stream of escape sequences leaves on the screen."""

from __future__ import annotations

import io
import os

import pyte


class Terminal(io.StringIO):
    """A stream with a screen of its own."""

    def __init__(self, columns: int = 80, lines: int = 24) -> None:
        super().__init__()
        self.screen = pyte.HistoryScreen(columns, lines, history=100_000, ratio=0.5)
        self._stream = pyte.Stream(self.screen)

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self._stream.feed(text.replace("\n", "\r\n"))
        return super().write(text)

    def size(self) -> os.terminal_size:
        return os.terminal_size((self.screen.columns, self.screen.lines))

    def visible(self) -> list[str]:
        """The screen's lines, empty ones at the end left out."""
        lines = [line.rstrip() for line in self.screen.display]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    def scrolled(self) -> list[str]:
        """What went out at the top of the screen."""
        rows = self.screen.history.top
        return ["".join(row[x].data for x in range(self.screen.columns)).rstrip() for row in rows]
