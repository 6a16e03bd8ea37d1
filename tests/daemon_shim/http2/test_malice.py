"""Peers that break the rules, or use them to exhaust us."""

from __future__ import annotations

import struct
from collections.abc import Iterable

import hpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon_shim.http2 import frames
from daemon_shim.http2.connection import Connection
from daemon_shim.http2.errors import ErrorCode, Http2Error, ProtocolError
from daemon_shim.http2.events import DataReceived, RequestReceived, StreamEnded, StreamReset
from daemon_shim.http2.limits import Limits

HEAD = [(":method", "POST"), (":scheme", "http"), (":path", "/x"), (":authority", "a")]
SETTINGS = frames.settings_frame({})


def block(headers: Iterable[tuple[str, str]]) -> bytes:
    return hpack.Encoder().encode(list(headers))


def request(stream_id: int, headers: Iterable[tuple[str, str]] = HEAD, flags: int = 0) -> bytes:
    # No dynamic table, so that every block stands alone.
    encoder = hpack.Encoder()
    encoder.header_table_size = 0
    data = encoder.encode(list(headers))
    return frames.frame(frames.HEADERS, frames.END_HEADERS | flags, stream_id, data)


def server(allowed: Limits | None = None) -> Connection:
    connection = Connection(client=False, allowed=allowed)
    connection.receive(frames.PREFACE + SETTINGS)
    connection.take(1 << 20)
    return connection


def word(value: int) -> bytes:
    return struct.pack(">L", value)


def headers_then(*more: bytes) -> bytes:
    return request(1) + b"".join(more)


ENDED = request(1, flags=frames.END_STREAM)
BREACHES = {
    "a frame over the limit": (frames.frame(frames.DATA, 0, 1, bytes(20_000)), "FRAME_SIZE_ERROR"),
    "data on stream 0": (frames.frame(frames.DATA, 0, 0, b"x"), "PROTOCOL_ERROR"),
    "data on an idle stream": (frames.frame(frames.DATA, 0, 5, b"x"), "PROTOCOL_ERROR"),
    "headers on stream 0": (request(0), "PROTOCOL_ERROR"),
    "an even stream": (request(2), "PROTOCOL_ERROR"),
    "a stream that went back": (request(3) + request(1), "STREAM_CLOSED"),
    "CONTINUATION first": (frames.frame(frames.CONTINUATION, 4, 1, b""), "PROTOCOL_ERROR"),
    "an interrupted block": (
        frames.frame(frames.HEADERS, 0, 1, b"") + frames.frame(frames.PING, 0, 0, bytes(8)),
        "PROTOCOL_ERROR",
    ),
    "another stream's CONTINUATION": (
        frames.frame(frames.HEADERS, 0, 1, b"") + frames.frame(frames.CONTINUATION, 4, 3, b""),
        "PROTOCOL_ERROR",
    ),
    "padding over the frame": (
        headers_then(frames.frame(frames.DATA, frames.PADDED, 1, b"\x05abc")),
        "PROTOCOL_ERROR",
    ),
    "padding without a length": (
        headers_then(frames.frame(frames.DATA, frames.PADDED, 1)),
        "PROTOCOL_ERROR",
    ),
    "priority cut": (
        frames.frame(frames.HEADERS, frames.PRIORITY_FLAG | 4, 1, b"abc"),
        "FRAME_SIZE_ERROR",
    ),
    "priority on stream 0": (frames.frame(frames.PRIORITY, 0, 0, bytes(5)), "PROTOCOL_ERROR"),
    "bad compression": (frames.frame(frames.HEADERS, 4, 1, b"\xff\xff\xff"), "COMPRESSION_ERROR"),
    "RST_STREAM of an idle stream": (frames.rst_stream(9, 0), "PROTOCOL_ERROR"),
    "RST_STREAM of a wrong size": (
        headers_then(frames.frame(frames.RST_STREAM, 0, 1, b"abc")),
        "FRAME_SIZE_ERROR",
    ),
    "SETTINGS on a stream": (frames.frame(frames.SETTINGS, 0, 1), "PROTOCOL_ERROR"),
    "SETTINGS of a wrong size": (frames.frame(frames.SETTINGS, 0, 0, b"abc"), "FRAME_SIZE_ERROR"),
    "SETTINGS ACK with data": (
        frames.frame(frames.SETTINGS, frames.ACK, 0, bytes(6)),
        "FRAME_SIZE_ERROR",
    ),
    "a window out of bounds": (frames.settings_frame({4: 1 << 31}), "FLOW_CONTROL_ERROR"),
    "a frame size out of bounds": (frames.settings_frame({5: 100}), "PROTOCOL_ERROR"),
    "a push setting out of bounds": (frames.settings_frame({2: 7}), "PROTOCOL_ERROR"),
    "a push": (frames.frame(frames.PUSH_PROMISE, 4, 1, word(2)), "PROTOCOL_ERROR"),
    "PING on a stream": (frames.frame(frames.PING, 0, 1, bytes(8)), "PROTOCOL_ERROR"),
    "PING of a wrong size": (frames.frame(frames.PING, 0, 0, b"abc"), "FRAME_SIZE_ERROR"),
    "GOAWAY on a stream": (frames.frame(frames.GOAWAY, 0, 1, bytes(8)), "PROTOCOL_ERROR"),
    "GOAWAY cut": (frames.frame(frames.GOAWAY, 0, 0, bytes(4)), "FRAME_SIZE_ERROR"),
    "an empty WINDOW_UPDATE": (frames.window_update(0, 0), "PROTOCOL_ERROR"),
    "a WINDOW_UPDATE too much": (frames.window_update(0, (1 << 31) - 1), "FLOW_CONTROL_ERROR"),
    "WINDOW_UPDATE of an idle stream": (frames.window_update(7, 5), "PROTOCOL_ERROR"),
    "WINDOW_UPDATE cut": (frames.frame(frames.WINDOW_UPDATE, 0, 0, b"a"), "FRAME_SIZE_ERROR"),
}


