"""Instances to one graph: every stage once, every source once, whoever uses them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from translator.compiled import ImageNeed, LocalUse, ResolvedFrontend, ResolvedImage
from translator.diagnostic import Diagnostic, InvalidFileError
from translator.llb.execs import Place, run_vertex
from translator.llb.filesteps import CHANGES, change_vertex, copy_vertex, workdir_vertex
from translator.llb.foreign import Place as FrontendPlace
from translator.llb.foreign import pending, spliced
from translator.llb.frontends import call
from translator.llb.graph import Edge, Graph, GraphBuilder, Tree, Use, Vertex
from translator.llb.imageconfig import ImageConfig
from translator.llb.locals import folder_uses, identity, local_uses
from translator.llb.paths import absolute
from translator.llb.sources import (
    PLAIN,
    below_vertex,
    image_need,
    image_vertex,
    layout_vertex,
    local_vertex,
    store_id,
)
from translator.llb.title import Titles, diff_title, merge_title, needs_prefix
from translator.llb.trees import difference, merged
from translator.platform import Platform
from translator.span import Span
from translator.stage import (
    BindMount,
    CacheMount,
    Copy,
    Diff,
    Dockerfile,
    Frontend,
    ImageSource,
    Instance,
    LocalSource,
    Merge,
    OciLayoutSource,
    Origin,
    Run,
    Scratch,
    SetEnv,
    SetShell,
    SetUser,
    SetWorkdir,
    Stage,
    StageRef,
    Step,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What a run adds to its instances; see ``translator.compile``."""

    images: Mapping[ImageNeed, ResolvedImage]
    ignores: Mapping[str, tuple[str, ...]]
    no_cache: bool | Collection[str]
    unique: str
    session: str = ""
    frontends: Mapping[StageRef, ResolvedFrontend] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Built:
    """A stage so far: its tree, its config, and the working folder that was made last.

    ``document`` is the whole image config of one that a frontend made, with its history.
    """

    tree: Tree
    config: ImageConfig
    made: str = ""
    document: bytes = b""

    def encode(self, platform: Platform) -> bytes:
        """The image config as JSON."""
        return self.document or self.config.encode(platform)


@dataclass(frozen=True, kw_only=True, slots=True)
class Assembly:
    """The graph of all instances, the config of each, and what the session serves."""

    graph: Graph
    configs: tuple[bytes, ...]
    locals: Mapping[str, LocalUse]
    stores: Mapping[str, str]


def assemble(instances: Sequence[Instance], options: Options) -> Assembly:
    """Make the graph. Raises InvalidFileError with every fault of all stages."""
    builder = GraphBuilder()
    sources = _Sources(instances, options, builder)
    stages = _Stages(options, builder, sources, prefix=needs_prefix(instances))
    results = [stages.build(instance) for instance in instances]
    if stages.faults:
        raise InvalidFileError(dict.fromkeys(stages.faults))
    return Assembly(
        graph=builder.build(tuple(result.tree for result in results)),
        configs=tuple(
            result.encode(instance.platform)
            for result, instance in zip(results, instances, strict=True)
        ),
        locals={use.name: use for use in (*sources.uses.values(), *sources.folders.values())},
        stores=sources.stores,
    )


# --- sources ---------------------------------------------------------------------------------


class _Sources:
    """Gives the tree of each source, with one vertex for all that use it."""

    def __init__(
        self, instances: Sequence[Instance], options: Options, builder: GraphBuilder
    ) -> None:
        self.uses = local_uses(instances, options.ignores)
        self.folders = folder_uses(instances, self.uses.values())
        self.stores: dict[str, str] = {}
        self._options = options
        self._builder = builder
        self._prefix = needs_prefix(instances)
        self._edges: dict[object, Edge] = {}

    def tree(self, source: Any, platform: Platform) -> Edge:
        specific = isinstance(source, ImageSource | OciLayoutSource)
        key = (source, source.platform or platform if specific else None)
        edge = self._edges.get(key)
        if edge is None:
            edge = self._edges[key] = self._add(source, platform)
        return edge

    def _add(self, source: Any, platform: Platform) -> Edge:
        vertex = self._vertex(source, platform)
        if self._prefix and vertex.platform:
            vertex = replace(vertex, name=f"[{vertex.platform}] {vertex.name}")
        edge = self._builder.add(self._fresh(vertex))
        if isinstance(source, LocalSource) and source.below:
            edge = self._builder.add(self._fresh(below_vertex(source, edge)))
        return edge

    def _fresh(self, vertex: Vertex) -> Vertex:
        return _uncached(vertex) if self._options.no_cache is True else vertex

    def _vertex(self, source: Any, platform: Platform) -> Vertex:
        if isinstance(source, LocalSource):
            use, options = self.uses[identity(source)], self._options
            return local_vertex(source, use, options.unique, options.session)
        if isinstance(source, ImageSource):
            return image_vertex(source, platform, self._options.images)
        if isinstance(source, OciLayoutSource):
            self.stores[store_id(source)] = source.path
            return layout_vertex(source, platform, self._options.images)
        return PLAIN[type(source)](source)

    def config(self, origin: Origin, platform: Platform) -> ImageConfig:
        """The image config that a stage begins with when it is built from ``origin``."""
        if isinstance(origin, ImageSource | OciLayoutSource):
            resolved = self._options.images.get(image_need(origin, platform))
            return ImageConfig.parse(resolved.config).below() if resolved else ImageConfig()
        return ImageConfig.scratch(platform)


