"""File operations as processes that run the helper (``translator.helper``).

One operation, or a chain of them (``translator.llb.chains``), becomes one process with an empty
root of its own: the tree to change is mounted at ``/dest``, those to copy from at ``/src``,
``/src1`` and so on, the helper beside them. What is to be done stands in
the arguments, and data to write in variables of the environment, which daemons print nowhere.
The helper is no root, for v0.3 looks for no result by what is in a root, and local sources are new
in every session (solver/llbsolver/ops/exec.go).
"""

from __future__ import annotations

import base64
import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from translator.compiled import JoinedStep
from translator.llb.graph import (
    NONE,
    CopyFiles,
    Detour,
    Edge,
    ExecOp,
    FileChange,
    FileOp,
    GraphBuilder,
    Inputs,
    MakeDir,
    MakeFile,
    MakeSymlink,
    Owner,
    RemovePath,
    SourceOp,
    Tree,
    TreeMount,
    Use,
    Vertex,
)
from translator.llb.locals import Parts
from translator.llb.paths import WILDCARD
from translator.llb.sources import LOCAL, SESSION, part_of_local
from translator.platform import Platform

HOW = "by a helper program that this tool sends"

_PLACE = "/helper"
DEST, _SRC = "/dest", "/src"
# One text is at most 128 KiB, and all together at most 2 MiB (Linux, execve).
_PIECE = 72 << 10
_LARGEST = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Help:
    """A helper that is there: its vertex, its file's name, and where it runs."""

    source: Edge
    file: str
    platform: Platform

    @property
    def folder(self) -> str:
        """Where the helper is mounted in the processes that run it."""
        return _PLACE

    @property
    def command(self) -> str:
        """The path of the helper there."""
        return f"{_PLACE}/{self.file}"


def helped(
    chain: Sequence[Vertex], builder: GraphBuilder, help_: Help, detours: Sequence[Detour]
) -> Edge:
    """Put processes behind all vertices that do what ``chain`` does; give what they make.

    Each file operation of the chain goes on from the one before. The inputs of all are those of
    the new graph, but for that one. ``detours`` tell what is done.
    """
    first = chain[0]
    base = _input(first, _op(first).base)
    tasks = [task for number, each in enumerate(chain, 1) for task in _tasks(each, number, builder)]
    origins = tuple(dict.fromkeys(task.origin for task in tasks if task.origin))
    places = {each: f"{_SRC}{number or ''}" for number, each in enumerate(origins)}
    batches = list(_batches(tasks, places, several=len(chain) > 1))
    joined = tuple(JoinedStep(name=each.name, spans=(each.span,)) for each in chain)
    for number, batch in enumerate(batches, 1):
        inputs = Inputs()
        mounts = [
            TreeMount(target=DEST, input=inputs.position(base), output=0, hashed=False),
            TreeMount(target="/", output=1),
            TreeMount(target=help_.folder, input=inputs.position(help_.source), readonly=True),
        ]
        for origin in batch.origins:
            mounts.append(
                TreeMount(
                    target=places[origin],
                    input=inputs.position(origin.tree),
                    selector=origin.selector,
                    readonly=True,
                )
            )
        of_several = f" ({number}/{len(batches)})" if len(batches) > 1 else ""
        base = builder.add(
            replace(
                first,
                payload=ExecOp(
                    args=(help_.command, "file", *batch.words),
                    env=batch.env,
                    cwd="/",
                    mounts=tuple(mounts),
                    network="none",
                ),
                inputs=inputs.edges(),
                platform=help_.platform,
                name=_name(chain) + of_several,
                uses=_uses(chain, batch),
                detours=(*(told for each in chain for told in each.detours), *detours),
                ignore_cache=any(each.ignore_cache for each in chain),
                joined=joined if len(chain) > 1 else (),
            )
        )
    assert base is not None  # noqa: S101 -- an operation has at least one change
    return base


def _op(vertex: Vertex) -> FileOp:
    assert isinstance(vertex.payload, FileOp)  # noqa: S101 -- for the type checker
    return vertex.payload


def _input(vertex: Vertex, position: int) -> Tree:
    return vertex.inputs[position] if position != NONE else None


