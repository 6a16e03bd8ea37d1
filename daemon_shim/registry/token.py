"""The exchange of a login for a registry's token.

Docker's token specification: with a login, OAuth's POST first; registries that do not know it get
a GET with basic authentication, and so do they all without a login. A login goes over TLS only,
but for registries on this machine.
"""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from daemon_shim.registry.hosts import WebError, host_of, is_here
from daemon_shim.registry.login import ANONYMOUS, Login, LoginError

_CLIENT = "buildfile"
_SECONDS = 30.0
_MAX_ANSWER = 1 << 20
_DEFAULT_LIFE = 60  # what the specification gives a token that does not say
_NO_OAUTH = frozenset({401, 404, 405})


@dataclass(frozen=True, kw_only=True)
class TokenRequest:
    """What a registry demanded: the service at ``realm`` gives tokens for ``scopes``."""

    realm: str
    service: str = ""
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Token:
    """A bearer token. ``expires_in`` in seconds, ``issued_at`` in seconds since 1970."""

    token: str = field(repr=False)
    expires_in: int = _DEFAULT_LIFE
    issued_at: int = 0


class _StatusError(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(str(status))
        self.status = status


def fetch_token(wanted: TokenRequest, login: Login) -> Token:
    """Get a token; waits for the network. Raises LoginError."""
    if login.registry_token:
        return Token(token=login.registry_token)
    _check_realm(wanted.realm, secret=login != ANONYMOUS)
    try:
        return _exchange(wanted, login)
    except _StatusError as error:
        refused = "the login was refused" if error.status in (401, 403) else "the exchange failed"
        raise LoginError(f"{refused} at {wanted.realm} (HTTP status {error.status})") from None
    except WebError as error:
        raise LoginError(f"no token from {wanted.realm}: {error}") from None


def _exchange(wanted: TokenRequest, login: Login) -> Token:
    if login.secret or login.identity_token:
        try:
            return _post(wanted, login)
        except _StatusError as error:
            if error.status not in _NO_OAUTH:
                raise
    return _get(wanted, login)


def _post(wanted: TokenRequest, login: Login) -> Token:
    grant = (
        {"grant_type": "refresh_token", "refresh_token": login.identity_token}
        if login.identity_token
        else {"grant_type": "password", "username": login.username, "password": login.secret}
    )
    form = grant | {"client_id": _CLIENT, "service": wanted.service}
    if wanted.scopes:
        form["scope"] = " ".join(wanted.scopes)
    return _token(_send(wanted.realm, body=urlencode(form).encode()))


def _get(wanted: TokenRequest, login: Login) -> Token:
    query = [("service", wanted.service)] if wanted.service else []
    query += [("scope", scope) for scope in wanted.scopes]
    mark = "&" if "?" in wanted.realm else "?"
    place = wanted.realm + mark + urlencode(query)
    authorization = ""
    if secret := login.identity_token or login.secret:
        username = "" if login.identity_token else login.username
        basic = base64.b64encode(f"{username}:{secret}".encode()).decode()
        authorization = f"Basic {basic}"
    return _token(_send(place, authorization=authorization))


def _send(place: str, *, body: bytes | None = None, authorization: str = "") -> Any:
    from urllib.request import Request

    from daemon_shim.registry.web import ask

    request = Request(place, body)  # noqa: S310 - checked before
    if authorization:
        request.add_unredirected_header("Authorization", authorization)
    answer = ask(request, seconds=_SECONDS, limit=_MAX_ANSWER)
    if not answer.ok:
        raise _StatusError(answer.status)
    try:
        return json.loads(answer.data)
    except (ValueError, RecursionError):
        raise LoginError("the token service answered something else than JSON") from None


def _check_realm(realm: str, *, secret: bool) -> None:
    try:
        scheme, host = host_of(realm)
    except WebError:
        raise LoginError(f"the registry's token service has no usable address: {realm!r}") from None
    if secret and scheme == "http" and not is_here(host):
        raise LoginError(f"the registry's token service is without TLS, and got no login: {realm}")


def _token(answer: Any) -> Token:
    found = answer if isinstance(answer, dict) else {}
    text = found.get("access_token") or found.get("token")
    if not isinstance(text, str) or not text:
        raise LoginError("the token service answered without a token")
    life = found.get("expires_in")
    return Token(
        token=text,
        expires_in=life if isinstance(life, int) and life > 0 else _DEFAULT_LIFE,
        issued_at=_seconds(found.get("issued_at")),
    )


def _seconds(text: Any) -> int:
    """Read RFC 3339; a time that cannot be read is now."""
    try:
        return int(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp())
    except (AttributeError, ValueError):
        return int(time.time())
