"""TOML text to nodes with spans, the same nodes that YAML becomes.

``tomllib`` decides what is valid and what a value is; it tells no positions. Those are found by a
scanner that may trust the text: it only has to know where a key or a value ends.
"""

from __future__ import annotations

import re
import sys
from typing import Any, TypeAlias

from buildfile import faults
from translator.diagnostic import Diagnostic, InvalidFileError
from translator.span import Position, SourceFile, Span
from translator.text.document import Entry, Items, Node, Scalar, Table

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Path: TypeAlias = tuple[str | int, ...]

_GAP = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY = re.compile(r'"(?:\\.|[^"\\])*"|\'[^\']*\'|[A-Za-z0-9_-]+')
_DOT = re.compile(r"[ \t]*\.[ \t]*")
# Several lines, one line, with and without escapes; then numbers, dates (perhaps with a space
# before the time) and booleans.
_VALUE = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?:"{0,2})'
    r"|'''.*?'''(?:'{0,2})"
    r'|"(?:\\.|[^"\\])*"'
    r"|'[^']*'"
    r"|[0-9-]+ [0-9:.Z+-]+"
    r"|[^\s,\]}#]+",
    re.DOTALL,
)
_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


def parse(file: SourceFile) -> Table:
    """The file's nodes. Raises InvalidFileError for the first place that is no TOML."""
    try:
        data = tomllib.loads(file.text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidFileError([_broken(file, str(error))]) from error
    scanner = _Scanner(file.text)
    scanner.run()
    return _Builder(file, scanner).table(data, ())


def _broken(file: SourceFile, message: str) -> Diagnostic:
    place = _PLACE.search(message)
    if place and place[1]:
        start = Position(int(place[1]), int(place[2]))
    else:
        start = file.position(len(file.text.rstrip()))
    span = Span(file, start, Position(start.line, start.column + 1))
    return faults.invalid_toml(span, _PLACE.sub("", message))


class _Scanner:
    """Finds, in valid TOML, where each key and each value stands, as offsets into the text.

    A key that stands several times, as ``[daemons.a]`` and ``[daemons.b]`` have ``daemons``, is
    where it stands first.
    """

    def __init__(self, text: str) -> None:
        self.keys: dict[Path, tuple[int, int]] = {}
        self.values: dict[Path, tuple[int, int]] = {}
        self._text = text
        self._at = 0
        self._lists: dict[Path, int] = {}  # the number of the last table of ``[[PATH]]``

    def run(self) -> None:
        """Go through the whole text."""
        table: Path = ()
        self._skip()
        while self._at < len(self._text):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._skip()

    def _header(self) -> Path:
        several = self._text.startswith("[[", self._at)
        self._at += 2 if several else 1
        path = self._key(())
        self._at = self._text.index("]", self._at) + (2 if several else 1)
        if several:
            self._lists[path] = self._lists.get(path, -1) + 1
        return self._inner(path)

    def _pair(self, table: Path) -> None:
        path = self._key(table)
        self._at = self._text.index("=", self._at) + 1
        self._skip()
        self._value(path)

    def _key(self, path: Path) -> Path:
        """Read a dotted key below ``path``."""
        self._skip()
        while True:
            match = self._take(_KEY)
            path = (*self._inner(path), _name(match[0]))
            self.keys.setdefault(path, match.span())
            dot = _DOT.match(self._text, self._at)
            if not dot:
                return path
            self._at = dot.end()

    def _inner(self, path: Path) -> Path:
        """Where the keys of a table stand: for a list of tables in the last one."""
        return (*path, self._lists[path]) if path in self._lists else path

    def _value(self, path: Path) -> None:
        start = self._at
        opening = self._text[start]
        if opening in "[{":
            self._several(path, "]" if opening == "[" else "}")
        else:
            self._take(_VALUE)
        self.values[path] = (start, self._at)

    def _several(self, path: Path, closing: str) -> None:
        """The items of a list, or the pairs of an inline table."""
        self._at += 1
        number = 0
        self._skip()
        while self._text[self._at] != closing:
            if closing == "]":
                self._value((*path, number))
            else:
                self._pair(path)
            number += 1
            self._skip()
            if self._text[self._at] == ",":
                self._at += 1
                self._skip()
        self._at += 1

    def _skip(self) -> None:
        self._take(_GAP)

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str]:
        match = pattern.match(self._text, self._at)
        if not match:
            raise ValueError(f"no valid TOML at character {self._at}")
        self._at = match.end()
        return match


def _name(written: str) -> str:
    """A key without its quotes."""
    if written[0] in "\"'":
        (name,) = tomllib.loads(f"{written} = 0")
        return str(name)
    return written


class _Builder:
    """Puts values and places together."""

    def __init__(self, file: SourceFile, scanner: _Scanner) -> None:
        self._file = file
        self._keys = scanner.keys
        self._values = scanner.values

    def table(self, data: dict[str, Any], path: Path) -> Table:
        """A table with the keys in their order."""
        entries = {}
        for name, value in data.items():
            inner = (*path, name)
            key = Scalar(text=name, plain=False, span=self._span(self._keys[inner]))
            entries[name] = Entry(key, self._node(value, inner))
        return Table(entries, self._extent(path))

    def _node(self, value: Any, path: Path) -> Node:
        if isinstance(value, dict):
            return self.table(value, path)
        if isinstance(value, list):
            items = (self._node(item, (*path, number)) for number, item in enumerate(value))
            return Items(tuple(items), self._extent(path))
        text = str(value).lower() if isinstance(value, bool) else str(value)
        return Scalar(text=text, plain=not isinstance(value, str), span=self._extent(path))

    def _extent(self, path: Path) -> Span:
        """The value's place; for a table under a header, and for one in parts, that of its key."""
        while path and path not in self._values and path not in self._keys:
            path = path[:-1]
        return self._span(self._values.get(path) or self._keys.get(path, (0, 0)))

    def _span(self, place: tuple[int, int]) -> Span:
        start, end = place
        return Span(self._file, self._file.position(start), self._file.position(end))
