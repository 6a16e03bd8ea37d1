"""The nouns of a stage: sources, steps and mounts, with every value already interpolated.

The front half (``translator.project``) makes these from the build file; the back half
(``translator.llb.graph``) turns them into vertices. A reference to another stage is a ``StageRef``,
resolved through the ``Instance`` that both stand in, so that a chain of thousands of stages needs
no recursion. Text values are final; ``span`` is where the user wrote the thing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from translator.platform import Platform
from translator.selector import Selector
from translator.span import Span

ResolveMode = Literal["default", "pull", "local"]
NetworkMode = Literal["sandbox", "host", "none"]
SecurityMode = Literal["sandbox", "insecure"]
Sharing = Literal["shared", "private", "locked"]
Env: TypeAlias = tuple[tuple[str, str], ...]


# --- where files come from -------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Scratch:
    """The empty file system."""

    span: Span


@dataclass(frozen=True, kw_only=True)
class LocalSource:
    """A folder of the client. ``path`` is absolute; ``name`` is its name in the build file.

    Where the session is another's, ``served`` is what it calls a folder, and ``below`` the path of
    this one in it. Else it is served under a name of its own.
    """

    name: str
    path: str
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    follow: tuple[str, ...] = ()
    ignore_file: bool = True
    served: str = ""
    below: str = ""
    span: Span


@dataclass(frozen=True, kw_only=True)
class ImageSource:
    """An image of a registry. ``ref`` is as written; ``platform`` overrides the stage's."""

    name: str
    ref: str
    resolve: ResolveMode = "default"
    platform: Platform | None = None
    span: Span


@dataclass(frozen=True, kw_only=True)
class GitSource:
    """A git repository at ``ref``; ``commit`` is checked against what was fetched."""

    name: str
    url: str
    ref: str = ""
    commit: str = ""
    subdir: str = ""
    keep_git_dir: bool = False
    submodules: bool = True
    auth_token: str = ""
    auth_header: str = ""
    ssh: str = ""
    span: Span


@dataclass(frozen=True, kw_only=True)
class HttpSource:
    """One file downloaded by the daemon. ``chmod`` is a number such as 0o755."""

    name: str
    url: str
    checksum: str = ""
    filename: str = ""
    chmod: int | None = None
    uid: int | None = None
    gid: int | None = None
    span: Span


@dataclass(frozen=True, kw_only=True)
class OciLayoutSource:
    """An image in an OCI layout folder of the client. Exactly one of ``ref`` and ``digest``.

    ``store`` is the id of the layout in a session of another's, which needs no ``path``.
    """

    name: str
    path: str
    ref: str = ""
    digest: str = ""
    platform: Platform | None = None
    store: str = ""
    span: Span


@dataclass(frozen=True, kw_only=True)
class InlineSource:
    """Files written in the build file itself: (path, text) in the order of the file."""

    name: str
    files: tuple[tuple[str, str], ...]
    span: Span


Source: TypeAlias = (
    LocalSource | ImageSource | GitSource | HttpSource | OciLayoutSource | InlineSource
)


@dataclass(frozen=True, slots=True)
class StageRef:
    """Names one instance of a stage: ``variant`` tells apart what scope made different."""

    name: str
    variant: str = ""


Origin: TypeAlias = Scratch | Source | StageRef


# --- mounts ----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class BindMount:
    """A folder of another stage or source; what is written to it is thrown away."""

    target: str
    origin: Origin
    source: str = "/"
    readwrite: bool = False
    span: Span


@dataclass(frozen=True, kw_only=True)
class CacheMount:
    """A folder that outlives the build on the daemon. ``origin`` seeds it when it is new."""

    target: str
    id: str
    sharing: Sharing = "shared"
    origin: Origin | None = None
    source: str = "/"
    span: Span


@dataclass(frozen=True, kw_only=True)
class TmpfsMount:
    """Memory as a folder. ``size`` in bytes, 0 for the daemon's default."""

    target: str
    size: int = 0
    span: Span


@dataclass(frozen=True, kw_only=True)
class SecretMount:
    """A secret as a file (``target``) or as an environment variable (``env``), one of the two."""

    id: str
    target: str = ""
    env: str = ""
    mode: int = 0o400
    uid: int = 0
    gid: int = 0
    optional: bool = False
    span: Span


