"""Readers from nodes to values: one per kind of value, and a table of fields per dataclass.

A reader takes a node whose references are replaced and gives a value, or None after it has told
the collector what is wrong. So everything is read to its end, and all faults are found.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Generic, TypeAlias, TypeVar, cast

from translator.platform import Platform
from translator.reading import value_faults as faults
from translator.reading.collector import Collector
from translator.reading.files import absolute
from translator.selector import Selector
from translator.stage import Origin, ResolveMode
from translator.suggest import suggest
from translator.text.document import Entry, Items, Node, Scalar, Table, as_int, is_null, kind
from translator.values.value import BOOLEANS, Broken

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What readers need besides the node.

    ``origin`` finds the stage or source that a name means. ``permit`` takes a folder of the
    client and that of the build file that names it; it gives None if it may be read, else the
    folders that may be. ``optional`` has the kinds and ids of secrets and agents that may be
    missing. ``workers`` are the selectors of the file by name, None for one with a fault.
    ``resolve`` is for images of which nothing is said. ``owner`` is the name of the thing being
    read, ``numbers`` tells apart the sources that it has in place.
    """

    found: Collector
    home: str
    owner: str
    origin: Callable[[Scalar], Origin | None]
    permit: Callable[[str, str], Sequence[str] | None]
    secrets: frozenset[str]
    ssh: frozenset[str]
    optional: frozenset[tuple[str, str]]
    workers: Mapping[str, Selector | None]
    numbers: Iterator[int]
    resolve: ResolveMode = "default"

    def missing(self, key: str, node: Node) -> None:
        """Report that ``node`` lacks ``key``."""
        self.found.at(node, faults.missing_key(key, node.span))

    def in_place(self) -> Reading:
        """For a source that has no name of its own."""
        return replace(self, owner=f"{self.owner}:{next(self.numbers)}")

    def wrong(self, wanted: str, node: Node) -> None:
        """Report that ``node`` is of another kind than ``wanted``."""
        self.found.at(node, faults.wrong_type(wanted, kind(node), node.span))


Reader: TypeAlias = Callable[[Node, Reading], T | None]


# --- single values ---------------------------------------------------------------------------


def text(node: Node, reading: Reading) -> str | None:
    """Any scalar but null, as it is written."""
    if isinstance(node, Scalar) and not is_null(node):
        return None if isinstance(node, Broken) else node.text
    reading.wrong("a string", node)
    return None


def flag(node: Node, reading: Reading) -> bool | None:
    """True or false, and after interpolation the other words that an environment has for them."""
    if isinstance(node, Scalar) and node.plain:
        value = BOOLEANS.get(node.text.lower())
        if value is not None:
            return value
    reading.wrong("true or false", node)
    return None


def integer(node: Node, reading: Reading) -> int | None:
    """A whole number."""
    value = as_int(node)
    if value is None:
        reading.wrong("a whole number", node)
    return value


def choice(*options: str) -> Reader[Any]:
    """One of ``options``."""

    def read(node: Node, reading: Reading) -> str | None:
        value = text(node, reading)
        if value is None or value in options:
            return value
        near = suggest(value, options)
        reading.found.at(node, faults.unknown_choice(value, options, node.span, near))
        return None

    return read


def form(wanted: str, convert: Callable[[str], T | None], hint: str | None = None) -> Reader[T]:
    """A text that ``convert`` makes a value of; it gives None for any other."""

    def read(node: Node, reading: Reading) -> T | None:
        value = text(node, reading)
        if value is None:
            return None
        converted = convert(value)
        if converted is None:
            reading.found.at(node, faults.bad_text(wanted, value, node.span, hint))
        return converted

    return read


def path(node: Node, reading: Reading) -> str | None:
    """A path of the client, absolute from the folder of the file that it stands in."""
    value = filled(node, reading)
    return None if value is None else absolute(cast(Scalar, node), reading.home)


def _octal(value: str) -> int | None:
    digits = value.removeprefix("0o")
    return int(digits, 8) if re.fullmatch(r"[0-7]{1,5}", digits) else None


def _platform(value: str) -> Platform | None:
    try:
        return Platform.parse(value)
    except ValueError:
        return None


_BYTES = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*([bkmgt]?)(?:i?b)?", re.IGNORECASE)
_DURATION_PART = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)(ns|us|µs|ms|s|m|h)")


def _size(value: str) -> int | None:
    match = _SIZE.fullmatch(value.strip())
    return int(float(match[1]) * _BYTES[match[2].lower()]) if match else None


