"""Progress as data: what a daemon's Status stream says, in frozen events without its dialect.

Source: ``StatusResponse`` of api/services/control (v0.3.0 to v0.32.2). The same vertex may come
many times, with several start and completion intervals; logs come in pieces.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, kw_only=True, slots=True)
class VertexEvent:
    """A vertex as it stands now. Times are seconds since the epoch, None when not yet there."""

    digest: str
    name: str
    inputs: tuple[str, ...] = ()
    cached: bool = False
    started: float | None = None
    completed: float | None = None
    error: str = ""
    group: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class StatusEvent:
    """A part of a vertex's work, such as one layer's download; ``current``/``total`` in bytes.

    ``total`` is 0 where the size is not known.
    """

    id: str
    vertex: str
    name: str
    current: int = 0
    total: int = 0
    timestamp: float = 0.0
    started: float | None = None
    completed: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class LogEvent:
    """Output of a vertex: ``stream`` 1 is standard output, 2 standard error."""

    vertex: str
    stream: int
    data: bytes
    timestamp: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class WarningEvent:
    """A warning of a frontend or the daemon about a vertex (v0.10 and later)."""

    vertex: str
    short: str
    detail: tuple[str, ...] = ()
    url: str = ""
    level: int = 1


Event: TypeAlias = VertexEvent | StatusEvent | LogEvent | WarningEvent
