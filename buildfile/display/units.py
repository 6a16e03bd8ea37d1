"""Sizes, times and the summary in words."""

from __future__ import annotations

import re

from buildfile.progress import Outcome, Summary

_SIZES = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_POWERS = ("", *"kmgtpe")
_SIZE = re.compile(r"(?P<number>\d+(\.\d+)?) ?((?P<unit>[kmgtpe])(?P<binary>i?))?b?")
_AGES = ((86400, "day"), (3600, "hour"), (60, "minute"))
_ENDINGS = {Outcome.FAILED: "failed after", Outcome.CANCELLED: "cancelled after"}


def size(count: float) -> str:
    """Bytes in decimal units, as BuildKit prints them: ``512B``, ``1.05MB``."""
    if count < 1000:
        return f"{count:.0f}B"
    power = 0
    while count >= 999.995 and power < len(_SIZES) - 1:
        count /= 1000
        power += 1
    return f"{count:.2f}{_SIZES[power]}"


def parse_size(text: str) -> int:
    """Read ``500MB`` (decimal), ``10GiB`` (binary) or a number of bytes; raises ValueError."""
    found = _SIZE.fullmatch(text.strip().lower())
    if not found:
        raise ValueError(f"{text!r} is not a size such as 500MB or 10GiB")
    base = 1024 if found["binary"] else 1000
    return int(float(found["number"]) * base ** _POWERS.index(found["unit"] or ""))


def rate(count: float) -> str:
    """Bytes a second: ``8.10MB/s``."""
    return f"{size(count)}/s"


def duration(seconds: float) -> str:
    """``4.2s``, ``1m05s``, ``2h03m``."""
    if seconds < 59.95:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02}s"
    return f"{minutes // 60}h{minutes % 60:02}m"


def age(seconds: float) -> str:
    """``3 minutes``, in the largest unit of which there is one; '' for less than a minute."""
    for unit, noun in _AGES:
        if seconds >= unit:
            return counted(int(seconds // unit), noun)
    return ""


def counted(number: int, noun: str) -> str:
    """``1 step``, ``2 steps``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def summary_line(summary: Summary) -> str:
    """``built 3 targets in 4.2s: 12 steps, 9 cached``."""
    time = duration(summary.seconds)
    built = f"built {counted(summary.targets, 'target')} in {time}"
    ending = _ENDINGS.get(summary.outcome)
    # A build goes on without a cache that could not be imported: then it is no failure.
    failed = f", {summary.failed} failed" if summary.failed and ending else ""
    steps = f"{counted(summary.steps, 'step')}, {summary.cached} cached{failed}"
    return f"{f'{ending} {time}' if ending else built}: {steps}"
