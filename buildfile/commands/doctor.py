"""``buildfile doctor``: what a daemon is, and what it can do."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import click

from buildfile.commands.daemon_options import age_of, daemon_choice, daemon_options
from buildfile.connect import connected
from buildfile.files import project_folder


@click.command()
@daemon_options
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text")
def command(format_: str, **given: Any) -> None:
    """Tell what a daemon is, and what it can do by itself, another way, or not at all.

    With a release, such as --api v0.8, it tells of a plain buildkitd of that age, and none is
    asked.
    """
    from buildfile import doctorview, render
    from daemon_shim import ages

    if age := age_of(given):
        info = ages.imagine(age)
    else:
        choice = daemon_choice(folder=project_folder(), **given)
        with connected(choice, lambda text: click.echo(text, err=True)) as daemon:
            info = daemon.info()
    if format_ == "json":
        click.echo(json.dumps(doctorview.as_json(info), indent=2))
    else:
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        click.echo(doctorview.as_text(info, render.colours(colour=colour)))
