"""Vertices and edges: LLB as immutable values, before any bytes.

A graph lists its vertices in an order in which each stands after all that it uses, and edges are
positions in that list. So no walk needs recursion, and no vertex needs hashing: that equal ones
become one is the work of their digests (``translator.llb.marshal``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from translator.compiled import JoinedStep
from translator.platform import Platform
from translator.span import Span
from translator.stage import Device, NetworkMode, Resources, SecurityMode, Sharing, Ulimit

NONE = -1
"""In place of an index of an input or an output: there is none (an empty tree, no result)."""


@dataclass(frozen=True, slots=True)
class Edge:
    """One output of a vertex. ``vertex`` is its position in the graph."""

    vertex: int
    output: int = 0


Tree: TypeAlias = Edge | None
"""A file system: an output of a vertex, or None for the empty one."""


# --- sources ---------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceOp:
    """Something from outside of the graph. ``attrs`` are the daemon's names with text values."""

    identifier: str
    attrs: tuple[tuple[str, str], ...] = ()


# --- processes -------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class TreeMount:
    """A tree in the process's file system. ``input`` counts the vertex's inputs.

    ``output`` is the vertex's output that the mount becomes, or NONE. Where ``hashed`` is false,
    daemons do not look for results by what is in the tree (v0.13 and later would).
    """

    target: str
    input: int = NONE
    selector: str = ""
    output: int = NONE
    readonly: bool = False
    hashed: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheDir:
    """A folder that the daemon keeps between builds, seeded from ``input``."""

    target: str
    id: str
    sharing: Sharing = "shared"
    input: int = NONE
    selector: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryDir:
    """A tmpfs of ``size`` bytes, 0 for no limit."""

    target: str
    size: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionFile:
    """A secret's file or an agent's socket, served by the client's session."""

    kind: Literal["secret", "ssh"]
    target: str
    id: str
    mode: int
    uid: int = 0
    gid: int = 0
    optional: bool = False


ExecMount: TypeAlias = TreeMount | CacheDir | MemoryDir | SessionFile


@dataclass(frozen=True, kw_only=True, slots=True)
class SecretEnv:
    """A secret as an environment variable."""

    id: str
    name: str
    optional: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ExecOp:
    """A process. ``env`` holds ``NAME=value``.

    Daemons count outputs in the order of ``mounts``.
    """

    args: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str
    user: str = ""
    mounts: tuple[ExecMount, ...]
    secret_env: tuple[SecretEnv, ...] = ()
    network: NetworkMode = "sandbox"
    security: SecurityMode = "sandbox"
    hosts: tuple[tuple[str, str], ...] = ()
    hostname: str = ""
    ulimits: tuple[Ulimit, ...] = ()
    valid_exit_codes: tuple[int, ...] = ()
    devices: tuple[Device, ...] = ()


# --- changes to trees ------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Owner:
    """A new owner: names or numbers; None leaves the daemon's default.

    Names are looked up in the tree at ``input`` of the vertex.
    """

    user: str | int | None
    group: str | int | None = None
    input: int = NONE


@dataclass(frozen=True, kw_only=True, slots=True)
class CopyFiles:
    """Copy ``source`` of the second tree to ``target`` of the first.

    ``mode`` is a number, the text of a symbolic change, or None to keep what the source has.
    """

    source: str
    target: str
    owner: Owner | None = None
    mode: int | str | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    follow_symlinks: bool = False
    contents: bool = True
    unpack: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class MakeFile:
    """Write a file."""

    path: str
    mode: int
    data: bytes
    owner: Owner | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class MakeDir:
    """Make a folder."""

    path: str
    mode: int
    parents: bool = False
    owner: Owner | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RemovePath:
    """Remove a file or a folder."""

    path: str
    missing_ok: bool = False
    wildcard: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class MakeSymlink:
    """Make ``path`` a link to ``target``."""

    target: str
    path: str
    owner: Owner | None = None


FileChange: TypeAlias = CopyFiles | MakeFile | MakeDir | RemovePath | MakeSymlink


