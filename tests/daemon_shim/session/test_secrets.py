"""Secrets: only what is named, and nothing of it in any text."""

from __future__ import annotations

import pytest

from daemon_shim.session.secrets import MAX_SECRET_BYTES, Secrets
from schemas.pb.secrets_pb2 import GetSecretRequest, GetSecretResponse
from tests.daemon_shim.session.driver import FakeCall

PATH = "/moby.buildkit.secrets.v1.Secrets/GetSecret"


def ask(secrets: Secrets, name: str) -> FakeCall:
    request = GetSecretRequest(ID=name).SerializeToString()
    return FakeCall().open(secrets.methods[PATH]).give(request)


def test_named_secret_is_given() -> None:
    call = ask(Secrets({"token": lambda: b"s3cret"}), "token")
    assert call.status is not None and call.status.code == 0
    [message] = call.messages
    assert GetSecretResponse.FromString(message).data == b"s3cret"


@pytest.mark.parametrize("name", ["", "other", "../token", "TOKEN"])
def test_other_names_are_not_found(name: str) -> None:
    call = ask(Secrets({"token": lambda: b"s3cret"}), name)
    assert call.status is not None and call.status.code == 5
    assert call.messages == []


def test_largest_secret_passes_and_a_larger_one_is_refused() -> None:
    largest = ask(Secrets({"token": lambda: b"x" * MAX_SECRET_BYTES}), "token")
    assert largest.status is not None and largest.status.code == 0
    larger = ask(Secrets({"token": lambda: b"x" * (MAX_SECRET_BYTES + 1)}), "token")
    assert larger.status is not None and larger.status.code == 9
    assert "512001 bytes" in larger.status.message


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), KeyError("s3cret")])
def test_failing_secret_says_its_name_alone(error: Exception) -> None:
    def value() -> bytes:
        raise error

    call = ask(Secrets({"token": value}), "token")
    assert call.status is not None and call.status.code == 9
    assert "token" in call.status.message
    assert "s3cret" not in call.status.message


def test_values_are_not_shown() -> None:
    assert repr(Secrets({"token": lambda: b"s3cret", "a": lambda: b""})) == "Secrets(a, token)"


def test_second_request_and_none_are_errors() -> None:
    secrets = Secrets({"token": lambda: b"s3cret"})
    call = FakeCall().open(secrets.methods[PATH])
    call.later = True
    request = GetSecretRequest(ID="token").SerializeToString()
    call.give(request, request)
    assert call.status is not None and call.status.code == 3
    empty = FakeCall().open(secrets.methods[PATH]).half_close()
    assert empty.status is not None and empty.status.code == 3


def test_broken_request_is_an_error() -> None:
    call = FakeCall().open(Secrets({}).methods[PATH]).give(b"\x0a\x05a")
    assert call.status is not None and call.status.code != 0
