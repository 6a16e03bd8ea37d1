"""A builder by its name, ``module:function``, as commands and images give it."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from buildfile.exits import UsageError

if TYPE_CHECKING:
    from daemon_shim.builder import Builder


def find_builder(name: str) -> Builder:
    """Import a builder; modules of the working folder are found, too.

    Raises UsageError where there is none of that name. What the module itself raises on import
    is its own.
    """
    module, _, function = name.partition(":")
    if not module or not function:
        raise UsageError(f"{name!r} is not MODULE:FUNCTION")
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        found = getattr(importlib.import_module(module), function, None)
    except ModuleNotFoundError as error:
        if error.name and not f"{module}.".startswith(f"{error.name}."):
            raise
        raise UsageError(f"there is no module {error.name}", hint=_hint()) from error
    if not callable(found):
        raise UsageError(f"the module {module} has no function {function}")
    builder: Builder = found
    return builder


def _hint() -> str:
    return f"modules are looked for in {Path.cwd()} and where Python looks"
