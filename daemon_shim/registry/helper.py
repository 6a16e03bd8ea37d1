"""Credential helpers: programs ``docker-credential-NAME`` that keep logins."""

from __future__ import annotations

import json
import subprocess

from daemon_shim.registry.login import ANONYMOUS, Login, LoginError

_SECONDS = 120.0  # it may ask its user
_NOT_FOUND = ("credentials not found", "no credentials server URL", "no credentials username")
_TOKEN_USER = "<token>"  # noqa: S105 - means that the secret is an identity token


def ask_helper(name: str, server: str) -> Login:
    """Ask the helper ``name`` for the login at ``server``; it may wait for its user.

    Raises LoginError.
    """
    program = f"docker-credential-{name}"
    if "/" in name:
        raise LoginError(f"{program} is not the name of a credential helper")
    answer = _run(program, server)
    if answer.returncode:
        return _refusal(program, answer.stdout.decode("utf-8", "replace").strip())
    try:
        found = json.loads(answer.stdout)
        username, secret = str(found["Username"]), str(found["Secret"])
    except (ValueError, KeyError, TypeError):
        raise LoginError(f"{program} answered something else than a login") from None
    if username == _TOKEN_USER:
        return Login(identity_token=secret)
    return Login(username=username, secret=secret)


def _run(program: str, server: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            [program, "get"],
            input=server.encode(),
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        raise LoginError(f"{program} is not installed, but Docker's config names it") from None
    except subprocess.TimeoutExpired:
        raise LoginError(f"{program} did not answer within {_SECONDS:g} seconds") from None
    except OSError as error:
        raise LoginError(f"{program} cannot be run: {error.strerror}") from None


def _refusal(program: str, text: str) -> Login:
    if any(known in text for known in _NOT_FOUND):
        return ANONYMOUS
    raise LoginError(f"{program} failed: {text[:200] or 'it gave no reason'}")
