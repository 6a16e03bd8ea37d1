"""``buildfile llb``: the low-level build graph that a build sends."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from buildfile.commands.daemon_options import daemon_choice, daemon_options
from buildfile.commands.file_options import file_options, load_options, targets_argument
from buildfile.exits import UsageError

if TYPE_CHECKING:
    from buildfile.connect import DaemonChoice
    from translator.project import Project
    from translator.stage import Instance
    from translator.target import Target


@click.command()
@targets_argument
@file_options
@daemon_options
@click.option(
    "--format",
    "format_",
    type=click.Choice(["json", "binary", "dot", "mermaid"]),
    default="json",
    show_default=True,
    help="binary is what buildctl reads on standard input.",
)
@click.option("--platform", help="The platform to show, of a target that has several.")
@click.option(
    "--offline",
    is_flag=True,
    help="Ask no daemon: images stay unpinned, and what their configs hold is left out.",
)
def command(
    files: tuple[str, ...],
    targets: tuple[str, ...],
    format_: str,
    platform: str | None,
    offline: bool,
    **given: Any,
) -> None:
    """Print a target's LLB on standard output.

    It is what a build sends to the daemon of --daemon. Without that option, a daemon is asked where
    the target uses images, for their digests and configs; else nothing is done another way.
    """
    from buildfile.failure import print_diagnostics
    from buildfile.files import load_project

    shaping = load_options(given["variables"], given["overrides"], given["allow"])
    project = load_project(files, shaping)
    print_diagnostics(project.warnings)
    choice = daemon_choice(folder=project.files[0].folder, **given)
    _writer(format_)(_definition(project, targets, platform, None if offline else choice))


def _definition(
    project: Project,
    targets: tuple[str, ...],
    platform: str | None,
    choice: DaemonChoice | None,
) -> bytes:
    """The definition for the daemon that is asked, else for one that lacks nothing."""
    from buildfile.contexts import ignore_patterns
    from buildfile.images import resolve_layouts
    from translator.compile import compile_instances, images_needed
    from translator.frontends import stages_made

    target = _target(project, targets, platform)
    instance = _instance(project, target, platform, f"linux/{os.uname().machine}")
    needs = images_needed([instance])
    known = resolve_layouts(needs)
    made = stages_made([instance])
    if choice and (choice.address or made or len(known) < len(needs)):
        return _asked(project, target, platform, choice)
    if made:
        names = ", ".join(ref.name for ref in made)
        raise UsageError(f"frontends of a daemon make {names}", hint="leave --offline out")
    ignores = ignore_patterns([instance])
    (compiled,) = compile_instances([instance], images=known, ignores=ignores)
    return compiled.definition


def _asked(project: Project, target: Target, platform: str | None, choice: DaemonChoice) -> bytes:
    """The definition as a build would send it to a daemon. Raises RefusedError."""
    from buildfile.draft import Draft
    from buildfile.sites import opened

    with opened(choice, lambda text: click.echo(text, err=True), os.environ) as sites:
        site = sites.of(project, target)
        native = site.daemon.info().default_platform or "linux/amd64"
        instance = _instance(project, target, platform, native)
        draft = Draft(target=_bare(target), instances=(instance,), exports=(), caches_out=())
        made = site.plan([draft], site.frontends(project), unique="")
    made.require()
    return made.jobs[0].parts[0].definition


def _bare(target: Target) -> Target:
    """The target without what is no part of a graph."""
    return replace(target, cache_imports=(), cache_exports=(), provenance=None, sbom=False)


def _target(project: Project, targets: tuple[str, ...], platform: str | None) -> Target:
    selected = project.select(targets)
    if len(selected) != 1:
        names = ", ".join(target.name for target in selected)
        raise UsageError(f"llb prints one target, and this is {names}", hint="name one of them")
    (target,) = selected
    if platform is None and len(target.platforms) > 1:
        raise UsageError(
            f"{target.name} has several platforms: {', '.join(map(str, target.platforms))}",
            hint="choose one with --platform",
        )
    return target


def _instance(project: Project, target: Target, platform: str | None, native: str) -> Instance:
    from translator.platform import Platform

    own = Platform.parse(native)
    try:
        wanted = Platform.parse(platform) if platform else (*target.platforms, own)[0]
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--platform") from error
    return project.instantiate(target, wanted, own)


def _writer(format_: str) -> Callable[[bytes], None]:
    from translator.llb import describe

    writers: dict[str, Callable[[bytes], None]] = {
        "binary": _write_binary,
        "json": lambda definition: click.echo(describe.as_json(definition)),
        "dot": lambda definition: click.echo(describe.as_dot(definition)),
        "mermaid": lambda definition: click.echo(describe.as_mermaid(definition)),
    }
    return writers[format_]


def _write_binary(definition: bytes) -> None:
    if sys.stdout.isatty():
        raise UsageError("binary LLB would garble the terminal", hint="send it to a file or a pipe")
    sys.stdout.buffer.write(definition)
    sys.stdout.buffer.flush()
