"""Graphs made of other graphs, vertex by vertex: what rules (``translator.llb.lower``) share."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from translator.llb.graph import Edge, ExecOp, Graph, GraphBuilder, Vertex


class Rebuilding(GraphBuilder):
    """A graph in the making out of the vertices of another one."""

    def __init__(self) -> None:
        super().__init__()
        self._places: list[Edge] = []

    @property
    def position(self) -> int:
        """Which vertex of the old graph comes next."""
        return len(self._places)

    def place(self, edge: Edge) -> Edge:
        """Where an edge of the old graph is in the new one."""
        place = self._places[edge.vertex]
        return replace(place, output=edge.output) if edge.output else place

    def put(self, edge: Edge) -> None:
        """Have ``edge`` be the vertex that came next."""
        self._places.append(edge)


def rebuilt(graph: Graph, change: Callable[[Vertex, Rebuilding], Edge]) -> Graph:
    """The graph with each vertex put into a new one by ``change``, which gives its first output.

    The vertex that ``change`` gets has the edges of the new graph.
    """
    work = Rebuilding()
    for vertex in graph.vertices:
        inputs = tuple(map(work.place, vertex.inputs))
        work.put(change(replace(vertex, inputs=inputs), work))
    return work.build(tuple(root and work.place(root) for root in graph.roots))


def uses(vertex: Vertex, feature: str) -> bool:
    """Whether a vertex uses a feature."""
    return any(use.feature == feature for use in vertex.uses)


def without(vertex: Vertex, *features: str) -> Vertex:
    """The vertex as one that does not use ``features``."""
    return replace(vertex, uses=tuple(use for use in vertex.uses if use.feature not in features))


def noted(vertex: Vertex, features: Collection[str], note: str) -> Vertex:
    """Say with what is lacking why there is no other way."""
    told = (replace(use, note=note) if use.feature in features else use for use in vertex.uses)
    return replace(vertex, uses=tuple(told))


def each_using(graph: Graph, feature: str, change: Callable[[ExecOp], ExecOp]) -> Graph:
    """The graph with the processes that use a feature changed so that they do not."""

    def lowered(vertex: Vertex) -> Vertex:
        if not uses(vertex, feature) or not isinstance(vertex.payload, ExecOp):
            return vertex
        return replace(without(vertex, feature), payload=change(vertex.payload))

    return replace(graph, vertices=tuple(map(lowered, graph.vertices)))


def each_exec(graph: Graph, change: Callable[[ExecOp], ExecOp]) -> Graph:
    """The graph with all processes changed."""

    def lowered(vertex: Vertex) -> Vertex:
        op = vertex.payload
        return replace(vertex, payload=change(op)) if isinstance(op, ExecOp) else vertex

    return replace(graph, vertices=tuple(map(lowered, graph.vertices)))
