"""Caches on the command line: ``type=...`` pairs, and the older form that buildctl had before v0.4.

There a cache was a registry reference alone, and ``--export-cache-opt`` held the attributes of the
one that was exported (cmd/buildctl/build.go, v0.3). It still works, with a note of what to write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import click

from buildfile import faults
from translator.diagnostic import Diagnostic
from translator.inputs import FieldOption

F = TypeVar("F", bound=Callable[..., Any])

_METAVAR = "type=TYPE[,KEY=VALUE]"


def cache_options(function: F) -> F:
    """Add the options; the command takes them as ``imports``, ``exports`` and ``export_opts``."""
    for option in reversed(
        (
            click.option(
                "--import-cache",
                "imports",
                multiple=True,
                metavar=_METAVAR,
                help="Cache to import, in place of the targets' own.",
            ),
            click.option(
                "--export-cache",
                "exports",
                multiple=True,
                metavar=_METAVAR,
                help="Cache to export, in place of the targets' own.",
            ),
            click.option(
                "--export-cache-opt",
                "export_opts",
                multiple=True,
                metavar="KEY=VALUE",
                help="Old: attribute of an --export-cache that is a registry reference alone.",
            ),
        )
    ):
        function = option(function)
    return function


def cache_fields(
    imports: Iterable[str], exports: Sequence[str], export_opts: Sequence[str]
) -> tuple[FieldOption, ...]:
    """The fields of targets that the options stand for. Raises click.UsageError."""
    if export_opts and not (len(exports) == 1 and _is_old(exports[0])):
        raise click.UsageError(
            "--export-cache-opt belongs to one --export-cache that is a registry reference alone; "
            "else write the attribute there: --export-cache type=TYPE,KEY=VALUE"
        )
    whole = [",".join((value, *export_opts)) for value in exports]
    return (
        *(FieldOption(option="--import-cache", key="cache.import", value=each) for each in imports),
        *(FieldOption(option="--export-cache", key="cache.export", value=each) for each in whole),
    )


def old_forms(fields: Iterable[FieldOption]) -> Iterator[Diagnostic]:
    """A note for each cache in the older form."""
    for field in fields:
        if field.key.startswith("cache.") and _is_old(field.value):
            yield faults.old_cache_option(field.option, f"type=registry,ref={field.value}")


def _is_old(value: str) -> bool:
    return bool(value) and "=" not in value.partition(",")[0]
