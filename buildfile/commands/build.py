"""``buildfile build``."""

from __future__ import annotations

import gc
import importlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from buildfile.commands.cache_options import cache_fields, cache_options, old_forms
from buildfile.commands.daemon_options import daemon_choice, daemon_options, pins_of, place_option
from buildfile.commands.file_options import file_options, load_options, targets_argument
from buildfile.commands.supply_options import agent, progress_option, secret, supply_options
from translator.inputs import FieldOption

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
@click.option("--push", is_flag=True, help="Push the images that targets make as outputs.")
@cache_options
@click.option(
    "--platform", "platforms", multiple=True, metavar="OS/ARCH", help="Platforms to build for."
)
@supply_options
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
@progress_option("auto")
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
        push=given["push"],
        keep_going=given["keep_going"],
        all_or_nothing=given["all_or_nothing"],
    )
    importlib.import_module("buildfile.building")  # with nearly all that is not loaded yet
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
