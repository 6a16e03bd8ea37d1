"""Other ways to the same end, for daemons that lack a capability.

A rule takes a graph and gives a graph with the same meaning that asks less of the daemon. Rules
run in the order of ``RULES``; each looks only at what it is about. What no rule can replace stays
as it is and is refused by ``Compiled.needs``.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import replace
from itertools import count
from typing import TypeAlias

from translator.llb.graph import (
    NONE,
    CacheDir,
    CopyFiles,
    Edge,
    ExecMount,
    ExecOp,
    FileOp,
    Graph,
    GraphBuilder,
    SourceOp,
    Tree,
    TreeMount,
    Use,
    Vertex,
)
from translator.llb.imageconfig import DEFAULT_PATH
from translator.llb.paths import WILDCARD

Rule: TypeAlias = Callable[[Graph], Graph]


def lower(graph: Graph, caps: Container[str] | None) -> Graph:
    """Apply the rules for every capability that is not among ``caps`` (None: all are)."""
    if caps is None:
        return graph
    for capability, rule in RULES.items():
        if capability not in caps:
            graph = rule(graph)
    return graph


def set_default_path(graph: Graph) -> Graph:
    """Put PATH into the environment where the daemon would not."""
    return _each_using(graph, "exec.meta.setsdefaultpath", _with_path)


def give_writable_mounts_an_output(graph: Graph) -> Graph:
    """Make writable bind mounts outputs of their own that nobody uses."""
    return _each_using(graph, "exec.mount.bind.readwrite-nooutput", _with_outputs)


def name_the_default_branch(graph: Graph) -> Graph:
    """Ask for HEAD of git repositories where the daemon would take ``master`` unasked.

    BuildKit looks for the default branch since v0.9 (source/git/gitsource.go), the release of
    ``source.git.subdir``; later ones in turn do not all find a ref of the name HEAD.
    """
    return replace(graph, vertices=tuple(map(_with_ref, graph.vertices)))


def copy_a_folder_of_a_repository(graph: Graph) -> Graph:
    """Check out whole repositories, and copy the folder that is wanted out of them.

    With a folder, no release keeps ``.git``, whatever ``keep-git-dir`` says (source/git/source.go).
    A folder whose name would be taken for a pattern stays as it is.
    """

    def lowered(vertex: Vertex, builder: GraphBuilder) -> Edge:
        source = vertex.payload
        if not isinstance(source, SourceOp) or not _uses(vertex, "source.git.subdir"):
            return builder.add(vertex)
        repository, _, fragment = source.identifier.partition("#")
        ref, _, folder = fragment.partition(":")
        if WILDCARD.search(folder):
            return builder.add(vertex)
        whole = SourceOp(
            identifier=f"{repository}#{ref}" if ref else repository,
            attrs=tuple(pair for pair in source.attrs if pair[0] != "git.keepgitdir"),
        )
        checkout = builder.add(
            replace(
                _without(vertex, "source.git.subdir", "source.git.keepgitdir", "git.history"),
                payload=whole,
                name=vertex.name.removesuffix(f":{folder}"),
            )
        )
        return builder.add(
            replace(
                vertex,
                payload=FileOp(changes=(CopyFiles(source=f"/{folder}", target="/"),), origin=0),
                inputs=(checkout,),
                uses=(Use("file.base", vertex.span),),
            )
        )

    return rebuilt(graph, lowered)


def select_whole_trees(graph: Graph) -> Graph:
    """Select the whole of each tree that is mounted, by name.

    It is what no selection means, but in the keys of caches: since v0.13, the release of
    ``exec.mount.cache.content``, daemons take both for the same, and before they did not
    (solver/llbsolver/ops/exec.go). So caches can be read by daemons of the other age.
    """
    return _each_exec(graph, _with_selectors)


RULES: Mapping[str, Rule] = {
    "exec.meta.setsdefaultpath": set_default_path,
    "exec.mount.bind.readwrite-nooutput": give_writable_mounts_an_output,
    "source.git.subdir": lambda graph: name_the_default_branch(
        copy_a_folder_of_a_repository(graph)
    ),
    "exec.mount.cache.content": select_whole_trees,
}
"""The rules in their order, by the capability whose want calls for each."""


def rebuilt(graph: Graph, change: Callable[[Vertex, GraphBuilder], Edge]) -> Graph:
    """The graph with each vertex put into a new one by ``change``, which gives its first output.

    The vertex that ``change`` gets has the edges of the new graph.
    """
    builder = GraphBuilder()
    places: list[Edge] = []

    def moved(edge: Edge) -> Edge:
        place = places[edge.vertex]
        return replace(place, output=edge.output) if edge.output else place

    for vertex in graph.vertices:
        inputs = tuple(map(moved, vertex.inputs))
        places.append(change(replace(vertex, inputs=inputs), builder))
    roots: tuple[Tree, ...] = tuple(root and moved(root) for root in graph.roots)
    return builder.build(roots)


def _uses(vertex: Vertex, feature: str) -> bool:
    return any(use.feature == feature for use in vertex.uses)


def _without(vertex: Vertex, *features: str) -> Vertex:
    return replace(vertex, uses=tuple(use for use in vertex.uses if use.feature not in features))


def _each_using(graph: Graph, feature: str, change: Callable[[ExecOp], ExecOp]) -> Graph:
    def lowered(vertex: Vertex) -> Vertex:
        uses = tuple(use for use in vertex.uses if use.feature != feature)
        if len(uses) == len(vertex.uses) or not isinstance(vertex.payload, ExecOp):
            return vertex
        return replace(vertex, payload=change(vertex.payload), uses=uses)

    return replace(graph, vertices=tuple(map(lowered, graph.vertices)))


def _each_exec(graph: Graph, change: Callable[[ExecOp], ExecOp]) -> Graph:
    def lowered(vertex: Vertex) -> Vertex:
        op = vertex.payload
        return replace(vertex, payload=change(op)) if isinstance(op, ExecOp) else vertex

    return replace(graph, vertices=tuple(map(lowered, graph.vertices)))


def _with_ref(vertex: Vertex) -> Vertex:
    source = vertex.payload
    if not isinstance(source, SourceOp) or not source.identifier.startswith("git://"):
        return vertex
    if "#" in source.identifier:
        return vertex
    return replace(vertex, payload=replace(source, identifier=f"{source.identifier}#HEAD"))


def _with_path(op: ExecOp) -> ExecOp:
    if any(variable.startswith("PATH=") for variable in op.env):
        return op
    return replace(op, env=(f"PATH={DEFAULT_PATH}", *op.env))


def _with_selectors(op: ExecOp) -> ExecOp:
    return replace(op, mounts=tuple(map(_with_selector, op.mounts)))


def _with_selector(mount: ExecMount) -> ExecMount:
    if isinstance(mount, TreeMount | CacheDir) and mount.input != NONE and not mount.selector:
        return replace(mount, selector="/")
    return mount


def _with_outputs(op: ExecOp) -> ExecOp:
    outputs = count(1)  # the root is the first
    return replace(op, mounts=tuple(_with_output(mount, outputs) for mount in op.mounts))


def _with_output(mount: ExecMount, outputs: Iterator[int]) -> ExecMount:
    if isinstance(mount, TreeMount) and not mount.readonly and mount.output == NONE:
        return replace(mount, output=next(outputs))
    return mount
