"""Docker's config.json: who is logged in where (docker/cli, cli/config)."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daemon_shim.registry.helper import ask_helper
from daemon_shim.registry.login import ANONYMOUS, Login, LoginError

DOCKER_HUB = "https://index.docker.io/v1/"
"""What the config calls Docker Hub."""

_HUB_HOSTS = frozenset({"registry-1.docker.io", "index.docker.io", "docker.io"})


@dataclass(frozen=True, kw_only=True)
class DockerConfig:
    """The logins of one user. ``folder`` is where Docker keeps its config, there or not.

    ``auths`` maps registry to login, and so does ``given``, which counts most; ``helpers`` maps
    registry to the name of its credential helper, and ``store`` names the helper of all others.
    """

    folder: Path
    auths: Mapping[str, Login] = field(default_factory=dict)
    given: Mapping[str, Login] = field(default_factory=dict)
    helpers: Mapping[str, str] = field(default_factory=dict)
    store: str = ""

    @classmethod
    def load(cls, environment: Mapping[str, str]) -> DockerConfig:
        """Read ``config.json`` in DOCKER_CONFIG or ``~/.docker``; no file means no logins.

        DOCKER_AUTH_CONFIG, a config's text, comes before it. Raises LoginError.
        """
        home = environment.get("DOCKER_CONFIG") or "~/.docker"
        folder = Path(home).expanduser()
        found = _object(_parse(_text(folder / "config.json"), str(folder / "config.json")))
        given = _object(_parse(environment.get("DOCKER_AUTH_CONFIG") or "{}", "DOCKER_AUTH_CONFIG"))
        return cls(
            folder=folder,
            auths=_logins(found),
            given=_logins(given),
            helpers=_strings(found.get("credHelpers")),
            store=_strings({"store": found.get("credsStore")}).get("store", ""),
        )

    def login(self, host: str) -> Login:
        """Return the login at a registry (``localhost:5000``), ANONYMOUS if there is none.

        May run a credential helper, which may wait for the user. Raises LoginError.
        """
        server = DOCKER_HUB if host in _HUB_HOSTS else host
        if given := _find(self.given, server):
            return given
        if helper := self.helpers.get(server) or self.store:
            return ask_helper(helper, server)
        return _find(self.auths, server) or ANONYMOUS


def _find(logins: Mapping[str, Login], server: str) -> Login | None:
    """Find a login by its key, or by the host in a key such as ``https://host/v1/``."""
    if server in logins:
        return logins[server]
    return next((login for key, login in logins.items() if _host_of(key) == server), None)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return "{}"
    except (OSError, UnicodeDecodeError) as error:
        raise LoginError(f"{path} cannot be read: {type(error).__name__}") from None


def _parse(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        place = f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) else "its text"
        raise LoginError(f"{name} is not JSON (see {place})") from None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _strings(value: Any) -> dict[str, str]:
    return {key: text for key, text in _object(value).items() if isinstance(text, str) and text}


def _logins(config: dict[str, Any]) -> dict[str, Login]:
    entries = _object(config.get("auths")).items()
    return {server: _login(server, _strings(entry)) for server, entry in entries}


def _login(server: str, entry: Mapping[str, str]) -> Login:
    username, secret = entry.get("username", ""), entry.get("password", "")
    if "auth" in entry:
        username, secret = _decoded(server, entry["auth"])
    return Login(
        username=username,
        secret=secret,
        identity_token=entry.get("identitytoken", ""),
        registry_token=entry.get("registrytoken", ""),
    )


def _decoded(server: str, auth: str) -> tuple[str, str]:
    try:
        username, colon, secret = base64.b64decode(auth, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        colon = ""
    if not colon:
        raise LoginError(f"the login at {server} in Docker's config is broken; log in again")
    return username, secret.rstrip("\0")


def _host_of(server: str) -> str:
    return server.rpartition("://")[2].partition("/")[0]