@dataclass(frozen=True, kw_only=True)
class SshMount:
    """The forwarded SSH agent ``id`` as a socket; empty ``target``: the daemon's usual place."""

    id: str = "default"
    target: str = ""
    mode: int = 0o600
    uid: int = 0
    gid: int = 0
    optional: bool = False
    span: Span


Mount: TypeAlias = BindMount | CacheMount | TmpfsMount | SecretMount | SshMount


# --- steps -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Ulimit:
    """One limit: ``nofile``, soft and hard value."""

    name: str
    soft: int
    hard: int


@dataclass(frozen=True, kw_only=True)
class Device:
    """A CDI device request."""

    name: str
    optional: bool = False


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Limits of one step, 0 or empty for none: bytes, shares, microseconds, and CPU lists."""

    memory: int = 0
    memory_swap: int = 0
    cpu_shares: int = 0
    cpu_period: int = 0
    cpu_quota: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""


@dataclass(frozen=True, kw_only=True)
class Run:
    """Execute ``script`` through the stage's shell, or ``argv`` as it stands (one of the two)."""

    script: str | None = None
    argv: tuple[str, ...] = ()
    env: Env = ()
    workdir: str = ""
    user: str = ""
    mounts: tuple[Mount, ...] = ()
    network: NetworkMode | None = None
    security: SecurityMode = "sandbox"
    hosts: tuple[tuple[str, str], ...] = ()
    hostname: str = ""
    ulimits: tuple[Ulimit, ...] = ()
    valid_exit_codes: tuple[int, ...] = ()
    cache: bool = True
    name: str = ""
    resources: Resources | None = None
    devices: tuple[Device, ...] = ()
    span: Span


@dataclass(frozen=True, kw_only=True)
class Copy:
    """Copy from another stage or source.

    ``chown`` is ``user[:group]`` as written. ``chmod`` is octal or symbolic text as written.
    ``to`` may end in a slash (a folder) and is relative to the stage's workdir when not absolute.
    """

    origin: Origin
    paths: tuple[str, ...] = (".",)
    to: str
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    chown: str = ""
    chmod: str = ""
    unpack: bool = False
    follow_symlinks: bool = False
    contents: bool = True
    required: tuple[str, ...] = ()
    name: str = ""
    span: Span


@dataclass(frozen=True, kw_only=True)
class Mkdir:
    """Make a folder, with its parents when ``parents``."""

    path: str
    mode: int = 0o755
    parents: bool = False
    chown: str = ""
    span: Span


@dataclass(frozen=True, kw_only=True)
class Write:
    """Write a file with ``data``."""

    path: str
    data: bytes
    mode: int = 0o644
    chown: str = ""
    span: Span


@dataclass(frozen=True, kw_only=True)
class Remove:
    """Remove a file or a folder with all in it."""

    path: str
    missing_ok: bool = False
    wildcard: bool = False
    span: Span


@dataclass(frozen=True, kw_only=True)
class Symlink:
    """Make ``path`` a symbolic link to ``target``."""

    target: str
    path: str
    chown: str = ""
    span: Span


@dataclass(frozen=True, kw_only=True)
class SetEnv:
    """Change the environment of the steps below."""

    env: Env
    span: Span


@dataclass(frozen=True, kw_only=True)
class SetWorkdir:
    """Change the working folder of the steps below."""

    path: str
    span: Span


@dataclass(frozen=True, kw_only=True)
class SetUser:
    """Change the user of the steps below."""

    user: str
    span: Span


@dataclass(frozen=True, kw_only=True)
class SetShell:
    """Change the shell of the script steps below."""

    argv: tuple[str, ...]
    span: Span


Step: TypeAlias = (
    Run | Copy | Mkdir | Write | Remove | Symlink | SetEnv | SetWorkdir | SetUser | SetShell
)


# --- stages ----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Merge:
    """Trees laid over one another: of what several have, the last one's stays."""

    inputs: tuple[Origin, ...]
    span: Span


@dataclass(frozen=True, kw_only=True)
class Diff:
    """What ``upper`` changes over ``lower``."""

    lower: Origin
    upper: Origin
    span: Span


