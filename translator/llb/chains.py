"""Chains of file operations that become one process, where trees would have too many layers.

Every tree that a process gets beside its root is mounted with the paths of all its layers in one
text, of which Linux takes no more than a page, 4096 bytes. From v0.10 on daemons mount such trees
themselves, which has no such limit (cache/refs.go), as they have always done with roots. A layer
takes some 60 bytes of it, so that the end is near 60 layers, of which an image may have brought a
good part: nobody tells how many.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping

from translator.llb.graph import (
    NONE,
    CacheDir,
    Edge,
    ExecOp,
    FileOp,
    Graph,
    TreeMount,
    Vertex,
)
from translator.llb.layers import base_of

MANY = 32
"""Trees with more layers than this have as few as can be."""


def chains(graph: Graph, helped: Collection[int]) -> Mapping[int, tuple[int, ...]]:
    """The file operations that processes do, as positions in the graph: by the last of each chain.

    ``helped`` are those that processes do in any case. In what has many layers and is mounted,
    those that follow one another become one chain, if nothing else uses what is between them.
    """
    deep = _deep(graph, helped)
    joinable = {
        position
        for position, vertex in enumerate(graph.vertices)
        if position in deep and isinstance(vertex.payload, FileOp)
    }
    used = Counter(edge for vertex in graph.vertices for edge in vertex.inputs)
    used.update(root for root in graph.roots if root is not None)
    found: dict[int, tuple[int, ...]] = {position: (position,) for position in helped}
    ends: dict[int, tuple[int, ...]] = {}
    for position in sorted(joinable):
        vertex = graph.vertices[position]
        before = _only_before(vertex)
        chain: tuple[int, ...] = ()
        if before is not None and used[before] == 1 and _alike(graph, before, vertex):
            chain = ends.pop(before.vertex, ())
        ends[position] = (*chain, position)
    for chain in (each for each in ends.values() if len(each) > 1):
        for position in chain:
            found.pop(position, None)
        found[chain[-1]] = chain
    return found


def _only_before(vertex: Vertex) -> Edge | None:
    """What a file operation goes on from, unless it copies out of that as well."""
    op = vertex.payload
    assert isinstance(op, FileOp)  # noqa: S101 -- for the type checker
    return vertex.inputs[op.base] if op.base not in (NONE, op.origin) else None


def _alike(graph: Graph, before: Edge, vertex: Vertex) -> bool:
    return graph.vertices[before.vertex].constraints == vertex.constraints


def _deep(graph: Graph, helped: Collection[int]) -> set[int]:
    """The vertices in trees that have many layers and are mounted beside a root."""
    layers: dict[Edge, int] = {}
    deep: set[int] = set()
    for position, vertex in enumerate(graph.vertices):
        for tree in _mounted(position, vertex, position in helped):
            if _count(graph, tree, layers) <= MANY:
                continue
            below: Edge | None = tree
            while below is not None and below.vertex not in deep:
                deep.add(below.vertex)
                below = base_of(graph.vertices[below.vertex], below.output)
    return deep


def _mounted(position: int, vertex: Vertex, helped: bool) -> Iterator[Edge]:
    op = vertex.payload
    if helped and isinstance(op, FileOp):
        yield Edge(position)
        if op.origin != NONE:
            yield vertex.inputs[op.origin]
    elif isinstance(op, ExecOp):
        mounts = (each for each in op.mounts if isinstance(each, TreeMount | CacheDir))
        yield from (vertex.inputs[m.input] for m in mounts if m.target != "/" and m.input != NONE)


def _count(graph: Graph, tree: Edge, known: dict[Edge, int]) -> int:
    """How many layers a tree has, where what it began with has one."""
    above: list[Edge] = []
    below: Edge | None = tree
    while below is not None and below not in known:
        above.append(below)
        below = base_of(graph.vertices[below.vertex], below.output)
    beneath = known[below] if below is not None else 0
    known.update((edge, beneath + n) for n, edge in enumerate(reversed(above), 1))
    return known[tree]
