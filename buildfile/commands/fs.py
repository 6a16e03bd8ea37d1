"""``buildfile fs``: look into a target's result without exporting it."""

from __future__ import annotations

import json
import posixpath
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, TypeVar

import click

from buildfile.commands.daemon_options import daemon_choice, daemon_options
from buildfile.commands.file_options import file_options
from buildfile.commands.result_options import platform_fields
from buildfile.commands.supply_options import load_supplied, progress_option, supply_options

if TYPE_CHECKING:
    from daemon_shim.reference import FileStat, Reference

F = TypeVar("F", bound=Callable[..., Any])


@click.group()
def command() -> None:
    """Look into a target's result without exporting it.

    It is built, and read on the daemon. PATH is a path in the result, / without one. Of a target
    with several platforms the first is shown, or the one of --platform.
    """


def _absolute(_context: click.Context, _param: click.Parameter, path: str) -> str:
    return posixpath.normpath("/" + path.lstrip("/"))


def _options(function: F) -> F:
    for option in reversed(
        (
            click.argument("target"),
            click.argument("path", default="/", callback=_absolute),
            file_options,
            daemon_options,
            click.option("--platform", metavar="OS/ARCH", help="The platform to look at."),
            supply_options,
            progress_option("quiet"),
        )
    ):
        function = option(function)
    return function


def _format(function: F) -> F:
    return click.option(
        "--format",
        "format_",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
    )(function)


@command.command()
@_options
@_format
def ls(target: str, path: str, format_: str, **given: Any) -> None:
    """List a folder: mode, owner, size, time and name."""

    def show(tree: Reference) -> None:
        found = tree.stat_file(path)
        entries = tree.read_dir(path) if found.is_folder else (found,)
        folder = path if found.is_folder else posixpath.dirname(path)
        records = [_record(posixpath.join(folder, each.name), each) for each in entries]
        _print(format_, records, _columns(entries))

    _look(target, path, show, given)


@command.command()
@_options
def cat(target: str, path: str, **given: Any) -> None:
    """Write a file to standard output, piece by piece."""

    from buildfile import faults
    from buildfile.failure import BuildFailedError

    def show(tree: Reference) -> None:
        if tree.stat_file(path).is_folder:
            raise BuildFailedError([faults.folder_to_read(target, path)])
        for piece in tree.read_pieces(path):
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()

    _look(target, path, show, given)


@command.command("stat")
@_options
@_format
def stat_(target: str, path: str, format_: str, **given: Any) -> None:
    """Show what is known of one path. A symbolic link is followed."""

    def show(tree: Reference) -> None:
        record = _record(path, tree.stat_file(path))
        lines = (f"{key}: {_printable(str(value))}" for key, value in record.items())
        _print(format_, record, lines)

    _look(target, path, show, given)


@command.command()
@_options
@_format
def tree(target: str, path: str, format_: str, **given: Any) -> None:
    """Show a folder and all that is below it."""

    def show(tree: Reference) -> None:
        entries = list(tree.walk(path))
        _print(format_, [_record(*each) for each in entries], _branches(path, entries))

    _look(target, path, show, given)


def _look(
    target: str, path: str, show: Callable[[Reference], None], given: Mapping[str, Any]
) -> None:

    from buildfile.api import BuildOptions
    from buildfile.files import load_project
    from buildfile.looking import look

    shaping, secrets, agents = load_supplied(given, platform_fields(given["platform"]))
    project = load_project(given["files"], shaping)
    choice = daemon_choice(folder=project.files[0].folder, **given)
    options = BuildOptions(
        daemon=choice, secrets=secrets, agents=agents, progress=given["progress"]
    )
    look(project, target, path, show, options)


# --- how entries are shown -------------------------------------------------------------------

_KINDS = {
    stat.S_IFDIR: "folder",
    stat.S_IFREG: "file",
    stat.S_IFLNK: "link",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}


def _print(format_: str, value: object, lines: Iterable[str]) -> None:
    if format_ == "json":
        click.echo(json.dumps(value, indent=2))
        return
    for line in lines:
        click.echo(line)


def _record(path: str, entry: FileStat) -> dict[str, Any]:
    link = {"target": entry.target} if entry.is_link else {}
    return {
        "path": path,
        "type": _KINDS[stat.S_IFMT(entry.mode)],
        "mode": f"{stat.S_IMODE(entry.mode):04o}",
        "uid": entry.uid,
        "gid": entry.gid,
        "size": entry.size,
        "modified": _time(entry),
        **link,
    }


def _time(entry: FileStat) -> str:
    """The second of the last change in UTC, as in ``2024-05-01T12:00:00Z``."""
    moment = datetime.fromtimestamp(entry.modified // 10**9, timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _columns(entries: Iterable[FileStat]) -> Iterator[str]:
    rows = [
        (
            stat.filemode(each.mode),
            f"{each.uid}:{each.gid}",
            str(each.size),
            _time(each),
            _title(each),
        )
        for each in entries
    ]
    owner, size = (max((len(row[column]) for row in rows), default=0) for column in (1, 2))
    for row in rows:
        yield f"{row[0]}  {row[1]:<{owner}}  {row[2]:>{size}}  {row[3]}  {row[4]}"


def _branches(top: str, entries: list[tuple[str, FileStat]]) -> Iterator[str]:
    """Each entry below its folder, indented by depth."""
    yield _printable(top)
    above = top.rstrip("/").count("/") + 1
    for path, entry in entries:
        yield "  " * (path.count("/") - above + 1) + _title(entry)


def _title(entry: FileStat) -> str:
    name = _printable(entry.name) + ("/" if entry.is_folder else "")
    return f"{name} -> {_printable(entry.target)}" if entry.is_link else name


def _printable(text: str) -> str:
    """A name from a daemon may hold anything, and must not move a terminal's cursor."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
