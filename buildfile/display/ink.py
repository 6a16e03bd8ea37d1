"""Rich text as rows of escape sequences, for the colours that the terminal has.

Straight from segments: printing each line on a rich Console costs four times as much.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from rich.color import ColorSystem
from rich.console import Console
from rich.segment import Segment
from rich.text import Text

from buildfile.display.screen import Row

_SYSTEMS = {
    "standard": ColorSystem.STANDARD,
    "256": ColorSystem.EIGHT_BIT,
    "truecolor": ColorSystem.TRUECOLOR,
}


class Ink:
    """Turns lines into rows. ``environment`` tells the colours: TERM, COLORTERM, NO_COLOR."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._console = Console(
            file=io.StringIO(),
            force_terminal=True,
            legacy_windows=False,
            _environ=dict(environment),
        )
        self._plain = bool(environment.get("NO_COLOR"))
        self._system = _SYSTEMS.get(self._console.color_system or "")

    def rows(self, lines: Sequence[Text]) -> list[Row]:
        """A row for each line."""
        return [Row(text=self._row(line), cells=line.cell_len) for line in lines]

    def _row(self, line: Text) -> str:
        segments = line.render(self._console)
        return "".join(
            map(self._written, Segment.remove_color(segments) if self._plain else segments)
        )

    def _written(self, segment: Segment) -> str:
        if segment.style is None:
            return segment.text
        return segment.style.render(segment.text, color_system=self._system)
