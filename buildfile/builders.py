"""Builder code on a daemon, from this side: ``buildfile.run``.

A builder runs as the only target of a project that holds nothing else, so that outputs, caches,
progress and failures are those of every other build.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from buildfile.connect import DaemonChoice
from buildfile.exits import UsageError
from translator.inputs import FieldOption, Inputs
from translator.span import SourceFile
from translator.target import Secret, SshAgent

if TYPE_CHECKING:
    from buildfile.results import TargetResult
    from daemon_shim.builder import Builder
    from daemon_shim.session.filesync import LocalFolder
    from translator.project import Project

_TARGET = "builder"
_PROJECT = f"version: 1\nstages: {{{_TARGET}: {{from: scratch}}}}\n"
_PROJECT += f"targets: {{{_TARGET}: {{stage: {_TARGET}}}}}\n"


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What a builder is given, and what becomes of its result.

    ``opts`` are the builder's options. ``folders`` are the local sources that its graphs may name,
    as ``local://NAME``. ``inputs`` are serialised definitions by name. ``outputs`` and
    ``export_caches`` are written as for ``buildfile build``; the caches that it imports are named
    by the builder with each solve. ``allow`` are entitlements, such as ``network.host``.
    ``environment`` None means this process's own.
    """

    opts: Mapping[str, str] = field(default_factory=dict)
    folders: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, bytes] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    export_caches: tuple[str, ...] = ()
    secrets: tuple[Secret, ...] = ()
    agents: tuple[SshAgent, ...] = ()
    allow: tuple[str, ...] = ()
    product: str = "buildfile"
    progress: str = "quiet"
    environment: Mapping[str, str] | None = None


def run(
    builder: Builder,
    *,
    daemon: str | DaemonChoice | None = None,
    options: RunOptions | None = None,
) -> TargetResult:
    """Run a builder on a daemon (None: one is found, or started), and wait for its result.

    Raises what the builder raises; UsageError and InvalidFileError for wrong options, RefusedError
    for outputs that the daemon cannot make, UnreachableError or TlsError where it cannot be
    reached, BuildFailedError when a step or an output fails.
    """
    from buildfile.building import carry_out
    from buildfile.display import shown
    from buildfile.sites import opened
    from buildfile.solve import Steer

    options = options or RunOptions()
    choice = daemon if isinstance(daemon, DaemonChoice) else DaemonChoice(address=daemon)
    environment = os.environ if options.environment is None else options.environment
    folders = {name: _folder(name, path) for name, path in options.folders.items()}
    project = _project(options)
    with shown(options.progress, sys.stderr, environment) as display:
        steer = Steer(
            builder=builder,
            opts=options.opts,
            folders=folders,
            inputs=options.inputs,
            product=options.product,
            entitlements=options.allow,
            say=display.say,
        )
        with opened(choice, display.say, environment) as sites:
            plan = sites.plan(project, project.select(()))
            result = carry_out(
                plan, sites, display, options.secrets, options.agents, steer=lambda job: steer
            )
    return result.targets[_TARGET]


def imported(name: str) -> Builder:
    """The builder ``MODULE:FUNCTION``, as ``guarded``.

    Raises UsageError where there is none, and BuildFailedError for what its module raises.
    """
    from buildfile import faults
    from buildfile.buildername import find_builder
    from buildfile.failure import BuildFailedError

    try:
        return guarded(name, find_builder(name))
    except UsageError:
        raise
    except (Exception, SystemExit) as error:
        raise BuildFailedError([faults.builder_broken(name, error)]) from error


def guarded(name: str, builder: Builder) -> Builder:
    """A builder whose own exceptions become failures with a name, for commands."""
    from buildfile import faults
    from buildfile.failure import BuildFailedError
    from daemon_shim.builder import Client
    from daemon_shim.errors import DaemonError, UnsupportedError
    from daemon_shim.results import Result
    from translator.state import LacksError

    def build(client: Client) -> Result:
        try:
            result = builder(client)
            if not isinstance(result, Result):
                raise TypeError(f"it returned {type(result).__name__}, not a Result")
            return result
        except DaemonError:
            raise
        except LacksError as error:
            raise UnsupportedError(str(error), feature=error.needs[0].capability) from error
        except (Exception, SystemExit) as error:
            raise BuildFailedError([faults.builder_failed(name, error)]) from error

    return build


_FIELDS: tuple[tuple[str, str, Callable[[RunOptions], tuple[str, ...]]], ...] = (
    ("--output", "outputs", lambda options: options.outputs),
    ("--export-cache", "cache.export", lambda options: options.export_caches),
)


def _project(options: RunOptions) -> Project:
    from translator.project import load

    folder = str(Path.cwd())
    fields = (
        FieldOption(option=option, key=key, value=value)
        for option, key, values in _FIELDS
        for value in values(options)
    )

    def read(path: str) -> SourceFile:
        raise FileNotFoundError(path)

    file = SourceFile(name="<builder>", folder=folder, text=_PROJECT)
    return load(Inputs(files=(file,), read=read, fields=tuple(fields), folder=folder))


def _folder(name: str, path: str) -> LocalFolder:
    from daemon_shim.session.filesync import LocalFolder

    if not Path(path).is_dir():
        raise UsageError(f"the folder {path} of the local source {name} is not there")
    return LocalFolder(path=str(Path(path).absolute()))