def _uncached(vertex: Vertex) -> Vertex:
    if vertex.ignore_cache:
        return vertex
    uses = (*vertex.uses, Use("meta.ignorecache", vertex.span))
    return replace(vertex, ignore_cache=True, uses=uses)


# --- stages ----------------------------------------------------------------------------------


class _Stages:
    """Builds stages, each after those that it uses; equal ones of several instances once."""

    def __init__(
        self, options: Options, builder: GraphBuilder, sources: _Sources, *, prefix: bool
    ) -> None:
        self.faults: list[Diagnostic] = []
        self._options = options
        self._builder = builder
        self._sources = sources
        self._prefix = prefix
        self._memo: dict[tuple[object, ...], Built] = {}

    def build(self, instance: Instance) -> Built:
        """The root of an instance, and all that it stands on."""
        built: dict[StageRef, Built] = {}
        for ref, stage in instance.stages.items():
            selector = instance.selector(stage)
            constraints = selector.constraints() if selector else ()
            key = (id(stage), constraints, *(id(built[used]) for used in stages_used(stage)))
            result = self._memo.get(key)
            if result is None:
                work = _StageWork(self, stage, built, constraints)
                result = self._memo[key] = work.run()
            built[ref] = result
        return built[instance.root]

    def tree(self, origin: Origin, stage: Stage, built: Mapping[StageRef, Built]) -> Tree:
        if isinstance(origin, Scratch):
            return None
        if isinstance(origin, StageRef):
            return built[origin].tree
        return self._sources.tree(origin, stage.platform)

    def config(self, stage: Stage, built: Mapping[StageRef, Built]) -> ImageConfig:
        """The image config that a stage begins with."""
        first = stage.bases[0]
        if stage.config:
            return ImageConfig.parse(stage.config).below()
        if isinstance(first, StageRef):
            return built[first].config.below()
        return self._sources.config(first, stage.platform)

    def made(self, stage: Stage) -> ResolvedFrontend | None:
        return self._options.frontends.get(stage.ref)

    def folder(self, source: LocalSource) -> str:
        return self._sources.folders[identity(source)].name

    @property
    def unique(self) -> str:
        return self._options.unique

    def add(self, vertex: Vertex, stage: Stage) -> Edge:
        no_cache = self._options.no_cache
        fresh = no_cache if isinstance(no_cache, bool) else stage.ref.name in no_cache
        return self._builder.add(_uncached(vertex) if fresh else vertex)

    def titles(self, stage: Stage) -> Titles:
        return Titles(stage, prefix=self._prefix)


def stages_used(stage: Stage) -> list[StageRef]:
    """The stages that one begins with, copies from or mounts."""
    origins: list[Origin] = [*stage.bases]
    for step in stage.steps:
        if isinstance(step, Copy):
            origins.append(step.origin)
        elif isinstance(step, Run):
            origins += [
                mount.origin
                for mount in step.mounts
                if isinstance(mount, BindMount | CacheMount) and mount.origin is not None
            ]
    return [origin for origin in origins if isinstance(origin, StageRef)]


