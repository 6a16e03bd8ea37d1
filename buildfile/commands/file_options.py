"""Options about build files that several commands share, and the values they become."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import click

from buildfile.files import LoadOptions

F = TypeVar("F", bound=Callable[..., Any])


def targets_argument(function: F) -> F:
    """Add the TARGET... argument, completed from the build file."""
    return click.argument("targets", nargs=-1, metavar="[TARGET]...", shell_complete=_complete)(
        function
    )


def file_options(function: F) -> F:
    """Add -f, --var, --set, --allow and --format; the command takes them as ``**file``."""
    for option in reversed(
        (
            click.option(
                "-f",
                "--file",
                "files",
                multiple=True,
                metavar="FILE",
                help="Build file; - is standard input. Several merge, left to right.",
            ),
            click.option(
                "--var",
                "variables",
                multiple=True,
                metavar="NAME=VALUE",
                help="Set a variable of the build file.",
            ),
            click.option(
                "--set",
                "overrides",
                multiple=True,
                metavar="TARGET.KEY=VALUE",
                help="Override a field of the targets that match; += appends to a list.",
            ),
            click.option(
                "--allow",
                multiple=True,
                metavar="fs.read=PATH",
                help="Let local sources read a folder outside of the project.",
            ),
        )
    ):
        function = option(function)
    return function


def load_options(
    variables: Sequence[str], overrides: Sequence[str], allow: Sequence[str]
) -> LoadOptions:
    """Take the values of ``file_options``."""
    return LoadOptions(
        variables=dict(assignment(each, "--var") for each in variables),
        overrides=tuple(overrides),
        allow=tuple(_grant(each) for each in allow),
    )


def assignment(text: str, option: str) -> tuple[str, str]:
    """Split NAME=VALUE."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint=option)
    return name, value


def pairs_of(text: str, option: str) -> Iterator[tuple[str, str]]:
    """Split KEY=VALUE,KEY=VALUE as buildctl does."""
    from translator.values.csvspec import pairs

    try:
        for key, value in pairs(text):
            yield key, value or ""
    except ValueError as error:
        raise click.BadParameter(f"{text!r}: {error}", param_hint=option) from error


def _grant(text: str) -> str:
    kind, _, path = text.partition("=")
    if kind not in ("fs", "fs.read") or not path:
        raise click.BadParameter(f"{text!r} is not fs.read=PATH", param_hint="--allow")
    return text


def _complete(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    from buildfile.files import load_project

    try:
        project = load_project(ctx.params.get("files") or ())
    except Exception:  # completion has no place to show a fault
        return []
    names = (*project.targets, *project.groups)
    return [name for name in names if name.startswith(incomplete)]
