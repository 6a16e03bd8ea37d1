"""File operations as processes that run the helper (``translator.helper``).

One operation becomes one process with an empty root of its own: the tree to change is mounted at
``/dest``, the one to copy from at ``/src``, the helper beside them. What is to be done stands in
the arguments, and data to write in variables of the environment, which daemons print nowhere.
The helper is no root, for v0.3 looks for no result by what is in a root, and local sources are new
in every session (solver/llbsolver/ops/exec.go).
"""

from __future__ import annotations

import base64
import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from translator.llb.graph import (
    NONE,
    CopyFiles,
    Detour,
    Edge,
    ExecMount,
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
    TreeMount,
    Use,
    Vertex,
)
from translator.llb.locals import Parts
from translator.llb.paths import WILDCARD
from translator.llb.sources import LOCAL, part_of_local
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
    vertex: Vertex, op: FileOp, builder: GraphBuilder, help_: Help, lacking: Sequence[str]
) -> Edge:
    """Put processes behind all vertices that do what ``vertex`` does; give what they make.

    Its inputs are those of the new graph. ``lacking`` are the features that the daemon has not.
    """
    base = vertex.inputs[op.base] if op.base != NONE else None
    origin = _origin(vertex.inputs[op.origin], op, builder) if op.origin != NONE else None
    changes, selector = _from_selector(op.changes)
    batches = list(_batches(changes))
    for number, batch in enumerate(batches, 1):
        inputs = Inputs()
        mounts: list[ExecMount] = [
            TreeMount(target=DEST, input=inputs.position(base), output=0, hashed=False),
            TreeMount(target="/", output=1),
            TreeMount(target=help_.folder, input=inputs.position(help_.source), readonly=True),
        ]
        if any(isinstance(each, CopyFiles) for each in batch.changes):
            position = inputs.position(origin)
            mounts.append(TreeMount(target=_SRC, input=position, selector=selector, readonly=True))
        of_several = f" ({number}/{len(batches)})" if len(batches) > 1 else ""
        base = builder.add(
            replace(
                vertex,
                payload=ExecOp(
                    args=(help_.command, "file", *batch.words),
                    env=batch.env,
                    cwd="/",
                    mounts=tuple(mounts),
                    network="none",
                ),
                inputs=inputs.edges(),
                platform=help_.platform,
                name=vertex.name + of_several,
                uses=_uses(vertex, selector),
                detours=vertex.detours
                + tuple(Detour(feature, HOW, vertex.span) for feature in lacking),
            )
        )
    assert base is not None  # noqa: S101 -- an operation has at least one change
    return base


def _uses(vertex: Vertex, selector: str) -> tuple[Use, ...]:
    others = [use for use in vertex.uses if not use.feature.startswith("file.")]
    features = ["exec.meta.base", "exec.meta.network", "exec.mount.bind"]
    features += ["exec.mount.selector"] * bool(selector)
    return (*(Use(feature, vertex.span) for feature in features), *others)


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
    """Changes that one process does: its arguments and its environment."""

    changes: tuple[FileChange, ...] = ()
    words: tuple[str, ...] = ()
    env: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """What the arguments and the environment take, in bytes (about)."""
        return sum(len(text.encode()) + 9 for text in (*self.words, *self.env))


def _batches(changes: Sequence[FileChange]) -> Iterator[_Batch]:
    batch, size = _Batch(), 0
    for change in changes:
        for part in _parts(change):
            words, env = _words(part, len(batch.env))
            more = _Batch(changes=(change,), words=words, env=env)
            if batch.words and size + more.size > _LARGEST:
                yield batch
                words, env = _words(part, 0)
                batch, size = _Batch(changes=(change,), words=words, env=env), more.size
                continue
            batch = _Batch(
                changes=(*batch.changes, change),
                words=(*batch.words, *words),
                env=(*batch.env, *env),
            )
            size += more.size
    yield batch


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
