from __future__ import annotations

import pytest

from translator.llb.giturl import GitUrl
from translator.reference import Reference

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("alpine", "docker.io/library/alpine:latest"),
        ("alpine:3.20", "docker.io/library/alpine:3.20"),
        ("user/app", "docker.io/user/app:latest"),
        ("docker.io/alpine", "docker.io/library/alpine:latest"),
        ("index.docker.io/library/alpine", "docker.io/library/alpine:latest"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/app:1", "localhost:5000/app:1"),
        ("ghcr.io/a/b/c", "ghcr.io/a/b/c:latest"),
        ("registry/app", "docker.io/registry/app:latest"),
        ("Registry/app", "Registry/app:latest"),
        ("[::1]:5000/app", "[::1]:5000/app:latest"),
        (f"alpine@{DIGEST}", f"docker.io/library/alpine@{DIGEST}"),
        (f"alpine:3@{DIGEST}", f"docker.io/library/alpine:3@{DIGEST}"),
    ],
)
def test_a_name_is_completed_as_docker_does(text: str, full: str) -> None:
    assert str(Reference.parse(text)) == full


def test_a_full_name_is_read_as_itself() -> None:
    once = Reference.parse("localhost:5000/a/b:c")
    assert Reference.parse(str(once)) == once


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "repository's name"),
        ("Alpine", "small letters"),
        ("alpine:", "not a tag"),
        ("alpine:a b", "not a tag"),
        ("alpine@sha256:12", "not a digest"),
        ("alpine@", "not a digest"),
        ("a//b", "repository's name"),
        ("exa_mple.com/a", "registry's host"),
        ("https://alpine", "registry's host"),
        ("a" * 300, "longer than"),
    ],
)
def test_what_is_no_name_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Reference.parse(text)


def test_pinning_keeps_the_tag() -> None:
    pinned = Reference.parse("alpine:3").pinned(DIGEST)
    assert str(pinned) == f"docker.io/library/alpine:3@{DIGEST}"
    assert Reference.parse("alpine").pinned("") == Reference.parse("alpine")


@pytest.mark.parametrize(
    ("text", "remote", "place", "ssh"),
    [
        ("https://example.com/a.git", "https://example.com/a.git", "example.com/a.git", False),
        ("example.com/a.git", "https://example.com/a.git", "example.com/a.git", False),
        ("https://u:p@example.com:8443/a", "https://u:p@example.com:8443/a", None, False),
        ("ssh://git@example.com/a.git", "ssh://git@example.com/a.git", "example.com/a.git", True),
        ("git@example.com:t/a.git", "git@example.com:t/a.git", "example.com/t/a.git", True),
    ],
)
def test_git_addresses(text: str, remote: str, place: str | None, ssh: bool) -> None:
    url = GitUrl.parse(text)
    assert url == GitUrl(remote=remote, place=place or "example.com:8443/a", ssh=ssh)


@pytest.mark.parametrize(
    "text", ["ftp://example.com/a", "https:///a", "https://example.com", "example.com/a#main", ""]
)
def test_what_is_no_git_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        GitUrl.parse(text)
