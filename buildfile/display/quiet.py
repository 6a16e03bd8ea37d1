"""Nothing at all: errors are drawn where they end (buildfile.failure), results go to stdout."""

from __future__ import annotations

from buildfile.progress import Change, Summary


class QuietDisplay:
    """Shows nothing."""

    def update(self, change: Change) -> None:
        """Ignore it."""

    def tick(self, now: float) -> None:
        """Show nothing."""

    def say(self, text: str) -> None:
        """Stay silent."""

    def close(self, summary: Summary | None) -> None:
        """Show nothing."""
