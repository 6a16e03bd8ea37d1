"""Our connection against the h2 library, in both roles, whatever the pieces bytes come in."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import h2.config
import h2.connection
import h2.events
import h2.settings
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon_shim.http2.connection import Connection
from daemon_shim.http2.events import (
    DataReceived,
    Event,
    GoawayReceived,
    RequestReceived,
    ResponseReceived,
    SettingsReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from daemon_shim.http2.limits import Limits

REQUEST = [
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/pkg.Service/Method"),
    (b":authority", b"localhost"),
    (b"te", b"trailers"),
]
RESPONSE = [(b":status", b"200"), (b"content-type", b"application/grpc")]
TRAILERS = [(b"grpc-status", b"0"), (b"grpc-message", b"fine")]


class Pair:
    """Our end and h2's, joined by pipes that cut bytes as ``cuts`` says."""

    def __init__(
        self,
        *,
        client: bool,
        cuts: Iterator[int] | None = None,
        allowed: Limits | None = None,
        acknowledge: bool = True,
    ) -> None:
        self.ours = Connection(client=client, allowed=allowed)
        config = h2.config.H2Configuration(client_side=not client, header_encoding=None)
        self.theirs = h2.connection.H2Connection(config)
        self.theirs.initiate_connection()
        self.events: list[Event] = []
        self.their_events: list[h2.events.Event] = []
        self.received: dict[int, bytes] = {}
        self.their_received: dict[int, bytes] = {}
        self._cuts = cuts
        self._acknowledge = acknowledge

    def run(self) -> None:
        """Move bytes both ways until nothing moves."""
        while self._to_us() | self._to_them():
            pass

    def _to_us(self) -> bool:
        data = self.theirs.data_to_send()
        self._cut(data, self._receive)
        return bool(data)

    def _receive(self, piece: bytes) -> None:
        for event in self.ours.receive(piece):
            if isinstance(event, DataReceived):
                stream_id, data = event
                self.received[stream_id] = self.received.get(stream_id, b"") + bytes(data)
                self.ours.acknowledge(stream_id, len(data))
            else:
                self.events.append(event)

    def _to_them(self) -> bool:
        data = b"".join(self.ours.take(1 << 20)[0])
        self._cut(data, self._their_receive)
        return bool(data)

    def _their_receive(self, piece: bytes) -> None:
        for event in self.theirs.receive_data(piece):
            self.their_events.append(event)
            if isinstance(event, h2.events.DataReceived):
                id_ = event.stream_id
                self.their_received[id_] = self.their_received.get(id_, b"") + event.data
                if self._acknowledge:
                    self.theirs.acknowledge_received_data(event.flow_controlled_length, id_)

    def _cut(self, data: bytes, give: Callable[[bytes], None]) -> None:
        while data:
            size = next(self._cuts) if self._cuts else len(data)
            give(data[:size])
            data = data[size:]

    def send(self, stream_id: int, data: bytes, *, padding: int | None = None) -> None:
        """Send from h2's end, as its windows allow."""
        overhead = 0 if padding is None else padding + 1
        while data:
            room = self.theirs.local_flow_control_window(stream_id)
            size = min(min(room, self.theirs.max_outbound_frame_size) - overhead, len(data))
            assert size > 0
            self.theirs.send_data(stream_id, data[:size], pad_length=padding)
            data = data[size:]
            self.run()

    def of(self, kind: type) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]


def repeated(sizes: list[int]) -> Iterator[int]:
    while True:
        yield from sizes


PIECES = st.lists(st.integers(1, 40_000), min_size=1, max_size=8)
BODIES = st.binary(max_size=300).flatmap(lambda seed: st.just(seed * 700))


