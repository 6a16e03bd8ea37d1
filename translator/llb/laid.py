"""Merges and diffs as processes that run the helper (``translator.helper``).

One stack of layers becomes one process, which is set up as for file operations
(``translator.llb.helped``): the tree that the layers are laid over is the one that changes, and all
trees that they are made of are mounted beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from translator.llb.graph import (
    Detour,
    Edge,
    ExecMount,
    ExecOp,
    Inputs,
    Tree,
    TreeMount,
    Use,
    Vertex,
)
from translator.llb.helped import DEST, HOW, Help
from translator.llb.layers import Stack

_TREES = "/layers"
_EMPTY = "-"


def laid(
    vertex: Vertex,
    stack: Stack,
    place: Callable[[Edge], Edge],
    help_: Help,
    lacking: Sequence[str],
) -> Vertex:
    """The process that does what ``vertex``, a merge or a diff, does.

    ``place`` gives the edges of the stack in the new graph; ``lacking`` are the features that the
    daemon has not.
    """
    inputs = Inputs()
    base = stack.tree and place(stack.tree)
    mounts: list[ExecMount] = [
        TreeMount(target=DEST, input=inputs.position(base), output=0, hashed=False),
        TreeMount(target="/", output=1),
        TreeMount(target=help_.folder, input=inputs.position(help_.source), readonly=True),
    ]
    paths: dict[Tree, str] = {None: _EMPTY}
    for tree in (each for layer in stack.layers for each in (layer.lower, layer.upper)):
        if tree is not None and tree not in paths:
            paths[tree] = f"{_TREES}/{len(paths)}"
            position = inputs.position(place(tree))
            mounts.append(TreeMount(target=paths[tree], input=position, readonly=True))
    words = (paths[each] for layer in stack.layers for each in (layer.lower, layer.upper))
    features = ("exec.meta.base", "exec.meta.network", "exec.mount.bind")
    return replace(
        vertex,
        payload=ExecOp(
            args=(help_.command, "layers", *words),
            env=(),
            cwd="/",
            mounts=tuple(mounts),
            network="none",
        ),
        inputs=inputs.edges(),
        platform=help_.platform,
        uses=tuple(Use(feature, vertex.span) for feature in features),
        detours=tuple(Detour(feature, HOW, vertex.span) for feature in lacking),
    )
