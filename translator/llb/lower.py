"""Other ways to the same end, for daemons that lack a capability.

A rule takes a graph and gives a graph with the same meaning that asks less of the daemon. Rules
run in the order of ``RULES``; each looks only at what it is about. What no rule can replace stays
as it is and is refused by ``Compiled.needs``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TypeAlias

from translator import helper
from translator.compiled import Program
from translator.llb.capabilities import FEATURES
from translator.llb.chains import chains
from translator.llb.graph import (
    NONE,
    CacheDir,
    CopyFiles,
    Detour,
    DiffOp,
    Edge,
    ExecMount,
    ExecOp,
    FileOp,
    Graph,
    GraphBuilder,
    MergeOp,
    SourceOp,
    TreeMount,
    Use,
    Vertex,
)
from translator.llb.helped import HOW as FILES_HELPED
from translator.llb.helped import Help, helped
from translator.llb.imageconfig import DEFAULT_PATH
from translator.llb.laid import laid
from translator.llb.layers import Layers
from translator.llb.paths import WILDCARD
from translator.llb.rebuilding import (
    Rebuilding,
    each_exec,
    each_using,
    noted,
    rebuilt,
    uses,
    without,
)
from translator.llb.sources import LOCAL, program_vertex, stored_program_vertex
from translator.llb.wrapped import HOW as STARTED_BY_HELPER
from translator.llb.wrapped import wrapped
from translator.platform import Platform


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """What a graph is made for.

    ``caps`` are the capabilities that the daemon has (None: all), ``native`` its own platform
    (None: not known), and ``unique`` sets what this run sends apart from other runs. ``layouts``
    are registries' names for OCI layouts, by the id of the store; ``no_layouts`` says why there are
    none. ``helpers`` is an image that holds the helper programs where this package keeps them, for
    a session that cannot send any.
    """

    caps: Container[str] | None = None
    native: Platform | None = None
    unique: str = ""
    layouts: Mapping[str, str] = field(default_factory=dict)
    no_layouts: str = ""
    helpers: str = ""

    def lack(self, feature: str) -> bool:
        """Whether the daemon lacks a feature."""
        return self.caps is not None and FEATURES[feature].proof not in self.caps


Rule: TypeAlias = Callable[[Graph, Terms], Graph]


def lower(graph: Graph, terms: Terms) -> tuple[Graph, tuple[Program, ...]]:
    """Apply the rules for the features that the daemon lacks.

    Gives the programs, too, that the new graph has sent along.
    """
    for row in RULES:
        if any(map(terms.lack, row.features)):
            graph = row.rule(graph, terms)
    return graph, tuple(dict.fromkeys(_programs(graph)))


def set_default_path(graph: Graph, terms: Terms) -> Graph:
    """Put PATH into the environment where the daemon would not."""
    return each_using(graph, "exec.meta.setsdefaultpath", _with_path)


def give_writable_mounts_an_output(graph: Graph, terms: Terms) -> Graph:
    """Make writable bind mounts outputs of their own that nobody uses."""
    return each_using(graph, "exec.mount.bind.readwrite-nooutput", _with_outputs)


def name_the_default_branch(graph: Graph, terms: Terms) -> Graph:
    """Ask for HEAD of git repositories where the daemon would take ``master`` unasked.

    BuildKit looks for the default branch since v0.9 (source/git/gitsource.go), the release of
    ``source.git.subdir``; later ones in turn do not all find a ref of the name HEAD.
    """
    return replace(graph, vertices=tuple(map(_with_ref, graph.vertices)))


_BY_COPY = "by a copy out of the whole"


def copy_a_folder_of_a_repository(graph: Graph, terms: Terms) -> Graph:
    """Check out whole repositories, and copy the folder that is wanted out of them.

    With a folder, no release keeps ``.git``, whatever ``keep-git-dir`` says (source/git/source.go).
    A folder whose name would be taken for a pattern stays as it is.
    """

    def lowered(vertex: Vertex, builder: GraphBuilder) -> Edge:
        source = vertex.payload
        if not isinstance(source, SourceOp) or not uses(vertex, "source.git.subdir"):
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
                without(vertex, "source.git.subdir", "source.git.keepgitdir", "git.history"),
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
                detours=(Detour("source.git.subdir", _BY_COPY, vertex.span),),
            )
        )

    return rebuilt(graph, lowered)


_BY_REGISTRY = "by a registry on this machine's loopback"


def pull_layouts(graph: Graph, terms: Terms) -> Graph:
    """Have images of OCI layouts pulled from where a registry serves them.

    The key of a pinned image has no part of its name (source/containerimage, v0.3 to v0.32), so
    that it is the same whatever the registry is called in a run.
    """

    def lowered(vertex: Vertex) -> Vertex:
        source = vertex.payload
        if not isinstance(source, SourceOp) or not uses(vertex, "source.ocilayout"):
            return vertex
        name = terms.layouts.get(dict(source.attrs).get("oci.store", ""))
        if not name:
            return noted(vertex, ("source.ocilayout",), terms.no_layouts)
        digest = source.identifier.rpartition("@")[2]
        return replace(
            without(vertex, "source.ocilayout"),
            payload=SourceOp(identifier=f"docker-image://{name}@{digest}"),
            uses=(Use("source.image", vertex.span),),
            detours=(Detour("source.ocilayout", _BY_REGISTRY, vertex.span),),
        )

    return replace(graph, vertices=tuple(map(lowered, graph.vertices)))


def select_whole_trees(graph: Graph, terms: Terms) -> Graph:
    """Select the whole of each tree that is mounted, by name.

    It is what no selection means, but in the keys of caches: since v0.13, the release of
    ``exec.mount.cache.content``, daemons take both for the same, and before they did not
    (solver/llbsolver/ops/exec.go). So caches can be read by daemons of the other age. Up to v0.8.2
    keys had nothing of where trees are mounted: such a step with more than its root is left with
    a key that newer daemons do not look for, since they could take it for another step's.
    """
    alone = terms.lack("source.git.subdir")  # v0.9

    def lowered(op: ExecOp) -> ExecOp:
        if alone and len(op.mounts) > 1:
            return op
        return replace(op, mounts=tuple(map(_with_selector, op.mounts)))

    return each_exec(graph, lowered)


def lay_trees_with_a_helper(graph: Graph, terms: Terms) -> Graph:
    """Have a helper program lay trees over one another, and find out how they differ.

    Before v0.13, merges may fail of which a stage removes several files: what marks them is linked,
    and may not be there (snapshot/diffapply_unix.go). Where an image's own layers matter, which
    only the daemon sees, a merge or a diff stays as it is.
    """
    programs, layers = _Programs(terms), Layers(graph)

    def lowered(vertex: Vertex, work: Rebuilding) -> Edge:
        if not isinstance(vertex.payload, MergeOp | DiffOp):
            return work.add(vertex)
        lacking, stack = _lacking(vertex, _TREE_FEATURES, terms), layers.stack(work.position)
        if stack is None:
            return work.add(noted(vertex, lacking, _UNSEEN))
        if isinstance(vertex.payload, MergeOp) and layers.removes(stack):
            lacking = lacking or tuple(filter(terms.lack, ("merge.removals",)))
        if not lacking:
            return work.add(vertex)
        if stack.tree and not stack.layers:
            return work.place(stack.tree)
        help_ = programs.send(terms.native, vertex, work)
        if not help_:
            return work.add(_without_help(vertex, lacking, terms.native))
        return work.add(laid(vertex, stack, work.place, help_, lacking))

    return rebuilt(graph, lowered)


def change_files_with_a_helper(graph: Graph, terms: Terms) -> Graph:
    """Have a helper program do the file operations that need what the daemon lacks.

    In trees with more layers than the daemon can mount, one process does as many as it can.
    """
    programs = _Programs(terms)
    lacking = {
        position: features
        for position, vertex in enumerate(graph.vertices)
        if (features := _lacking_of_files(vertex, terms))
    }
    joins = terms.lack(_LAYERS) and terms.native and helper.program(terms.native)
    joined = chains(graph, lacking) if joins else {position: (position,) for position in lacking}
    inner = {position for chain in joined.values() for position in chain[:-1]}

    def lowered(vertex: Vertex, work: Rebuilding) -> Edge:
        chain = joined.get(work.position, ())
        if work.position in inner:
            return Edge(NONE)  # nothing leads to it but the rest of its chain
        if not chain:
            return work.add(vertex)
        help_ = programs.send(terms.native, vertex, work)
        if not help_:
            return work.add(_without_help(vertex, lacking[chain[0]], terms.native))
        detours = [
            Detour(feature, FILES_HELPED, graph.vertices[position].span)
            for position in chain
            for feature in lacking.get(position, ())
        ]
        if len(chain) > 1:
            detours += (Detour(_LAYERS, _TOGETHER, graph.vertices[each].span) for each in chain)
        vertices = (graph.vertices[position] for position in chain)
        moved = [replace(v, inputs=tuple(map(work.place, v.inputs))) for v in vertices]
        return helped(moved, work, help_, detours)

    return rebuilt(graph, lowered)


def _lacking_of_files(vertex: Vertex, terms: Terms) -> tuple[str, ...]:
    if not isinstance(vertex.payload, FileOp):
        return ()
    lacking = _lacking(vertex, _FILE_FEATURES, terms)
    # With the operations as such goes all else.
    return ("file.base",) if "file.base" in lacking else lacking


def start_processes_with_a_helper(graph: Graph, terms: Terms) -> Graph:
    """Have a helper program start the processes that want what the daemon lacks.

    It runs as they do, on an emulated platform perhaps, and so it is one for theirs.
    """
    programs = _Programs(terms)

    def lowered(vertex: Vertex, builder: GraphBuilder) -> Edge:
        op, lacking = vertex.payload, _lacking(vertex, _START_FEATURES, terms)
        if not lacking or not isinstance(op, ExecOp):
            return builder.add(vertex)
        platform = vertex.platform or terms.native
        help_ = programs.send(platform, vertex, builder)
        if not help_:
            return builder.add(_without_help(vertex, lacking, platform))
        return builder.add(wrapped(vertex, op, help_.source, help_.file, lacking))

    return rebuilt(graph, lowered)


_TREE_FEATURES = ("mergeop", "diffop", "merge.removals")
_UNSEEN = "what an image removes in its layers is only seen by the daemon"
_LAYERS, _TOGETHER = "exec.mount.layers", "by one process for several steps"
_FILE_FEATURES = tuple(name for name in FEATURES if name.startswith("file."))
_START_FEATURES = ("exec.secretenv", "exec.validexitcode")


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A rule for when the daemon lacks one of ``features``.

    ``how`` tells people what it does, and ``by_helper`` that it takes a helper program.
    """

    features: Sequence[str]
    rule: Rule
    how: str
    by_helper: bool = False


