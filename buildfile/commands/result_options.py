"""What a run makes, in place of what the build file says: outputs, caches, platforms."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import click

from buildfile.commands.cache_options import cache_fields, cache_options
from buildfile.files import LoadOptions
from translator.inputs import FieldOption
from translator.stage import ResolveMode

F = TypeVar("F", bound=Callable[..., Any])

_FIELDS = {
    "--output": ("outputs", "outputs"),
    "--platform": ("platforms", "platforms"),
}


def result_options(function: F) -> F:
    """Add the options; ``reshaped`` takes all but ``push`` and ``no_cache``."""
    for option in reversed(
        (
            click.option(
                "-o",
                "--output",
                "outputs",
                multiple=True,
                metavar="type=TYPE[,KEY=VALUE]",
                help="Output, in place of the targets' own. A path alone is a local output.",
            ),
            click.option(
                "--push", is_flag=True, help="Push the images that targets make as outputs."
            ),
            cache_options,
            click.option(
                "--platform",
                "platforms",
                multiple=True,
                metavar="OS/ARCH",
                help="Platforms to build for.",
            ),
            click.option("--no-cache", is_flag=True, help="Run every step, whatever is cached."),
            click.option(
                "--pull",
                is_flag=True,
                help="Ask registries for images, also for those that the daemon has.",
            ),
        )
    ):
        function = option(function)
    return function


def reshaped(shaping: LoadOptions, given: Mapping[str, Any]) -> LoadOptions:
    """Add to how a project is shaped what the options stand for. Raises click.UsageError."""
    resolve: ResolveMode = "pull" if given["pull"] else "default"
    return replace(shaping, fields=tuple(_fields(given)), resolve=resolve)


def platform_fields(platform: str | None) -> Iterator[FieldOption]:
    """The field that a --platform of its own stands for, where a command takes one alone."""
    if platform:
        yield FieldOption(option="--platform", key="platforms", value=platform)


def _fields(given: Mapping[str, Any]) -> Iterator[FieldOption]:
    """The fields of all targets that options stand for."""
    for option, (name, key) in _FIELDS.items():
        for value in given[name]:
            yield FieldOption(option=option, key=key, value=value)
    yield from cache_fields(given["imports"], given["exports"], given["export_opts"])
