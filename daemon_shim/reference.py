"""A tree that the daemon holds for a steered build, and looking into it without exporting it."""

from __future__ import annotations

import posixpath
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from google.protobuf.message import Message

from daemon_shim.calls import Calls
from daemon_shim.errors import NoSuchFileError, SolveFailedError
from daemon_shim.session.tree import (
    GO_CHAR_DEVICE,
    GO_DEVICE,
    GO_DIR,
    GO_FIFO,
    GO_SOCKET,
    GO_SYMLINK,
    posix_mode,
)
from schemas.pb import fsutil_pb2, gateway_pb2
from schemas.rpc import LLBBridge, Rpc

PIECE = 3 << 20
"""Bytes that are asked for at once: gRPC's usual limit for a message is 4 MiB."""

# As Go words it: "lstat /t/none: no such file or directory", with the name of the system call.
_MISSING = re.compile(r"\b(?:l?stat|open\w*|read\w*) [^:]+: (?:no such file or|not a) directory$")
Req = TypeVar("Req", bound=Message)
Res = TypeVar("Res", bound=Message)


@dataclass(frozen=True, kw_only=True)
class FileStat:
    """What a tree holds under a name.

    ``mode`` is as in ``os.stat``, type and permissions, for the functions of ``stat``. ``size`` is
    in bytes, ``modified`` in nanoseconds since 1970. ``target`` is where a symbolic link leads.
    """

    name: str
    mode: int
    uid: int = 0
    gid: int = 0
    size: int = 0
    modified: int = 0
    target: str = ""
    xattrs: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return stat.S_ISREG(self.mode)

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return stat.S_ISLNK(self.mode)


