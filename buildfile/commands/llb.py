"""``buildfile llb``: the low-level build graph that a build sends."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from buildfile.commands.daemon_options import daemon_choice, daemon_options
from buildfile.commands.file_options import file_options, load_options, targets_argument
from buildfile.exits import UsageError

if TYPE_CHECKING:
    from buildfile.connect import DaemonChoice
    from translator.compiled import ImageNeed, ResolvedImage
    from translator.project import Project
    from translator.stage import Instance


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

    A daemon is asked for the digests and configs of images, where the target uses any.
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
    from buildfile.contexts import ignore_patterns
    from translator.compile import compile_instances

    instance = _instance(project, targets, platform)
    images = _images(instance, choice)
    ignores = ignore_patterns([instance])
    (compiled,) = compile_instances([instance], images=images, ignores=ignores)
    return compiled.definition


def _instance(project: Project, targets: tuple[str, ...], platform: str | None) -> Instance:
    from translator.platform import Platform

    selected = project.select(targets)
    if len(selected) != 1:
        names = ", ".join(target.name for target in selected)
        raise UsageError(f"llb prints one target, and this is {names}", hint="name one of them")
    (target,) = selected
    own = Platform.parse(f"linux/{os.uname().machine}")
    platforms = target.platforms or (own,)
    try:
        wanted = Platform.parse(platform) if platform else platforms[0]
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--platform") from error
    if platform is None and len(platforms) > 1:
        raise UsageError(
            f"{target.name} has several platforms: {', '.join(map(str, platforms))}",
            hint="choose one with --platform",
        )
    return project.instantiate(target, wanted, own)


def _images(instance: Instance, choice: DaemonChoice | None) -> Mapping[ImageNeed, ResolvedImage]:
    """Look layouts up on this machine, and ask a daemon for the rest, if one may be asked."""
    from buildfile.images import resolve_images, resolve_layouts
    from translator.compile import images_needed

    needs = images_needed([instance])
    known = resolve_layouts(needs)
    if choice is None or len(known) == len(needs):
        return known
    from buildfile.connect import connected
    from buildfile.supplies import read_logins
    from daemon_shim.session.auth import Auth

    with connected(choice, lambda text: click.echo(text, err=True)) as daemon:
        services = [Auth(read_logins(os.environ))]
        return resolve_images(needs, daemon, services=services, known=known)


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
