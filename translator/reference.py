"""Names of images, read and completed as Docker does: ``alpine`` is
``docker.io/library/alpine:latest``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

DEFAULT_DOMAIN = "docker.io"
_OFFICIAL = "library/"
_DOMAIN = re.compile(
    r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*"
    r"(?::[0-9]+)?|\[[a-fA-F0-9:]+\](?::[0-9]+)?"
)
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[0-9a-fA-F]{32,}")
_LONGEST_NAME = 255


@dataclass(frozen=True, kw_only=True)
class Reference:
    """An image's full name. At least one of ``tag`` and ``digest`` is there."""

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read a name as a user writes it; without tag and digest, the tag is ``latest``.

        Raises ValueError with the reason in plain words.
        """
        name, _, digest = text.partition("@")
        if "@" in text and not _DIGEST.fullmatch(digest):
            raise ValueError(f"{digest!r} is not a digest")
        name, tag = _split_tag(name)
        if tag is not None and not _TAG.fullmatch(tag):
            raise ValueError(f"{tag!r} is not a tag")
        domain, path = _split_domain(name)
        _check_name(domain, path)
        return cls(domain=domain, path=path, tag=tag or ("" if digest else "latest"), digest=digest)

    def pinned(self, digest: str) -> Reference:
        """The same image at ``digest``; the tag stays, for people."""
        return replace(self, digest=digest) if digest else self

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.domain}/{self.path}{tag}{digest}"


def _split_tag(name: str) -> tuple[str, str | None]:
    head, colon, tail = name.rpartition(":")
    return (head, tail) if colon and "/" not in tail else (name, None)


def _split_domain(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if not slash or not _is_domain(first):
        first, rest = DEFAULT_DOMAIN, name
    if first == "index.docker.io":
        first = DEFAULT_DOMAIN
    if first == DEFAULT_DOMAIN and "/" not in rest:
        rest = _OFFICIAL + rest
    return first, rest


def _is_domain(text: str) -> bool:
    return any(mark in text for mark in ".:") or text == "localhost" or text != text.lower()


def _check_name(domain: str, path: str) -> None:
    if not _DOMAIN.fullmatch(domain):
        raise ValueError(f"{domain!r} is not a registry's host")
    if not _PATH.fullmatch(path):
        capitals = " (only small letters are allowed)" if path != path.lower() else ""
        raise ValueError(f"{path.removeprefix(_OFFICIAL)!r} is not a repository's name{capitals}")
    if len(domain) + 1 + len(path) > _LONGEST_NAME:
        raise ValueError(f"the name is longer than {_LONGEST_NAME} characters")
