"""A graph to definitions: bytes, digests, metadata, and the way back to the user's file.

An operation is known by the sha256 of its bytes. Daemons from v0.17 on write each operation
again and use the digests of that, with the body behind all other fields (their Go code writes a
oneof last). It is written in that order here, so the digests agree with every release.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from schemas.pb import ops_pb2 as pb
from translator.compiled import JoinedStep
from translator.llb.capabilities import FEATURES
from translator.llb.graph import Detour, Edge, ForeignOp, Graph, Payload, Tree, Use, Vertex
from translator.llb.ops import body
from translator.span import SourceFile, Span

NAME_KEY = "llb.customname"
# Each definition carries the files it comes from; of large ones, only the names and places.
LARGEST_SOURCE = 64 * 1024
_HEAD_CAPS = ("constraints", "platform")


@dataclass(frozen=True, kw_only=True, slots=True)
class Definition:
    """A definition and what is known of it.

    ``data`` is a serialised ``pb.Definition``, empty for the empty tree. ``names`` and ``spans``
    go by digest, as does ``joined``: the steps of vertices that do several. ``payloads``, ``uses``
    and ``detours`` are those of all its vertices.
    """

    data: bytes = b""
    names: Mapping[str, str]
    spans: Mapping[str, tuple[Span, ...]]
    joined: Mapping[str, tuple[JoinedStep, ...]] = field(default_factory=dict)
    payloads: tuple[Payload, ...] = ()
    uses: tuple[Use, ...] = ()
    detours: tuple[Detour, ...] = ()


@dataclass(frozen=True, slots=True)
class _Operation:
    """A vertex as bytes. Equal vertices have equal digests, and so become one."""

    digest: str
    data: bytes


def marshal(graph: Graph) -> tuple[Definition, ...]:
    """The definition of each of the graph's roots."""
    operations = _operations(graph)
    return tuple(_definition(graph, operations, root) for root in graph.roots)


# --- operations ------------------------------------------------------------------------------


def _operations(graph: Graph) -> Sequence[_Operation]:
    operations: list[_Operation] = []
    for vertex in graph.vertices:
        inputs = [_input(operations, edge) for edge in vertex.inputs]
        operations.append(_operation(_head(vertex, inputs) + _body(vertex.payload)))
    return operations


def _body(payload: Payload) -> bytes:
    return payload.body if isinstance(payload, ForeignOp) else _bytes(body(payload))


def _input(operations: Sequence[_Operation], edge: Edge) -> pb.Input:
    return pb.Input(digest=operations[edge.vertex].digest, index=edge.output)


def _head(vertex: Vertex, inputs: Iterable[pb.Input]) -> bytes:
    op = pb.Op(inputs=inputs)
    if isinstance(vertex.payload, ForeignOp):
        op.MergeFromString(vertex.payload.head)
    platform = vertex.platform
    if platform:
        op.platform.OS = platform.os
        op.platform.Architecture = platform.architecture
        op.platform.Variant = platform.variant
    if vertex.constraints:
        op.constraints.filter.extend(vertex.constraints)
    return _bytes(op)


def _operation(data: bytes) -> _Operation:
    return _Operation("sha256:" + hashlib.sha256(data).hexdigest(), data)


def _bytes(message: pb.Op | pb.Definition) -> bytes:
    return message.SerializeToString(deterministic=True)


# --- definitions -----------------------------------------------------------------------------


