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

from translator.llb.graph import NONE, ExecMount, ExecOp, Graph, SourceOp, TreeMount, Vertex
from translator.llb.imageconfig import DEFAULT_PATH

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


RULES: Mapping[str, Rule] = {
    "exec.meta.setsdefaultpath": set_default_path,
    "exec.mount.bind.readwrite-nooutput": give_writable_mounts_an_output,
    "source.git.subdir": name_the_default_branch,
}
"""The rules in their order, by the capability whose want calls for each."""


def _each_using(graph: Graph, feature: str, change: Callable[[ExecOp], ExecOp]) -> Graph:
    def lowered(vertex: Vertex) -> Vertex:
        uses = tuple(use for use in vertex.uses if use.feature != feature)
        if len(uses) == len(vertex.uses) or not isinstance(vertex.payload, ExecOp):
            return vertex
        return replace(vertex, payload=change(vertex.payload), uses=uses)

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


def _with_outputs(op: ExecOp) -> ExecOp:
    outputs = count(1)  # the root is the first
    return replace(op, mounts=tuple(_with_output(mount, outputs) for mount in op.mounts))


def _with_output(mount: ExecMount, outputs: Iterator[int]) -> ExecMount:
    if isinstance(mount, TreeMount) and not mount.readonly and mount.output == NONE:
        return replace(mount, output=next(outputs))
    return mount