@pytest.mark.parametrize("name", BREACHES)
def test_a_breach_ends_the_connection(name: str) -> None:
    data, code = BREACHES[name]
    connection = server()
    with pytest.raises(ProtocolError) as caught:
        connection.receive(data)
    assert caught.value.code.name == code
    sent = list(frames.FrameReader(1 << 20).feed(b"".join(connection.take(0)[0])))
    kind, _, _, payload = sent[-1]
    assert kind == frames.GOAWAY
    assert frames.read_goaway(payload)[1] == caught.value.code
    with pytest.raises(ProtocolError):
        connection.receive(SETTINGS)


STREAM_BREACHES = {
    "an upper-case name": (request(1, [*HEAD, ("Upper", "x")]), "PROTOCOL_ERROR"),
    "a connection header": (request(1, [*HEAD, ("connection", "close")]), "PROTOCOL_ERROR"),
    "a te that is not trailers": (request(1, [*HEAD, ("te", "gzip")]), "PROTOCOL_ERROR"),
    "a line break": (request(1, [*HEAD, ("a", "b\r\nc: d")]), "PROTOCOL_ERROR"),
    "a pseudo header after others": (request(1, [("a", "b"), *HEAD]), "PROTOCOL_ERROR"),
    "a pseudo header twice": (request(1, [*HEAD, HEAD[0]]), "PROTOCOL_ERROR"),
    "an unknown pseudo header": (request(1, [*HEAD, (":x", "y")]), "PROTOCOL_ERROR"),
    "a response's pseudo header": (request(1, [*HEAD, (":status", "200")]), "PROTOCOL_ERROR"),
    "a missing path": (request(1, HEAD[:2]), "PROTOCOL_ERROR"),
    "trailers that do not end": (headers_then(request(1, [("a", "b")])), "PROTOCOL_ERROR"),
    "pseudo headers in trailers": (
        headers_then(request(1, HEAD, frames.END_STREAM)),
        "PROTOCOL_ERROR",
    ),
    "data after the end": (ENDED + frames.frame(frames.DATA, 0, 1, b"x"), "STREAM_CLOSED"),
    "headers after the end": (
        ENDED + request(1, [("a", "b")], frames.END_STREAM),
        "STREAM_CLOSED",
    ),
    "an empty WINDOW_UPDATE": (headers_then(frames.window_update(1, 0)), "PROTOCOL_ERROR"),
    "a WINDOW_UPDATE too much": (
        headers_then(frames.window_update(1, (1 << 31) - 1)),
        "FLOW_CONTROL_ERROR",
    ),
    "PRIORITY of a wrong size": (
        headers_then(frames.frame(frames.PRIORITY, 0, 1, b"a")),
        "FRAME_SIZE_ERROR",
    ),
}


