"""The commands on their reference page, made from click's own description of them.

``python -m buildfile.commands.reference`` writes that part of docs/reference/commands.md anew;
with ``--check`` it only says whether the page is current. The rest of the page is written by hand.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeGuard

import click

from buildfile.cli import cli
from buildfile.commands.daemon_options import daemon_options
from buildfile.commands.file_options import file_options

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "commands.md"
BEGIN = "<!-- begin: made by python -m buildfile.commands.reference -->\n"
END = "<!-- end -->\n"


def page(text: str) -> str:
    """The page with its generated part made anew; ``text`` is the page as it is.

    Raises ValueError where the page has lost the comments around that part.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE} has no {BEGIN.strip()} or no {END.strip()}")
    return f"{before}{BEGIN}\n{reference()}\n{END}{after}"


def reference() -> str:
    """The options that several commands share, then all commands, each with its own."""
    context = click.Context(cli, info_name="buildfile")
    lines = [
        *(line for title, options in _SHARED.items() for line in _shared(title, options)),
        *(line for command in _commands(context) for line in _section(*command)),
    ]
    return "\n".join(lines).strip()


def _options_of(decorate: Callable[[Callable[[], None]], Callable[[], None]]) -> list[click.Option]:
    """The options that a decorator adds to a command."""
    return [each for each in click.command(decorate(lambda: None)).params if _is_own(each)]


def _is_own(parameter: click.Parameter) -> TypeGuard[click.Option]:
    return isinstance(parameter, click.Option) and parameter.name != "help"


_SHARED: Mapping[str, list[click.Option]] = {
    "Options about build files": _options_of(file_options),
    "Options about the daemon": _options_of(daemon_options),
}


def _shared(title: str, options: Iterable[click.Option]) -> Iterator[str]:
    yield f"### {title}\n"
    yield from _table(options)


def _commands(context: click.Context) -> Iterator[tuple[click.Context, click.Command]]:
    """Yield the commands of a group, and those of its groups, in the order of the help."""
    group = context.command
    if not isinstance(group, click.Group):
        return
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command:
            inner = click.Context(command, info_name=name, parent=context)
            yield inner, command
            yield from _commands(inner)


def _section(context: click.Context, command: click.Command) -> Iterator[str]:
    options = [each for each in command.params if _is_own(each)]
    titles = [title for title, shared in _SHARED.items() if _names(shared) <= _names(options)]
    known = {name for title in titles for name in _names(_SHARED[title])}
    yield f"### `{context.command_path}`\n"
    yield f"```text\n{context.command_path}{_usage(command)}\n```\n"
    yield from map(_paragraph, (command.help or "").split("\n\n"))
    if titles:
        links = " and the ".join(f"[{_lower(each)}]({_anchor(each)})" for each in titles)
        yield f"Takes the {links}.\n"
    yield from _table([each for each in options if each.name not in known])


def _names(options: Iterable[click.Option]) -> set[str | None]:
    return {each.name for each in options}


def _lower(title: str) -> str:
    return title[0].lower() + title[1:]


def _anchor(title: str) -> str:
    return "#" + title.lower().replace(" ", "-")


def _usage(command: click.Command) -> str:
    words = [_argument(each) for each in command.params if isinstance(each, click.Argument)]
    options = ["[OPTION]..."] if any(_is_own(each) for each in command.params) else []
    inner = ["COMMAND"] if isinstance(command, click.Group) else []
    return "".join(f" {word}" for word in (*options, *words, *inner))


def _argument(argument: click.Argument) -> str:
    name = argument.metavar or (argument.name or "").upper()
    if isinstance(argument.type, click.Choice):
        name = "|".join(argument.type.choices)
    return name if argument.required or name.startswith("[") else f"[{name}]"


def _paragraph(text: str) -> str:
    """Flow a paragraph of a help text; a line of a build file keeps its look."""
    flowing = " ".join(text.split())
    return f"```text\n{flowing}\n```\n" if flowing.startswith("#") else f"{flowing}\n"


def _table(options: Iterable[click.Option]) -> Iterator[str]:
    rows = [_row(each) for each in options]
    if rows:
        yield "\n".join(["| Option | Meaning |", "|---|---|", *rows, ""])


def _row(option: click.Option) -> str:
    names = ", ".join(option.opts)
    meaning = " ".join(each for each in (option.help or "", *_details(option)) if each)
    cells = (f"`{names}{_value(option)}`", meaning)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _value(option: click.Option) -> str:
    """What stands behind an option; made here because click's own differs by its version."""
    if option.is_flag:
        return ""
    if isinstance(option.type, click.Choice):
        return " " + "|".join(option.type.choices)
    return f" {option.metavar or (option.name or '').upper()}"


def _details(option: click.Option) -> Iterator[str]:
    if option.multiple:
        yield "May be given several times."
    if isinstance(option.default, (str, float)) and option.default and not option.is_flag:
        yield f"Default: `{option.default}`."


def main(arguments: Sequence[str]) -> int:
    """Write the page, or with ``--check`` compare it; returns the exit code."""
    text = PAGE.read_text(encoding="utf-8")
    made = page(text)
    if "--check" not in arguments:
        PAGE.write_text(made, encoding="utf-8")
    elif text != made:
        print(f"{PAGE} is old: run python -m buildfile.commands.reference", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