def _name(chain: Sequence[Vertex]) -> str:
    more = f" and {len(chain) - 1} more" if len(chain) > 1 else ""
    return chain[0].name + more


def _uses(chain: Sequence[Vertex], batch: _Batch) -> tuple[Use, ...]:
    features = ["exec.meta.base", "exec.meta.network", "exec.mount.bind"]
    features += ["exec.mount.selector"] * any(origin.selector for origin in batch.origins)
    others = (use for each in chain for use in each.uses if not use.feature.startswith("file."))
    return (*(Use(feature, chain[0].span) for feature in features), *others)


# --- what is to be done ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Origin:
    """What files are copied out of: a tree, or a folder of it."""

    tree: Tree
    selector: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Task:
    """A change, for a copy with its origin, in the step of this number."""

    change: FileChange
    origin: _Origin | None
    step: int


def _tasks(vertex: Vertex, step: int, builder: GraphBuilder) -> Iterator[_Task]:
    op = _op(vertex)
    changes, selector = _from_selector(op.changes)
    tree = _origin(vertex.inputs[op.origin], op, builder) if op.origin != NONE else None
    origin = _Origin(tree, selector)
    for change in changes:
        copies = isinstance(change, CopyFiles)
        yield _Task(change=change, origin=origin if copies else None, step=step)


# --- what of the origin is looked at ---------------------------------------------------------


def _origin(edge: Edge, op: FileOp, builder: GraphBuilder) -> Edge:
    """The tree that files are copied from: of a local source only what is copied.

    File operations look for results by what they copy, processes by all that is there
    (solver/llbsolver/ops, all releases).
    """
    vertex = builder.at(edge)
    source = vertex.payload
    if not isinstance(source, SourceOp) or not source.identifier.startswith(LOCAL):
        return edge
    if SESSION in dict(source.attrs):
        return edge  # nobody but its own patterns keeps what it excludes from being sent
    parts = Parts()
    for change in op.changes:
        if isinstance(change, CopyFiles):
            parts.note((change.source,), change.include)
    return edge if parts.all else builder.add(part_of_local(vertex, *parts.selection()))


def _from_selector(changes: tuple[FileChange, ...]) -> tuple[tuple[FileChange, ...], str]:
    """Mount no more of the origin than the folder that all copies are from.

    Daemons look for results by the whole of what is mounted. Links that are followed may lead
    anywhere, so with them it is the whole origin.
    """
    copies = [each for each in changes if isinstance(each, CopyFiles)]
    if not copies or any(each.follow_symlinks or each.unpack for each in copies):
        return changes, ""
    folder = posixpath.commonpath([_literal_folder(each.source) for each in copies])
    if folder == "/":
        return changes, ""
    return tuple(_moved(each, folder) for each in changes), folder


def _literal_folder(path: str) -> str:
    folder = posixpath.dirname(path)
    while WILDCARD.search(folder):
        folder = posixpath.dirname(folder)
    return folder


def _moved(change: FileChange, folder: str) -> FileChange:
    if not isinstance(change, CopyFiles):
        return change
    required = tuple(path.removeprefix(folder) or "/" for path in change.required)
    return replace(change, source=change.source.removeprefix(folder), required=required)


# --- changes as words ------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class _Batch:
    """What one process does: its arguments, its environment, and what it copies out of.

    ``step`` is the last one that it has a part of, and ``size`` what the words and the environment
    take, in bytes (about).
    """

    words: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    origins: tuple[_Origin, ...] = ()
    step: int = 0
    size: int = 0


def _batches(
    tasks: Iterable[_Task], places: Mapping[_Origin, str], *, several: bool
) -> Iterator[_Batch]:
    """``several``: say with which step something begins."""
    batch = _Batch()
    for task in tasks:
        for part in _parts(task.change):
            more = _with(batch, task, part, places, several=several)
            if batch.words and more.size > _LARGEST:
                yield batch
                more = _with(_Batch(), task, part, places, several=several)
            batch = more
    yield batch


