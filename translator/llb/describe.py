"""Definitions for people: JSON for goldens and ``buildfile llb``, graphs for drawing.

Reads the bytes that a daemon gets, so what is shown is what is sent.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from google.protobuf.message import Message

from schemas.pb import ops_pb2 as pb
from translator.llb.marshal import NAME_KEY

# In these, 0 says something: the first input, the first output.
_INDEXES = frozenset(("input", "output", "secondaryInput", "index"))
_SHAPES = {
    "source": "ellipse",
    "exec": "box",
    "file": "note",
    "merge": "invtrapezium",
    "diff": "trapezium",
}
_SAFE = frozenset(" /.,-_:[]")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Line:
    """One operation with what the definition says about it."""

    digest: str
    op: pb.Op
    metadata: pb.OpMetadata
    places: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.metadata.description.get(NAME_KEY, "result")


def as_json(definition: bytes) -> str:
    """The operations in order as a JSON list, one object each; the last one is the result.

    Text that is no UTF-8 stands as ``{"base64": ...}``. Raises
    google.protobuf.message.DecodeError when the bytes are no definition.
    """
    objects = [_object(line) for line in _lines(definition)]
    return json.dumps(objects, indent=2, ensure_ascii=False) + "\n"


def as_dot(definition: bytes) -> str:
    """The operations as a graph in the language of Graphviz."""
    lines = tuple(_lines(definition))
    names = _ids(lines)
    boxes = (
        f"  {names[line.digest]} [label={_quoted(line.name)} shape={_shape(line.op)}];"
        for line in lines
    )
    arrows = (f"  {source} -> {target};" for source, target in _edges(lines, names))
    return "\n".join(("digraph llb {", "  rankdir=LR;", *boxes, *arrows, "}")) + "\n"


def as_mermaid(definition: bytes) -> str:
    """The operations as a Mermaid flow chart."""
    lines = tuple(_lines(definition))
    names = _ids(lines)
    boxes = (f'  {names[line.digest]}["{_entities(line.name)}"]' for line in lines)
    arrows = (f"  {source} --> {target}" for source, target in _edges(lines, names))
    return "\n".join(("flowchart LR", *boxes, *arrows)) + "\n"


# --- reading ---------------------------------------------------------------------------------


def _lines(definition: bytes) -> Iterable[_Line]:
    message = pb.Definition.FromString(definition)
    for data in getattr(message, "def"):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        yield _Line(
            digest=digest,
            op=pb.Op.FromString(data),
            metadata=message.metadata[digest],
            places=_places(message.Source, digest),
        )


def _places(source: pb.Source, digest: str) -> tuple[str, ...]:
    if digest not in source.locations:
        return ()
    return tuple(
        f"{source.infos[location.sourceIndex].filename}:{each.start.line}"
        for location in source.locations[digest].locations
        for each in location.ranges
    )


# --- JSON ------------------------------------------------------------------------------------


def _object(line: _Line) -> dict[str, Any]:
    op = _plain(line.op)
    kind = line.op.WhichOneof("op") or "result"
    parts: dict[str, Any] = {
        "digest": line.digest,
        "name": line.metadata.description.get(NAME_KEY),
        "inputs": [_input(each) for each in line.op.inputs],
        "platform": op.get("platform"),
        "constraints": op.get("constraints"),
        kind: op.get(kind),
        "caps": sorted(line.metadata.caps),
        "ignore-cache": line.metadata.ignore_cache,
        "resources": _plain(line.metadata.linux_resources),
        "places": list(line.places),
    }
    return {key: value for key, value in parts.items() if value}


def _input(each: pb.Input) -> str:
    return f"{each.digest}/{each.index}" if each.index else each.digest


def _plain(message: Message) -> dict[str, Any]:
    pairs = [*message.ListFields(), *_zero_indexes(message)]
    pairs.sort(key=lambda pair: pair[0].number)
    return {descriptor.name: _field(descriptor, value) for descriptor, value in pairs}


def _zero_indexes(message: Message) -> Iterable[tuple[Any, int]]:
    for descriptor in _indexes(message.DESCRIPTOR):
        if not getattr(message, descriptor.name):
            yield descriptor, 0


@cache
def _indexes(kind: Any) -> tuple[Any, ...]:
    return tuple(each for each in kind.fields if each.name in _INDEXES)


def _field(descriptor: Any, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: value[key] for key in sorted(value)}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_value(descriptor, each) for each in value]
    return _value(descriptor, value)


def _value(descriptor: Any, value: Any) -> Any:
    if isinstance(value, Message):
        return _plain(value)
    if descriptor.enum_type:
        return descriptor.enum_type.values_by_number[value].name
    if descriptor.name == "mode" and value >= 0:
        return f"0{value:o}"
    return _text(value) if isinstance(value, bytes) else value


def _text(value: bytes) -> str | dict[str, str]:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


# --- graphs ----------------------------------------------------------------------------------


def _ids(lines: Iterable[_Line]) -> Mapping[str, str]:
    return {line.digest: f"v{number}" for number, line in enumerate(lines)}


def _edges(lines: Iterable[_Line], names: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    for line in lines:
        for each in line.op.inputs:
            yield names[each.digest], names[line.digest]


def _shape(op: pb.Op) -> str:
    return _SHAPES.get(op.WhichOneof("op") or "", "doublecircle")


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _entities(text: str) -> str:
    # Mermaid reads quotes and marks in labels unless they are written by number.
    return "".join(each if each.isalnum() or each in _SAFE else f"#{ord(each)};" for each in text)
