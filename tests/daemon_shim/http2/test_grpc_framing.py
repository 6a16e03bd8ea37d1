from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon_shim.http2.grpc_framing import (
    MessageError,
    MessageReader,
    prefix,
    read_status,
    status_trailers,
)


@given(st.lists(st.binary(max_size=80)), st.lists(st.integers(1, 50), min_size=1))
def test_messages_come_whole_whatever_the_pieces(messages: list[bytes], sizes: list[int]) -> None:
    data = b"".join(prefix(len(message)) + message for message in messages)
    reader, found, turn = MessageReader(), [], 0
    while data:
        size = sizes[turn % len(sizes)]
        found += [bytes(message) for message in reader.feed(data[:size])]
        data, turn = data[size:], turn + 1
    assert found == messages
    assert not reader.partial


def test_a_cut_message_shows() -> None:
    reader = MessageReader()
    assert not list(reader.feed(prefix(10) + b"12345"))
    assert reader.partial


@pytest.mark.parametrize(
    ("data", "code"), [(b"\x01\0\0\0\x01x", 12), (b"\0\0\0\x10\0", 8), (b"\0\xff\xff\xff\xff", 8)]
)
def test_what_is_not_taken(data: bytes, code: int) -> None:
    with pytest.raises(MessageError) as caught:
        list(MessageReader(limit=4095).feed(data))
    assert caught.value.code == code


@given(st.integers(0, 16), st.text())
def test_a_status_survives(code: int, message: str) -> None:
    trailers = status_trailers(code, message)
    assert all(0x20 <= byte < 0x7F for _, value in trailers for byte in value)
    expected = message.encode("utf-8", "replace").decode()
    assert read_status(trailers) == (code, expected)


def test_trailers_without_a_status() -> None:
    assert read_status([(b"grpc-message", b"x")]) is None
    assert read_status([(b"grpc-status", b"many")]) is None
