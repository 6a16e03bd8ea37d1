"""A display that makes way: when a process takes the terminal over, no progress is shown."""

from __future__ import annotations

import sys
import threading

from buildfile.display.base import Display
from buildfile.progress import Change, Summary


class Curtain:
    """Shows what ``behind`` shows, until it falls; what is said is said all the same.

    ``fall`` is for any thread.
    """

    def __init__(self, behind: Display) -> None:
        self._behind = behind
        self._lock = threading.Lock()
        self._fell = False

    def update(self, change: Change) -> None:
        """Take in what an event changed."""
        with self._lock:
            if not self._fell:
                self._behind.update(change)

    def tick(self, now: float) -> None:
        """Show what is due by now."""
        with self._lock:
            if not self._fell:
                self._behind.tick(now)

    def say(self, text: str) -> None:
        """Tell the user something besides the steps, in one line."""
        with self._lock:
            if not self._fell:
                self._behind.say(text)
                return
        print(text, file=sys.stderr)

    def close(self, summary: Summary | None) -> None:
        """Show the rest and the summary, unless it fell."""
        with self._lock:
            self._behind.close(None if self._fell else summary)

    def fall(self) -> None:
        """Show what there is of the progress, and nothing more."""
        with self._lock:
            if not self._fell:
                self._fell = True
                self._behind.close(None)
