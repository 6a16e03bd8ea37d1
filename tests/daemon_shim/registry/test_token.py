"""The token exchange, with a service that answers as told."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from daemon_shim.registry.login import ANONYMOUS, Login, LoginError
from daemon_shim.registry.token import Token, TokenRequest, fetch_token

USER = Login(username="user", secret="s3cret")


@dataclass
class Service:
    """Answers by method; keeps what it was asked."""

    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, list[str]], str]] = field(default_factory=list)
    realm: str = ""

    def request(self, *scopes: str) -> TokenRequest:
        return TokenRequest(realm=self.realm, service="registry", scopes=scopes)


@pytest.fixture
def service() -> Iterator[Service]:
    told = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(parse_qs(urlsplit(self.path).query))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self._answer(parse_qs(body))

        def _answer(self, fields: dict[str, list[str]]) -> None:
            told.asked.append((self.command, fields, self.headers.get("Authorization", "")))
            key = f"{self.command} {urlsplit(self.path).path}"
            status, body = told.answers.get(key) or told.answers[self.command]
            self.send_response(status)
            if status in (301, 302, 307):
                self.send_header("Location", body)
            data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - theirs
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        told.realm = f"http://127.0.0.1:{server.server_port}/token"
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield told
        server.shutdown()


def test_password_goes_by_oauth(service: Service) -> None:
    answer = {"access_token": "t", "expires_in": 300, "issued_at": "2020-01-01T00:00:00Z"}
    service.answers = {"POST": (200, answer)}
    token = fetch_token(service.request("repository:a:pull", "repository:b:push"), USER)
    assert token == Token(token="t", expires_in=300, issued_at=1577836800)
    [(method, fields, authorization)] = service.asked
    assert (method, authorization) == ("POST", "")
    assert fields == {
        "grant_type": ["password"],
        "username": ["user"],
        "password": ["s3cret"],
        "client_id": ["buildfile"],
        "service": ["registry"],
        "scope": ["repository:a:pull repository:b:push"],
    }


def test_identity_token_is_refreshed(service: Service) -> None:
    service.answers = {"POST": (200, {"access_token": "t"})}
    token = fetch_token(service.request(), Login(identity_token="refresh"))
    assert token.expires_in == 60
    [(_, fields, _)] = service.asked
    assert fields["grant_type"] == ["refresh_token"]
    assert fields["refresh_token"] == ["refresh"]
    assert "password" not in fields and "scope" not in fields


@pytest.mark.parametrize("status", [401, 404, 405])
def test_registries_without_oauth_get_basic_authentication(service: Service, status: int) -> None:
    service.answers = {"POST": (status, {}), "GET": (200, {"token": "t", "expires_in": 0})}
    token = fetch_token(service.request("repository:a:pull", "x"), USER)
    assert (token.token, token.expires_in) == ("t", 60)
    _, (_, fields, authorization) = service.asked
    assert fields == {"service": ["registry"], "scope": ["repository:a:pull", "x"]}
    assert authorization == "Basic " + base64.b64encode(b"user:s3cret").decode()


def test_without_login_nothing_is_shown(service: Service) -> None:
    service.answers = {"GET": (200, {"token": "t"})}
    assert fetch_token(service.request("repository:a:pull"), ANONYMOUS).token == "t"
    [(method, _, authorization)] = service.asked
    assert (method, authorization) == ("GET", "")


def test_bearer_token_needs_no_exchange(service: Service) -> None:
    assert fetch_token(service.request(), Login(registry_token="b")).token == "b"
    assert service.asked == []


def test_redirect_is_followed_without_the_login(service: Service) -> None:
    service.answers = {
        "POST": (404, {}),
        "GET /token": (307, service.realm.replace("/token", "/other")),
        "GET /other": (200, {"token": "t"}),
    }
    assert fetch_token(service.request(), USER).token == "t"
    assert [authorization != "" for _, _, authorization in service.asked] == [False, True, False]


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_redirect_elsewhere_is_refused(service: Service, target: str) -> None:
    service.answers = {"GET": (302, target)}
    with pytest.raises(LoginError):
        fetch_token(service.request(), ANONYMOUS)


def test_login_is_not_reposted(service: Service) -> None:
    service.answers = {"POST": (307, service.realm + "2")}
    with pytest.raises(LoginError, match="HTTP status 307"):
        fetch_token(service.request(), USER)
    assert len(service.asked) == 1


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({"POST": (401, {}), "GET": (401, {"details": "s3cret"})}, "login was refused.*401"),
        ({"POST": (500, {})}, "exchange failed.*500"),
        ({"POST": (200, "not JSON")}, "something else than JSON"),
        ({"POST": (200, "[" * 100_000)}, "something else than JSON"),
        ({"POST": (200, {})}, "without a token"),
        ({"POST": (200, ["token"])}, "without a token"),
        ({"POST": (200, {"access_token": 5})}, "without a token"),
    ],
)
def test_bad_answers_are_errors_without_secrets(
    service: Service, answers: dict[str, tuple[int, Any]], message: str
) -> None:
    service.answers = answers
    with pytest.raises(LoginError, match=message) as caught:
        fetch_token(service.request(), USER)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("realm", ["http://registry.example/token", "http://10.0.0.1/token"])
def test_login_does_not_go_without_tls(realm: str) -> None:
    with pytest.raises(LoginError, match="without TLS"):
        fetch_token(TokenRequest(realm=realm), USER)


@pytest.mark.parametrize("realm", ["", "file:///etc/passwd", "token", "https://", "http://[x/"])
def test_realm_must_be_an_address(realm: str) -> None:
    with pytest.raises(LoginError, match="no usable address"):
        fetch_token(TokenRequest(realm=realm), ANONYMOUS)


def test_nobody_there_is_an_error() -> None:
    with pytest.raises(LoginError, match="no token from"):
        fetch_token(TokenRequest(realm="http://127.0.0.1:1/token"), USER)