@settings(max_examples=30, deadline=None)
@given(sizes=PIECES, body=BODIES, answer=BODIES)
def test_a_call_as_client(sizes: list[int], body: bytes, answer: bytes) -> None:
    pair = Pair(client=True, cuts=repeated(sizes))
    stream_id = pair.ours.open_stream(REQUEST)
    pair.ours.send_data(stream_id, body)
    pair.ours.end_stream(stream_id)
    pair.run()
    assert pair.their_received.get(stream_id, b"") == body
    assert any(isinstance(event, h2.events.StreamEnded) for event in pair.their_events)
    pair.theirs.send_headers(stream_id, RESPONSE)
    pair.send(stream_id, answer)
    pair.theirs.send_headers(stream_id, TRAILERS, end_stream=True)
    pair.run()
    assert pair.received.get(stream_id, b"") == answer
    assert [type(event) for event in pair.events] == [
        SettingsReceived,
        ResponseReceived,
        TrailersReceived,
        StreamEnded,
    ]
    assert pair.of(TrailersReceived) == [TrailersReceived(stream_id, TRAILERS)]
    assert not pair.ours.alive(stream_id)


@settings(max_examples=30, deadline=None)
@given(sizes=PIECES, body=BODIES, answer=BODIES)
def test_a_call_as_server(sizes: list[int], body: bytes, answer: bytes) -> None:
    pair = Pair(client=False, cuts=repeated(sizes))
    pair.theirs.send_headers(1, REQUEST)
    pair.send(1, body)
    pair.theirs.end_stream(1)
    pair.run()
    assert pair.of(RequestReceived) == [RequestReceived(1, REQUEST)]
    assert pair.received.get(1, b"") == body
    pair.ours.send_headers(1, RESPONSE)
    pair.ours.send_data(1, answer)
    pair.ours.end_stream(1, TRAILERS)
    pair.run()
    assert pair.their_received.get(1, b"") == answer
    trailers = [e for e in pair.their_events if isinstance(e, h2.events.TrailersReceived)]
    assert [trailer.headers for trailer in trailers] == [TRAILERS]
    assert not pair.ours.alive(1)


def test_an_early_answer_resets_what_the_client_still_sends() -> None:
    pair = Pair(client=False)
    pair.theirs.send_headers(1, REQUEST)
    pair.run()
    pair.ours.end_stream(1, RESPONSE + TRAILERS)
    pair.run()
    resets = [e for e in pair.their_events if isinstance(e, h2.events.StreamReset)]
    assert [reset.error_code for reset in resets] == [0]
    assert not pair.ours.alive(1)


def test_data_waits_for_the_peers_windows_and_goes_on_when_they_open() -> None:
    pair = Pair(client=True, acknowledge=False)
    stream_id = pair.ours.open_stream(REQUEST)
    pair.ours.send_data(stream_id, b"x" * 200_000)
    pair.run()
    assert len(pair.their_received[stream_id]) == 65_535
    assert pair.ours.queued(stream_id) == 200_000 - 65_535
    pair.theirs.increment_flow_control_window(1 << 20)
    pair.run()
    assert len(pair.their_received[stream_id]) == 65_535
    pair.theirs.increment_flow_control_window(1 << 20, stream_id)
    pair.run()
    assert pair.their_received[stream_id] == b"x" * 200_000
    assert pair.ours.queued(stream_id) == 0


def test_a_smaller_initial_window_counts_for_open_streams() -> None:
    pair = Pair(client=True, acknowledge=False)
    stream_id = pair.ours.open_stream(REQUEST)
    pair.ours.send_data(stream_id, b"x" * 60_000)
    pair.run()
    pair.theirs.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1000})
    pair.run()
    pair.ours.send_data(stream_id, b"y" * 1000)
    pair.run()
    assert pair.ours.queued(stream_id) == 1000
    pair.theirs.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 61_000})
    pair.run()
    assert pair.ours.queued(stream_id) == 0


def test_streams_take_turns() -> None:
    pair = Pair(client=True)
    streams = [pair.ours.open_stream(REQUEST) for _ in range(3)]
    for stream_id in streams:
        pair.ours.send_data(stream_id, b"x" * 20_000)
    _, moved = pair.ours.take(60_000)
    assert sorted(set(moved)) == streams


