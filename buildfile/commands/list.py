"""``buildfile list``: what a build file offers."""

from __future__ import annotations

import json
from typing import Any

import click

from buildfile.commands.file_options import file_options, load_options
from buildfile.files import load_project


@click.command()
@file_options
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text")
def command(format_: str, files: tuple[str, ...], **shaping: Any) -> None:
    """List the targets, groups and variables of a build file.

    Those targets are marked that a build without names builds. Variables are shown with their
    values and where these come from.
    """
    from buildfile import listing
    from buildfile.failure import print_diagnostics

    project = load_project(files, load_options(**shaping))
    print_diagnostics(project.warnings)
    if format_ == "json":
        click.echo(json.dumps(listing.as_json(project), indent=2))
    else:
        click.echo(listing.as_text(project))
