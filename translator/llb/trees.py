"""Stages made of whole trees, as vertices: what is laid over one another, and what differs.

Where the result is one of the trees, it takes no vertex (as in client/llb/merge.go and diff.go of
v0.10): daemons refuse to merge a single tree, and have no empty one to begin with.
"""

from __future__ import annotations

from collections.abc import Sequence

from translator.llb.graph import DiffOp, Inputs, MergeOp, Tree, Use, Vertex
from translator.span import Span


def merged(trees: Sequence[Tree], name: str, span: Span) -> Vertex | Tree:
    """``trees`` laid over one another.

    Empty ones change nothing. Of a tree that comes twice the last place counts: what it had in
    the earlier one, it lays over all others once more.
    """
    distinct = [tree for tree in dict.fromkeys(reversed(trees)) if tree is not None][::-1]
    if len(distinct) < 2:
        return distinct[0] if distinct else None
    return Vertex(
        payload=MergeOp(inputs=len(distinct)),
        inputs=tuple(distinct),
        name=name,
        uses=(Use("mergeop", span),),
        span=span,
    )


def difference(lower: Tree, upper: Tree, name: str, span: Span) -> Vertex | Tree:
    """What ``upper`` changes over ``lower``."""
    if lower is None:
        return upper
    if lower == upper:
        return None
    inputs = Inputs()
    payload = DiffOp(lower=inputs.position(lower), upper=inputs.position(upper))
    return Vertex(
        payload=payload,
        inputs=inputs.edges(),
        name=name,
        uses=(Use("diffop", span),),
        span=span,
    )