@pytest.mark.parametrize("name", STREAM_BREACHES)
def test_a_breach_ends_its_stream_alone(name: str) -> None:
    data, code = STREAM_BREACHES[name]
    connection = server()
    events = connection.receive(data)
    resets = [event for event in events if isinstance(event, StreamReset)]
    assert resets == [StreamReset(1, ErrorCode[code], False)]
    assert frames.rst_stream(1, ErrorCode[code]) in b"".join(connection.take(0)[0])
    later = connection.receive(request(3))
    assert [type(event) for event in later] == [RequestReceived]


def test_a_peer_that_is_no_http2() -> None:
    with pytest.raises(ProtocolError, match="not HTTP/2"):
        Connection(client=False).receive(b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(ProtocolError):
        Connection(client=True).receive(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def test_the_first_frame_must_be_settings() -> None:
    with pytest.raises(ProtocolError, match="SETTINGS"):
        Connection(client=False).receive(frames.PREFACE + request(1))


def test_more_data_than_the_windows_allow() -> None:
    chunk = frames.frame(frames.DATA, 0, 1, bytes(10_000))
    stream = server(Limits(stream_window=15_000))
    events = stream.receive(request(1) + chunk + chunk)
    assert events[-1] == StreamReset(1, ErrorCode.FLOW_CONTROL_ERROR, False)
    whole = server(Limits(connection_window=15_000))
    with pytest.raises(ProtocolError) as caught:
        whole.receive(request(1) + frames.frame(frames.DATA, 0, 1, bytes(16_000)))
    assert caught.value.code is ErrorCode.FLOW_CONTROL_ERROR


def test_windows_open_only_for_what_was_used() -> None:
    connection = server(Limits(stream_window=20_000, connection_window=70_000))
    chunk = frames.frame(frames.DATA, 0, 1, bytes(10_000))
    connection.receive(request(1) + chunk + chunk)
    assert not connection.take(0)[0]
    connection.acknowledge(1, 10_000)
    assert connection.take(0)[0] == [frames.window_update(1, 10_000)]


def test_a_stream_that_waits_holds_up_no_other() -> None:
    connection = server(Limits(stream_window=60_000, connection_window=20_000))
    connection.take(0)
    connection.receive(request(1) + frames.frame(frames.DATA, 0, 1, bytes(10_000)))
    assert connection.take(0)[0] == [frames.window_update(0, 10_000)]


def test_too_many_streams_are_refused_but_their_headers_read() -> None:
    connection = server(Limits(streams=2))
    encoder = hpack.Encoder()  # the later blocks refer to the refused one's table entries
    data = b""
    for stream_id in (1, 3, 5):
        one = encoder.encode([*HEAD, ("x-number", str(stream_id)), ("x-same", "same")])
        data += frames.frame(frames.HEADERS, frames.END_HEADERS, stream_id, one)
    events = connection.receive(data)
    assert [type(event) for event in events] == [RequestReceived, RequestReceived]
    assert frames.rst_stream(5, ErrorCode.REFUSED_STREAM) in b"".join(connection.take(0)[0])
    connection.reset_stream(1)
    again = encoder.encode([*HEAD, ("x-number", "5"), ("x-same", "same")])
    last = connection.receive(frames.frame(frames.HEADERS, frames.END_HEADERS, 7, again))
    assert dict(last[0][1])[b"x-number"] == b"5"  # type: ignore[arg-type]


def test_a_flood_of_continuations() -> None:
    connection = server()
    connection.receive(frames.frame(frames.HEADERS, 0, 1, b""))
    with pytest.raises(ProtocolError) as caught:
        for _ in range(1000):
            connection.receive(frames.frame(frames.CONTINUATION, 0, 1, b""))
    assert caught.value.code is ErrorCode.ENHANCE_YOUR_CALM


def test_headers_that_grow_when_unpacked() -> None:
    connection = server(Limits(header_list_size=10_000))
    encoder = hpack.Encoder()
    bomb = encoder.encode([*HEAD, *[("a", "b" * 1000)] * 100], huffman=False)
    assert len(bomb) < 2000
    with pytest.raises(ProtocolError) as caught:
        connection.receive(frames.frame(frames.HEADERS, frames.END_HEADERS, 1, bomb))
    assert caught.value.code is ErrorCode.ENHANCE_YOUR_CALM


def test_a_flood_of_resets() -> None:
    connection = server(Limits(early_resets=50))
    with pytest.raises(ProtocolError) as caught:
        for number in range(1, 1000, 2):
            connection.receive(request(number) + frames.rst_stream(number, 8))
    assert caught.value.code is ErrorCode.ENHANCE_YOUR_CALM


def test_resets_among_calls_that_end_well_are_no_flood() -> None:
    connection = server(Limits(early_resets=5))
    for number in range(1, 401, 4):
        connection.receive(request(number) + frames.rst_stream(number, 8))
        connection.receive(request(number + 2, flags=frames.END_STREAM))
        connection.end_stream(number + 2, [(b":status", b"200")])
        connection.take(1 << 20)
    assert connection.receive(request(1001))


@pytest.mark.parametrize("flood", [SETTINGS, frames.frame(frames.PING, 0, 0, bytes(8))])
def test_answers_that_are_not_read(flood: bytes) -> None:
    connection = server()
    with pytest.raises(ProtocolError) as caught:
        for _ in range(2000):
            connection.receive(flood)
    assert caught.value.code is ErrorCode.ENHANCE_YOUR_CALM


def test_a_flood_of_empty_frames() -> None:
    connection = server()
    connection.receive(request(1))
    with pytest.raises(ProtocolError) as caught:
        for _ in range(2000):
            connection.receive(frames.frame(frames.DATA, 0, 1))
    assert caught.value.code is ErrorCode.ENHANCE_YOUR_CALM


def test_unknown_frames_and_settings_are_passed_over() -> None:
    connection = server()
    connection.receive(frames.frame(0xEE, 0xFF, 1, b"grease") + frames.settings_frame({0x9A: 1}))
    assert [type(event) for event in connection.receive(ENDED)] == [RequestReceived, StreamEnded]


def test_an_interim_response_is_passed_over() -> None:
    connection = Connection(client=True)
    stream_id = connection.open_stream([(b":method", b"POST")])
    interim = request(stream_id, [(":status", "103")])
    final = request(stream_id, [(":status", "200")])
    events = connection.receive(SETTINGS + interim + final)
    assert [type(event).__name__ for event in events] == ["SettingsReceived", "ResponseReceived"]


def test_data_before_a_response() -> None:
    connection = Connection(client=True)
    stream_id = connection.open_stream([(b":method", b"POST")])
    events = connection.receive(SETTINGS + frames.frame(frames.DATA, 0, stream_id, b"x"))
    assert events[-1] == StreamReset(stream_id, ErrorCode.PROTOCOL_ERROR, False)


def test_our_own_illegal_moves_raise() -> None:
    connection = server()
    with pytest.raises(Http2Error):
        connection.send_data(1, b"x")
    connection.receive(request(1))
    connection.send_headers(1, [(b":status", b"200")])
    connection.end_stream(1)
    with pytest.raises(Http2Error):
        connection.send_data(1, b"x")
    with pytest.raises(Http2Error):
        connection.end_stream(1)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.booleans())
def test_noise_raises_nothing_but_protocol_errors(noise: bytes, client: bool) -> None:
    connection = Connection(client=client)
    connection.receive((b"" if client else frames.PREFACE) + SETTINGS)
    try:
        events = connection.receive(noise)
    except ProtocolError:
        return
    assert not any(isinstance(event, DataReceived) for event in events)
