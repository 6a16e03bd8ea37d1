"""Build files for BuildKit: ``load`` a build file, ``build`` its targets on a daemon.

>>> import buildfile
>>> project = buildfile.load("buildfile.yaml")
>>> result = buildfile.build(project, targets=["app"])
>>> result.targets["app"].digest

``run`` runs a builder, a function from a ``Client`` to a ``Result``, in place of a build file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from buildfile.api import BuildOptions, build, load
    from buildfile.builders import RunOptions, run
    from buildfile.connect import DaemonChoice
    from buildfile.exits import UsageError
    from buildfile.failure import BuildFailedError, RefusedError
    from buildfile.results import BuildResult, TargetResult
    from daemon_shim.builder import Client
    from daemon_shim.container import Mount
    from daemon_shim.errors import DaemonError
    from daemon_shim.reference import Reference
    from daemon_shim.results import Result
    from translator.diagnostic import Diagnostic, InvalidFileError

__all__ = [
    "BuildFailedError",
    "BuildOptions",
    "BuildResult",
    "Client",
    "DaemonChoice",
    "DaemonError",
    "Diagnostic",
    "InvalidFileError",
    "Mount",
    "Reference",
    "RefusedError",
    "Result",
    "RunOptions",
    "TargetResult",
    "UsageError",
    "build",
    "load",
    "run",
]

_HOMES = {
    "BuildFailedError": "buildfile.failure",
    "BuildOptions": "buildfile.api",
    "BuildResult": "buildfile.results",
    "Client": "daemon_shim.builder",
    "DaemonChoice": "buildfile.connect",
    "DaemonError": "daemon_shim.errors",
    "Diagnostic": "translator.diagnostic",
    "InvalidFileError": "translator.diagnostic",
    "Mount": "daemon_shim.container",
    "Reference": "daemon_shim.reference",
    "RefusedError": "buildfile.failure",
    "Result": "daemon_shim.results",
    "RunOptions": "buildfile.builders",
    "TargetResult": "buildfile.results",
    "UsageError": "buildfile.exits",
    "build": "buildfile.api",
    "load": "buildfile.api",
    "run": "buildfile.builders",
}


def __getattr__(name: str) -> object:
    """Load a name's module when it is first used: the command line starts in a few milliseconds."""
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module 'buildfile' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
