"""Outputs: maps, or CSV strings as buildctl and bake take them.

The attributes are those that buildctl's documentation lists (README.md, v0.32) and the exporters'
own keys (exporter/containerimage/exptypes/keys.go and exporter/local/fs.go, v0.32); whether a
daemon knows one is for the daemon's side to say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from translator.reading import value_faults as faults
from translator.reading.entries import (
    ANY,
    BOOL,
    LAYERS,
    NAMES,
    NUMBER,
    Attributes,
    Entries,
    checked,
    kind_of,
    read_entries,
    word,
)
from translator.reading.files import resolve
from translator.reading.reader import Reading
from translator.target import Output
from translator.text.document import Items, Node, Scalar

_EVERY: Attributes = MappingProxyType({"source-date-epoch": NUMBER})
_IMAGE: Attributes = MappingProxyType(
    {
        **LAYERS,
        **_EVERY,
        "name": NAMES,
        "oci-artifact": BOOL,
        "rewrite-timestamp": BOOL,
        "prefer-nondist-layers": BOOL,
        "attestation-inline": BOOL,
        "buildinfo": BOOL,
        "buildinfo-attrs": BOOL,
    }
)
_PUSHED: Attributes = MappingProxyType(
    {
        **_IMAGE,
        "push": BOOL,
        "push-by-digest": BOOL,
        "registry.insecure": BOOL,
        "unpack": BOOL,
        "store": BOOL,
        "name-canonical": BOOL,
        "dangling-name-prefix": ANY,
        "danging-name-empty-only": BOOL,
    }
)
_FILES: Attributes = MappingProxyType(
    {**_EVERY, "dest": ANY, "paths": ANY, "platform-split": BOOL, "attestation-prefix": ANY}
)
_ARCHIVE: Attributes = MappingProxyType({**_IMAGE, "dest": ANY, "tar": BOOL})
_OUTPUTS: Mapping[str, Attributes] = MappingProxyType(
    {
        "image": _PUSHED,
        "registry": _PUSHED,
        "local": MappingProxyType({**_FILES, "mode": word("copy", "delete")}),
        "tar": _FILES,
        "oci": _ARCHIVE,
        "docker": _ARCHIVE,
        "none": MappingProxyType({}),
    }
)
_ANNOTATION = re.compile(
    r"annotation(?:-(?:manifest|index|manifest-descriptor|index-descriptor))?(?:\[[^\]]+\])?\..+"
)
_ANNOTATED = frozenset(("image", "registry", "oci", "docker"))
_STREAMED = frozenset(("tar", "oci", "docker"))


def _bare_output(value: str) -> dict[str, str]:
    """``-`` and a path alone mean what they mean to bake and ``docker build``."""
    return {"type": "tar" if value == "-" else "local", "dest": value}


def output(node: Node, reading: Reading) -> Output | None:
    """One output of a target. ``registry`` is ``image`` with ``push``, as in buildx."""
    entries = read_entries(node, reading, _bare_output)
    kind = kind_of(entries, _OUTPUTS, "", "output", reading) if entries else None
    if entries is None or kind is None:
        return None
    noun = f"outputs of type {kind}"
    free = _ANNOTATION if kind in _ANNOTATED else None
    attrs = checked(entries, _OUTPUTS[kind], noun, reading, free)
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
