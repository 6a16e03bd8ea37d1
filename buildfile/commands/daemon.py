"""``buildfile daemon``: the private daemon that is started where there is no other."""

from __future__ import annotations

import os
from pathlib import Path

import click

from buildfile import private
from buildfile.exits import Exit


@click.group()
def command() -> None:
    """Start, stop or look at the private daemon.

    A build starts it by itself where no other daemon is found.
    """


@command.command()
@click.option(
    "--config",
    metavar="FILE",
    help="A buildkitd.toml for it. Default: the one in ~/.config/buildfile, if there is one.",
)
def start(config: str | None) -> None:
    """Start the private daemon, if it does not run yet, and print its address."""
    record = private.start(
        dict(os.environ),
        lambda text: click.echo(text, err=True),
        Path(config) if config else None,
    )
    click.echo(record.address)


@command.command()
def stop() -> None:
    """Stop the private daemon. What it has cached stays for the next start."""
    stopped = private.stop(dict(os.environ))
    click.echo("stopped" if stopped else "not running", err=True)


@command.command()
def status() -> int:
    """Tell whether the private daemon runs, and where it keeps its things."""
    known = private.status(dict(os.environ))
    if known.record and known.alive:
        click.echo(
            f"running  {known.record.address}  ({known.record.kind}, pid {known.record.pid})"
        )
        if known.record.settings:
            click.echo(f"settings {known.record.settings}")
    else:
        click.echo("not running")
    click.echo(f"root     {known.root}\nlog      {known.log}")
    return Exit.DONE if known.alive else Exit.FAILED