def _duration(value: str) -> int | None:
    if value == "0":
        return 0
    parts = _DURATION_PART.findall(value)
    if not parts or "".join(number + unit for number, unit in parts) != value:
        return None
    return sum(round(float(number) * _NANOSECONDS[unit]) for number, unit in parts)


filled = form("filled in", lambda value: value or None, "it may not be empty here")
octal = form("an octal mode", _octal, "write it as in chmod: 0755")
platform = form("a platform", _platform, "write os/architecture, as in linux/arm64")
size = form("a size", _size, "write bytes, or a number with k, m or g, as in 64m")
duration = form("a duration", _duration, "write it as in 30s or 1m30s")


# --- lists and maps --------------------------------------------------------------------------


def several(read: Reader[T]) -> Reader[tuple[T, ...]]:
    """A list of what ``read`` reads. A list within, which a reference left, is spliced in."""

    def read_all(node: Node, reading: Reading) -> tuple[T, ...] | None:
        if not isinstance(node, Items):
            reading.wrong("a list", node)
            return None
        values = [read(item, reading) for item in spliced(node)]
        return None if None in values else cast("tuple[T, ...]", tuple(values))

    return read_all


def spliced(node: Items) -> Iterator[Node]:
    """The items, and the items of lists among them."""
    for item in node.items:
        if isinstance(item, Items):
            yield from item.items
        else:
            yield item


texts = several(text)


def pairs(node: Node, reading: Reading) -> tuple[tuple[str, str], ...] | None:
    """A map of texts, in the order of the file."""
    if not isinstance(node, Table):
        reading.wrong("a map", node)
        return None
    values = [(key, text(entry.value, reading)) for key, entry in node.entries.items()]
    return None if any(value is None for _, value in values) else cast(Any, tuple(values))


def environment(node: Node, reading: Reading) -> tuple[tuple[str, str], ...] | None:
    """A map of texts, or a list of ``NAME=VALUE`` as in Compose; of equal names the last holds."""
    if not isinstance(node, Items):
        return pairs(node, reading)
    values = [_assignment(item, reading) for item in spliced(node)]
    named = dict(value for value in values if value)
    return None if None in values else tuple(named.items())


def _split(value: str) -> tuple[str, str] | None:
    name, equals, rest = value.partition("=")
    return (name, rest) if name and equals else None


_assignment = form("an assignment", _split, "write NAME=VALUE")


# --- dataclasses -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Field(Generic[T]):
    """How one key is read, and into which attribute: its own name unless ``to`` says another."""

    read: Reader[T]
    to: str = ""
    required: bool = False


Fields: TypeAlias = Mapping[str, Field[Any]]


def fields(**named: Field[Any] | Reader[Any]) -> Fields:
    """A table of fields; ``valid_exit_codes`` is the key ``valid-exit-codes``."""
    made = {}
    for name, how in named.items():
        field = how if isinstance(how, Field) else Field(how)
        key = name.rstrip("_").replace("_", "-")
        made[key] = Field(field.read, field.to or name.rstrip("_"), field.required)
    return MappingProxyType(made)


def attributes(
    entries: Mapping[str, Entry], table: Fields, at: Node, reading: Reading
) -> dict[str, Any] | None:
    """The attributes that ``entries`` give by ``table``; None after a fault."""
    given: dict[str, Any] = {}
    faulty = False
    for key, entry in entries.items():
        field = table.get(key)
        if field is None:
            faulty |= _stray(key, entry, table, reading)
            continue
        value = given[field.to] = field.read(entry.value, reading)
        faulty |= value is None
    for key, field in table.items():
        if field.required and key not in entries:
            reading.missing(key, at)
            faulty = True
    return None if faulty else given


def record(make: Callable[..., T], table: Fields) -> Reader[T]:
    """A map read into ``make``, which takes its span besides."""

    def read(node: Node, reading: Reading) -> T | None:
        if not isinstance(node, Table):
            reading.wrong("a map", node)
            return None
        given = attributes(node.entries, table, node, reading)
        return None if given is None else make(**given, span=node.span)

    return read


def plain(make: Callable[..., T], table: Fields) -> Reader[T]:
    """A map read into ``make``, which has no span."""

    def read(node: Node, reading: Reading) -> T | None:
        if not isinstance(node, Table):
            reading.wrong("a map", node)
            return None
        given = attributes(node.entries, table, node, reading)
        return None if given is None else make(**given)

    return read


def _stray(key: str, entry: Entry, table: Fields, reading: Reading) -> bool:
    if key.startswith("x-"):
        return False
    near = suggest(key, table)
    reading.found.add(faults.unknown_key(key, entry.key.span, near, table))
    return True
