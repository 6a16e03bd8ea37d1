"""Docker's config: whose login counts, and what is told when one cannot be had."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from daemon_shim.registry.config import DOCKER_HUB, DockerConfig
from daemon_shim.registry.login import ANONYMOUS, Login, LoginError
from daemon_shim.registry.seeds import TokenSeeds

SECRET = "p:ss\u00e4"  # a colon and a letter that is not ASCII


def auth(username: str, secret: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{username}:{secret}".encode()).decode()}


def config(folder: Path, content: Any, **environment: str) -> DockerConfig:
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / "config.json").write_text(text)
    return DockerConfig.load({"DOCKER_CONFIG": str(folder)} | environment)


def helper(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, script: str) -> None:
    """Put a credential helper on the PATH."""
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    program = programs / f"docker-credential-{name}"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")


def test_written_logins(tmp_path: Path) -> None:
    auths = {
        "localhost:5000": auth("user", SECRET),
        "plain.example": {"username": "user", "password": SECRET},
        "token.example": {"identitytoken": "refresh"} | auth("user", "old"),
        "bearer.example": {"registrytoken": "bearer"},
        "https://old.example/v1/": auth("user", "old"),
        DOCKER_HUB: auth("hub", SECRET),
        "empty.example": {},
    }
    found = config(tmp_path, {"auths": auths})
    assert found.login("localhost:5000") == Login(username="user", secret=SECRET)
    assert found.login("plain.example") == Login(username="user", secret=SECRET)
    assert found.login("token.example").identity_token == "refresh"
    assert found.login("bearer.example").registry_token == "bearer"
    assert found.login("old.example").secret == "old"
    for hub in ("registry-1.docker.io", "docker.io", "index.docker.io"):
        assert found.login(hub).username == "hub"
    assert found.login("empty.example") == ANONYMOUS
    assert found.login("localhost") == ANONYMOUS
    assert found.login("example") == ANONYMOUS


@pytest.mark.parametrize("content", ["{}", '{"auths": null}', '{"auths": {"a": 1}}', "[]", "null"])
def test_config_without_logins(tmp_path: Path, content: str) -> None:
    assert config(tmp_path, content).login("a") == ANONYMOUS


def test_no_config_is_no_login(tmp_path: Path) -> None:
    assert DockerConfig.load({"DOCKER_CONFIG": str(tmp_path)}).login("a") == ANONYMOUS


def test_broken_config_is_an_error_without_its_text(tmp_path: Path) -> None:
    with pytest.raises(LoginError, match="is not JSON") as caught:
        config(tmp_path, '{"auths": {"a": {"auth": "c2VjcmV0"')
    assert "c2VjcmV0" not in str(caught.value)
    with pytest.raises(LoginError, match=r"the login at a\.example .* is broken"):
        config(tmp_path, {"auths": {"a.example": {"auth": "%%%"}}})


def test_environment_comes_first(tmp_path: Path) -> None:
    given = json.dumps({"auths": {"a.example": auth("ci", "job")}})
    found = config(tmp_path, {"credsStore": "missing"}, DOCKER_AUTH_CONFIG=given)
    assert found.login("a.example") == Login(username="ci", secret="job")


def test_helpers_are_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = '{"ServerURL": "x", "Username": "%s", "Secret": "%s"}'
    script = f"""test "$1" = get || exit 3; read -r server || true
printf '{answer}' "$server" from-store"""
    helper(tmp_path, monkeypatch, "store", script)
    helper(tmp_path, monkeypatch, "special", f"printf '{answer}' '<token>' refresh")
    content = {
        "auths": {"a.example": auth("stale", "stale")},
        "credsStore": "store",
        "credHelpers": {"special.example": "special"},
    }
    found = config(tmp_path, content)
    assert found.login("a.example") == Login(username="a.example", secret="from-store")
    assert found.login("docker.io").username == DOCKER_HUB
    assert found.login("special.example") == Login(identity_token="refresh")


def test_helper_that_knows_nothing_is_no_login(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper(tmp_path, monkeypatch, "h", "echo credentials not found in native keychain; exit 1")
    assert config(tmp_path, {"credsStore": "h"}).login("a") == ANONYMOUS


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo locked; exit 1", "docker-credential-h failed: locked"),
        ("exit 1", "gave no reason"),
        ("echo secret-text", "something else than a login"),
        ('echo \'{"Username": "u"}\'', "something else than a login"),
    ],
)
def test_failing_helper_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, message: str
) -> None:
    helper(tmp_path, monkeypatch, "h", script)
    with pytest.raises(LoginError, match=message) as caught:
        config(tmp_path, {"credsStore": "h"}).login("a")
    assert "secret-text" not in str(caught.value)


def test_missing_helper_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LoginError, match="is not installed"):
        config(tmp_path, {"credsStore": "nowhere-to-be-found"}).login("a")
    with pytest.raises(LoginError, match="not the name"):
        config(tmp_path, {"credsStore": "../evil"}).login("a")


def test_secrets_are_not_shown() -> None:
    login = Login(username="u", secret="s3", identity_token="i3", registry_token="r3")
    shown = repr(DockerConfig(folder=Path(), auths={"a": login}))
    assert "s3" not in shown and "i3" not in shown and "r3" not in shown


# Seeds


def test_seed_stays_the_same_for_all_processes(tmp_path: Path) -> None:
    folder = tmp_path / "docker"
    first = TokenSeeds(folder).seed("a")
    assert len(first) == 16
    assert TokenSeeds(folder).seed("a") == first
    assert TokenSeeds(folder).seed("b") != first
    assert (folder / ".token_seed").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in folder.iterdir()) == [".token_seed", ".token_seed.lock"]


def test_seed_that_docker_wrote_is_used(tmp_path: Path) -> None:
    seed = base64.b64encode(b"0123456789abcdef").decode()
    (tmp_path / ".token_seed").write_text(json.dumps({"a": {"Seed": seed}}))
    assert TokenSeeds(tmp_path).seed("a") == b"0123456789abcdef"
    TokenSeeds(tmp_path).seed("b")
    kept = json.loads((tmp_path / ".token_seed").read_text())
    assert kept["a"] == {"Seed": seed}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}', '{"a": {"Seed": "%"}}'])
def test_broken_seeds_are_made_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / ".token_seed").write_text(text)
    assert TokenSeeds(tmp_path).seed("a") == TokenSeeds(tmp_path).seed("a")


def test_unwritable_folder_gives_a_seed_for_now(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    seeds = TokenSeeds(tmp_path / "file" / "docker")
    assert len(seeds.seed("a")) == 16
    assert seeds.seed("a") == seeds.seed("a")
