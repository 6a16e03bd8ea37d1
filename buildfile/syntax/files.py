"""The build file and what it includes, read from what the client sends."""

from __future__ import annotations

import errno
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from buildfile.files import FILE_NAMES
from buildfile.syntax import faults
from buildfile.syntax.contexts import NOWHERE, ROOT, Input, file_origin, unpacking
from buildfile.syntax.request import Request
from daemon_shim.errors import NoSuchFileError
from daemon_shim.session.patterns import read_ignore
from schemas.pb import ops_pb2
from translator.compile import compile_instances
from translator.diagnostic import InvalidCommandError
from translator.llb.locals import local_sources
from translator.platform import Platform
from translator.span import SourceFile
from translator.stage import HttpSource, Instance, LocalSource, Origin, Scratch, Stage, StageRef
from translator.text import document

if TYPE_CHECKING:
    from daemon_shim.builder import Client
    from daemon_shim.reference import Reference

IGNORE_FILE = ".dockerignore"


class ClientFiles:
    """The folder that has the build file. Paths are those below ROOT.

    ``vertex`` is the digest of what was read first, for warnings.
    """

    def __init__(self, client: Client, request: Request, inputs: Mapping[str, bytes]) -> None:
        self._client = client
        self._request = request
        self._inputs = inputs
        self._origin = file_origin(request, inputs)
        self._whole: Reference | None = None
        self.vertex = ""

    def first(self) -> SourceFile:
        """The build file. Raises InvalidCommandError where there is none."""
        named = self._request.filename
        names = (named,) if named else FILE_NAMES
        tree = self._tree(names)
        for name in names:
            try:
                return _file(_below(name), tree.read_file(name))
            except NoSuchFileError:
                continue
        where = self._request.remote or self._origin.name
        raise InvalidCommandError([faults.no_build_file(names[0], where)])

    def read(self, path: str) -> SourceFile:
        """An included file by its path. Raises OSError, or InvalidFileError for what is no text."""
        below = posixpath.relpath(path, ROOT)
        if below.startswith("../"):
            raise OSError(errno.EACCES, "it is outside of the folder that the client sends")
        try:
            return _file(path, self._tree((below,)).read_file(below))
        except NoSuchFileError:
            raise OSError(errno.ENOENT, "No such file or directory") from None

    def _tree(self, names: Sequence[str]) -> Reference:
        """The tree with the files of these names at least."""
        origin = self._origin
        if isinstance(origin, LocalSource):
            return self._solved(replace(origin, follow=tuple(names)))
        if self._whole is None and isinstance(origin, Input):
            self._whole = self._client.solve(self._inputs[origin.name]).ref
        elif self._whole is None and not isinstance(origin, Input):
            self._whole = self._solved(origin)
        assert self._whole is not None  # noqa: S101 -- for the type checker
        return self._whole

    def _solved(self, origin: Origin) -> Reference:
        tree, vertex = solved(self._client, origin)
        self.vertex = self.vertex or vertex
        return tree


def solved(client: Client, origin: Origin) -> tuple[Reference, str]:
    """The tree of one source, and the digest of its vertex."""
    platform = Platform.parse(client.platform)
    ref = StageRef("source")
    stage = Stage(ref=ref, platform=platform, origin=origin, span=NOWHERE)
    if isinstance(origin, HttpSource):
        stage = replace(stage, origin=Scratch(span=NOWHERE), steps=(unpacking(origin),))
    instance = Instance(root=ref, platform=platform, stages={ref: stage})
    (made,) = compile_instances([instance], caps=client.capabilities, session=client.session_id)
    definition = ops_pb2.Definition.FromString(made.definition)
    definition.ClearField("Source")  # it stands in no file
    tree = client.solve(definition.SerializeToString(deterministic=True)).ref
    return tree, next(iter(made.names), "")


def ignore_patterns(client: Client, instances: Iterable[Instance]) -> dict[str, tuple[str, ...]]:
    """Patterns of the ignore file in each served folder, by the folder's path."""
    folders: dict[str, dict[str, str]] = {}
    for source in local_sources(instances):
        if source.ignore_file:
            folders.setdefault(source.served, {})[source.path] = source.below
    return {
        path: patterns
        for served, places in folders.items()
        for path, patterns in _ignored(client, served, places)
    }


def _ignored(
    client: Client, served: str, places: dict[str, str]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    names = {path: posixpath.join(below, IGNORE_FILE) for path, below in places.items()}
    origin = LocalSource(
        name=f"{served}-ignore",
        path="",
        served=served,
        follow=tuple(sorted(names.values())),
        span=NOWHERE,
    )
    tree, _ = solved(client, origin)
    for path, name in names.items():
        try:
            yield path, read_ignore(tree.read_file(name).decode("utf-8-sig", "replace"))
        except NoSuchFileError:
            continue


def _below(name: str) -> str:
    return posixpath.normpath(posixpath.join(ROOT, name.lstrip("/")))


def _file(path: str, data: bytes) -> SourceFile:
    return document.read(posixpath.relpath(path, ROOT), posixpath.dirname(path), data)
