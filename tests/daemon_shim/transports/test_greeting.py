from __future__ import annotations

import socket
from pathlib import Path

import pytest

from daemon_shim.errors import UnreachableError
from daemon_shim.transports import transport_for
from tests.fakes.peers import ENGINE_PONG, SETTINGS, Serve, answering, head, listening


def _waits_for_the_preface(stream: socket.socket) -> None:
    if stream.recv(4096).startswith(b"PRI * HTTP/2.0"):
        stream.sendall(SETTINGS)
        stream.recv(1)


def _http_to_http_and_http2_to_http2(stream: socket.socket) -> None:
    """As a proxy does that takes both on one port."""
    if stream.recv(4096).startswith(b"GET "):
        stream.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    else:
        stream.sendall(SETTINGS)
    stream.recv(1)


@pytest.mark.parametrize(
    "serve",
    [
        answering(SETTINGS),
        answering(SETTINGS[:3], SETTINGS[3:]),
        answering(b"\0\0\x06\x04\0\0\0\0\0" + bytes(6)),
        _waits_for_the_preface,
        _http_to_http_and_http2_to_http2,
    ],
)
def test_buildkitd_is_known_by_its_settings(serve: Serve) -> None:
    with listening(serve) as address:
        transport = transport_for(address)
        assert transport.engine is False


@pytest.mark.parametrize("pieces", [(ENGINE_PONG,), (ENGINE_PONG[:5], ENGINE_PONG[5:])])
def test_an_engine_is_known_by_its_headers(pieces: tuple[bytes, ...], tmp_path: Path) -> None:
    with listening(answering(*pieces), tmp_path / "s") as address:
        assert transport_for(address).engine is True


_NOT_AN_ENGINE = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("serve", "what"),
    [
        (answering(_NOT_AN_ENGINE, wait=False), "an HTTP/1 server answers"),
        (answering(b"\x15\x03\x01\0\x02\x02\x46", wait=False), "it wants TLS"),
        (answering(wait=False), "it closes the connection"),
        (answering(b"SSH-2.0-OpenSSH_9.2\r\n"), "neither HTTP/2 nor HTTP/1"),
    ],
)
def test_whoever_else_is_there_is_named(serve: Serve, what: str) -> None:
    with listening(serve) as address:
        with pytest.raises(UnreachableError, match=what) as caught:
            transport_for(address).connect(5.0)
        assert "is not a BuildKit daemon" in str(caught.value)
        assert caught.value.hint


def test_somebody_silent_is_given_up() -> None:
    with (
        listening(answering()) as address,
        pytest.raises(UnreachableError, match="no answer within 0\\.2 seconds"),
    ):
        transport_for(address).connect(0.2)


def test_an_endless_head_is_not_read_to_its_end() -> None:
    def serve(stream: socket.socket) -> None:
        stream.recv(4096)
        stream.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            stream.sendall(b"X-Long: " + b"x" * 1000 + b"\r\n")

    with (
        listening(serve) as address,
        pytest.raises(UnreachableError, match="not a Docker Engine"),
    ):
        transport_for(address).connect(10.0)


def test_it_asks_once() -> None:
    asked: list[bytes] = []

    def serve(stream: socket.socket) -> None:
        asked.append(head(stream))
        stream.sendall(SETTINGS)

    with listening(serve) as address:
        transport = transport_for(address)
        assert [transport.engine, transport.engine] == [False, False]
    assert len(asked) == 1
