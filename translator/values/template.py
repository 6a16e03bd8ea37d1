"""Text with ``${...}`` in it, taken apart.

Written as in Compose: ``${NAME}``, with a default as ``${NAME:-default}`` or ``${NAME-default}``,
a demand as ``${NAME:?message}`` or ``${NAME?message}``, a replacement as ``${NAME:+instead}`` or
``${NAME+instead}``, and ``$$`` for a dollar. Defaults nest. A ``$`` before anything else stands
for itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, TypeAlias

Operator = Literal["", ":-", "-", ":?", "?", ":+", "+"]

_NAME = re.compile(r"matrix\.[A-Za-z0-9_-]+|[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*")
_OPERATOR = re.compile(r":[-?+]|[-?+]")
_NOTEWORTHY = re.compile(r"\$\$|\$\{|[{}]")
MOST_NESTED = 32


@dataclass(frozen=True, slots=True)
class Reference:
    """One ``${...}``, from ``offset`` to ``end``. ``word`` is what follows the operator."""

    name: str
    operator: Operator
    word: Template
    offset: int
    end: int


Template: TypeAlias = tuple[str | Reference, ...]


class TemplateError(ValueError):
    """Text that is no template; ``offset`` is that of the ``${`` at fault."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset


@dataclass(slots=True)
class _Open:
    """A ``${`` whose ``}`` is still to come; the outermost one stands for the whole text."""

    name: str = ""
    operator: Operator = ""
    offset: int = 0
    braces: int = 0
    parts: list[str | Reference] = field(default_factory=list)

    def add(self, part: str | Reference) -> None:
        """Append; neighbouring texts become one."""
        last = self.parts[-1] if self.parts else None
        if isinstance(part, str) and isinstance(last, str):
            self.parts[-1] = last + part
        elif part != "":
            self.parts.append(part)


@lru_cache(maxsize=65536)
def parse(text: str) -> Template:
    """Take ``text`` apart. Raises TemplateError."""
    stack = [_Open()]
    at = 0
    while found := _NOTEWORTHY.search(text, at):
        stack[-1].add(text[at : found.start()])
        at = found.end()
        mark = found.group()
        if mark == "$$":
            stack[-1].add("$")
        elif mark == "${":
            at = _begin(text, found.start(), stack)
        else:
            _brace(mark, at, stack)
    stack[-1].add(text[at:])
    if len(stack) > 1:
        raise TemplateError("${ has no closing brace", stack[-1].offset)
    return tuple(stack[0].parts)


def _begin(text: str, offset: int, stack: list[_Open]) -> int:
    if len(stack) > MOST_NESTED:
        raise TemplateError(f"${{...}} is nested more than {MOST_NESTED} deep", offset)
    name = _NAME.match(text, offset + 2)
    if not name:
        raise TemplateError("${ is not followed by a name", offset)
    opened = _Open(name=name.group(), offset=offset)
    stack.append(opened)
    if text.startswith("}", name.end()):
        return name.end()
    operator = _OPERATOR.match(text, name.end())
    if operator:
        opened.operator = operator.group()  # type: ignore[assignment]
        return operator.end()
    rest = text[name.end() : name.end() + 1]
    message = f"unexpected {rest!r} after ${{{name.group()}" if rest else "${ has no closing brace"
    raise TemplateError(message, offset)


def _brace(mark: str, end: int, stack: list[_Open]) -> None:
    opened = stack[-1]
    if mark == "}" and len(stack) > 1 and not opened.braces:
        stack.pop()
        word = tuple(opened.parts)
        stack[-1].add(Reference(opened.name, opened.operator, word, opened.offset, end))
        return
    opened.braces += 1 if mark == "{" else -1
    opened.add(mark)


def names(template: Template) -> frozenset[str]:
    """Every name that the template refers to, in defaults too."""
    found: set[str] = set()
    parts = list(template)
    while parts:
        part = parts.pop()
        if isinstance(part, Reference):
            found.add(part.name)
            parts.extend(part.word)
    return frozenset(found)


def escape(text: str) -> str:
    """Text that a template leaves as it is."""
    return text.replace("$", "$$")
