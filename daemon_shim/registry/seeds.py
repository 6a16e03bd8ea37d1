"""Seeds of the keys that prove to a daemon that the same user comes again.

They lie in Docker's ``.token_seed``, guarded by ``.token_seed.lock``, so that all of a user's
clients have one identity (session/auth/authprovider/tokenseed.go, v0.8).
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import fcntl
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_SEED_BYTES = 16


class TokenSeeds:
    """The seeds in Docker's config folder; where that cannot be written, seeds of this process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, bytes] = {}

    def seed(self, host: str) -> bytes:
        """Return the seed of a registry, made at first use."""
        if host not in self._known:
            self._known[host] = os.urandom(_SEED_BYTES)
            with contextlib.suppress(OSError):
                self._known[host] = self._kept(host, self._known[host])
        return self._known[host]

    def _kept(self, host: str, new: bytes) -> bytes:
        """Return the seed in the file; without one, keep ``new`` there."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / ".token_seed"
        with _locked(self._folder / ".token_seed.lock"):
            seeds = _read(path)
            if found := _decoded(seeds.get(host)):
                return found
            seeds[host] = {"Seed": base64.b64encode(new).decode()}
            _write(path, json.dumps(seeds, indent=2))
            return new


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _read(path: Path) -> dict[str, Any]:
    """Read the seeds; a file that a crash left half written counts as empty, as for Docker."""
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _decoded(entry: Any) -> bytes:
    text = entry.get("Seed") if isinstance(entry, dict) else None
    try:
        return base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except binascii.Error:
        return b""


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}")
    fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(text)
    partial.replace(path)
