"""Filters of workers, as containerd and BuildKit's ListWorkers read them.

A filter is a list of selectors with commas between them, and all must match: ``FIELD`` (it is
there), ``FIELD==VALUE``, ``FIELD!=VALUE`` or ``FIELD~=EXPRESSION``. A field is ``id``, or
``labels.KEY`` whose key may have dots. What has other signs than letters, digits and ``_`` stands
in ``"..."``, as a value may; an expression may also stand in ``/.../`` or ``|...|``. Of several
filters one must match. What is not there is an empty text for ``!=`` and ``~=`` (containerd's
pkg/filters; BuildKit's worker/filter.go; all releases).

Unlike a daemon, ``parse`` refuses fields that no worker has: they would match nothing, or all.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from translator.goregexp import RegexpError, compiled
from translator.suggest import suggest

_SPACE = re.compile(r"\s*")
_FIELD = re.compile(r"[A-Za-z0-9_]+")
_OPERATOR = re.compile(r"[=!~]*")
_OPERATORS = ("==", "!=", "~=")
_FIELDS = ("id", "labels")
_ESCAPE = re.compile(
    r"\\(?:(?P<octal>[0-7]{3})|x(?P<byte>[0-9A-Fa-f]{2})"
    r"|u(?P<short>[0-9A-Fa-f]{4})|U(?P<long>[0-9A-Fa-f]{8})|(?P<sign>.))",
    re.DOTALL,
)
_SIGNS: Mapping[str, bytes] = {
    **{"a": b"\a", "b": b"\b", "f": b"\f", "n": b"\n", "r": b"\r", "t": b"\t", "v": b"\v"},
    "\\": b"\\",
}


class FilterError(ValueError):
    """A filter that cannot be used: what is wrong from ``start`` to ``end``, and what to do."""

    def __init__(self, message: str, *, start: int, end: int, hint: str) -> None:
        super().__init__(message)
        self.start = start
        self.end = end
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Selector:
    """One condition. ``label`` is a label's key, None for the worker's id; ``operator`` '' asks
    whether it is there.
    """

    label: str | None
    operator: str = ""
    value: str = ""

    def matches(self, worker: str, labels: Mapping[str, str]) -> bool:
        """Whether a worker with this id and these labels has what is wanted."""
        found = worker if self.label is None else labels.get(self.label, "")
        if self.operator == "!=":
            return found != self.value
        if self.operator == "~=":
            return bool(compiled(self.value).search(found))
        is_there = bool(worker) if self.label is None else self.label in labels
        return is_there and (not self.operator or found == self.value)


@dataclass(frozen=True, slots=True)
class WorkerFilter:
    """A filter as it was written, and its selectors, of which all must match; none match all."""

    text: str
    selectors: tuple[Selector, ...]

    def matches(self, worker: str, labels: Mapping[str, str]) -> bool:
        """Whether a worker with this id and these labels is meant."""
        return all(each.matches(worker, labels) for each in self.selectors)


def any_matches(filters: Collection[WorkerFilter], worker: str, labels: Mapping[str, str]) -> bool:
    """Whether one of the filters matches; without filters all workers are meant."""
    return not filters or any(each.matches(worker, labels) for each in filters)


def parse(text: str) -> WorkerFilter:
    """Read a filter. Raises FilterError for the first thing that is wrong."""
    return WorkerFilter(text, tuple(_Reader(text).selectors()) if text else ())


class _Reader:
    """Goes through a filter from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def selectors(self) -> Iterable[Selector]:
        yield self._selector()
        while self._at < len(self._text):
            if self._here() != ",":
                raise self._fault("expected a comma or the end", "put a comma between selectors")
            self._at += 1
            yield self._selector()

    def _selector(self) -> Selector:
        self._skip()
        start = self._at
        label = self._label(self._path(), partial(self._fault, start=start))
        if self._here() in ("", ","):
            return Selector(label)
        operator = self._operator()
        return Selector(label, operator, self._value(operator))

    def _path(self) -> list[str]:
        path = [self._part()]
        while self._here() == ".":
            self._at += 1
            path.append(self._part())
        return path

    def _part(self) -> str:
        self._skip()
        if self._here() == '"':
            return self._quoted()
        found = self._take(_FIELD)
        if not found:
            raise self._fault(
                "expected a field", 'write id or labels.KEY, such as labels.pool or labels."a-b"'
            )
        return found

    def _label(self, path: list[str], fault: partial[FilterError]) -> str | None:
        """The key of a label, None for the id. Other fields are faults."""
        if path == ["id"]:
            return None
        if path[0] == "labels" and len(path) > 1:
            return ".".join(path[1:])
        near = suggest(path[0], _FIELDS)
        hint = "a worker has id, and labels.KEY for each of its labels"
        hint = f"did you mean {near}? {hint}" if near and near != path[0] else hint
        raise fault(f"a worker has no field {'.'.join(path)}", hint)

    def _operator(self) -> str:
        self._skip()
        start = self._at
        operator = self._take(_OPERATOR)
        if operator in _OPERATORS:
            return operator
        if not operator:
            raise self._fault(
                f"expected {', '.join(_OPERATORS[:-1])} or {_OPERATORS[-1]}",
                'a part of a field with other signs than letters, digits and _ stands in "..."',
            )
        raise self._fault(
            f"there is no operator {operator}", f"write {', '.join(_OPERATORS)}", start=start
        )

    def _value(self, operator: str) -> str:
        self._skip()
        start = self._at
        sign = self._here()
        if sign in ("", ",", "."):
            raise self._fault("expected a value", 'write one, in "..." if it begins with a dot')
        if sign in ("/", "|") and operator != "~=":
            raise self._fault(
                f"only an expression of ~= may stand in {sign}...{sign}",
                'put the value in "..."',
            )
        quoted = sign in ("/", "|", '"')
        value = self._quoted() if quoted else self._bare()
        if operator == "~=":
            self._check(value, start if quoted else None, start)
        return value

    def _check(self, value: str, quoted: int | None, start: int) -> None:
        try:
            compiled(value)
        except RegexpError as error:
            at = start if quoted is not None else start + error.offset
            hint = "daemons know the regular expressions of Go (RE2)"
            raise self._fault(str(error), hint, start=at) from error

    def _bare(self) -> str:
        start = self._at
        while self._here() not in ("", ",") and self._here().isprintable() and self._here() != " ":
            self._at += 1
        return self._text[start : self._at]

    def _quoted(self) -> str:
        """A text in quotes, whose escapes are those of Go."""
        start, quote = self._at, self._here()
        self._at += 1
        value = bytearray()
        while self._here() != quote:
            if self._here() in ("", "\n"):
                raise self._fault("the quotes do not end", f"end them with {quote}", start=start)
            value += self._escaped(quote) if self._here() == "\\" else self._one()
        self._at += 1
        return value.decode("utf-8", "replace")

    def _one(self) -> bytes:
        self._at += 1
        return self._text[self._at - 1].encode("utf-8", "replace")

    def _escaped(self, quote: str) -> bytes:
        found = _ESCAPE.match(self._text, self._at)
        value = _unescaped(found, quote) if found else None
        if not found or value is None:
            raise self._fault(
                "there is no such escape",
                "write a backslash twice",
                start=self._at,
                end=self._at + 2,
            )
        self._at = found.end()
        return value

    def _here(self) -> str:
        """The sign that is next, '' at the end."""
        return self._text[self._at : self._at + 1]

    def _take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if not found:
            return ""
        self._at = found.end()
        return found[0]

    def _skip(self) -> None:
        self._take(_SPACE)

    def _fault(
        self, message: str, hint: str, *, start: int | None = None, end: int | None = None
    ) -> FilterError:
        begin = self._at if start is None else start
        stop = end or max(self._at, begin + 1)
        return FilterError(message, start=begin, end=stop, hint=hint)


def _unescaped(found: re.Match[str], quote: str) -> bytes | None:
    """The bytes of an escape, None for one that Go does not have."""
    if sign := found["sign"]:
        return _SIGNS.get(sign, quote.encode() if sign == quote else None)
    if found["octal"]:
        number = int(found["octal"], 8)
        return bytes((number,)) if number < 256 else None
    if found["byte"]:
        return bytes((int(found["byte"], 16),))
    number = int(found["short"] or found["long"], 16)
    return chr(number).encode("utf-8", "replace") if number < 0x110000 else None