def _with(
    batch: _Batch,
    task: _Task,
    part: FileChange | _Append,
    places: Mapping[_Origin, str],
    *,
    several: bool,
) -> _Batch:
    words, env = _words(part, len(batch.env))
    if task.origin and places[task.origin] != _SRC:
        words = (words[0], f"--from={places[task.origin]}", *words[1:])
    if several and task.step != batch.step:
        words = ("step", str(task.step), *words)
    origins = (task.origin,) if task.origin else ()
    return _Batch(
        words=(*batch.words, *words),
        env=(*batch.env, *env),
        origins=tuple(dict.fromkeys((*batch.origins, *origins))),
        step=task.step,
        size=batch.size + sum(len(text.encode()) + 9 for text in (*words, *env)),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Append:
    """More of a file that was written."""

    path: str
    data: bytes


def _parts(change: FileChange) -> Iterator[FileChange | _Append]:
    """A change, cut where it is too much for one process."""
    if not isinstance(change, MakeFile) or len(change.data) <= _LARGEST // 2:
        yield change
        return
    size = _LARGEST // 2 // _PIECE * _PIECE
    yield replace(change, data=change.data[:size])
    for start in range(size, len(change.data), size):
        yield _Append(path=change.path, data=change.data[start : start + size])


def _words(change: FileChange | _Append, variables: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A change as arguments, and as variables, which begin with the given number."""
    return _WORDS[type(change)](change, variables)


def _copy(change: CopyFiles, variables: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    flags = {
        "follow": change.follow_symlinks,
        "contents": change.contents,
        "unpack": change.unpack,
    }
    words = (
        "copy",
        *(f"--{name}" for name, given in flags.items() if given),
        *_mode_words(change.mode),
        *_owner_words(change.owner),
        *(f"--include={pattern}" for pattern in _patterns(change.include)),
        *(f"--exclude={pattern}" for pattern in _patterns(change.exclude)),
        *(f"--required={path}" for path in change.required),
        change.source,
        change.target,
    )
    return words, ()


def _mkdir(change: MakeDir, variables: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    parents = ("--parents",) * change.parents
    options = (*parents, *_mode_words(change.mode), *_owner_words(change.owner))
    return ("mkdir", *options, change.path), ()


def _write(change: MakeFile, variables: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    pieces, env = _data(change.data, variables)
    options = (*_mode_words(change.mode), *_owner_words(change.owner), *pieces)
    return ("write", *options, change.path), env


def _append(change: _Append, variables: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    pieces, env = _data(change.data, variables)
    return ("write", "--append", *pieces, change.path), env


def _remove(change: RemovePath, variables: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    flags = {"missing-ok": change.missing_ok, "wildcard": change.wildcard}
    return ("remove", *(f"--{name}" for name, given in flags.items() if given), change.path), ()


def _symlink(change: MakeSymlink, variables: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return ("symlink", f"--to={change.target}", *_owner_words(change.owner), change.path), ()


_WORDS: Mapping[type, Callable[[Any, int], tuple[tuple[str, ...], tuple[str, ...]]]] = {
    CopyFiles: _copy,
    MakeDir: _mkdir,
    MakeFile: _write,
    _Append: _append,
    RemovePath: _remove,
    MakeSymlink: _symlink,
}


def _mode_words(mode: int | str | None) -> tuple[str, ...]:
    if mode is None:
        return ()
    return (f"--change-mode={mode}",) if isinstance(mode, str) else (f"--mode={mode:o}",)


def _owner_words(owner: Owner | None) -> tuple[str, ...]:
    if owner is None:
        return ()
    user, group = ("" if who is None else str(who) for who in (owner.user, owner.group))
    return (f"--owner={user}:{group}",)


def _patterns(patterns: Sequence[str]) -> Iterator[str]:
    """Patterns as BuildKit cleans them (moby/patternmatcher)."""
    for pattern in map(str.strip, patterns):
        if pattern:
            yield posixpath.normpath(pattern).replace("//", "/")


def _data(data: bytes, variables: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    pieces = [data[at : at + _PIECE] for at in range(0, len(data), _PIECE)]
    names = [f"D{number}" for number in range(variables, variables + len(pieces))]
    texts = (base64.b64encode(piece).decode() for piece in pieces)
    return (
        tuple(f"--data={name}" for name in names),
        tuple(f"{name}={text}" for name, text in zip(names, texts, strict=True)),
    )
