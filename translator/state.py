"""Build graphs written in Python: an immutable ``State`` on the nouns of a stage.

>>> base = image("docker.io/library/alpine:3.20")
>>> app = base.run("apk add curl").file(copy(local("code"), "src", to="/src/"))
>>> definition = app.marshal(platform="linux/amd64")

What is said here and in a build file alike becomes the same vertices: both are compiled by
``translator.compile``. A step's place is the line of Python that wrote it, so a failing one leads
there; the file's text is not kept, and the bytes are the same wherever it lies.
"""

from __future__ import annotations

import sys
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Any

from translator.compile import compile_instances
from translator.compiled import Compiled, ImageNeed, Need, ResolvedImage
from translator.llb.capabilities import CAPABILITIES, missing
from translator.llb.sources import image_need
from translator.platform import Platform
from translator.span import Position, SourceFile, Span
from translator.stage import (
    BindMount,
    CacheMount,
    Copy,
    GitSource,
    HttpSource,
    ImageOptions,
    ImageSource,
    Instance,
    LocalSource,
    Mkdir,
    Mount,
    NetworkMode,
    Origin,
    Remove,
    ResolveMode,
    Run,
    Scratch,
    SecretMount,
    SecurityMode,
    SetEnv,
    SetShell,
    SetUser,
    SetWorkdir,
    Sharing,
    Source,
    SshMount,
    Stage,
    StageRef,
    Step,
    Symlink,
    TmpfsMount,
    Write,
)


class LacksError(Exception):
    """A daemon lacks what a graph uses; ``needs`` names each capability and its place."""

    def __init__(self, needs: Sequence[Need]) -> None:
        self.needs = tuple(needs)
        super().__init__("; ".join(f"{each.span}: {_words(each)}" for each in needs))


@dataclass(frozen=True)
class Action:
    """A change of files, or a mount, in the making: a noun of ``translator.stage``.

    ``trees`` are the states that stand in it, in the order of their use.
    """

    noun: Step | Mount
    trees: tuple[State, ...] = ()


@dataclass(frozen=True)
class State:
    """A tree in the making, and how processes run in it. Every method gives a new one."""

    origin: Scratch | Source | State
    steps: tuple[Action, ...] = ()
    name: str = "build"
    image_options: ImageOptions | None = None
    resolved: ResolvedImage | None = field(default=None, repr=False)

    # --- steps ---------------------------------------------------------------------------------

    def run(  # noqa: PLR0913 - each is a property of the step, by name
        self,
        command: str | Sequence[str],
        *mounts: Action,
        env: Mapping[str, str] | None = None,
        workdir: str = "",
        user: str = "",
        network: NetworkMode | None = None,
        security: SecurityMode = "sandbox",
        hosts: Mapping[str, str] | None = None,
        hostname: str = "",
        cache: bool = True,
        name: str = "",
    ) -> State:
        """Execute a script through the shell, or a list of words as it stands."""
        script = command if isinstance(command, str) else None
        step = Run(
            script=script,
            argv=() if script is not None else tuple(command),
            env=_pairs(env),
            workdir=workdir,
            user=user,
            mounts=tuple(_mount(each) for each in mounts),
            network=network,
            security=security,
            hosts=_pairs(hosts),
            hostname=hostname,
            cache=cache,
            name=name,
            span=_here(),
        )
        return self._with(Action(step, tuple(tree for each in mounts for tree in each.trees)))

    def file(self, *actions: Action) -> State:
        """Change files: ``copy``, ``mkdir``, ``write``, ``remove`` and ``symlink``, in order."""
        return replace(self, steps=(*self.steps, *actions))

    def env(self, values: Mapping[str, str]) -> State:
        """Set environment variables of the steps that follow."""
        return self._with(Action(SetEnv(env=_pairs(values), span=_here())))

    def workdir(self, path: str) -> State:
        """Set the working folder of the steps that follow, and make it."""
        return self._with(Action(SetWorkdir(path=path, span=_here())))

    def user(self, user: str) -> State:
        """Set the user of the steps that follow."""
        return self._with(Action(SetUser(user=user, span=_here())))

    def shell(self, *words: str) -> State:
        """Set the shell of the scripts that follow."""
        return self._with(Action(SetShell(argv=words, span=_here())))

    def named(self, name: str) -> State:
        """Name the stage, which progress shows before its steps; what follows goes on from it."""
        return replace(self, name=name)

    def image(self, **options: Any) -> State:
        """Say what an image of it has: the fields of ``ImageOptions``, such as ``entrypoint``."""
        return replace(self, image_options=ImageOptions(span=_here(), **options))

    # --- to a definition -----------------------------------------------------------------------

    def compile(self, *, platform: str, caps: Container[str] | None = None) -> Compiled:
        """Compile it for a platform, and a daemon with these LLB capabilities (None: all).

        Raises InvalidFileError for what makes no sense, LacksError for what the daemon cannot do,
        and ValueError where one local source is used with different patterns.
        """
        linker = _Linker(Platform.parse(platform))
        root = linker.stage(self)
        instance = Instance(root=root, platform=linker.platform, stages=linker.stages)
        (compiled,) = compile_instances([instance], images=linker.images, caps=caps)
        renamed = {use.name for use in compiled.locals} - linker.locals
        if renamed:
            raise ValueError(f"a local source is used with different patterns: {min(renamed)}")
        if caps is not None and (lacking := missing(compiled.needs, caps)):
            raise LacksError(lacking)
        return compiled

    def marshal(self, *, platform: str, caps: Container[str] | None = None) -> bytes:
        """The serialised ``pb.Definition``; see ``compile``."""
        return self.compile(platform=platform, caps=caps).definition

    def _with(self, action: Action) -> State:
        return replace(self, steps=(*self.steps, action))


