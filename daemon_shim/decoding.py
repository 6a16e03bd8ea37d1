"""The daemon's messages as frozen values, and back where a value is sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from google.protobuf.timestamp_pb2 import Timestamp

from daemon_shim.events import Event, LogEvent, StatusEvent, VertexEvent, WarningEvent
from daemon_shim.info import Worker
from schemas.pb import control_pb2, ops_pb2, types_pb2


def events(response: control_pb2.StatusResponse) -> Iterator[Event]:
    """The events of one message of the Status stream, vertices first."""
    yield from map(_vertex, response.vertexes)
    yield from map(_status, response.statuses)
    yield from map(_log, response.logs)
    yield from map(_warning, response.warnings)


def worker(record: types_pb2.WorkerRecord) -> Worker:
    """One worker. A platform that is listed twice (Docker 26.1) is kept once."""
    return Worker(
        id=record.ID,
        labels=dict(record.Labels),
        platforms=tuple(dict.fromkeys(map(platform_text, record.platforms))),
        version=record.BuildkitVersion.version,
    )


def workers(records: Iterable[types_pb2.WorkerRecord]) -> tuple[Worker, ...]:
    """All workers, the default one first as sent."""
    return tuple(map(worker, records))


def platform_text(message: ops_pb2.Platform) -> str:
    """``os/architecture[/variant]``."""
    parts = (message.OS, message.Architecture, message.Variant)
    return "/".join(part for part in parts if part)


def platform_message(text: str) -> ops_pb2.Platform:
    """The message for ``os/architecture[/variant]``."""
    system, architecture, *variant = text.split("/", 2)
    return ops_pb2.Platform(OS=system, Architecture=architecture, Variant="".join(variant))


def _vertex(vertex: control_pb2.Vertex) -> VertexEvent:
    return VertexEvent(
        digest=vertex.digest,
        name=vertex.name,
        inputs=tuple(vertex.inputs),
        cached=vertex.cached,
        started=_moment(vertex, "started"),
        completed=_moment(vertex, "completed"),
        error=vertex.error,
        group=vertex.progressGroup.name,
    )


def _status(status: control_pb2.VertexStatus) -> StatusEvent:
    return StatusEvent(
        id=status.ID,
        vertex=status.vertex,
        name=status.name,
        current=status.current,
        total=status.total,
        timestamp=_seconds(status.timestamp),
        started=_moment(status, "started"),
        completed=_moment(status, "completed"),
    )


def _log(log: control_pb2.VertexLog) -> LogEvent:
    return LogEvent(
        vertex=log.vertex, stream=log.stream, data=log.msg, timestamp=_seconds(log.timestamp)
    )


def _warning(warning: control_pb2.VertexWarning) -> WarningEvent:
    return WarningEvent(
        vertex=warning.vertex,
        short=_text(warning.short),
        detail=tuple(map(_text, warning.detail)),
        url=warning.url,
        level=warning.level,
    )


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _moment(message: control_pb2.Vertex | control_pb2.VertexStatus, field: str) -> float | None:
    return _seconds(getattr(message, field)) if message.HasField(field) else None


def _seconds(stamp: Timestamp) -> float:
    return stamp.seconds + stamp.nanos / 1e9
