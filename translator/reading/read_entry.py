"""Outputs and cache entries: maps, or CSV strings as buildctl and bake take them.

The attributes are those that buildctl's documentation lists (README.md, v0.32) and the exporters'
own keys (exporter/containerimage/exptypes/keys.go and exporter/local/fs.go, v0.32); whether a
daemon knows one is for the daemon's side to say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from translator.reading import value_faults as faults
from translator.reading.files import resolve
from translator.reading.reader import Reading, text
from translator.reference import Reference
from translator.span import Span
from translator.suggest import suggest
from translator.target import CacheEntry, Output
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


def _word(*options: str) -> Check:
    return Check(lambda value: value if value in options else None, f"one of {', '.join(options)}")


def _names_or_none(value: str) -> str | None:
    try:
        for name in filter(None, value.split(",")):
            Reference.parse(name)
    except ValueError:
        return None
    return value


_any = Check(lambda value: value, "a text")
_bool = Check(_spelt, "true or false")
_number = Check(_number_or_none, "a whole number")
_NAMES = Check(_names_or_none, "an image name such as localhost:5000/app:1, or several with commas")
_COMPRESSION = _word("uncompressed", "gzip", "estargz", "zstd")
_LAYERS: Attributes = MappingProxyType(
    {
        "compression": _COMPRESSION,
        "compression-level": _number,
        "force-compression": _bool,
        "oci-mediatypes": _bool,
    }
)
_EVERY: Attributes = MappingProxyType({"source-date-epoch": _number})
_IMAGE: Attributes = MappingProxyType(
    {
        **_LAYERS,
        **_EVERY,
        "name": _NAMES,
        "oci-artifact": _bool,
        "rewrite-timestamp": _bool,
        "prefer-nondist-layers": _bool,
        "attestation-inline": _bool,
        "buildinfo": _bool,
        "buildinfo-attrs": _bool,
    }
)
_PUSHED: Attributes = MappingProxyType(
    {
        **_IMAGE,
        "push": _bool,
        "push-by-digest": _bool,
        "registry.insecure": _bool,
        "unpack": _bool,
        "store": _bool,
        "name-canonical": _bool,
        "dangling-name-prefix": _any,
        "danging-name-empty-only": _bool,
    }
)
_FILES: Attributes = MappingProxyType(
    {**_EVERY, "dest": _any, "paths": _any, "platform-split": _bool, "attestation-prefix": _any}
)
_ARCHIVE: Attributes = MappingProxyType({**_IMAGE, "dest": _any, "tar": _bool})
_OUTPUTS: Mapping[str, Attributes] = MappingProxyType(
    {
        "image": _PUSHED,
        "registry": _PUSHED,
        "local": MappingProxyType({**_FILES, "mode": _word("copy", "delete")}),
        "tar": _FILES,
        "oci": _ARCHIVE,
        "docker": _ARCHIVE,
        "none": MappingProxyType({}),
    }
)
_ANNOTATION = re.compile(
    r"annotation(?:-(?:manifest|index|manifest-descriptor|index-descriptor))?(?:\[[^\]]+\])?\..+"
)
_REF: Attributes = MappingProxyType({"ref": _any, "registry.insecure": _bool})
_EXPORTS: Mapping[str, Attributes] = MappingProxyType(
    {
        "registry": MappingProxyType(
            {
                **_REF,
                **_LAYERS,
                "mode": _word("min", "max"),
                "image-manifest": _bool,
                "ignore-error": _bool,
            }
        ),
        "inline": MappingProxyType({}),
    }
)
_IMPORTS: Mapping[str, Attributes] = MappingProxyType({"registry": _REF})
_LATER = ("local", "gha", "s3", "azblob")
_ANNOTATED = frozenset(("image", "registry", "oci", "docker"))
_STREAMED = frozenset(("tar", "oci", "docker"))


# --- reading an entry's attributes -------------------------------------------------------------


def _entries(node: Node, reading: Reading, bare: Callable[[str], dict[str, str]]) -> Entries | None:
    """The attributes of ``node``; ``bare`` makes them of a CSV string's first field without =."""
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


