from __future__ import annotations

import socket
from pathlib import Path

import pytest

from daemon_shim.errors import UnreachableError
from daemon_shim.transports import transport_for
from tests.fakes.peers import Serve, answering, head, listening

HEAD = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
BEHIND = b"\0\0\0\x04\0\0\0\0\0 and more"


@pytest.mark.parametrize(
    "pieces",
    [
        (HEAD + BEHIND,),
        (HEAD, BEHIND),
        (HEAD[:7], HEAD[7:40], HEAD[40:] + BEHIND),
        (*(HEAD[i : i + 1] for i in range(len(HEAD))), BEHIND),
    ],
)
def test_what_stands_behind_the_head_is_not_lost(pieces: tuple[bytes, ...], tmp_path: Path) -> None:
    with listening(answering(*pieces), tmp_path / "s") as address:
        transport = transport_for(address.replace("unix", "docker"))
        with transport.connect(10.0) as stream:
            assert stream.gettimeout() is None
            told = b""
            while len(told) < len(BEHIND):
                told += stream.recv(100)
    assert told == BEHIND


def test_the_request_is_the_engines_own_upgrade(tmp_path: Path) -> None:
    asked: list[bytes] = []

    def serve(stream: socket.socket) -> None:
        asked.append(head(stream))
        stream.sendall(HEAD)

    with listening(serve, tmp_path / "s") as address:
        transport_for(address.replace("unix", "docker")).connect(10.0).close()
    lines = asked[0].split(b"\r\n")
    assert lines[0] == b"POST /grpc HTTP/1.1"
    assert {b"Connection: Upgrade", b"Upgrade: h2c"} <= set(lines)


@pytest.mark.parametrize(
    ("serve", "what"),
    [
        (answering(b"HTTP/1.1 404 Not Found\r\n\r\n"), "it answers 404 to POST /grpc"),
        (answering(b"HTTP/1.1 301 Moved\r\n\r\n"), "it answers 301 to POST /grpc"),
        (answering(b"\0\0\0\x04\0\0\0\0\0", wait=False), "does not speak HTTP/1"),
        (answering(wait=False), "does not speak HTTP/1"),
        (answering(b"x" * 20_000), "does not speak HTTP/1"),
    ],
)
def test_a_refusal_is_explained(serve: Serve, what: str, tmp_path: Path) -> None:
    with (
        listening(serve, tmp_path / "s") as address,
        pytest.raises(UnreachableError, match=what) as caught,
    ):
        transport_for(address.replace("unix", "docker")).connect(10.0)
    assert "19.03" in (caught.value.hint or "")


def test_a_head_that_does_not_come_ends_with_the_time(tmp_path: Path) -> None:
    with (
        listening(answering(b"HTTP/1.1 101 UPG"), tmp_path / "s") as address,
        pytest.raises(UnreachableError, match="no answer within"),
    ):
        transport_for(address.replace("unix", "docker")).connect(0.2)
