"""What every way to show progress does; the ways stand in one module each, and in ``MODES``."""

from __future__ import annotations

from typing import Protocol

from buildfile.progress import Change, Summary


class Display(Protocol):
    """Shows a run on the stream that it was made for. Called from one thread.

    ``now`` is our time in seconds since the epoch.
    """

    def update(self, change: Change) -> None:
        """Take in what an event changed."""

    def tick(self, now: float) -> None:
        """Show what is due by now; to be called about ten times a second."""

    def say(self, text: str) -> None:
        """Tell the user something besides the steps, in one line."""

    def close(self, summary: Summary | None) -> None:
        """Show the rest and the summary, and leave the terminal as it was.

        None where the run broke off. Closing twice does nothing.
        """