def _definition(graph: Graph, operations: Sequence[_Operation], root: Tree) -> Definition:
    if root is None:
        return Definition(names={}, spans={})
    shared: dict[_Operation, list[Vertex]] = {}
    for position in _closure(graph, root):
        shared.setdefault(operations[position], []).append(graph.vertices[position])
    head = _operation(_bytes(pb.Op(inputs=[_input(operations, root)])))
    spans = {operation.digest: _spans(vertices) for operation, vertices in shared.items()}
    message = pb.Definition(Source=_source_map(spans))
    getattr(message, "def").extend(operation.data for operation in (*shared, head))
    for operation, vertices in shared.items():
        _describe(message.metadata[operation.digest], vertices)
    message.metadata[head.digest].caps.update(dict.fromkeys(_HEAD_CAPS, True))
    return Definition(
        data=_bytes(message),
        names={operation.digest: vertices[0].name for operation, vertices in shared.items()},
        spans=spans,
        joined={each.digest: steps for each, same in shared.items() if (steps := _joined(same))},
        payloads=tuple(vertices[0].payload for vertices in shared.values()),
        uses=tuple(use for vertices in shared.values() for v in vertices for use in v.uses),
        detours=tuple(each for vertices in shared.values() for v in vertices for each in v.detours),
    )


def _closure(graph: Graph, root: Edge) -> list[int]:
    found = {root.vertex}
    waiting = [root.vertex]
    while waiting:
        inputs = {edge.vertex for edge in graph.vertices[waiting.pop()].inputs} - found
        found |= inputs
        waiting += inputs
    return sorted(found)


def _spans(vertices: Sequence[Vertex]) -> tuple[Span, ...]:
    places = ((each.span, *(s for step in each.joined for s in step.spans)) for each in vertices)
    return tuple(dict.fromkeys(span for spans in places for span in spans))


def _joined(vertices: Sequence[Vertex]) -> tuple[JoinedStep, ...]:
    """The steps of equal vertices, each with its places in all of them."""
    return tuple(
        JoinedStep(
            name=same[0].name,
            spans=tuple(dict.fromkeys(span for step in same for span in step.spans)),
        )
        for same in zip(*(vertex.joined for vertex in vertices), strict=True)
    )


def _describe(metadata: pb.OpMetadata, vertices: Sequence[Vertex]) -> None:
    first = vertices[0]
    for vertex in vertices:
        if isinstance(vertex.payload, ForeignOp):
            metadata.MergeFromString(vertex.payload.metadata)
    metadata.description[NAME_KEY] = first.name
    metadata.ignore_cache |= any(vertex.ignore_cache for vertex in vertices)
    for vertex in vertices:
        for use in vertex.uses:
            feature = FEATURES[use.feature]
            if feature.sent:
                metadata.caps[feature.proof] = True
    if first.resources:
        _limit(metadata.linux_resources, first)


def _limit(limits: pb.LinuxResources, vertex: Vertex) -> None:
    resources = vertex.resources
    assert resources is not None  # noqa: S101 -- for the type checker: the caller looked
    limits.memory = resources.memory
    limits.memorySwap = resources.memory_swap
    limits.cpuShares = resources.cpu_shares
    limits.cpuPeriod = resources.cpu_period
    limits.cpuQuota = resources.cpu_quota
    limits.cpusetCpus = resources.cpuset_cpus
    limits.cpusetMems = resources.cpuset_mems


# --- source maps -----------------------------------------------------------------------------


def _source_map(spans: Mapping[str, tuple[Span, ...]]) -> pb.Source:
    files: dict[SourceFile, int] = {}
    message = pb.Source()
    for digest, places in spans.items():
        locations = message.locations[digest].locations
        for span in places:
            number = files.setdefault(span.file, len(files))
            locations.add(sourceIndex=number, ranges=[_range(span)])
    for file in files:
        data = file.text.encode() if len(file.text) <= LARGEST_SOURCE else b""
        message.infos.add(filename=file.name, data=data, language=file.language)
    return message


def _range(span: Span) -> pb.Range:
    start, end = span.start, span.end
    # An end before the first character of a line belongs to the line above.
    last = end.line - 1 if end.column == 1 and end.line > start.line else end.line
    return pb.Range(
        start=pb.Position(line=start.line, character=start.column - 1),
        end=pb.Position(line=last, character=end.column - 1 if last == end.line else 0),
    )
