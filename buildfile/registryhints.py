"""What to do when a daemon cannot get an image: its words, and the usual causes behind them."""

from __future__ import annotations

import re
from typing import NamedTuple


class _Cause(NamedTuple):
    words: re.Pattern[str]
    hint: str


def _cause(words: str, hint: str) -> _Cause:
    return _Cause(re.compile(words, re.IGNORECASE), hint)


# The first that matches counts. The words are those of containerd's resolver, of Go's net and
# crypto packages, and of registries, in all releases.
_CAUSES = (
    _cause(
        r"toomanyrequests|429 Too Many Requests",
        "{host} limits how often it answers: log in with docker login {login}, or wait",
    ),
    _cause(
        r"HTTP response to HTTPS client|does not look like a TLS handshake",
        "{host} speaks plain HTTP: allow it on the daemon (http = true for it in buildkitd.toml, "
        "insecure-registries in an engine's daemon.json), or give it a certificate",
    ),
    _cause(
        r"HTTP request to an HTTPS server|malformed HTTP response",
        "{host} speaks HTTPS, and the daemon is set to speak plain HTTP with it",
    ),
    _cause(
        r"x509: |tls: .*certificate",
        "the daemon does not trust the certificate of {host}: give it the CA (ca for the registry "
        "in buildkitd.toml, /etc/docker/certs.d of an engine)",
    ),
    _cause(
        r"no such host|name resolution|server misbehaving",
        "the daemon cannot find a host named {host}: check the spelling, and the name servers "
        "where the daemon runs",
    ),
    _cause(
        r"connection refused",
        "nothing listens at {host}, seen from the daemon; for a daemon in a container or on "
        "another machine, localhost is not this machine",
    ),
    _cause(
        r"i/o timeout|deadline exceeded|handshake timeout|network is unreachable|no route to host",
        "the daemon cannot reach {host}: check the network and the proxy where the daemon runs",
    ),
    _cause(
        r"no match for platform|no matching manifest",
        "the image is not made for {platform}: choose another platform or another image",
    ),
    _cause(
        r"may require authorization|insufficient_scope",
        "check the spelling; if the image is private, log in with docker login {login}",
    ),
    _cause(
        r"unauthorized|403 Forbidden|\bdenied\b|authorization failed|no basic auth",
        "log in with docker login {login}",
    ),
    _cause(
        r"not found|manifest unknown|name unknown",
        "{host} has no such image or tag: check the spelling",
    ),
)


def hint_for(words: str, *, host: str, platform: str) -> str | None:
    """What may help, None for words that tell no usual cause.

    ``host`` is the registry's as image names have it, ``platform`` the one that was asked for.
    """
    login = "" if host == "docker.io" else host
    for cause in _CAUSES:
        if cause.words.search(words):
            hint = cause.hint.format(host=host, platform=platform, login=login)
            return hint.replace(" ,", ",").rstrip()
    return None
