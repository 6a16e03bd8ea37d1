"""Stages that frontends make: Dockerfiles, and frontends in images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from translator.reading import value_faults as faults
from translator.reading.read_source import origin, secret_id, source, ssh_id
from translator.reading.read_step import network
from translator.reading.reader import (
    Field,
    Reading,
    attributes,
    choice,
    environment,
    fields,
    filled,
    flag,
    form,
    pairs,
    record,
    several,
    text,
)
from translator.reference import Reference
from translator.stage import Dockerfile, Frontend, Origin
from translator.text.document import Entry, Node, Scalar, Table

_HERE = "."


def _origins(node: Node, reading: Reading) -> tuple[tuple[str, Origin], ...] | None:
    """Stages and sources by name, in the order of the file."""
    if not isinstance(node, Table):
        reading.wrong("a map", node)
        return None
    read = ((name, origin(entry.value, reading)) for name, entry in node.entries.items())
    found = [(name, each) for name, each in read if each is not None]
    return tuple(found) if len(found) == len(node.entries) else None


def _reference(value: str) -> str | None:
    try:
        return str(Reference.parse(value))
    except ValueError:
        return None


_PLACE = fields(from_=Field(origin, to="place", required=True), path=Field(filled, to="file"))


def _file(node: Node, reading: Reading) -> dict[str, Any] | None:
    """A path in the context, or one in another stage or source."""
    if isinstance(node, Table):
        return attributes(node.entries, _PLACE, node, reading)
    path = filled(node, reading)
    return None if path is None else {"file": path}


_SHARED: Mapping[str, Any] = {
    "secrets": several(secret_id),
    "ssh": several(ssh_id),
    "entitlements": several(choice("network.host", "security.insecure")),
}
_DOCKERFILE = fields(
    context=origin,
    file=_file,
    inline=text,
    target=text,
    args=environment,
    contexts=_origins,
    labels=pairs,
    network=network,
    no_cache=flag,
    **_SHARED,
)


def dockerfile(node: Node, reading: Reading) -> Dockerfile | None:
    """A Dockerfile; its context is the folder of the build file unless it says another."""
    if not isinstance(node, Table):
        reading.wrong("a map", node)
        return None
    if "file" in node.entries and "inline" in node.entries:
        span = node.entries["inline"].key.span
        reading.found.at(node, faults.not_together("file", "inline", span))
        return None
    given = attributes(node.entries, _DOCKERFILE, node, reading)
    if given is None:
        return None
    context = given.pop("context", None) or _folder_of_the_file(node, reading)
    if context is None:
        return None
    place = given.pop("file", None) or {}
    return Dockerfile(context=context, **place, **given, resolve=reading.resolve, span=node.span)


def _folder_of_the_file(node: Table, reading: Reading) -> Origin | None:
    key, value = (Scalar(text, True, node.span) for text in ("local", _HERE))
    return source(Table({"local": Entry(key, value)}, node.span), reading.in_place())


_FRONTEND = record(
    Frontend,
    fields(
        image=Field(form("an image name", _reference), required=True),
        opts=pairs,
        inputs=_origins,
        **_SHARED,
    ),
)


def frontend(node: Node, reading: Reading) -> Frontend | None:
    """A frontend in an image."""
    made = _FRONTEND(node, reading)
    return made and replace(made, resolve=reading.resolve)
