"""``buildfile build``."""

from __future__ import annotations

import gc
import importlib
from typing import TYPE_CHECKING, Any

import click

from buildfile.commands.cache_options import old_forms
from buildfile.commands.daemon_options import daemon_choice, daemon_options, pins_of, place_option
from buildfile.commands.file_options import file_options, targets_argument
from buildfile.commands.result_options import reshaped, result_options
from buildfile.commands.supply_options import load_supplied, progress_option, supply_options

if TYPE_CHECKING:
    from buildfile.results import BuildResult


@click.command()
@targets_argument
@file_options
@daemon_options
@place_option
@result_options
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

    supplied, secrets, agents = load_supplied(given)
    shaping = reshaped(supplied, given)
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
