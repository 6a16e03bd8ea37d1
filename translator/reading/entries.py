"""Attributes of outputs and caches: maps, or CSV strings as buildctl and bake take them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from translator.reading import value_faults as faults
from translator.reading.reader import Reading, text
from translator.reference import Reference
from translator.span import Span
from translator.suggest import suggest
from translator.text.document import Entry, Items, Node, Scalar, Table, is_null
from translator.values import csvspec
from translator.values.value import BOOLEANS


@dataclass(frozen=True, kw_only=True)
class Entries:
    """An entry's attributes as texts, each with the node that it stands in."""

    values: Mapping[str, tuple[str, Node]]
    node: Node

    def without(self, *keys: str) -> dict[str, str]:
        """The plain attributes, but ``keys``."""
        return {key: value for key, (value, _) in self.values.items() if key not in keys}

    def get(self, key: str, default: str = "") -> str:
        """One attribute's text."""
        return self.values[key][0] if key in self.values else default


# --- kinds of attributes -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Check:
    """What an attribute may be: ``fit`` gives its usual spelling, None when it is wrong."""

    fit: Callable[[str], str | None]
    wanted: str


Attributes: TypeAlias = Mapping[str, Check]


def _spelt(value: str) -> str | None:
    known = BOOLEANS.get(value.lower())
    return None if known is None else str(known).lower()


def _number_or_none(value: str) -> str | None:
    return value if re.fullmatch(r"[0-9]{1,18}", value) else None


def word(*options: str) -> Check:
    """One of several words."""
    return Check(lambda value: value if value in options else None, f"one of {', '.join(options)}")


def _names_or_none(value: str) -> str | None:
    try:
        for name in filter(None, value.split(",")):
            Reference.parse(name)
    except ValueError:
        return None
    return value


ANY = Check(lambda value: value, "a text")
BOOL = Check(_spelt, "true or false")
NUMBER = Check(_number_or_none, "a whole number")
NAMES = Check(_names_or_none, "an image name such as localhost:5000/app:1, or several with commas")
_COMPRESSION = word("uncompressed", "gzip", "estargz", "zstd")
LAYERS: Attributes = MappingProxyType(
    {
        "compression": _COMPRESSION,
        "compression-level": NUMBER,
        "force-compression": BOOL,
        "oci-mediatypes": BOOL,
    }
)


# --- reading an entry's attributes -------------------------------------------------------------


def read_entries(
    node: Node, reading: Reading, bare: Callable[[str], dict[str, str]]
) -> Entries | None:
    """Read attributes; ``bare`` makes them of a CSV string's first field that has no ``=``."""
    if isinstance(node, Table):
        values = {
            key: (value, entry.value)
            for key, entry in node.entries.items()
            if not key.startswith("x-")
            if (value := _attribute(entry, reading)) is not None
        }
        whole = all(key in values or key.startswith("x-") for key in node.entries)
        return Entries(values=values, node=node) if whole else None
    line = text(node, reading)
    return None if line is None else _from_csv(line, node, reading, bare)


def _attribute(entry: Entry, reading: Reading) -> str | None:
    """An attribute's text; a list becomes what buildctl has for one, ``a,b``."""
    node = entry.value
    if isinstance(node, Items):
        parts = [text(item, reading) for item in node.items]
        return None if None in parts else ",".join(part for part in parts if part)
    if isinstance(node, Scalar) and is_null(node):
        reading.wrong("a value", node)
        return None
    return text(node, reading)


def _from_csv(
    line: str, node: Node, reading: Reading, bare: Callable[[str], dict[str, str]]
) -> Entries | None:
    try:
        parts = csvspec.pairs(line)
    except ValueError as error:
        reading.found.at(node, faults.bad_csv(str(error), node.span))
        return None
    values: dict[str, tuple[str, Node]] = {}
    for number, (key, value) in enumerate(parts):
        if value is not None:
            values[key] = (value, node)
        elif number == 0 and key:
            values.update({name: (made, node) for name, made in bare(key).items()})
        else:
            reading.found.at(node, faults.bad_csv(f"{key!r} is not key=value", node.span))
            return None
    return Entries(values=values, node=node)


def checked(
    entries: Entries,
    known: Attributes,
    noun: str,
    reading: Reading,
    free: re.Pattern[str] | None = None,
) -> dict[str, str] | None:
    """The attributes but ``type``, all of them known and fit; any text fits a ``free`` key."""
    given: dict[str, str] = {}
    for key, (value, node) in entries.values.items():
        if key == "type":
            continue
        check = ANY if free and free.fullmatch(key) else known.get(key)
        if check is None:
            span, near = _key_span(entries.node, key), suggest(key, known)
            reading.found.at(node, faults.unknown_attribute(key, noun, span, near, known))
        elif (fit := check.fit(value)) is None:
            reading.found.at(node, faults.bad_attribute(key, value, check.wanted, node.span))
        else:
            given[key] = fit
    whole = len(given) == len(entries.values) - ("type" in entries.values)
    return given if whole else None


def _key_span(node: Node, key: str) -> Span:
    return node.entries[key].key.span if isinstance(node, Table) else node.span


def kind_of(
    entries: Entries, known: Iterable[str], default: str, noun: str, reading: Reading
) -> str | None:
    """The ``type``, one of ``known``; ``default`` stands in for it unless that is ''."""
    if "type" not in entries.values and not default:
        reading.missing("type", entries.node)
        return None
    kind = entries.get("type", default)
    if kind in known:
        return kind
    node = entries.values["type"][1]
    near = suggest(kind, known)
    reading.found.at(node, faults.unknown_kind(kind, noun, node.span, near, tuple(known)))
    return None