# --- where files come from -------------------------------------------------------------------


def scratch() -> State:
    """The empty tree."""
    return State(Scratch(span=_here()))


def image(
    ref: str,
    *,
    digest: str = "",
    config: bytes = b"",
    resolve: ResolveMode = "default",
    platform: str = "",
) -> State:
    """An image of a registry.

    ``digest`` pins it, and ``config`` (JSON, as ``Client.resolve_image`` gives both) is where its
    environment, user and working folder come from; without it they are unknown.
    """
    source = ImageSource(
        name=ref,
        ref=ref,
        resolve=resolve,
        platform=Platform.parse(platform) if platform else None,
        span=_here(),
    )
    resolved = ResolvedImage(digest=digest, config=config) if digest or config else None
    return State(source, resolved=resolved)


def local(
    name: str,
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    follow: Sequence[str] = (),
) -> State:
    """A folder that the build's session serves under ``name``."""
    return State(
        LocalSource(
            name=name,
            path="",
            include=tuple(include),
            exclude=tuple(exclude),
            follow=tuple(follow),
            ignore_file=False,
            span=_here(),
        )
    )


def git(url: str, ref: str = "", *, commit: str = "", subdir: str = "", **options: Any) -> State:
    """A git repository; ``options`` are the other fields of ``GitSource``."""
    return State(
        GitSource(name=url, url=url, ref=ref, commit=commit, subdir=subdir, span=_here(), **options)
    )


def http(url: str, *, checksum: str = "", filename: str = "", chmod: int | None = None) -> State:
    """One file that the daemon downloads."""
    return State(
        HttpSource(
            name=url, url=url, checksum=checksum, filename=filename, chmod=chmod, span=_here()
        )
    )


# --- changes of files ------------------------------------------------------------------------

_FIRST = StageRef("0")
"""Stands in a noun for the first of its action's trees."""


def copy(tree: State, *paths: str, to: str, **options: Any) -> Action:
    """Copy ``paths`` (all without any) of a tree; ``options`` are other fields of ``Copy``."""
    step = Copy(origin=_FIRST, paths=paths or (".",), to=to, span=_here(), **options)
    return Action(step, (tree,))


def mkdir(path: str, *, mode: int = 0o755, parents: bool = False, chown: str = "") -> Action:
    """Make a folder."""
    return Action(Mkdir(path=path, mode=mode, parents=parents, chown=chown, span=_here()))


def write(path: str, data: bytes | str, *, mode: int = 0o644, chown: str = "") -> Action:
    """Write a file."""
    content = data.encode() if isinstance(data, str) else data
    return Action(Write(path=path, data=content, mode=mode, chown=chown, span=_here()))


def remove(path: str, *, missing_ok: bool = False, wildcard: bool = False) -> Action:
    """Remove a file, or a folder with all in it."""
    return Action(Remove(path=path, missing_ok=missing_ok, wildcard=wildcard, span=_here()))


def symlink(target: str, path: str, *, chown: str = "") -> Action:
    """Make ``path`` a symbolic link to ``target``."""
    return Action(Symlink(target=target, path=path, chown=chown, span=_here()))


# --- mounts ----------------------------------------------------------------------------------


