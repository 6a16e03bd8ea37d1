"""Where the trees of a build file come from when another client serves the session.

The folder of the build file is the client's context: a folder of its session, or what is at an
address. Named contexts take the place of stages and sources.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, TypeAlias

from buildfile.syntax import faults
from buildfile.syntax.request import Request
from translator.compiled import ResolvedFrontend
from translator.diagnostic import Diagnostic, InvalidCommandError, InvalidFileError
from translator.llb.locals import literal
from translator.platform import Platform
from translator.span import Position, SourceFile, Span
from translator.stage import (
    BindMount,
    CacheMount,
    Copy,
    Diff,
    Dockerfile,
    Frontend,
    GitSource,
    HttpSource,
    ImageOptions,
    ImageSource,
    InlineSource,
    Instance,
    LocalSource,
    Merge,
    OciLayoutSource,
    Origin,
    Run,
    Scratch,
    Source,
    Stage,
    StageRef,
    Step,
)

ROOT = "/context"
"""The folder that the build file's paths start from; it is on no machine."""

NOWHERE = Span(SourceFile(name="<client>", folder=ROOT, text=""), Position(1, 1), Position(1, 1))
"""In place of a place in a file, for what a client gives."""

_NONE: Mapping[str, bytes] = MappingProxyType({})
_CONTEXT, _FILE = "context", "dockerfile"
_GIT = re.compile(r"git@|(?:git|ssh)://|github\.com/|https?://[^#]+\.git(?:#|$)")
_STORE = re.compile(r"//(?P<store>[^@]+?)(?::[^:/@]+)?@(?P<digest>sha256:[0-9a-f]{64})")

Remote: TypeAlias = GitSource | HttpSource


@dataclass(frozen=True, kw_only=True)
class Input:
    """A graph that the client gives in place of a source, by its name."""

    name: str
    span: Span = NOWHERE


Main: TypeAlias = LocalSource | Remote | Input
Context: TypeAlias = Scratch | Source | Input
Stages: TypeAlias = dict[StageRef, Stage]


def file_origin(request: Request, inputs: Collection[str]) -> Main:
    """The tree that has the build file. ``inputs`` are names of graphs that the client gives."""
    main = main_origin(request, inputs)
    if request.file_folder:
        return _served(request.file_folder)
    if isinstance(main, LocalSource | Input):
        return Input(name=_FILE) if _FILE in inputs else _served(_FILE)
    return main


def main_origin(request: Request, inputs: Collection[str]) -> Main:
    """The context. Raises InvalidCommandError for an address that is none."""
    if not request.remote:
        return Input(name=_CONTEXT) if _CONTEXT in inputs else _served(request.context)
    origin = _at_address("context", request.remote)
    if origin is None:
        reason = "is no address of a git repository or a download"
        raise InvalidCommandError([faults.bad_context("context", request.remote, reason)])
    return origin


def _served(name: str) -> LocalSource:
    return LocalSource(name=name, path=ROOT, served=name, span=NOWHERE)


# --- instances -------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Given:
    """A stage with the request's trees, the stages that were made for it, and what is wrong."""

    before: Stage
    stage: Stage
    added: Stages = field(default_factory=dict)
    faults: tuple[Diagnostic, ...] = ()


