"""Steps that change files, as vertices: one FileOp for each step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from translator.diagnostic import InvalidFileError
from translator.llb import back_faults as faults
from translator.llb import paths
from translator.llb.graph import (
    CopyFiles,
    FileChange,
    FileOp,
    Inputs,
    MakeDir,
    MakeFile,
    MakeSymlink,
    RemovePath,
    Tree,
    Use,
    Vertex,
)
from translator.llb.owner import parse_mode, parse_owner
from translator.llb.sources import http_filename
from translator.span import Span
from translator.stage import Copy, HttpSource, Mkdir, Remove, Symlink, Write

_WHOLE = (".",)
_EVERYTHING = ("**",)


def copy_vertex(step: Copy, base: Tree, origin: Tree, workdir: str, name: str) -> Vertex:
    """A copy from ``origin`` into ``base``. Raises InvalidFileError for what cannot be meant."""
    inputs = Inputs()
    base_input = inputs.position(base)
    target = paths.destination(workdir, step.to)
    if len(step.paths) > 1 and not paths.is_folder(target):
        raise InvalidFileError([faults.file_in_place_of_folder(step.to, step.span)])
    common = CopyFiles(
        source="/",
        target=target,
        owner=parse_owner(step.chown, base_input, step.span),
        mode=parse_mode(step.chmod, step.span),
        include=step.include or _EVERYTHING * bool(step.required),
        exclude=step.exclude,
        follow_symlinks=step.follow_symlinks,
        contents=step.contents,
        unpack=step.unpack,
    )
    payload = FileOp(
        changes=tuple(
            replace(common, source=path, required=required)
            for path, required in _required(step, _sources(step)).items()
        ),
        base=base_input,
        origin=inputs.position(origin),
    )
    return Vertex(
        payload=payload,
        inputs=inputs.edges(),
        name=name,
        uses=_copy_uses(step, common),
        span=step.span,
    )


def _sources(step: Copy) -> tuple[str, ...]:
    # All of a download is one file, and that file is what the user means.
    if isinstance(step.origin, HttpSource) and step.paths == _WHOLE:
        return ("/" + http_filename(step.origin),)
    return tuple(paths.absolute("/", path) for path in step.paths)


def _required(step: Copy, sources: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Which required paths lie under which source; those of a pattern cannot be told apart.

    Daemons compare them with whole paths of the origin, and only where there are patterns
    (cache/contenthash/checksum.go, v0.26): so ``_EVERYTHING`` is included where nothing else is.
    """
    wanted = [paths.absolute("/", path) for path in step.required]
    under = {
        source: tuple(path for path in wanted if len(sources) == 1 or _lies_under(path, source))
        for source in sources
    }
    known = {path for group in under.values() for path in group}
    if strange := [path for path in wanted if path not in known]:
        raise InvalidFileError([faults.required_elsewhere(strange[0], step.span)])
    return under


def _lies_under(path: str, source: str) -> bool:
    return f"{path}/".startswith(f"{source.rstrip('/')}/")


def _copy_uses(step: Copy, change: CopyFiles) -> tuple[Use, ...]:
    features = (
        ("file.base", True),
        ("file.copy.includeexcludepatterns", bool(change.include or change.exclude)),
        ("file.copy.requiredpaths", bool(step.required)),
        ("file.copy.mode", isinstance(change.mode, str)),
    )
    return tuple(Use(feature, step.span) for feature, used in features if used)


# --- the steps that change one path ----------------------------------------------------------


def make_dir(step: Mkdir, base: int, workdir: str) -> tuple[FileChange, str]:
    """A folder, and the further feature that it needs."""
    owner = parse_owner(step.chown, base, step.span)
    path = paths.absolute(workdir, step.path)
    _check_mode(step)
    return MakeDir(path=path, mode=step.mode, parents=step.parents, owner=owner), ""


def write_file(step: Write, base: int, workdir: str) -> tuple[FileChange, str]:
    """A file, and the further feature that it needs."""
    owner = parse_owner(step.chown, base, step.span)
    path = paths.absolute(workdir, step.path)
    _check_mode(step)
    return MakeFile(path=path, mode=step.mode, data=step.data, owner=owner), ""


def _check_mode(step: Mkdir | Write) -> None:
    """Refuse what every daemon drops unsaid (solver/llbsolver/file/backend.go keeps 0777)."""
    if step.mode & ~0o777:
        raise InvalidFileError([faults.special_mode(step.mode, step.path, step.span)])


def remove_path(step: Remove, base: int, workdir: str) -> tuple[FileChange, str]:
    """A removal, and the further feature that it needs, which came after that of wildcards."""
    path = paths.absolute(workdir, step.path)
    change = RemovePath(path=path, missing_ok=step.missing_ok, wildcard=step.wildcard)
    return change, "file.rm.nofollowsymlink"


def make_symlink(step: Symlink, base: int, workdir: str) -> tuple[FileChange, str]:
    """A link, and the further feature that it needs."""
    owner = parse_owner(step.chown, base, step.span)
    path = paths.absolute(workdir, step.path)
    return MakeSymlink(target=step.target, path=path, owner=owner), "file.symlink.create"


CHANGES: Mapping[type, Callable[[Any, int, str], tuple[FileChange, str]]] = {
    Mkdir: make_dir,
    Write: write_file,
    Remove: remove_path,
    Symlink: make_symlink,
}
"""The steps that change one path of the stage, and nothing else."""


def change_vertex(
    step: Mkdir | Write | Remove | Symlink, base: Tree, workdir: str, name: str
) -> Vertex:
    """One of the steps of ``CHANGES``. Raises InvalidFileError for an owner that is none."""
    inputs = Inputs()
    base_input = inputs.position(base)
    change, feature = CHANGES[type(step)](step, base_input, workdir)
    return Vertex(
        payload=FileOp(changes=(change,), base=base_input),
        inputs=inputs.edges(),
        name=name,
        uses=tuple(Use(used, step.span) for used in ("file.base", feature) if used),
        span=step.span,
    )


def workdir_vertex(path: str, user: str, base: Tree, name: str, span: Span) -> Vertex:
    """The working folder, made with its parents for ``user``, as WORKDIR of a Dockerfile does.

    In an empty stage a user's name means nothing yet: the folder is then root's.
    """
    named = not all(part.isdecimal() for part in user.split(":"))
    chown = "" if base is None and named else user
    step = Mkdir(path=path, parents=True, chown=chown, span=span)
    return change_vertex(step, base, "/", name)
