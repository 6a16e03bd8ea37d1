"""``buildfile debug``: a shell in a target's result, or where its build failed."""

from __future__ import annotations

import gc
from typing import Any

import click

from buildfile.commands.daemon_options import daemon_choice, daemon_options
from buildfile.commands.file_options import file_options
from buildfile.commands.result_options import platform_fields
from buildfile.commands.supply_options import load_supplied, progress_option, supply_options


@click.command()
@click.argument("target")
@click.argument("words", nargs=-1, metavar="[-- COMMAND]...", type=click.UNPROCESSED)
@file_options
@daemon_options
@click.option(
    "--on-error", is_flag=True, help="Open it where a step fails, as the step had it then."
)
@click.option("--stage", default="", metavar="NAME", help="Another stage than the target's.")
@click.option("--user", default="", metavar="USER[:GROUP]", help="Another user to be.")
@click.option("--platform", metavar="OS/ARCH", help="The platform to build for.")
@supply_options
@click.option("--no-cache", is_flag=True, help="Run every step, whatever is cached.")
@progress_option("auto")
def command(target: str, words: tuple[str, ...], **given: Any) -> int:
    """Open a shell in a target's result, or run COMMAND there.

    It runs in a container on the daemon, as in the image: with its environment, working folder and
    user. With --on-error it opens where a step fails, with that step's mounts, environment, user,
    network and security. What is written there is thrown away. The exit code is that of the shell
    or the command.

    In a terminal every key goes to the process, Ctrl-C too. Elsewhere it reads standard input.
    """
    from buildfile.api import BuildOptions
    from buildfile.debugging import Wish, debug
    from buildfile.failure import print_diagnostics
    from buildfile.files import load_project

    shaping, secrets, agents = load_supplied(given, platform_fields(given["platform"]))
    project = load_project(given["files"], shaping)
    print_diagnostics(project.warnings)
    options = BuildOptions(
        daemon=daemon_choice(folder=project.files[0].folder, **given),
        secrets=secrets,
        agents=agents,
        no_cache=given["no_cache"],
        progress=given["progress"],
    )
    wish = Wish(command=words, stage=given["stage"], user=given["user"], on_error=given["on_error"])
    gc.enable()  # it may take hours
    return debug(project, target, wish, options)