@dataclass(frozen=True)
class Reference:
    """A tree; an empty ``id`` is the empty one.

    ``definition`` is the serialised ``pb.Definition`` that it comes from, where that is known.
    Paths are absolute in the tree, and symbolic links in them are followed within it; none leads
    out. Reading raises NoSuchFileError, SolveFailedError (a step of a tree that was not evaluated,
    or the daemon's reason), or another DaemonError.
    """

    id: str
    definition: bytes = b""
    calls: Calls | None = field(default=None, repr=False, compare=False)

    def read_file(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """The bytes of a file from ``offset`` on; ``length`` None means up to the end."""
        return b"".join(self.read_pieces(path, offset, length))

    def read_pieces(self, path: str, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """As ``read_file``, piece by piece, for files of any size; PIECE bytes at most."""
        left = length
        while left is None or left > 0:
            wanted = PIECE if left is None else min(PIECE, left)
            piece = self._read(path, offset, wanted)
            yield piece
            if len(piece) < wanted:
                return
            offset += wanted
            left = None if left is None else left - wanted

    def read_dir(self, path: str = "/", include: str = "") -> tuple[FileStat, ...]:
        """What a folder holds, one level, sorted by name.

        ``include`` is a pattern for names, such as ``*.json`` (fsutil's, as in ignore files).
        """
        calls = self._calls(path)
        if calls is None:
            return ()
        calls.require("readdir", "reading of folders")
        request = gateway_pb2.ReadDirRequest(Ref=self.id, DirPath=path, IncludePattern=include)
        entries = _ask(calls, LLBBridge.READ_DIR, request).entries
        return tuple(sorted(map(_file_stat, entries), key=lambda entry: entry.name))

    def stat_file(self, path: str) -> FileStat:
        """What is at a path. A symbolic link there is followed, as on the way to it."""
        calls = self._calls(path)
        if calls is None:
            return FileStat(name="/", mode=stat.S_IFDIR | 0o755)
        if not calls.has("statfile"):
            return self._listed(path)
        request = gateway_pb2.StatFileRequest(Ref=self.id, Path=path)
        return _file_stat(_ask(calls, LLBBridge.STAT_FILE, request).stat)

    def walk(self, path: str = "/") -> Iterator[tuple[str, FileStat]]:
        """All that is below a folder with its path, each folder before what it holds.

        Links are told of and not followed. One call for each folder.
        """
        waiting = [(path.rstrip("/"), iter(self.read_dir(path)))]
        while waiting:
            above, entries = waiting[-1]
            entry = next(entries, None)
            if entry is None:
                waiting.pop()
                continue
            full = f"{above}/{entry.name}"
            yield full, entry
            if entry.is_folder:
                waiting.append((full, iter(self.read_dir(full))))

    def evaluate(self) -> None:
        """Build the tree now, if that is still to be done. Raises SolveFailedError.

        Solve is eager up to v0.6 and lazy from v0.7; Evaluate is of v0.11, and before it a look at
        the root makes the daemon work.
        """
        if not self.id or self.calls is None or not self.calls.has("proto.refarray"):
            return
        if self.calls.has("gateway.evaluate"):
            self.calls.call(LLBBridge.EVALUATE, gateway_pb2.EvaluateRequest(Ref=self.id))
        else:
            self.calls.call(LLBBridge.STAT_FILE, gateway_pb2.StatFileRequest(Ref=self.id, Path="/"))

    def to_definition(self) -> bytes:
        """The serialised ``pb.Definition`` that makes this tree, to go on from; empty for scratch.

        Raises UnsupportedError for a frontend's result before v0.7, which does not tell.
        """
        if self.id and not self.definition and self.calls is not None:
            self.calls.require("reference.output", "definition of a frontend's result")
        return self.definition

    def _calls(self, path: str) -> Calls | None:
        """Where to ask; None for the root of the empty tree, which nobody needs to be asked."""
        if self.id and self.calls is not None:
            return self.calls
        if _normal(path) != "/":
            raise _missing(path)
        return None

    def _read(self, path: str, offset: int, length: int) -> bytes:
        calls = self._calls(path)
        if calls is None:
            raise SolveFailedError(f"{path} is a folder", code="UNKNOWN")
        calls.require("readfile", "reading of files")
        request = gateway_pb2.ReadFileRequest(
            Ref=self.id,
            FilePath=path,
            Range=gateway_pb2.FileRange(Offset=offset, Length=length),
        )
        return _ask(calls, LLBBridge.READ_FILE, request).Data

    def _listed(self, path: str) -> FileStat:
        """An entry by way of the folder that holds it."""
        folder, name = posixpath.split(_normal(path))
        if not name:
            return FileStat(name="/", mode=stat.S_IFDIR | 0o755)
        found = [entry for entry in self.read_dir(folder) if entry.name == name]
        if not found:
            raise _missing(path)
        return found[0]


SCRATCH = Reference(id="")
"""The empty tree."""


def _normal(path: str) -> str:
    return posixpath.normpath("/" + path.lstrip("/"))


def _missing(path: str) -> NoSuchFileError:
    return NoSuchFileError(f"{path}: no such file or directory", code="NOT_FOUND")


def _ask(calls: Calls, rpc: Rpc[Req, Res], message: Req) -> Res:
    """Tell a file that is not there from a step that failed: no release has a code of its own.

    No step can fail here to v0.6, where all is built by now.
    """
    try:
        with calls.reading:
            return calls.call(rpc, message, blame=calls.has("proto.refarray"))
    except SolveFailedError as error:
        if error.vertex or error.exit_code is not None or not _MISSING.search(str(error)):
            raise
        raise NoSuchFileError(
            str(error), code=error.code, address=error.address, status=error.status
        ) from error


_TYPES = (
    (GO_DIR, stat.S_IFDIR),
    (GO_SYMLINK, stat.S_IFLNK),
    (GO_DEVICE | GO_CHAR_DEVICE, stat.S_IFCHR),
    (GO_DEVICE, stat.S_IFBLK),
    (GO_FIFO, stat.S_IFIFO),
    (GO_SOCKET, stat.S_IFSOCK),
    (0, stat.S_IFREG),
)


def _file_stat(message: fsutil_pb2.Stat) -> FileStat:
    kind = next(posix for go, posix in _TYPES if message.mode & go == go)
    return FileStat(
        name=message.path,
        mode=kind | posix_mode(message.mode),
        uid=message.uid,
        gid=message.gid,
        size=message.size,
        modified=message.modTime,
        target=message.linkname if kind == stat.S_IFLNK else "",
        xattrs=dict(message.xattrs),
    )
