"""``buildfile run-builder``: builder code on a daemon, from this side."""

from __future__ import annotations

import gc
from typing import Any

import click

from buildfile.commands.daemon_options import daemon_choice, daemon_options
from buildfile.commands.file_options import assignment
from buildfile.commands.supply_options import agent, progress_option, secret, supply_options
from buildfile.files import project_folder


@click.command()
@click.argument("name", metavar="MODULE:FUNCTION")
@daemon_options
@click.option("--opt", "opts", multiple=True, metavar="KEY=VALUE", help="Option of the builder.")
@click.option(
    "--local",
    "folders",
    multiple=True,
    metavar="NAME=FOLDER",
    help="Folder that the builder may read as a local source.",
)
@click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    metavar="type=TYPE[,KEY=VALUE]",
    help="What becomes of the result. A path alone is a local output.",
)
@click.option(
    "--export-cache",
    "exports",
    multiple=True,
    metavar="type=TYPE[,KEY=VALUE]",
    help="Cache to export.",
)
@supply_options
@click.option("--allow", multiple=True, metavar="ENTITLEMENT", help="network.host and the like.")
@progress_option("auto")
def command(name: str, **given: Any) -> None:
    """Run the Python function FUNCTION(client) of MODULE as a builder on a daemon.

    The same function runs in an image, as a frontend: python -m buildfile.frontend. What was made
    is printed on standard output, one a line.
    """
    from buildfile.builders import RunOptions, imported, run

    builder = imported(name)
    options = RunOptions(
        opts=dict(assignment(each, "--opt") for each in given["opts"]),
        folders=dict(assignment(each, "--local") for each in given["folders"]),
        outputs=given["outputs"],
        export_caches=given["exports"],
        secrets=tuple(secret(each) for each in given["secrets"]),
        agents=tuple(agent(each) for each in given["agents"]),
        allow=given["allow"],
        progress=given["progress"],
    )
    gc.enable()  # it may take hours
    daemon = daemon_choice(folder=project_folder(), **given)
    for line in run(builder, daemon=daemon, options=options).lines():
        click.echo(line)
