"""``buildfile completion``: completion of commands, options and target names."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script of a shell.

    For bash: buildfile completion bash > ~/.local/share/bash-completion/completions/buildfile
    """
    from buildfile.cli import cli

    completion = get_completion_class(shell)
    if completion is None:
        raise click.UsageError(f"no completion for {shell}")
    click.echo(completion(cli, {}, "buildfile", "_BUILDFILE_COMPLETE").source())
