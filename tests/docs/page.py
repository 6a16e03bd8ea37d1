"""A page of the documentation, taken apart into what a test can hold it to.

A comment right above a fenced block says what the block is:

- ``<!-- file: NAME -->``: the block is the content of a file that the page's commands find;
- ``<!-- excerpt -->``: a part of a file, which is only read;
- ``<!-- not run: REASON -->``: commands that no test can run.

In a ``console`` block a line that begins with ``$ `` is a command, ``> `` continues it, and the
rest is its output, in which ``...`` stands for anything and a line of ``...`` for any lines. A
command that fails ends with ``# exit CODE``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PAGES = [
    REPOSITORY / "README.md",
    REPOSITORY / "CONTRIBUTING.md",
    REPOSITORY / "CHANGELOG.md",
    *sorted((REPOSITORY / "docs").rglob("*.md")),
]

_FENCE = re.compile(r"```(\S*)")
_MARK = re.compile(r"<!-- (file|excerpt|not run)(?:: (.*))? -->")
_EXIT = re.compile(r"\s+# exit (\d+)$")


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block: its language, its text, and the comment above it, in two words."""

    language: str
    text: str
    line: int
    mark: str = ""
    value: str = ""


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command of a ``console`` block, and what the page says of it."""

    text: str
    line: int
    code: int
    output: str

    def matches(self, printed: str) -> bool:
        """Whether it printed what stands on the page; a page that shows nothing claims nothing."""
        return not self.output or bool(_pattern(self.output).fullmatch(printed.strip() + "\n"))


def blocks(text: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    lines = enumerate(text.splitlines(), 1)
    above: re.Match[str] | None = None
    for number, line in lines:
        if fence := _FENCE.match(line):
            body = takewhile(lambda inner: not inner.startswith("```"), (each for _, each in lines))
            content = "\n".join([*body, ""])
            mark, value = above.groups(default="") if above else ("", "")
            yield Block(language=fence[1], text=content, line=number, mark=mark, value=value)
        above = _MARK.fullmatch(line.strip())


def commands(block: Block) -> Iterator[Command]:
    """Yield the commands of a ``console`` block."""
    found: list[tuple[int, list[str], list[str]]] = []
    for number, line in enumerate(block.text.splitlines(), block.line + 1):
        if line.startswith("$ "):
            found.append((number, [line[2:]], []))
        elif line.startswith("> ") and not found[-1][2]:
            found[-1][1].append(line[2:])
        else:
            found[-1][2].append(line)
    for number, words, output in found:
        text = "\n".join(words)
        code = _EXIT.search(text)
        yield Command(
            text=_EXIT.sub("", text),
            line=number,
            code=int(code[1]) if code else 0,
            output="\n".join(output).strip(),
        )


def _pattern(output: str) -> re.Pattern[str]:
    lines = [".*" if line.strip() == "..." else _line(line) for line in output.splitlines()]
    return re.compile("".join(lines), re.DOTALL)


def _line(line: str) -> str:
    return r"[^\n]*".join(map(re.escape, line.split("..."))) + "\n"
