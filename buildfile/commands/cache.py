"""``buildfile cache``: folders of local caches, without a daemon."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from buildfile.cachecheck import Progress, verify
from buildfile.cachecopy import copy
from buildfile.cachefolder import CacheFolder
from buildfile.cacheprune import MIN_AGE_SECONDS, Policy, prune
from buildfile.cacheusage import survey
from buildfile.cacheview import (
    copied_text,
    pruned_data,
    pruned_text,
    usage_data,
    usage_text,
    verified_data,
    verified_text,
)
from buildfile.display.units import parse_size
from buildfile.exits import Exit, UsageError

_FOLDER = click.Path(exists=True, file_okay=False)


def _bytes(_: click.Context, option: click.Parameter, value: str | None) -> int | None:
    try:
        return None if value is None else parse_size(value)
    except ValueError as error:
        raise click.BadParameter(str(error), param=option) from error


@click.group()
def command() -> None:
    """List, check, clean and copy folders of local caches.

    A folder is what a cache of type local is exported to and imported from, by this tool or by
    BuildKit's own clients. No daemon is asked.
    """


_folders = click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=_FOLDER)
_format = click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text")


@command.command()
@_folders
@_format
def ls(folders: tuple[str, ...], format_: str) -> None:
    """List the caches of folders: tag, size, age, and how much of it others need as well.

    At the end stands what no cache needs, and what was not finished; prune removes both.
    """
    now = time.time()
    usages = [survey(CacheFolder(each)) for each in folders]
    if format_ == "json":
        _print_json(usage_data(each, now) for each in usages)
    else:
        _print_text(usage_text(each, now) for each in usages)


@command.command("verify")
@_folders
@_format
def verify_(folders: tuple[str, ...], format_: str) -> int:
    """Check every blob against its digest, and every cache for what it needs.

    Exit code 1 when something is damaged or missing. A build that exports a cache does not write a
    blob that is there already: prune removes damaged ones that no cache needs.
    """
    with _progress("checking") as progress:
        found = [verify(CacheFolder(each), progress) for each in folders]
    if format_ == "json":
        _print_json(map(verified_data, found))
    else:
        _print_text(map(verified_text, found))
    return Exit.FAILED if any(each.faults for each in found) else Exit.DONE


@command.command("prune")
@_folders
@click.option(
    "--max-size",
    callback=_bytes,
    metavar="SIZE",
    help="Remove the oldest caches until the rest takes no more: 500MB, 10GiB.",
)
@click.option(
    "--keep-tags",
    "keep",
    multiple=True,
    metavar="PATTERN",
    help="Keep the caches whose tags match; alone, remove all others.",
)
@click.option("--unused", is_flag=True, help="Remove no cache, only blobs that none needs.")
@click.option(
    "--min-age",
    type=click.FloatRange(min=0),
    default=MIN_AGE_SECONDS,
    metavar="SECONDS",
    show_default=True,
    help="Leave younger blobs alone that no cache needs: buildctl may be exporting them.",
)
@click.option("--dry-run", is_flag=True, help="Only tell what would go.")
@_format
def prune_(
    folders: tuple[str, ...], unused: bool, dry_run: bool, format_: str, **limits: Any
) -> None:
    """Remove caches, and all blobs that no cache needs any more.

    A folder that a build is exporting to or importing from is left alone, with exit code 1.
    """
    chosen = limits["keep"] or limits["max_size"] is not None
    if unused and chosen:
        raise UsageError("--unused removes no cache: leave it out beside --max-size, --keep-tags")
    if not unused and not chosen:
        raise UsageError("say what to remove: --max-size, --keep-tags or --unused")
    policy = Policy(**limits)
    done = [prune(CacheFolder(each), policy, dry_run=dry_run) for each in folders]
    if format_ == "json":
        _print_json(pruned_data(each, dry_run=dry_run) for each in done)
    else:
        _print_text(pruned_text(each, dry_run=dry_run) for each in done)


@command.command("copy")
@click.argument("source", metavar="SRC", type=_FOLDER)
@click.argument("dest", metavar="DEST", type=click.Path(file_okay=False))
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Copy this cache, not all.")
def copy_(source: str, dest: str, tags: tuple[str, ...]) -> None:
    """Copy caches from one folder to another, which is made if need be.

    Only blobs that are not there are copied, and each is checked against its digest. A tag that is
    there already names the copy afterwards.
    """
    with _progress("copying") as progress:
        copied = copy(CacheFolder(source), CacheFolder(dest), tags, progress)
    _print_text([copied_text(copied)])


def _print_json(folders: Iterable[dict[str, Any]]) -> None:
    click.echo(json.dumps({"folders": list(folders)}, indent=2))


def _print_text(folders: Iterable[Iterable[str]]) -> None:
    click.echo("\n\n".join("\n".join(lines) for lines in folders))


@contextmanager
def _progress(what: str) -> Iterator[Progress]:
    """Show how far it is, on a terminal only."""
    shown = -1

    def show(done: int, total: int) -> None:
        nonlocal shown
        percent = done * 100 // total
        if percent != shown and sys.stderr.isatty():
            shown = percent
            click.echo(f"\r{what} {percent}%", nl=False, err=True)

    try:
        yield show
    finally:
        if shown >= 0:
            click.echo("\r\x1b[K", nl=False, err=True)
