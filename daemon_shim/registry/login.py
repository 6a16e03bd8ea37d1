"""A login to a registry, and what can go wrong with one."""

from __future__ import annotations

from dataclasses import dataclass, field


class LoginError(Exception):
    """A login cannot be read or used. The text never has a secret."""


@dataclass(frozen=True, kw_only=True)
class Login:
    """How to log in at a registry; all fields empty: anonymously.

    ``secret`` is a password. ``identity_token`` is an OAuth refresh token that stands for user and
    password, ``registry_token`` a bearer token that needs no exchange.
    """

    username: str = ""
    secret: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)


ANONYMOUS = Login()
