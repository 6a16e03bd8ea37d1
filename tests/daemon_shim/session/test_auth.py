"""The Auth service over a config of Docker's."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from typing import TypeVar

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from google.protobuf.message import Message

from daemon_shim.registry.config import DockerConfig
from daemon_shim.registry.login import Login
from daemon_shim.registry.seeds import TokenSeeds
from daemon_shim.session.auth import Auth
from schemas.pb import auth_pb2 as auth
from tests.daemon_shim.session.driver import FakeCall

Response = TypeVar("Response", bound=Message)
HOST = "registry.example"


def ask(service: Auth, method: str, request: Message) -> FakeCall:
    opener = service.methods[f"/moby.filesync.v1.Auth/{method}"]
    return FakeCall().open(opener).give(request.SerializeToString())


def answer(call: FakeCall, kind: type[Response]) -> Response:
    assert call.status is not None and call.status.code == 0, call.status
    [message] = call.messages
    return kind.FromString(message)


def serving(folder: Path, login: Login | None = None) -> Auth:
    return Auth(DockerConfig(folder=folder, auths={HOST: login} if login else {}))


@pytest.mark.parametrize(
    ("login", "expected"),
    [
        (Login(username="u", secret="s"), ("u", "s")),
        (Login(username="u", secret="s", identity_token="i"), ("", "i")),
        (None, ("", "")),
    ],
)
def test_credentials(tmp_path: Path, login: Login | None, expected: tuple[str, str]) -> None:
    call = ask(serving(tmp_path, login), "Credentials", auth.CredentialsRequest(Host=HOST))
    response = answer(call, auth.CredentialsResponse)
    assert (response.Username, response.Secret) == expected


def test_authority_proves_itself(tmp_path: Path) -> None:
    service = serving(tmp_path, Login(username="u", secret="s"))
    request = auth.GetTokenAuthorityRequest(Host=HOST, Salt=b"salt")
    key = answer(ask(service, "GetTokenAuthority", request), auth.GetTokenAuthorityResponse)
    proof = auth.VerifyTokenAuthorityRequest(Host=HOST, Salt=b"salt", Payload=b"payload")
    signed = answer(
        ask(service, "VerifyTokenAuthority", proof), auth.VerifyTokenAuthorityResponse
    ).Signed
    assert signed[64:] == b"payload"
    Ed25519PublicKey.from_public_bytes(key.PublicKey).verify(signed[:64], b"payload")


def test_key_is_made_as_other_clients_make_it(tmp_path: Path) -> None:
    """The formula of authprovider.go, so that all clients of a user share a daemon's tokens."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    service = serving(tmp_path, Login(username="u", secret="s"))
    for host, seed in ((HOST, TokenSeeds(tmp_path).seed(HOST)), ("other.example", b"")):
        seeded = hmac.new(b"salt", seed, hashlib.sha256).digest()
        expected = Ed25519PrivateKey.from_private_bytes(seeded).public_key().public_bytes_raw()
        request = auth.GetTokenAuthorityRequest(Host=host, Salt=b"salt")
        call = ask(service, "GetTokenAuthority", request)
        assert answer(call, auth.GetTokenAuthorityResponse).PublicKey == expected


def test_tokens_can_be_left_to_the_daemon(tmp_path: Path) -> None:
    service = Auth(DockerConfig(folder=tmp_path), client_tokens=False)
    call = ask(service, "GetTokenAuthority", auth.GetTokenAuthorityRequest(Host=HOST))
    assert call.status is not None and call.status.code == 14


def test_bearer_token_is_given(tmp_path: Path) -> None:
    service = serving(tmp_path, Login(registry_token="b"))
    call = ask(service, "FetchToken", auth.FetchTokenRequest(Host=HOST, Realm="https://x"))
    assert answer(call, auth.FetchTokenResponse).Token == "b"


def test_failures_are_told(tmp_path: Path) -> None:
    service = Auth(DockerConfig(folder=tmp_path, store="nowhere-to-be-found"))
    call = ask(service, "Credentials", auth.CredentialsRequest(Host=HOST))
    assert call.status is not None and call.status.code == 16
    assert "is not installed" in call.status.message


def test_helper_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def helper(name: str, server: str) -> Login:
        asked.append(server)
        return Login(username="u", secret="s")

    monkeypatch.setattr("daemon_shim.registry.config.ask_helper", helper)
    service = Auth(DockerConfig(folder=tmp_path, store="h"))
    for _ in range(3):
        assert service.login(HOST).secret == "s"
    assert asked == [HOST]