@dataclass(frozen=True, kw_only=True, slots=True)
class FileOp:
    """Changes to one tree, one after the other; the last one's tree is the output.

    ``base`` is the input that the first change applies to, ``origin`` the one that files are
    copied from.
    """

    changes: tuple[FileChange, ...]
    base: int = NONE
    origin: int = NONE


# --- whole trees -----------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class MergeOp:
    """The vertex's inputs laid over one another: all of them in their order, two at least."""

    inputs: int


@dataclass(frozen=True, kw_only=True, slots=True)
class DiffOp:
    """What the input ``upper`` changes over the input ``lower``; either may be NONE."""

    lower: int
    upper: int


# --- what frontends write --------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class ForeignOp:
    """An operation of a frontend's graph, as the frontend wrote it.

    ``head`` is a serialised ``pb.Op`` with neither inputs nor body, ``body`` one with nothing but
    its body, ``metadata`` its ``pb.OpMetadata``. What else is told of it: ``grown`` has, for each
    output that was an input before it was changed, both positions; ``adds`` is whether nothing of
    that input can be missing; ``sealed``, whether the output has layers that only the daemon sees.
    ``local`` is the client's folder that it reads; the others are what it asks of the session.
    """

    head: bytes = b""
    body: bytes = b""
    metadata: bytes = b""
    grown: tuple[tuple[int, int], ...] = ()
    adds: bool = False
    sealed: bool = False
    local: str = ""
    secrets: tuple[str, ...] = ()
    ssh: tuple[str, ...] = ()
    entitlements: tuple[str, ...] = ()


Payload: TypeAlias = SourceOp | ExecOp | FileOp | MergeOp | DiffOp | ForeignOp


# --- the graph -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Use:
    """A feature in use: a row of ``translator.llb.capabilities``, and who asked for it.

    ``note`` says why a daemon without it cannot be helped, where that is not plain.
    """

    feature: str
    span: Span
    note: str = ""


@dataclass(frozen=True, slots=True)
class Detour:
    """A feature that the daemon lacks, and what is done in its place."""

    feature: str
    how: str
    span: Span


@dataclass(frozen=True, kw_only=True, slots=True)
class Vertex:
    """One operation.

    ``inputs`` are distinct. ``platform`` is None where the operation is the same on all.
    ``constraints`` are worker filters. What follows them is not part of the digest: ``name`` is
    for progress, ``uses`` leads to the capabilities that the daemon must have, and ``detours``
    are those that it no longer has to. ``joined`` are the steps that it does, where several.
    """

    payload: Payload
    inputs: tuple[Edge, ...] = ()
    platform: Platform | None = None
    constraints: tuple[str, ...] = ()
    name: str
    uses: tuple[Use, ...]
    detours: tuple[Detour, ...] = ()
    ignore_cache: bool = False
    resources: Resources | None = None
    joined: tuple[JoinedStep, ...] = ()
    span: Span


@dataclass(frozen=True, kw_only=True, slots=True)
class Graph:
    """Vertices, each after all that it uses, and the result of each instance."""

    vertices: tuple[Vertex, ...]
    roots: tuple[Tree, ...]


class GraphBuilder:
    """A graph in the making."""

    def __init__(self) -> None:
        self._vertices: list[Vertex] = []

    def add(self, vertex: Vertex) -> Edge:
        """Put ``vertex`` behind all others and give its first output."""
        self._vertices.append(vertex)
        return Edge(len(self._vertices) - 1)

    def at(self, edge: Edge) -> Vertex:
        """The vertex that an edge leads to."""
        return self._vertices[edge.vertex]

    def build(self, roots: tuple[Tree, ...]) -> Graph:
        """The graph with these results."""
        return Graph(vertices=tuple(self._vertices), roots=roots)


class Inputs:
    """The inputs of a vertex in the making: each edge once, in the order of first use."""

    def __init__(self) -> None:
        self._positions: dict[Edge, int] = {}

    def position(self, tree: Tree) -> int:
        """Where ``tree`` stands among the inputs, added when it is new; NONE when empty."""
        return NONE if tree is None else self._positions.setdefault(tree, len(self._positions))

    def edges(self) -> tuple[Edge, ...]:
        """All inputs."""
        return tuple(self._positions)
