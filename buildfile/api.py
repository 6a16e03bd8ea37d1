"""The Python API; the command line calls the same functions. Import it as ``buildfile``."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from buildfile.connect import DaemonChoice
from buildfile.exits import UsageError
from buildfile.files import LoadOptions, load_project
from buildfile.loopback import Loopback
from translator.target import Secret, SshAgent, Target

if TYPE_CHECKING:
    from buildfile.results import BuildResult
    from buildfile.runplan import RunPlan
    from daemon_shim.info import DaemonInfo
    from translator.project import Project


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """How to build.

    ``secrets`` and ``agents`` stand in for those of the build file with the same id. ``progress``
    is a mode of ``--progress`` and goes to standard error. ``metadata_file`` gets the results as
    JSON. ``pins`` has names of daemons of ``daemons.toml`` by the target or stage that is to be
    built there. ``push`` has all images pushed that are outputs of type image. ``keep_going`` is
    whether other targets are finished after a failure, ``all_or_nothing`` whether outputs wait
    until all targets are done.
    ``environment`` None means this process's own.
    """

    daemon: DaemonChoice = field(default_factory=DaemonChoice)
    secrets: tuple[Secret, ...] = ()
    agents: tuple[SshAgent, ...] = ()
    no_cache: bool = False
    progress: str = "quiet"
    metadata_file: str | None = None
    pins: Mapping[str, str] = field(default_factory=dict)
    push: bool = False
    keep_going: bool = False
    all_or_nothing: bool = False
    environment: Mapping[str, str] | None = None

    def variables(self) -> Mapping[str, str]:
        """The environment variables that count. Raises UsageError for a wrong value of one."""
        found = os.environ if self.environment is None else self.environment
        epoch = found.get("SOURCE_DATE_EPOCH", "")
        if epoch and not re.fullmatch(r"-?[0-9]+", epoch):
            raise UsageError(
                f"SOURCE_DATE_EPOCH is {epoch!r}, which is no whole number",
                hint="it is in seconds since 1970, as date +%s has it",
            )
        return found


def load(
    *files: str | os.PathLike[str],
    variables: Mapping[str, str] | None = None,
    overrides: Sequence[str] = (),
    allow: Sequence[str] = (),
    pull: bool = False,
    environment: Mapping[str, str] | None = None,
) -> Project:
    """Load a build file; several merge, left to right; none is the one of the working folder.

    ``variables`` are as ``--var``, ``overrides`` as ``--set``, ``allow`` as ``--allow``: folders
    outside of the project that local sources may read (``fs.read=PATH``). ``pull`` is whether
    registries are asked for images of which the file does not say it. Raises InvalidFileError with
    every fault of the file, and UsageError where there is no file.
    """
    options = LoadOptions(
        variables=variables or {},
        overrides=overrides,
        allow=allow,
        resolve="pull" if pull else "default",
        environment=environment,
    )
    return load_project([os.fspath(each) for each in files], options)


def build(
    project: Project,
    targets: Sequence[str] = (),
    *,
    daemon: str | DaemonChoice | None = None,
    options: BuildOptions | None = None,
) -> BuildResult:
    """Build targets (none: the group ``default``, else the only target) and wait for the end.

    ``daemon`` is an address, or a name in ``daemons.toml``. None: all that stand there, and each
    target is placed on one of them; else one is found, or a private one started. Raises
    InvalidFileError for what is wrong on this side, RefusedError for what the daemons cannot do,
    UnreachableError or TlsError where none can be reached, BuildFailedError when a step fails.
    The metadata file has what was finished all the same.
    """
    from buildfile.building import carry_out
    from buildfile.display import shown
    from buildfile.failure import BuildFailedError
    from buildfile.sites import opened
    from buildfile.supplies import needed, supplied

    options = options or BuildOptions()
    project = supplied(project, options.secrets, options.agents)
    choice = daemon if isinstance(daemon, DaemonChoice) else options.daemon
    if isinstance(daemon, str):
        choice = DaemonChoice(address=daemon)
    if choice.folder is None:
        choice = replace(choice, folder=project.files[0].folder)
    chosen = selected(project, targets, options)
    if options.metadata_file:
        _check_writable(options.metadata_file)
    environment = options.variables()
    with (
        shown(options.progress, sys.stderr, environment) as display,
        opened(choice, display.say, environment) as sites,
    ):
        plan = sites.plan(project, chosen, no_cache=options.no_cache, pins=options.pins)
        try:
            result = carry_out(
                plan,
                sites,
                display,
                *needed(project, plan.jobs),
                keep_going=options.keep_going,
                all_or_nothing=options.all_or_nothing,
            )
        except BuildFailedError as error:
            if options.metadata_file and error.built:
                _write_metadata(options.metadata_file, error.built)
            raise
    if options.metadata_file:
        _write_metadata(options.metadata_file, result)
    return result


def selected(project: Project, names: Sequence[str], options: BuildOptions) -> tuple[Target, ...]:
    """The targets of a run, before any daemon is asked. Raises InvalidCommandError for a name that
    means nothing, UsageError where there is nothing to push.
    """
    targets = project.select(names)
    if not options.push:
        return targets
    made = tuple(each.pushing() for each in targets)
    if not any(output.type == "image" for each in made for output in each.outputs):
        raise UsageError(
            "there is nothing to push: no target of this run has an output of type image",
            hint="give it one in the build file, or with --output type=image,name=NAME,push=true",
        )
    return made


def foresee(
    project: Project, targets: Sequence[str], info: DaemonInfo, options: BuildOptions
) -> RunPlan:
    """Plan a build for a daemon that is not there, such as one of ``daemon_shim.ages``.

    Of selectors of workers only platforms are looked at, and a warning names the others. Registries
    are asked from here. An image that cannot be had stays unpinned, what its config says is left
    out, and a warning names it. Raises InvalidFileError.
    """
    from buildfile import faults
    from buildfile.demand import ProjectDemands, untold
    from buildfile.draft import draft, needed_images
    from buildfile.images import resolve_without_daemon
    from buildfile.plan import plan
    from buildfile.runplan import RunPlan
    from buildfile.sites import station
    from buildfile.supplies import read_logins
    from daemon_shim.registry.client import RegistryClient

    environment = options.variables()
    epoch = environment.get("SOURCE_DATE_EPOCH", "")
    chosen = selected(project, targets, options)
    drafts = draft(project, chosen, info, epoch)
    client = RegistryClient(read_logins(environment).login)
    images, unknown = resolve_without_daemon(needed_images(drafts), client)
    made = plan(
        drafts,
        info,
        images,
        loopback=Loopback(None),
        no_cache=options.no_cache,
        environment=environment,
    )
    imagined = station("", info.address, info.workers)
    demands = ProjectDemands(project, chosen, {"": info})
    wishes = untold(demands, [target.name for target in chosen], imagined)
    selectors = [faults.selector_untold(wish, rest, imagined) for wish, rest in wishes]
    warnings = (*made.warnings, *unknown, *selectors)
    return RunPlan(plans={"": replace(made, warnings=warnings)})


def _check_writable(path: str) -> None:
    folder = Path(path).absolute().parent
    if Path(path).is_dir():
        raise UsageError(f"cannot write {path}: it is a folder")
    if not os.access(folder, os.W_OK):
        raise UsageError(f"cannot write {path}", hint=f"{folder} is not there, or not writable")


def _write_metadata(path: str, result: BuildResult) -> None:
    """Write beside and rename, so that a reader never sees half of it."""
    from buildfile import faults
    from buildfile.failure import BuildFailedError

    partial = Path(f"{path}.partial")
    try:
        partial.write_text(json.dumps(result.metadata(), indent=2) + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise BuildFailedError([faults.metadata_failed(path, error.strerror or "")]) from error
