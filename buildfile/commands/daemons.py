"""``buildfile daemons``: the daemons that a build may use."""

from __future__ import annotations

import json
from typing import Any

import click

from buildfile.commands.daemon_options import daemon_choice, daemon_options
from buildfile.files import project_folder


@click.command()
@daemon_options
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text")
def command(format_: str, **given: Any) -> None:
    """List the daemons that a build may use, in the order in which they are tried.

    Those are the ones of daemons.toml; else the one that is named or found. All are asked at once,
    and none is started. One that cannot be reached is listed with the reason, and is no failure.
    """
    from buildfile import pool, poolview

    choice = daemon_choice(folder=project_folder(), **given)
    with pool.opened(choice, with_load=True) as members:
        if format_ == "json":
            click.echo(json.dumps(poolview.as_json(members), indent=2))
        elif members:
            click.echo("\n".join(poolview.as_text(members)))
        else:
            click.echo("no daemon is named and none runs: a build starts a private one", err=True)