class Contexts:
    """Gives instances the trees of a request in place of folders of this machine."""

    def __init__(self, request: Request, inputs: Mapping[str, bytes] = _NONE) -> None:
        """``inputs`` are graphs that the client gives, serialised definitions by name.

        Raises InvalidCommandError for contexts that are written wrong.
        """
        self.made: dict[StageRef, ResolvedFrontend] = {}
        """What stages are that stand for the client's graphs."""
        self._request = request
        self._inputs = inputs
        self._main = main_origin(request, inputs)
        self._named = _all_named(request.contexts, inputs)
        self._used: set[str] = set()
        self._given: dict[int, _Given] = {}

    @property
    def unused(self) -> tuple[str, ...]:
        """The named contexts that nothing had the name of."""
        return tuple(name for name in self._named if name not in self._used)

    def given(self, instance: Instance) -> Instance:
        """The instance with the request's trees, without the stages that it then does not need.

        A stage that several instances share stays shared. Raises InvalidFileError with everything
        that this client cannot give.
        """
        made = {ref: self._of(stage) for ref, stage in instance.stages.items()}
        stages: Stages = {}
        for ref, each in made.items():
            stages |= {**each.added, ref: each.stage}
        needed = _needed(instance.root, stages)
        found = [fault for ref in needed if ref in made for fault in made[ref].faults]
        if found:
            raise InvalidFileError(dict.fromkeys(found))
        root = needed[instance.root]
        needed[instance.root] = replace(root, image=self._labelled(root))
        return replace(instance, stages=needed)

    def _of(self, stage: Stage) -> _Given:
        if id(stage) not in self._given:
            self._given[id(stage)] = self._make(stage)
        return self._given[id(stage)]

    def _make(self, stage: Stage) -> _Given:
        context = self._context(stage.ref.name, stage.platform)
        if context is not None:
            if isinstance(context, Input):
                made = self._given_graph(context, stage.ref, stage.platform, stage.span)
                return _Given(before=stage, stage=made)
            origin = _at(context, stage.span)
            bare = Stage(ref=stage.ref, platform=stage.platform, origin=origin, span=stage.span)
            return _Given(before=stage, stage=bare)
        work = _Work(self, stage.platform)
        made = replace(
            stage,
            origin=_base(stage.origin, work.place),
            steps=tuple(_step(each, work.place) for each in stage.steps),
            network=self._network(stage),
        )
        return _Given(before=stage, stage=made, added=work.added, faults=tuple(work.faults))

    def _network(self, stage: Stage) -> Any:
        return (self._request.network if stage.network == "sandbox" else None) or stage.network

    def _labelled(self, stage: Stage) -> ImageOptions | None:
        labels = tuple(self._request.labels.items())
        if not labels:
            return stage.image
        image = stage.image or ImageOptions(span=stage.span)
        return replace(image, labels=(*image.labels, *labels))

    def _context(self, name: str, platform: Platform) -> Context | None:
        """The named context that stands in for ``name``; one for the platform before all others."""
        for key in (f"{name}::{platform}", name):
            if key in self._named:
                self._used.add(key)
                return self._named[key]
        return None

    # --- one source ------------------------------------------------------------------------------

    def source(self, source: Source, work: _Work) -> Origin:
        """What a source is here. Raises InvalidFileError where the client cannot give it."""
        context = self._context(source.name, work.platform)
        if isinstance(context, Input):
            return self._input(context, work, source.span)
        if context is not None:
            return _at(context, source.span)
        if isinstance(source, LocalSource):
            return self._folder(source, work)
        if isinstance(source, OciLayoutSource):
            raise InvalidFileError([faults.layout_of_client(source.name, source.span)])
        return source

    def _folder(self, source: LocalSource, work: _Work) -> Origin:
        below = posixpath.relpath(source.path, ROOT)
        below = "" if below == "." else below
        if isinstance(self._main, LocalSource):
            return replace(source, served=self._main.served, below=below)
        below = posixpath.join(self._request.subfolder, below).strip("/")
        whole = self._whole(self._main, work, source.span)
        include = source.include + source.follow
        if not below and not include and not source.exclude:
            return whole
        step = Copy(
            origin=whole,
            paths=(literal(below) or ".",),
            to="/",
            include=include,
            exclude=source.exclude,
            span=source.span,
        )
        return work.add(f"context {source.name}", step)

    def _whole(self, main: Remote | Input, work: _Work, span: Span) -> Origin:
        if isinstance(main, Input):
            return self._input(main, work, span)
        return work.unpacked(main) if isinstance(main, HttpSource) else main

    def _input(self, given: Input, work: _Work, span: Span) -> StageRef:
        ref = StageRef(f"input {given.name}", work.platform.slug)
        work.added[ref] = self._given_graph(given, ref, work.platform, span)
        return ref

    def _given_graph(self, given: Input, ref: StageRef, platform: Platform, span: Span) -> Stage:
        """A stage that is what a client gives: as if a frontend had made it."""
        definition = self._inputs[given.name]
        config = self._request.configs.get(given.name, b"")
        self.made[ref] = ResolvedFrontend(definition=definition, config=config)
        made = Frontend(image=f"input {given.name}", span=span)
        return Stage(ref=ref, platform=platform, origin=made, span=span)


class _Work:
    """One stage in the making: what is added for it, and what is wrong."""

    def __init__(self, contexts: Contexts, platform: Platform) -> None:
        self.platform = platform
        self.added: Stages = {}
        self.faults: list[Diagnostic] = []
        self._contexts = contexts

    def place(self, origin: Origin) -> Origin:
        """What an origin is here."""
        if isinstance(origin, Scratch | StageRef):
            return origin
        try:
            return self._contexts.source(origin, self)
        except InvalidFileError as error:
            self.faults += error.diagnostics
            return origin

    def unpacked(self, archive: HttpSource) -> StageRef:
        """The tree in an archive."""
        return self.add("context", unpacking(archive))

    def add(self, name: str, step: Copy) -> StageRef:
        """A stage of one step over nothing."""
        ref = StageRef(name, self.platform.slug)
        start = Scratch(span=step.span)
        self.added[ref] = Stage(
            ref=ref, platform=self.platform, origin=start, steps=(step,), span=step.span
        )
        return ref


def _at(context: Scratch | Source, span: Span) -> Scratch | Source:
    """A named context where the build file names what it stands in for."""
    return replace(context, span=span)


def unpacking(archive: HttpSource) -> Copy:
    """The step that unpacks a context."""
    return Copy(origin=archive, to="/", unpack=True, span=archive.span)


