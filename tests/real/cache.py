"""Where programs and state of the test daemons are kept between runs."""

from __future__ import annotations

import os
import pwd
from pathlib import Path


def cache_folder() -> Path:
    """Return ``$XDG_CACHE_HOME/buildfile-tests``, made if need be.

    As the XDG base directory specification says, a relative path in the variable is ignored.
    """
    named = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(named) if named.startswith("/") else _home() / ".cache"
    folder = base / "buildfile-tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _home() -> Path:
    home = os.environ.get("HOME", "")
    return Path(home if home.startswith("/") else pwd.getpwuid(os.getuid()).pw_dir)