def bind(target: str, tree: State, source: str = "/", *, readwrite: bool = False) -> Action:
    """A folder of another tree; what is written to it is thrown away."""
    mount = BindMount(
        target=target, origin=_FIRST, source=source, readwrite=readwrite, span=_here()
    )
    return Action(mount, (tree,))


def cache(target: str, id: str = "", *, sharing: Sharing = "shared") -> Action:  # noqa: A002
    """A folder that the daemon keeps between builds."""
    return Action(CacheMount(target=target, id=id, sharing=sharing, span=_here()))


def tmpfs(target: str, size: int = 0) -> Action:
    """Memory as a folder; ``size`` in bytes."""
    return Action(TmpfsMount(target=target, size=size, span=_here()))


def secret(id: str, target: str = "", *, env: str = "", optional: bool = False) -> Action:  # noqa: A002
    """A secret of the session as a file, or as an environment variable."""
    return Action(SecretMount(id=id, target=target, env=env, optional=optional, span=_here()))


def ssh(id: str = "default", target: str = "", *, optional: bool = False) -> Action:  # noqa: A002
    """The session's SSH agent."""
    return Action(SshMount(id=id, target=target, optional=optional, span=_here()))


# --- to stages -------------------------------------------------------------------------------


class _Linker:
    """Gives each state a stage, after the stages that it uses; equal objects become one."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.stages: dict[StageRef, Stage] = {}
        self.images: dict[ImageNeed, ResolvedImage] = {}
        self.locals: set[str] = set()
        self._refs: dict[int, StageRef] = {}

    def stage(self, state: State) -> StageRef:
        """The stage of a state; those below it first, without recursion."""
        waiting = [state]
        while waiting:
            below = [each for each in _used(waiting[-1]) if not self._known(each)]
            if below:
                waiting += below
                continue
            self._add(waiting.pop())
        return self._refs[id(state)]

    def _known(self, state: State) -> bool:
        return id(state) in self._refs

    def _add(self, state: State) -> None:
        if self._known(state):
            return
        ref = StageRef(state.name, str(len(self.stages)))
        self._note(state)
        origin = state.origin
        self.stages[ref] = Stage(
            ref=ref,
            platform=self.platform,
            origin=self._refs[id(origin)] if isinstance(origin, State) else origin,
            steps=tuple(self._step(action) for action in state.steps),
            image=state.image_options,
            span=origin.span if not isinstance(origin, State) else _NOWHERE,
        )
        self._refs[id(state)] = ref

    def _note(self, state: State) -> None:
        if isinstance(state.origin, LocalSource):
            self.locals.add(state.origin.name)
        if isinstance(state.origin, ImageSource) and state.resolved:
            self.images[image_need(state.origin, self.platform)] = state.resolved

    def _step(self, action: Action) -> Step:
        trees = map(self._origin, action.trees)
        noun: Any = action.noun
        if isinstance(noun, Copy):
            return replace(noun, origin=next(trees))
        if isinstance(noun, Run):
            mounts = (
                replace(each, origin=next(trees)) if isinstance(each, BindMount) else each
                for each in noun.mounts
            )
            return replace(noun, mounts=tuple(mounts))
        step: Step = noun
        return step

    def _origin(self, state: State) -> Origin:
        """A source itself, so that only what is used of it is sent; else the stage."""
        if state.steps or isinstance(state.origin, State):
            return self._refs[id(state)]
        self._note(state)
        return state.origin


def _used(state: State) -> Iterator[State]:
    if isinstance(state.origin, State):
        yield state.origin
    for action in state.steps:
        for tree in action.trees:
            if tree.steps or isinstance(tree.origin, State):
                yield tree


def _mount(action: Action) -> Mount:
    if not isinstance(action.noun, BindMount | CacheMount | TmpfsMount | SecretMount | SshMount):
        raise TypeError("run takes mounts: bind, cache, tmpfs, secret and ssh")
    return action.noun


def _pairs(values: Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    return tuple((values or {}).items())


def _words(need: Need) -> str:
    row = CAPABILITIES.get(need.capability)
    return f"{need.what} needs BuildKit {row.since}" if row else f"{need.what} is not there"


def _place(module: str, line: int) -> Span:
    position = Position(line, 1)
    return Span(SourceFile(name=module, folder="", text=""), position, position)


_NOWHERE = _place("builder", 1)


def _here() -> Span:
    """The line outside of this module that is being run."""
    frame: FrameType | None = sys._getframe(1)
    while frame and frame.f_globals.get("__name__") == __name__:
        frame = frame.f_back
    return _place(frame.f_globals.get("__name__", "builder"), frame.f_lineno) if frame else _NOWHERE
