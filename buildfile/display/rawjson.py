"""Events as JSON lines that whatever reads ``buildctl --progress=rawjson`` can read.

Each line is a SolveStatus (client/graph.go, v0.11 to v0.32): ``vertexes``, ``statuses``, ``logs``
and ``warnings``; bytes are base64, times RFC 3339. What shared vertices tell twice is left out.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any, TextIO

from buildfile.progress import Change, Summary
from daemon_shim.events import Event, LogEvent, StatusEvent, VertexEvent, WarningEvent

BATCH_EVENTS = 500
BATCH_BYTES = 64 * 1024
_NO_TIME = "0001-01-01T00:00:00Z"  # Go's zero time
_KINDS = ("vertexes", "statuses", "logs", "warnings")


class RawJsonDisplay:
    """Writes what came since the last tick as one line; a large batch is written at once."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._batch: dict[str, list[dict[str, Any]]] = {}
        self._events = 0
        self._bytes = 0

    def update(self, change: Change) -> None:
        """Add the event to the batch."""
        kind, convert = _FORMS[type(change.event)]
        self._batch.setdefault(kind, []).append(convert(change.event))
        self._events += 1
        self._bytes += len(change.event.data) if isinstance(change.event, LogEvent) else 0
        if self._events >= BATCH_EVENTS or self._bytes >= BATCH_BYTES:
            self._flush()

    def tick(self, now: float) -> None:
        """Write the batch."""
        self._flush()

    def say(self, text: str) -> None:
        """Stay silent: every line of this output is an event."""

    def close(self, summary: Summary | None) -> None:
        """Write the last batch."""
        self._flush()

    def _flush(self) -> None:
        if not self._batch:
            return
        ordered = {kind: self._batch[kind] for kind in _KINDS if kind in self._batch}
        self._batch, self._events, self._bytes = {}, 0, 0
        self._stream.write(json.dumps(ordered, separators=(",", ":")) + "\n")
        self._stream.flush()


def _vertex(event: VertexEvent) -> dict[str, Any]:
    return _filled(
        digest=event.digest,
        inputs=list(event.inputs),
        name=event.name,
        started=_time(event.started),
        completed=_time(event.completed),
        cached=event.cached,
        error=event.error,
        progressGroup={"id": event.group, "name": event.group} if event.group else None,
    )


def _status(event: StatusEvent) -> dict[str, Any]:
    return {
        "id": event.id,
        **_filled(vertex=event.vertex, name=event.name, total=event.total),
        "current": event.current,
        "timestamp": _time(event.timestamp) or _NO_TIME,
        **_filled(started=_time(event.started), completed=_time(event.completed)),
    }


def _log(event: LogEvent) -> dict[str, Any]:
    return {
        **_filled(vertex=event.vertex, stream=event.stream),
        "data": _base64(event.data),
        "timestamp": _time(event.timestamp) or _NO_TIME,
    }


def _warning(event: WarningEvent) -> dict[str, Any]:
    return _filled(
        vertex=event.vertex,
        level=event.level,
        short=_base64(event.short.encode()),
        detail=[_base64(line.encode()) for line in event.detail],
        url=event.url,
    )


_FORMS: dict[type[Event], tuple[str, Callable[[Any], dict[str, Any]]]] = {
    VertexEvent: ("vertexes", _vertex),
    StatusEvent: ("statuses", _status),
    LogEvent: ("logs", _log),
    WarningEvent: ("warnings", _warning),
}


def _filled(**fields: Any) -> dict[str, Any]:
    """Without what is empty, as Go's ``omitempty`` leaves it out."""
    return {key: value for key, value in fields.items() if value}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _time(seconds: float | None) -> str | None:
    """RFC 3339 with as many decimals as it takes, None for no time."""
    if not seconds:
        return None
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    text = moment.strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0").rstrip(".")
    return f"{text}Z"