def _base(origin: Any, place: Callable[[Origin], Origin]) -> Any:
    if isinstance(origin, Merge):
        return replace(origin, inputs=tuple(map(place, origin.inputs)))
    if isinstance(origin, Diff):
        return replace(origin, lower=place(origin.lower), upper=place(origin.upper))
    if isinstance(origin, Dockerfile):
        return _dockerfile(origin, place)
    if isinstance(origin, Frontend):
        return replace(origin, inputs=_all(origin.inputs, place))
    return place(origin)


def _dockerfile(made: Dockerfile, place: Callable[[Origin], Origin]) -> Dockerfile:
    """With text as a source like any other: the session is another's, and serves none of ours."""
    contexts = _all(made.contexts, place)
    if made.inline:
        files = (("Dockerfile", made.inline),)
        text = InlineSource(name="Dockerfile", files=files, span=made.span)
        made = replace(made, inline="", file="Dockerfile", place=text)
    elif made.place is not None:
        made = replace(made, place=place(made.place))
    return replace(made, context=place(made.context), contexts=contexts)


def _all(
    named: tuple[tuple[str, Origin], ...], place: Callable[[Origin], Origin]
) -> tuple[tuple[str, Origin], ...]:
    return tuple((name, place(origin)) for name, origin in named)


def _step(step: Step, place: Callable[[Origin], Origin]) -> Step:
    if isinstance(step, Copy):
        return replace(step, origin=place(step.origin))
    if isinstance(step, Run):
        return replace(step, mounts=tuple(_mount(each, place) for each in step.mounts))
    return step


def _mount(mount: Any, place: Callable[[Origin], Origin]) -> Any:
    if isinstance(mount, BindMount | CacheMount) and mount.origin is not None:
        return replace(mount, origin=place(mount.origin))
    return mount


def _needed(root: StageRef, stages: Mapping[StageRef, Stage]) -> Stages:
    """The stages that ``root`` stands on, in their order."""
    needed, waiting = {root}, [root]
    while waiting:
        used = set(_uses(stages[waiting.pop()])) - needed
        needed |= used
        waiting += used
    return {ref: stage for ref, stage in stages.items() if ref in needed}


def _uses(stage: Stage) -> list[StageRef]:
    found: list[StageRef] = []

    def note(origin: Origin) -> Origin:
        if isinstance(origin, StageRef):
            found.append(origin)
        return origin

    _base(stage.origin, note)
    for step in stage.steps:
        _step(step, note)
    return found


# --- contexts by their text ------------------------------------------------------------------


def _all_named(texts: Mapping[str, str], inputs: Collection[str]) -> dict[str, Context]:
    named: dict[str, Context] = {}
    found: list[Diagnostic] = []
    for name, text in texts.items():
        made = _from_text(name.partition("::")[0], text)
        if isinstance(made, Input) and made.name not in inputs:
            made = "is none of the inputs that the client gives"
        if isinstance(made, str):
            found.append(faults.bad_context(name, text, made))
        else:
            named[name] = made
    if found:
        raise InvalidCommandError(found)
    return named


def _from_text(name: str, text: str) -> Context | str:
    """The origin that a named context is, or a text that says what is wrong with it."""
    kind, _, rest = text.partition(":")
    if remote := _at_address(name, text):
        return remote
    reader = _KINDS.get(kind)
    return reader(name, rest) if reader else "is of no kind that this frontend knows"


def _image(name: str, rest: str) -> Context | str:
    ref = rest.removeprefix("//")
    if ref == "scratch":
        return Scratch(span=NOWHERE)
    return ImageSource(name=name, ref=ref, span=NOWHERE)


def _layout(name: str, rest: str) -> Context | str:
    match = _STORE.fullmatch(rest)
    if not match:
        return "needs a digest: oci-layout://STORE@sha256:..."
    store, digest = match["store"], match["digest"]
    return OciLayoutSource(name=name, path="", digest=digest, store=store, span=NOWHERE)


def _local(name: str, rest: str) -> Context | str:
    return LocalSource(name=name, path=f"/contexts/{rest}", served=rest, span=NOWHERE)


def _input(_name: str, rest: str) -> Context | str:
    return Input(name=rest)


_KINDS: Mapping[str, Callable[[str, str], Context | str]] = {
    "docker-image": _image,
    "oci-layout": _layout,
    "local": _local,
    "input": _input,
}


def _at_address(name: str, text: str) -> Remote | None:
    """What is at an address of a repository (``URL#REF:FOLDER``) or of a download."""
    if _GIT.match(text):
        url, _, fragment = text.partition("#")
        ref, _, folder = fragment.partition(":")
        return GitSource(name=name, url=url, ref=ref, subdir=folder, span=NOWHERE)
    if text.startswith(("http://", "https://")):
        return HttpSource(name=name, url=text, filename="context", span=NOWHERE)
    return None
