"""The helper: a small static program that does inside a container what a daemon cannot.

It is sent as a local source and run by exec vertices (``translator.llb.helped``). ``source/`` is
its C code, and the files beside it are what ``make helper`` made of that, one for each platform.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

from translator.compiled import Program
from translator.platform import Platform

FILE = "helper"
"""The name of the program in the source that holds it, and nothing else."""

PLATFORMS = ("linux/amd64", "linux/arm64")
"""Where it runs."""


def program(platform: Platform) -> Program | None:
    """The helper for a daemon's own platform; None where it does not run."""
    name = f"{platform.os}/{platform.architecture}"
    return _read(platform.architecture) if name in PLATFORMS else None


def named(name: str) -> Program | None:
    """The helper that is sent by this name; None: it is the name of something else."""
    if not name.startswith(_PREFIX):
        return None
    known = (_read(platform.rpartition("/")[2]) for platform in PLATFORMS)
    return next((program for program in known if program.name == name), None)


def place(platform: Platform) -> str:
    """Where the helper for a platform is kept on this machine, as an absolute path."""
    return str(files(__name__).joinpath(f"linux-{platform.architecture}"))


_PREFIX = "buildfile-helper-"


@cache
def _read(architecture: str) -> Program:
    data = files(__name__).joinpath(f"linux-{architecture}").read_bytes()
    # Daemons keep what they were sent by name, so programs that differ have names that do.
    name = f"{_PREFIX}{architecture}-{hashlib.sha256(data).hexdigest()[:12]}"
    return Program(name=name, file=FILE, data=data)
