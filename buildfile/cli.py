"""The command line: a table of commands, and the one border where errors become exit codes.

Commands load when they are called, so that ``buildfile --help`` imports click and nothing else.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import sys
from collections.abc import Sequence

import click

from buildfile.exits import Exit
from translator.pause import no_collection

COMMANDS = {
    "build": "Build targets on a BuildKit daemon.",
    "check": "Check a build file without any daemon.",
    "list": "List the targets, groups and variables of a build file.",
    "plan": "Show what a build would do, and what the daemon lacks for it.",
    "llb": "Print a target's LLB as JSON, binary, dot or mermaid.",
    "doctor": "Tell what a daemon is, and what it can do.",
    "cache": "List, check, clean and copy folders of local caches.",
    "fs": "Look into a target's result without exporting it.",
    "debug": "Open a shell in a target's result, or where its build failed.",
    "run-builder": "Run a Python function as a builder on a daemon.",
    "daemons": "List the daemons that a build may use.",
    "workers": "List a daemon's workers.",
    "daemon": "Start, stop or look at the private daemon.",
    "init": "Write a commented first build file.",
    "schema": "Print the JSON schema of the build file, or of daemons.toml.",
    "completion": "Print the shell completion for bash, zsh or fish.",
}


class _LazyGroup(click.Group):
    """Loads a command's module when the command is used; its help line stands in ``COMMANDS``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"buildfile.commands.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            from translator.suggest import suggest

            near = suggest(args[0], COMMANDS)
            meant = f", did you mean {near}?" if near else ""
            raise click.UsageError(f"no command {args[0]!r}{meant}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        click.echo(f"buildfile {version('buildfile')}")
        ctx.exit()


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Every command has its own --help. Exit codes: 0 done, 1 the build failed, 2 wrong "
    "usage, 3 the build file is invalid, 4 no daemon can do it, 70 a bug, 130 interrupted.",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version.",
)
def cli() -> None:
    """Build what a buildfile.yaml declares, on BuildKit daemons of any age."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code. Never raises but for a broken interpreter."""
    _open_closed()
    atexit.register(gc.freeze)  # nothing is left to collect, and looking takes longer than all else
    try:
        with no_collection():  # start, load and compile make no garbage; a build collects again
            outcome = cli.main(
                None if arguments is None else list(arguments),
                prog_name="buildfile",
                standalone_mode=False,
            )
        return int(outcome) if isinstance(outcome, int) else Exit.DONE
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except (Exception, KeyboardInterrupt) as error:
        from buildfile.failure import report

        return report(error)


def _open_closed() -> None:
    """Let standard streams that the caller closed lead nowhere, as after ``2>&-``.

    Else the next file or connection would get such a stream's number.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


if __name__ == "__main__":
    sys.exit(main())
