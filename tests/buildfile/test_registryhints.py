"""Hints for the words of daemons, as they were seen from v0.3 to v0.32."""

from __future__ import annotations

import pytest

from buildfile.registryhints import hint_for


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (
            "unexpected status from HEAD request to http://h:5000/v2/a/manifests/1: "
            "401 Unauthorized",
            "log in with docker login h:5000",
        ),
        ("unexpected status code [manifests 1]: 403 Forbidden", "log in with docker login h:5000"),
        ("denied: requested access to the resource is denied", "log in with docker login h:5000"),
        (
            "pull access denied, repository does not exist or may require authorization: "
            "server message: insufficient_scope: authorization failed",
            "check the spelling; if the image is private, log in with docker login h:5000",
        ),
        (
            "toomanyrequests: You have reached your unauthenticated pull rate limit",
            "h:5000 limits how often it answers: log in with docker login h:5000, or wait",
        ),
        ("h:5000/a:1: not found", "h:5000 has no such image or tag: check the spelling"),
        (
            "dial tcp: lookup h on 192.0.2.1:53: no such host",
            "the daemon cannot find a host named h:5000: check the spelling, and the name servers "
            "where the daemon runs",
        ),
        (
            "http: server gave HTTP response to HTTPS client",
            "h:5000 speaks plain HTTP: allow it on the daemon (http = true for it in "
            "buildkitd.toml, insecure-registries in an engine's daemon.json), or give it a "
            "certificate",
        ),
        (
            "tls: failed to verify certificate: x509: certificate signed by unknown authority",
            "the daemon does not trust the certificate of h:5000: give it the CA (ca for the "
            "registry in buildkitd.toml, /etc/docker/certs.d of an engine)",
        ),
        (
            "no match for platform in manifest sha256:0: not found",
            "the image is not made for linux/arm64: choose another platform or another image",
        ),
        (
            "dial tcp 192.0.2.1:443: i/o timeout",
            "the daemon cannot reach h:5000: check the network and the proxy where the daemon runs",
        ),
        ("unexpected status code [manifests 1]: 500 Internal Server Error", None),
        ('Head "http://h:5401/v2/certificate-404/manifests/1": EOF', None),
    ],
)
def test_usual_causes_have_hints(words: str, hint: str | None) -> None:
    assert hint_for(words, host="h:5000", platform="linux/arm64") == hint


def test_docker_hub_needs_no_name_to_log_in() -> None:
    limit = hint_for("429 Too Many Requests", host="docker.io", platform="linux/amd64")
    assert limit == "docker.io limits how often it answers: log in with docker login, or wait"
    denied = hint_for("401 Unauthorized", host="docker.io", platform="linux/amd64")
    assert denied == "log in with docker login"
