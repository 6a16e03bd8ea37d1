"""What a connection tells its owner. Tuples, because one is made for every small message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

Header: TypeAlias = tuple[bytes, bytes]


class RequestReceived(NamedTuple):
    """The peer opened a stream (server role)."""

    stream_id: int
    headers: list[Header]


class ResponseReceived(NamedTuple):
    """The final response headers came (client role)."""

    stream_id: int
    headers: list[Header]


class TrailersReceived(NamedTuple):
    """Headers after the data; StreamEnded follows."""

    stream_id: int
    headers: list[Header]


class DataReceived(NamedTuple):
    """Payload bytes, valid until the connection receives again; to be acknowledged once used."""

    stream_id: int
    data: memoryview


class StreamEnded(NamedTuple):
    """The peer will send nothing more on the stream."""

    stream_id: int


class StreamReset(NamedTuple):
    """The stream is gone: reset by the peer, or by us for its breach of the rules."""

    stream_id: int
    code: int
    by_peer: bool


class SettingsReceived(NamedTuple):
    """The peer's settings came and are applied and answered."""

    settings: Mapping[int, int]


class GoawayReceived(NamedTuple):
    """The peer will take no new streams; those over ``last_stream_id`` are reset as well."""

    last_stream_id: int
    code: int
    debug: bytes


Event: TypeAlias = (
    RequestReceived
    | ResponseReceived
    | TrailersReceived
    | DataReceived
    | StreamEnded
    | StreamReset
    | SettingsReceived
    | GoawayReceived
)