RULES: Sequence[Row] = (
    Row(
        features=("source.git.subdir",),
        rule=copy_a_folder_of_a_repository,
        how=_BY_COPY,
    ),
    Row(
        features=("source.git.subdir",),
        rule=name_the_default_branch,
        how=_BY_COPY,
    ),
    Row(
        features=_TREE_FEATURES,
        rule=lay_trees_with_a_helper,
        how=FILES_HELPED,
        by_helper=True,
    ),
    Row(
        features=("source.ocilayout",),
        rule=pull_layouts,
        how=_BY_REGISTRY,
    ),
    Row(
        features=(*_FILE_FEATURES, _LAYERS),
        rule=change_files_with_a_helper,
        how=FILES_HELPED,
        by_helper=True,
    ),
    Row(
        features=_START_FEATURES,
        rule=start_processes_with_a_helper,
        how=STARTED_BY_HELPER,
        by_helper=True,
    ),
    Row(
        features=("exec.meta.setsdefaultpath",),
        rule=set_default_path,
        how="by a PATH in its environment",
    ),
    Row(
        features=("exec.mount.bind.readwrite-nooutput",),
        rule=give_writable_mounts_an_output,
        how="by an output that nobody uses",
    ),
    Row(
        features=("exec.mount.cache.content",),
        rule=select_whole_trees,
        how="by the selection of all of it",
    ),
)
"""The rules in their order."""


