from __future__ import annotations

import base64
import json
import socket
from pathlib import Path

import pytest

from daemon_shim.engine import EngineClient, RegistryLogin, split_tag
from daemon_shim.errors import LostConnectionError, SolveFailedError, UnreachableError
from daemon_shim.transports import transport_for
from tests.fakes.peers import Serve, head, listening

DIGEST = "sha256:" + "d" * 64


class Engine:
    """Answers one request with bytes, and keeps its head."""

    def __init__(self, answer: bytes) -> None:
        self.asked: list[str] = []
        self._answer = answer

    def serve(self, stream: socket.socket) -> None:
        self.asked.append(head(stream).decode())
        stream.sendall(self._answer)


def reply(body: bytes, status: str = "200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


def chunked(*messages: object, end: bytes = b"0\r\n\r\n") -> bytes:
    lines = [json.dumps(message).encode() + b"\r\n" for message in messages]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(line), line) for line in lines)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + end


def client(address: str) -> EngineClient:
    return EngineClient(transport_for(address.replace("unix", "docker")))


def test_an_image_is_looked_up(tmp_path: Path) -> None:
    body = {"Id": "sha256:1", "RepoTags": ["a:1"], "RepoDigests": None}
    engine = Engine(reply(json.dumps(body).encode()))
    with listening(engine.serve, tmp_path / "s") as address:
        image = client(address).image_inspect("localhost:5000/team/a:1")
    assert (image.id, image.tags, image.digests) == ("sha256:1", ("a:1",), ())
    assert engine.asked[0].startswith("GET /images/localhost:5000/team/a:1/json HTTP/1.1\r\n")


PUSHED = (
    {"status": "The push refers to repository [localhost:5000/a]"},
    {"status": "Pushing", "id": "l1", "progressDetail": {"current": 1, "total": 2}},
    {"status": "Pushed", "progressDetail": {}, "id": "l1"},
    {"status": f"1: digest: {DIGEST} size: 528"},
    {"progressDetail": {}, "aux": {"Tag": "1", "Digest": DIGEST, "Size": 528}},
)


def test_an_image_is_pushed_with_its_login(tmp_path: Path) -> None:
    engine = Engine(chunked(*PUSHED))
    lines: list[str] = []
    login = RegistryLogin(username="u", password="p?>", server="localhost:5000")
    with listening(engine.serve, tmp_path / "s") as address:
        digest = client(address).push_image("localhost:5000/a:1", login=login, tell=lines.append)
    assert digest == DIGEST
    assert lines == [
        "The push refers to repository [localhost:5000/a]",
        "l1: Pushed",
        f"1: digest: {DIGEST} size: 528",
    ]
    first, *headers = engine.asked[0].split("\r\n")
    assert first == "POST /images/localhost:5000/a/push?tag=1 HTTP/1.1"
    (value,) = [line.split(": ")[1] for line in headers if line.startswith("X-Registry-Auth")]
    assert json.loads(base64.urlsafe_b64decode(value)) == {
        "username": "u",
        "password": "p?>",
        "serveraddress": "localhost:5000",
    }


def test_a_push_without_a_login_still_carries_the_header(tmp_path: Path) -> None:
    engine = Engine(chunked(*PUSHED))
    with listening(engine.serve, tmp_path / "s") as address:
        client(address).push_image("a")
    assert "X-Registry-Auth: e30=" in engine.asked[0]
    assert "/images/a/push?tag=latest" in engine.asked[0]


def test_a_login_does_not_show_its_secrets() -> None:
    login = RegistryLogin(username="u", password="hush", identity_token="quiet")
    assert "hush" not in repr(login)
    assert "quiet" not in repr(login)


def serving(answer: bytes) -> Serve:
    return Engine(answer).serve


def test_an_error_in_the_stream_is_an_error(tmp_path: Path) -> None:
    told = {"errorDetail": {"message": "denied"}, "error": "denied: no access"}
    with (
        listening(serving(chunked(PUSHED[0], told)), tmp_path / "s") as address,
        pytest.raises(SolveFailedError, match="denied: no access"),
    ):
        client(address).push_image("a:1")


@pytest.mark.parametrize(
    ("status", "body", "code", "text"),
    [
        ("404 Not Found", b'{"message":"No such image: a:1"}', "NOT_FOUND", "No such image: a:1"),
        ("500 Oops", b"plain words\n", "UNKNOWN", "plain words"),
        ("401 No", b"[]", "UNAUTHENTICATED", "[]"),
        ("403 Forbidden", b"", "PERMISSION_DENIED", "Forbidden"),
    ],
)
def test_a_refusal_says_why(tmp_path: Path, status: str, body: bytes, code: str, text: str) -> None:
    with (
        listening(serving(reply(body, status)), tmp_path / "s") as address,
        pytest.raises(SolveFailedError) as caught,
    ):
        client(address).image_inspect("a:1")
    assert (caught.value.code, str(caught.value)) == (code, text)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"not HTTP",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        chunked(*PUSHED[:3]),
        chunked(*PUSHED[:3], end=b""),
    ],
)
def test_an_engine_that_goes_away_in_a_push(tmp_path: Path, answer: bytes) -> None:
    with (
        listening(serving(answer), tmp_path / "s") as address,
        pytest.raises(LostConnectionError),
    ):
        client(address).push_image("a:1")


def test_an_image_is_saved_whole_or_not(tmp_path: Path) -> None:
    data = bytes(range(256)) * 10_000
    with listening(serving(reply(data)), tmp_path / "s") as address:
        assert b"".join(client(address).save_image("a:1")) == data
    with (
        listening(serving(reply(data)[:-1]), tmp_path / "t") as address,
        pytest.raises(LostConnectionError),
    ):
        list(client(address).save_image("a:1"))


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff"])
def test_an_answer_that_cannot_be_read(tmp_path: Path, body: bytes) -> None:
    with (
        listening(serving(reply(body)), tmp_path / "s") as address,
        pytest.raises(SolveFailedError, match="cannot be read"),
    ):
        client(address).image_inspect("a:1")


def test_nobody_there() -> None:
    with pytest.raises(UnreachableError):
        client("unix:///no/such.sock").image_inspect("a:1")


@pytest.mark.parametrize(
    ("ref", "parts"),
    [
        ("a", ("a", "latest")),
        ("a:1", ("a", "1")),
        ("localhost:5000/a", ("localhost:5000/a", "latest")),
        ("localhost:5000/a:1", ("localhost:5000/a", "1")),
    ],
)
def test_names_and_tags(ref: str, parts: tuple[str, str]) -> None:
    assert split_tag(ref) == parts
