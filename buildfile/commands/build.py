"""``buildfile build``."""

from __future__ import annotations

import gc
import importlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from buildfile.commands.cache_options import cache_fields, cache_options, old_forms
from buildfile.commands.daemon_options import daemon_choice, daemon_options, pins_of, place_option
from buildfile.commands.file_options import file_options, load_options, pairs_of, targets_argument
from translator.inputs import FieldOption
from translator.target import Secret, SshAgent

if TYPE_CHECKING:
    from buildfile.results import BuildResult


@click.command()
@targets_argument
@file_options
@daemon_options
@place_option
@click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    metavar="type=TYPE[,KEY=VALUE]",
    help="Output, in place of the targets' own. A path alone is a local output.",
)
@cache_options
@click.option(
    "--platform", "platforms", multiple=True, metavar="OS/ARCH", help="Platforms to build for."
)
@click.option(
    "--secret",
    "secrets",
    multiple=True,
    metavar="id=ID[,src=FILE|env=NAME]",
    help="Value of a secret, in place of the build file's.",
)
@click.option(
    "--ssh",
    "agents",
    multiple=True,
    metavar="ID[=SOCKET|KEY]",
    help="SSH agent or key file to forward, in place of the build file's.",
)
@click.option(
    "-k",
    "--keep-going",
    is_flag=True,
    help="Finish the other targets when one fails, and report all failures.",
)
@click.option(
    "--all-or-nothing",
    is_flag=True,
    help="Put outputs in place when all targets are done; none if one fails.",
)
@click.option("--no-cache", is_flag=True, help="Run every step, whatever is cached.")
@click.option(
    "--progress",
    type=click.Choice(["auto", "plain", "tty", "rawjson", "quiet"]),
    default="auto",
    show_default=True,
    help="How to show progress. BUILDKIT_PROGRESS sets the default.",
)
@click.option("--metadata-file", metavar="FILE", help="Write the results as JSON.")
def command(files: tuple[str, ...], targets: tuple[str, ...], **given: Any) -> None:
    """Build targets: those named, else the group "default", else the only one.

    What was made is printed on standard output, one a line: files, and images with their digests;
    with --keep-going that of the other targets when one fails, too. Nothing is, where an output
    itself goes there.
    """
    from buildfile import api
    from buildfile.failure import BuildFailedError, print_diagnostics
    from buildfile.files import load_project

    secrets = tuple(secret(each) for each in given["secrets"])
    agents = tuple(agent(each) for each in given["agents"])
    shaping = replace(
        load_options(given["variables"], given["overrides"], given["allow"]),
        fields=tuple(_fields(given)),
        secrets=[each.id for each in secrets],
        ssh=[each.id for each in agents],
    )
    project = load_project(files, shaping)
    print_diagnostics((*project.warnings, *old_forms(shaping.fields)))
    options = api.BuildOptions(
        daemon=daemon_choice(folder=project.files[0].folder, **given),
        secrets=secrets,
        agents=agents,
        no_cache=given["no_cache"],
        progress=given["progress"],
        metadata_file=given["metadata_file"],
        pins=pins_of(given["places"]),
        keep_going=given["keep_going"],
        all_or_nothing=given["all_or_nothing"],
    )
    importlib.import_module("buildfile.runner")  # with nearly all that is not loaded yet
    gc.freeze()  # all this stays: collections need not look at it
    gc.enable()  # from here on it may take hours
    try:
        result = api.build(project, targets, options=options)
    except BuildFailedError as error:
        if error.built:
            _list(error.built)
        raise
    _list(result)


def _list(result: BuildResult) -> None:
    """Print what was made."""
    if not result.streamed:
        for line in result.lines():
            click.echo(line)


_FIELDS = {
    "--output": ("outputs", "outputs"),
    "--platform": ("platforms", "platforms"),
}


def _fields(given: Mapping[str, Any]) -> Iterator[FieldOption]:
    """Options that stand in for a field of every target."""
    for option, (name, key) in _FIELDS.items():
        for value in given[name]:
            yield FieldOption(option=option, key=key, value=value)
    yield from cache_fields(given["imports"], given["exports"], given["export_opts"])


def secret(text: str) -> Secret:
    """Read ``id=ID[,src=FILE|env=NAME]``: without a source, the variable ID, else the file ID."""
    values = dict(pairs_of(text, "--secret"))
    id_ = values.pop("id", "")
    file = values.pop("src", "") or values.pop("source", "")
    env = values.pop("env", "")
    values.pop("type", "")
    if not id_ or values:
        raise click.BadParameter(
            f"{text!r} is not id=ID[,src=FILE|env=NAME]", param_hint="--secret"
        )
    if not file and not env:
        file, env = ("", id_) if id_ in os.environ else (id_, "")
    return Secret(id=id_, env=env, file=str(Path(file).absolute()) if file else "")


def agent(text: str) -> SshAgent:
    """Read ``ID[=SOCKET|KEY[,KEY]]``, as buildctl does; without a place SSH_AUTH_SOCK."""
    id_, _, places = text.partition("=")
    return SshAgent(id=id_, keys=tuple(str(Path(p).absolute()) for p in places.split(",") if p))