def _checked(
    entries: Entries, known: Attributes, noun: str, reading: Reading, annotated: bool = False
) -> dict[str, str] | None:
    """The attributes but ``type``, all of them known and fit."""
    given: dict[str, str] = {}
    for key, (value, node) in entries.values.items():
        if key == "type":
            continue
        check = _any if annotated and _ANNOTATION.fullmatch(key) else known.get(key)
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


def _type(
    entries: Entries, known: Iterable[str], default: str, noun: str, reading: Reading
) -> str | None:
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


# --- outputs -----------------------------------------------------------------------------------


def _bare_output(value: str) -> dict[str, str]:
    """``-`` and a path alone mean what they mean to bake and ``docker build``."""
    return {"type": "tar" if value == "-" else "local", "dest": value}


def output(node: Node, reading: Reading) -> Output | None:
    """One output of a target. ``registry`` is ``image`` with ``push``, as in buildx."""
    entries = _entries(node, reading, _bare_output)
    kind = _type(entries, _OUTPUTS, "", "output", reading) if entries else None
    if entries is None or kind is None:
        return None
    noun = f"outputs of type {kind}"
    attrs = _checked(entries, _OUTPUTS[kind], noun, reading, annotated=kind in _ANNOTATED)
    if attrs is None:
        return None
    dest = _dest(kind, attrs.pop("dest", ""), attrs, entries, reading)
    if dest is None:
        return None
    attrs.pop("paths", None)
    if kind == "registry":
        kind, attrs = "image", {"push": "true", **attrs}
    return Output(type=kind, dest=dest, paths=_paths(entries), attrs=attrs, span=node.span)


def _paths(entries: Entries) -> tuple[str, ...]:
    """A list, or several with ``;`` between in a CSV string."""
    value, node = entries.values.get("paths", ("", entries.node))
    if isinstance(node, Items):
        return tuple(item.text for item in node.items if isinstance(item, Scalar))
    return tuple(path for path in value.split(";") if path)


def _dest(
    kind: str, dest: str, attrs: Mapping[str, str], entries: Entries, reading: Reading
) -> str | None:
    """Where to write: an absolute path, ``-``, or '' where nothing is said."""
    if kind not in _STREAMED and kind != "local":
        return ""
    node = entries.values["dest"][1] if "dest" in entries.values else entries.node
    is_folder = kind == "local" or attrs.get("tar") == "false"
    if is_folder and dest in ("", "-"):
        reading.found.at(node, faults.no_folder(kind, node.span))
        return None
    if dest in ("", "-"):
        return dest
    return resolve(dest, node.span.file.folder, reading.home)


# --- caches ------------------------------------------------------------------------------------


def _bare_cache(value: str) -> dict[str, str]:
    """A registry reference alone, as buildctl took it before v0.4."""
    return {"type": "registry", "ref": value}


def cache_import(node: Node, reading: Reading) -> CacheEntry | None:
    """One cache to import from."""
    return _cache(node, reading, _IMPORTS, "cache import")


def cache_export(node: Node, reading: Reading) -> CacheEntry | None:
    """One cache to export to."""
    return _cache(node, reading, _EXPORTS, "cache export")


def _cache(
    node: Node, reading: Reading, known: Mapping[str, Attributes], noun: str
) -> CacheEntry | None:
    entries = _entries(node, reading, _bare_cache)
    if entries is None:
        return None
    if entries.get("type").startswith("x-"):
        kind = entries.get("type").removeprefix("x-")
        return CacheEntry(type=kind, attrs=entries.without("type"), span=node.span)
    kind_ = _known_cache(entries, known, noun, reading)
    attrs = _checked(entries, known[kind_], f"{noun}s of type {kind_}", reading) if kind_ else None
    if kind_ is None or attrs is None:
        return None
    if "ref" in known[kind_] and not attrs.get("ref"):
        reading.missing("ref", node)
        return None
    return CacheEntry(type=kind_, attrs=attrs, span=node.span)


def _known_cache(
    entries: Entries, known: Mapping[str, Attributes], noun: str, reading: Reading
) -> str | None:
    kind = entries.get("type")
    node = entries.values["type"][1] if kind else entries.node
    if kind in _LATER:
        reading.found.at(node, faults.cache_not_yet(kind, node.span))
        return None
    if kind == "inline" and kind not in known:
        reading.found.at(node, faults.inline_import(node.span))
        return None
    return _type(entries, known, "registry" if "ref" in entries.values else "", noun, reading)
