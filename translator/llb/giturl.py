"""Addresses of git repositories: URLs, and ``user@host:path`` as SSH knows it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

_SCHEMES = ("http", "https", "ssh", "git")
_SCP = re.compile(r"(?P<user>[a-zA-Z0-9_.-]+)@(?P<host>[a-zA-Z0-9.-]+):(?P<path>[^#?]+)")


@dataclass(frozen=True, kw_only=True)
class GitUrl:
    """Where a repository is. ``remote`` is what git gets, ``place`` its host and path alone."""

    remote: str
    place: str
    ssh: bool = False

    @classmethod
    def parse(cls, text: str) -> GitUrl:
        """Read an address; without a scheme, ``https`` is meant.

        Raises ValueError with the reason in plain words.
        """
        if "#" in text:
            raise ValueError("write the part behind # as ref and subdir")
        scp = _SCP.fullmatch(text) if "://" not in text else None
        if scp:
            place = f"{scp['host']}/{scp['path'].lstrip('/')}"
            return cls(remote=text, place=place, ssh=True)
        return cls._from_url(text if "://" in text else "https://" + text)

    @classmethod
    def _from_url(cls, text: str) -> GitUrl:
        parts = urlsplit(text)
        if parts.scheme not in _SCHEMES:
            raise ValueError(f"git does not speak {parts.scheme!r} here")
        if not parts.hostname or not parts.path.strip("/"):
            raise ValueError("the address needs a host and a path")
        host = parts.netloc.rpartition("@")[2]
        remote = urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
        return cls(remote=remote, place=host + parts.path, ssh=parts.scheme == "ssh")
