"""How a run ends, as the shell sees it."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes; docs/reference/commands.md explains them to users."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    INVALID = 3
    NO_DAEMON = 4
    BUG = 70
    INTERRUPTED = 130


class UsageError(Exception):
    """The command was called in a wrong way; ``hint`` says what to do."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint
