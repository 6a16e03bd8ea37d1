"""What merges and diffs are made of: layers, each of which is what one tree changes over another.

For daemons that know neither (``translator.llb.lower``). A tree's layers are those that BuildKit
counts: one for each file operation and each process above the source that it all began with, those
of all inputs for a merge, and for a diff those that ``upper`` has above ``lower``, or where it does
not stand on that, a single one (cache/manager.go, cache/refs.go and docs/dev/merge-diff.md, v0.10).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from translator.llb.graph import (
    NONE,
    CopyFiles,
    DiffOp,
    Edge,
    ExecOp,
    FileOp,
    ForeignOp,
    Graph,
    MergeOp,
    RemovePath,
    SourceOp,
    Tree,
    TreeMount,
    Vertex,
)

_IMAGES = ("docker-image://", "oci-layout://")


@dataclass(frozen=True, slots=True)
class Layer:
    """What ``upper`` changes over ``lower``: what it has and what it lacks."""

    lower: Tree
    upper: Tree


@dataclass(frozen=True, slots=True)
class Stack:
    """A tree and the layers that are laid over it. Without layers the tree is the result."""

    tree: Tree
    layers: tuple[Layer, ...] = ()


class Layers:
    """The layers of a graph's trees. Edges are those of the graph, equal vertices taken as one."""

    def __init__(self, graph: Graph) -> None:
        self._vertices = graph.vertices
        self._same = _first_of_equals(graph.vertices)
        self._known: dict[int, tuple[Layer, ...]] = {}
        # The vertices are in order, so the inputs of each are known before it.
        for position, vertex in enumerate(graph.vertices):
            if isinstance(vertex.payload, MergeOp):
                inputs = map(self.of, vertex.inputs)
                self._known[position] = tuple(layer for layers in inputs for layer in layers)
            elif isinstance(vertex.payload, DiffOp):
                self._known[position] = self._between(*_ends(vertex, vertex.payload))

    def of(self, tree: Tree) -> tuple[Layer, ...]:
        """All layers of a tree, the lowest first."""
        above: list[Layer] = []
        while tree is not None:
            tree = self._one(tree)
            if tree.vertex in self._known:
                return self._known[tree.vertex] + tuple(reversed(above))
            base = base_of(self._vertices[tree.vertex], tree.output)
            above.append(Layer(base and self._one(base), tree))
            tree = base
        return tuple(reversed(above))

    def stack(self, position: int) -> Stack | None:
        """What the merge or diff at a position of the graph comes to.

        None where it cannot be told: only the daemon sees what an image removes in its layers.
        """
        vertex = self._vertices[position]
        if isinstance(vertex.payload, MergeOp):
            return self._merged(vertex.inputs)
        assert isinstance(vertex.payload, DiffOp)  # noqa: S101 -- for the type checker
        lower, upper = _ends(vertex, vertex.payload)
        return self._diffed(lower, upper)

    def removes(self, stack: Stack) -> bool:
        """Whether any of the layers may remove something."""
        return not all(self._adds(layer.upper) for layer in stack.layers)

    def _merged(self, inputs: Sequence[Edge]) -> Stack | None:
        tree: Tree = None
        done: tuple[Layer, ...] = ()
        waiting: tuple[Layer, ...] = ()
        for each in map(self._one, inputs):
            layers = self.of(each)
            if layers[: len(done)] == done:
                # All that was laid before comes once more, and then what it is not the end of.
                tree, done, waiting = each, layers, ()
                continue
            goes_on = not waiting and _follow(tree, layers)
            if not goes_on and any(map(self._is_image, layers)):
                return None
            if goes_on:
                tree = layers[-1].upper
            else:
                waiting += layers
            done += layers
        return Stack(tree, self._joined(waiting))

    def _diffed(self, lower: Tree, upper: Tree) -> Stack | None:
        layers = self._between(lower, upper)
        if len(layers) == 1 and self._may_share_layers(lower, upper):
            return None
        return Stack(None, self._joined(layers))

    def _between(self, lower: Tree, upper: Tree) -> tuple[Layer, ...]:
        below, above = self.of(lower), self.of(upper)
        # One layer alone is compared as any two trees are.
        if len(above) > len(below) + 1 and above[: len(below)] == below:
            return above[len(below) :]
        return (Layer(lower and self._one(lower), upper and self._one(upper)),)

    def _may_share_layers(self, lower: Tree, upper: Tree) -> bool:
        """Whether an image may have been made from another: then its layers are compared."""
        below, above = self.of(lower), self.of(upper)
        images = len(below) == 1 and bool(above) and all(map(self._is_image, (below[0], above[0])))
        return images and below[0] != above[0]

    def _joined(self, layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
        """Layers from the empty tree on that only add to it are as good as the last of them."""
        joined: list[Layer] = []
        for layer in layers:
            before = joined[-1] if joined else None
            grows = before and before.lower is None and before.upper == layer.lower
            if before and grows and self._adds(before.upper) and self._adds(layer.upper):
                joined[-1] = Layer(None, layer.upper)
            else:
                joined.append(layer)
        return tuple(joined)

    def _adds(self, tree: Tree) -> bool:
        """Whether nothing of what it stands on can be missing in a tree."""
        payload = tree and self._vertices[tree.vertex].payload
        if isinstance(payload, FileOp):
            return not any(map(_may_remove, payload.changes))
        if isinstance(payload, ForeignOp):
            return payload.adds
        return isinstance(payload, SourceOp)

    def _is_image(self, layer: Layer) -> bool:
        payload = layer.upper and self._vertices[layer.upper.vertex].payload
        if isinstance(payload, ForeignOp):
            return payload.sealed
        return isinstance(payload, SourceOp) and payload.identifier.startswith(_IMAGES)

    def _one(self, edge: Edge) -> Edge:
        return Edge(self._same[edge.vertex], edge.output)


def _first_of_equals(vertices: Sequence[Vertex]) -> list[int]:
    """For each vertex, the first one that does the same: daemons take them as one."""
    first: dict[object, int] = {}
    same: list[int] = []
    for position, vertex in enumerate(vertices):
        inputs = tuple((same[edge.vertex], edge.output) for edge in vertex.inputs)
        key = (vertex.payload, inputs, vertex.platform, vertex.constraints)
        same.append(first.setdefault(key, position))
    return same


def _ends(vertex: Vertex, op: DiffOp) -> tuple[Tree, Tree]:
    lower, upper = (vertex.inputs[each] if each != NONE else None for each in (op.lower, op.upper))
    return lower, upper


def base_of(vertex: Vertex, output: int) -> Tree:
    """The tree that an output was, before the vertex changed it."""
    op, position = vertex.payload, NONE
    if isinstance(op, FileOp):
        position = op.base
    elif isinstance(op, ExecOp):
        mounts = (each for each in op.mounts if isinstance(each, TreeMount))
        position = next(each.input for each in mounts if each.output == output)
    elif isinstance(op, ForeignOp):
        position = dict(op.grown).get(output, NONE)
    return vertex.inputs[position] if position != NONE else None


def _follow(tree: Tree, layers: Sequence[Layer]) -> bool:
    """Whether layers lead from ``tree`` on to another tree, without a gap."""
    for layer in layers:
        if tree is None or layer.lower != tree:
            return False
        tree = layer.upper
    return tree is not None


def _may_remove(change: object) -> bool:
    # An archive may hold a file in the place of a folder, and the other way round.
    return isinstance(change, RemovePath) or (isinstance(change, CopyFiles) and change.unpack)
