"""``buildfile check``: every fault of a build file in one run, without any daemon."""

from __future__ import annotations

from typing import Any

import click

from buildfile.commands.file_options import file_options, load_options
from buildfile.exits import Exit
from buildfile.files import load_project
from translator.diagnostic import InvalidCommandError, InvalidFileError


@click.command()
@file_options
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text")
def command(format_: str, files: tuple[str, ...], **shaping: Any) -> int:
    """Check a build file: its YAML, its keys, its names and its values."""
    from buildfile.failure import print_diagnostics

    try:
        project = load_project(files, load_options(**shaping))
    except InvalidFileError as error:
        print_diagnostics(error.diagnostics, as_json=format_ == "json")
        return Exit.USAGE if isinstance(error, InvalidCommandError) else Exit.INVALID
    print_diagnostics(project.warnings, as_json=format_ == "json")
    if format_ == "text":
        count = len(project.every)
        click.echo(f"{project.files[0].name}: ok, {count} {'target' if count == 1 else 'targets'}")
    return Exit.DONE