class _StageWork:
    """One stage in the making, step by step."""

    def __init__(
        self,
        stages: _Stages,
        stage: Stage,
        built: Mapping[StageRef, Built],
        constraints: tuple[str, ...],
    ) -> None:
        self._stages = stages
        self._stage = stage
        self._built = built
        self._constraints = constraints
        self._titles = stages.titles(stage)

    def run(self) -> Built:
        stage = self._stage
        state = self._guard(self._start, self._empty())
        state = self._defaults(state)
        for step in stage.steps:
            state = self._step(state, step)
        if stage.image:
            state = replace(state, config=state.config.with_options(stage.image))
        return state

    def _start(self) -> Built:
        """The stage before its first step."""
        stage, origin = self._stage, self._stage.origin
        if isinstance(origin, StageRef):
            below = self._built[origin]
            return Built(tree=below.tree, config=below.config.below(), made=below.made)
        if isinstance(origin, Dockerfile | Frontend):
            return self._made(origin)
        config = self._stages.config(stage, self._built)
        return Built(tree=self._beginning(origin), config=config)

    def _made(self, origin: Dockerfile | Frontend) -> Built:
        """What a frontend made, or what stands for it while it has not been asked."""
        stage, asked = self._stage, call(self._stage)
        place = FrontendPlace(
            stage=stage,
            made=origin,
            trees={name: self._tree(each) for name, each in asked.inputs.items()},
            locals={name: self._stages.folder(each) for name, each in asked.folders.items()},
            unique=self._stages.unique,
            title=self._titles.of_frontend,
            add=self._add,
        )
        resolved, config = self._stages.made(stage), ImageConfig.scratch(stage.platform)
        if resolved is None:
            return Built(tree=pending(place), config=config)
        if resolved.config:
            config = ImageConfig.parse(resolved.config)
        document = b"" if stage.image else resolved.config
        return Built(tree=spliced(resolved, place), config=config, document=document)

    def _beginning(self, origin: Origin | Merge | Diff) -> Tree:
        if isinstance(origin, Merge):
            title = self._titles.unnumbered(merge_title(origin))
            made = merged([self._tree(each) for each in origin.inputs], title, origin.span)
        elif isinstance(origin, Diff):
            title = self._titles.unnumbered(diff_title(origin))
            lower, upper = self._tree(origin.lower), self._tree(origin.upper)
            made = difference(lower, upper, title, origin.span)
        else:
            made = self._tree(origin)
        return self._add(made) if isinstance(made, Vertex) else made

    def _add(self, vertex: Vertex) -> Edge:
        """Add a vertex of the stage. Its sources are no part of it: others use them as well."""
        if self._constraints:
            uses = (*vertex.uses, Use("constraints", vertex.span))
            vertex = replace(vertex, constraints=self._constraints, uses=uses)
        return self._stages.add(vertex, self._stage)

    def _empty(self) -> Built:
        return Built(tree=None, config=ImageConfig.scratch(self._stage.platform))

    def _guard(self, action: Callable[[], Built], otherwise: Built) -> Built:
        # A fault ends one step, so that those of all others are found, too.
        try:
            return action()
        except InvalidFileError as error:
            self._stages.faults += error.diagnostics
            return otherwise

    def _defaults(self, state: Built) -> Built:
        stage = self._stage
        config = state.config.with_env(stage.env)
        if stage.user or stage.shell:
            user, shell = stage.user or config.user, stage.shell or config.shell
            config = replace(config, user=user, shell=shell)
        state = replace(state, config=config)
        if not stage.workdir:
            return state
        title = self._titles.unnumbered(f"workdir {stage.workdir}")
        return self._workdir(state, stage.workdir, title, stage.span)

    def _step(self, state: Built, step: Step) -> Built:
        handler = _HANDLERS[type(step)]
        return self._guard(lambda: handler(self, state, step), state)

    # -- steps that make a vertex --

    def _run(self, state: Built, step: Run) -> Built:
        stage = self._stage
        place = Place(
            tree=state.tree, config=state.config, network=stage.network, platform=stage.platform
        )
        return self._grown(state, run_vertex(step, place, self._tree, self._titles.of(step)))

    def _copy(self, state: Built, step: Copy) -> Built:
        title = self._titles.of(step)
        origin = self._tree(step.origin)
        return self._grown(
            state, copy_vertex(step, state.tree, origin, state.config.workdir, title)
        )

    def _change(self, state: Built, step: Any) -> Built:
        title = self._titles.of(step)
        return self._grown(state, change_vertex(step, state.tree, state.config.workdir, title))

    def _set_workdir(self, state: Built, step: SetWorkdir) -> Built:
        return self._workdir(state, step.path, self._titles.of(step), step.span)

    def _workdir(self, state: Built, path: str, title: str, span: Span) -> Built:
        path = absolute(state.config.workdir, path)
        state = replace(state, config=replace(state.config, workdir=path))
        if path in ("/", state.made):
            return state
        vertex = workdir_vertex(path, state.config.user, state.tree, title, span)
        return replace(self._grown(state, vertex), made=path)

    def _tree(self, origin: Origin) -> Tree:
        return self._stages.tree(origin, self._stage, self._built)

    def _grown(self, state: Built, vertex: Vertex) -> Built:
        return Built(tree=self._add(vertex), config=state.config, made=state.made)

    # -- steps that change what is below them --

    def _set_env(self, state: Built, step: SetEnv) -> Built:
        return replace(state, config=state.config.with_env(step.env))

    def _set_user(self, state: Built, step: SetUser) -> Built:
        return replace(state, config=replace(state.config, user=step.user))

    def _set_shell(self, state: Built, step: SetShell) -> Built:
        return replace(state, config=replace(state.config, shell=step.argv))


_HANDLERS: Mapping[type, Callable[[_StageWork, Built, Any], Built]] = {
    Run: _StageWork._run,
    Copy: _StageWork._copy,
    SetWorkdir: _StageWork._set_workdir,
    SetEnv: _StageWork._set_env,
    SetUser: _StageWork._set_user,
    SetShell: _StageWork._set_shell,
    **dict.fromkeys(CHANGES, _StageWork._change),
}
