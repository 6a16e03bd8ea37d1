"""Paths inside of a build's file systems: always absolute and clean, always with slashes."""

from __future__ import annotations

import posixpath
import re

WILDCARD = re.compile(r"[*?\[\\]")
"""What makes a path a pattern, for the daemons and for the file sync."""


def absolute(workdir: str, path: str) -> str:
    """``path`` from ``workdir``, without ``.`` and ``..``."""
    # A second slash at the beginning would survive normpath: POSIX gives it a meaning.
    return "/" + posixpath.normpath(posixpath.join("/", workdir, path)).lstrip("/")


def destination(workdir: str, path: str) -> str:
    """The same for the place of a copy, where a slash at the end says that it is a folder.

    An empty path and ``.`` are the working folder; ``/.`` at the end is kept, as in a Dockerfile.
    """
    whole = absolute(workdir, path)
    if path in ("", ".") or path.endswith("/"):
        return whole if whole == "/" else whole + "/"
    if path.endswith("/."):
        return whole.rstrip("/") + "/."
    return whole


def is_folder(path: str) -> bool:
    """Whether a place of a copy says that it is a folder."""
    return path.endswith(("/", "/."))