@dataclass(frozen=True, kw_only=True)
class Dockerfile:
    """What the daemon's Dockerfile frontend makes of a Dockerfile.

    It is the file ``file`` of ``place`` (None: of the context), or, where that is not '', the text
    ``inline``. ``contexts`` stand in for names in it. Of the project's secrets and agents, its
    steps may ask for ``secrets`` and ``ssh`` alone, and ``entitlements`` is all they may do beyond
    the usual. ``resolve`` is for the images that it names.
    """

    context: Origin
    file: str = "Dockerfile"
    place: Origin | None = None
    inline: str = ""
    target: str = ""
    args: Env = ()
    contexts: tuple[tuple[str, Origin], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    network: NetworkMode | None = None
    no_cache: bool = False
    secrets: tuple[str, ...] = ()
    ssh: tuple[str, ...] = ()
    entitlements: tuple[str, ...] = ()
    resolve: ResolveMode = "default"
    span: Span

    @property
    def origins(self) -> tuple[Origin, ...]:
        """All that it is made from."""
        place = () if self.place is None else (self.place,)
        return (self.context, *place, *(origin for _, origin in self.contexts))


@dataclass(frozen=True, kw_only=True)
class Frontend:
    """What a frontend in the image ``image`` makes of ``inputs``, which it knows by name.

    The rest is as for ``Dockerfile``.
    """

    image: str
    opts: tuple[tuple[str, str], ...] = ()
    inputs: tuple[tuple[str, Origin], ...] = ()
    secrets: tuple[str, ...] = ()
    ssh: tuple[str, ...] = ()
    entitlements: tuple[str, ...] = ()
    resolve: ResolveMode = "default"
    span: Span

    @property
    def origins(self) -> tuple[Origin, ...]:
        """All that it is made from."""
        return tuple(origin for _, origin in self.inputs)


@dataclass(frozen=True, kw_only=True)
class Healthcheck:
    """An image's health check; times in nanoseconds, 0 for the engine's default."""

    test: tuple[str, ...]
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


@dataclass(frozen=True, kw_only=True)
class ImageOptions:
    """What a stage's ``image`` says; None (or empty) keeps what ``from`` had.

    An empty tuple for ``entrypoint`` or ``cmd`` that is not None clears it, as in a Dockerfile.
    """

    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    env: Env = ()
    workdir: str | None = None
    user: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    expose: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    stop_signal: str | None = None
    healthcheck: Healthcheck | None = None
    shell: tuple[str, ...] | None = None
    author: str | None = None
    span: Span


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage for one platform. ``workdir``, ``env``... are the defaults of its steps.

    A stage that merges or compares others has neither, nor has one that a frontend makes.
    ``worker`` says where it is built. ``config`` is the JSON of the image config that it begins
    with, empty for that of its origin.
    """

    ref: StageRef
    platform: Platform
    origin: Origin | Merge | Diff | Dockerfile | Frontend
    steps: tuple[Step, ...] = ()
    workdir: str = ""
    env: Env = ()
    user: str = ""
    shell: tuple[str, ...] = ()
    network: NetworkMode = "sandbox"
    worker: Selector | None = None
    image: ImageOptions | None = None
    config: bytes = b""
    span: Span

    @property
    def bases(self) -> tuple[Origin, ...]:
        """All that it begins with. The platform is that of the first, and so is the config.

        But what a frontend makes has a config of its own.
        """
        if isinstance(self.origin, Merge):
            inputs = self.origin.inputs
            return tuple(sorted(inputs, key=lambda each: isinstance(each, Scratch)))
        if isinstance(self.origin, Diff):
            return self.origin.upper, self.origin.lower
        if isinstance(self.origin, Dockerfile | Frontend):
            return self.origin.origins
        return (self.origin,)


@dataclass(frozen=True, kw_only=True)
class Instance:
    """A target's stages for one platform: every stage after all that it uses, the root last.

    ``worker`` is the target's selector, which counts for the stages that have none.
    """

    root: StageRef
    platform: Platform
    stages: Mapping[StageRef, Stage]
    worker: Selector | None = None

    def selector(self, stage: Stage) -> Selector | None:
        """What decides where a stage of it is built."""
        return stage.worker or self.worker