def test_large_frames_where_the_peer_takes_them() -> None:
    pair = Pair(client=True)
    pair.theirs.update_settings({h2.settings.SettingCodes.MAX_FRAME_SIZE: 50_000})
    pair.run()
    stream_id = pair.ours.open_stream(REQUEST)
    pair.ours.send_data(stream_id, b"x" * 40_000)
    pair.run()
    data = [e for e in pair.their_events if isinstance(e, h2.events.DataReceived)]
    assert [len(event.data) for event in data] == [40_000]


def test_long_headers_go_and_come_in_continuations() -> None:
    pair = Pair(client=False)
    patterns = [(b"include-patterns", b"%05d-" % n + b"\xc3\xa4" * 30) for n in range(800)]
    pair.theirs.send_headers(1, REQUEST + patterns)
    pair.run()
    assert pair.of(RequestReceived) == [RequestReceived(1, REQUEST + patterns)]
    long = [(b"grpc-message", b"m" * 40_000)]
    pair.ours.end_stream(1, RESPONSE + long)
    pair.run()
    responses = [e for e in pair.their_events if isinstance(e, h2.events.ResponseReceived)]
    assert responses[0].headers[-1] == long[0]


def test_padding_is_dropped_and_given_back() -> None:
    pair = Pair(client=False, allowed=Limits(stream_window=70_000, connection_window=70_000))
    pair.theirs.send_headers(1, REQUEST)
    pair.run()
    for _ in range(100):
        pair.send(1, b"1234", padding=200)
    pair.send(1, b"x" * 60_000, padding=255)
    assert pair.received[1] == b"1234" * 100 + b"x" * 60_000


def test_pings_are_answered() -> None:
    pair = Pair(client=True)
    pair.theirs.ping(b"12345678")
    pair.run()
    acks = [e for e in pair.their_events if isinstance(e, h2.events.PingAckReceived)]
    assert [ack.ping_data for ack in acks] == [b"12345678"]


def test_resets_go_both_ways() -> None:
    pair = Pair(client=True)
    first, second = pair.ours.open_stream(REQUEST), pair.ours.open_stream(REQUEST)
    pair.ours.send_data(first, b"x" * 100_000)
    pair.run()
    pair.ours.reset_stream(first)
    pair.theirs.reset_stream(second, 8)
    pair.run()
    assert pair.of(StreamReset) == [StreamReset(second, 8, True)]
    resets = [e for e in pair.their_events if isinstance(e, h2.events.StreamReset)]
    assert [reset.stream_id for reset in resets] == [first]


def test_what_was_on_its_way_to_a_reset_stream_is_dropped() -> None:
    pair = Pair(client=False, allowed=Limits(connection_window=70_000))
    pair.theirs.send_headers(1, REQUEST)
    pair.run()
    pair.ours.reset_stream(1)
    pair.theirs.send_data(1, b"x" * 10_000)
    pair.theirs.send_headers(1, TRAILERS, end_stream=True)
    pair.run()
    assert 1 not in pair.received
    pair.theirs.send_headers(3, REQUEST)
    pair.send(3, b"y" * 65_000)
    assert len(pair.received[3]) == 65_000


def test_a_farewell_is_told_and_ends_later_streams() -> None:
    pair = Pair(client=True)
    streams = [pair.ours.open_stream(REQUEST) for _ in range(2)]
    pair.run()
    pair.theirs.close_connection(error_code=11, last_stream_id=1, additional_data=b"calm")
    pair.run()
    assert pair.of(GoawayReceived) == [GoawayReceived(1, 11, b"calm")]
    assert pair.of(StreamReset) == [StreamReset(streams[1], 7, True)]
    assert pair.ours.alive(streams[0])


def test_our_farewell_is_understood() -> None:
    pair = Pair(client=False)
    pair.theirs.send_headers(1, REQUEST)
    pair.run()
    pair.ours.goaway(debug="bye")
    pair.run()
    closed = [e for e in pair.their_events if isinstance(e, h2.events.ConnectionTerminated)]
    assert [(end.last_stream_id, end.additional_data) for end in closed] == [(1, b"bye")]