def ways(native: Platform | None) -> Mapping[str, str]:
    """What is done in place of each feature on daemons that lack it, by the feature.

    ``native`` is the daemon's own platform, which the helper program must be for.
    """
    help_ = native is not None and helper.program(native) is not None
    rows = (row for row in RULES if help_ or not row.by_helper)
    return {feature: row.how for row in rows for feature in row.features}


# --- the helper ------------------------------------------------------------------------------


class _Programs:
    """Sends helpers, each once."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._sent: dict[str, Help] = {}

    def send(self, platform: Platform | None, vertex: Vertex, builder: GraphBuilder) -> Help | None:
        """The helper for a platform, that ``vertex`` wants; None where there is none."""
        program = platform and helper.program(platform)
        if not platform or not program:
            return None
        help_ = self._sent.get(program.name)
        if help_ is None:
            help_ = self._sent[program.name] = self._help(program, platform, vertex, builder)
        return help_

    def _help(
        self, program: Program, platform: Platform, vertex: Vertex, builder: GraphBuilder
    ) -> Help:
        terms = self._terms
        if terms.helpers:
            image = stored_program_vertex(terms.helpers, terms.native or platform, vertex.span)
            file = helper.place(platform).lstrip("/")
            return Help(source=builder.add(image), file=file, platform=platform)
        source = builder.add(program_vertex(program, terms.unique, vertex.span))
        return Help(source=source, file=program.file, platform=platform)


def _programs(graph: Graph) -> Iterator[Program]:
    for vertex in graph.vertices:
        if isinstance(vertex.payload, SourceOp):
            program = helper.named(vertex.payload.identifier.removeprefix(LOCAL))
            if program:
                yield program


def _lacking(vertex: Vertex, features: Collection[str], terms: Terms) -> tuple[str, ...]:
    used = (use.feature for use in vertex.uses if use.feature in features)
    return tuple(dict.fromkeys(filter(terms.lack, used)))


def _without_help(vertex: Vertex, lacking: Collection[str], platform: Platform | None) -> Vertex:
    """Say with what is lacking that the helper is for other platforms."""
    known = " and ".join(helper.PLATFORMS)
    note = f"the helper program for it is for {known}, and not for {platform}" if platform else ""
    return noted(vertex, lacking, note)


# --- parts of rules --------------------------------------------------------------------------


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
