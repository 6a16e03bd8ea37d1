"""File sync out of local sources: answers the daemon's ``FileSync.DiffCopy``.

The daemon names a source in the request's metadata, gets a STAT for each file, and asks by id for
the data of those that it lacks (fsutil's send.go and receive.go, all releases).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Generic, Protocol, TypeVar
from urllib.parse import unquote_plus

from daemon_shim.session import diffcopy
from daemon_shim.session.filedata import FileData
from daemon_shim.session.memory import MemoryData, MemoryFolder
from daemon_shim.session.patterns import PatternError
from daemon_shim.session.root import Root
from daemon_shim.session.selection import Patterns, Selection
from daemon_shim.session.service import Call, Handler, Metadata, Opener, RpcError, Status
from daemon_shim.session.walk import SourceError, Walk

METHOD = "/moby.filesync.v1.FileSync/DiffCopy"
_LOW_WATER = 64 << 10
_CANCELLED, _UNKNOWN, _INVALID, _NOT_FOUND = 1, 2, 3, 5


@dataclass(frozen=True, kw_only=True)
class LocalFolder:
    """A folder that the daemon may read, and what of it; patterns as in ``session.patterns``.

    Nothing outside ``path``, and nothing that these patterns leave out, is sent, whatever the
    daemon asks for. ``follow`` are paths whose symlinks are resolved into more ``include``
    patterns.
    """

    path: str
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    follow: tuple[str, ...] = ()

    @property
    def patterns(self) -> Patterns:
        """The patterns alone."""
        return Patterns(include=self.include, exclude=self.exclude, follow=self.follow)


@dataclass(frozen=True, kw_only=True)
class SourceFault:
    """Why a source was not sent: its name, and the file at fault with what is wrong with it."""

    source: str
    path: str
    reason: str


class FileSync:
    """Serves named folders. ``failed`` is called, on the session's thread, with each fault."""

    def __init__(
        self,
        sources: Mapping[str, LocalFolder | MemoryFolder],
        *,
        failed: Callable[[SourceFault], None] | None = None,
    ) -> None:
        self._sources = dict(sources)
        self._failed = failed
        self._faults: list[SourceFault] = []

    @property
    def methods(self) -> Mapping[str, Opener]:
        """The method served."""
        return {METHOD: self._open}

    @property
    def errors(self) -> tuple[SourceFault, ...]:
        """The faults so far: the daemon's error tells less, and on old daemons nothing."""
        return tuple(self._faults)

    def _open(self, call: Call) -> Handler:
        name = next(iter(_values(call.metadata, "dir-name")), "")
        folder = self._sources.get(name)
        if folder is None:
            raise RpcError(_NOT_FOUND, f"no access allowed to dir {name!r}")
        record = partial(self._record, name)
        if isinstance(folder, MemoryFolder):
            return _Sender(call, folder.open(), MemoryData(), record)
        try:
            return _open_folder(call, folder, record)
        except PatternError as error:
            record(SourceError("", str(error)))
            raise RpcError(_INVALID, str(error)) from error
        except OSError as error:
            fault = SourceError.of(folder.path, error)
            record(fault)
            raise RpcError(_UNKNOWN, str(fault)) from error

    def _record(self, source: str, error: SourceError) -> None:
        fault = SourceFault(source=source, path=error.path, reason=error.reason)
        self._faults.append(fault)
        if self._failed is not None:
            self._failed(fault)


def _open_folder(call: Call, folder: LocalFolder, record: Callable[[SourceError], None]) -> Handler:
    """Start a transfer of what both the client's and the daemon's patterns let through."""
    root = Root(folder.path)
    try:
        sets = dict.fromkeys((folder.patterns, _asked(call.metadata)))
        walk = Walk(root, Selection(root, tuple(sets)))
        return _Sender(call, walk, FileData(root), record, root.close)
    except BaseException:
        root.close()
        raise


def _asked(metadata: Metadata) -> Patterns:
    return Patterns(
        include=_values(metadata, "include-patterns"),
        exclude=_values(metadata, "exclude-patterns"),
        follow=_values(metadata, "followpaths"),
    )


def _values(metadata: Metadata, key: str) -> tuple[str, ...]:
    """The values of a key; from v0.12 all of them are query-escaped if one is not ASCII."""
    values = tuple(metadata.get(key, ()))
    if "1" in metadata.get(f"{key}-encoded", ()):
        return tuple(unquote_plus(value) for value in values)
    return values


_File = TypeVar("_File")


class _Listing(Protocol[_File]):
    """What is in a folder: batches of STAT packets, and the files that may be asked for, by id."""

    files: dict[int, _File]

    def __iter__(self) -> Iterator[bytes]: ...

    def close(self) -> None: ...


class _Data(Protocol[_File]):
    """The data of files, as batches of DATA packets; none when there is no file wanted."""

    def batch(self, wanted: deque[tuple[int, _File]]) -> list[bytes]: ...

    def close(self) -> None: ...


def _nothing() -> None:
    """Close no folder."""


class _Sender(Generic[_File]):
    """One transfer. Requests come before the walk, so that the daemon's writers have work."""

    def __init__(
        self,
        call: Call,
        walk: _Listing[_File],
        data: _Data[_File],
        record: Callable[[SourceError], None],
        close: Callable[[], None] = _nothing,
    ) -> None:
        self._call = call
        self._walk = walk
        self._data = data
        self._record = record
        self._close = close
        self._stats: Iterator[bytes] | None = iter(walk)
        self._wanted: deque[tuple[int, _File]] = deque()
        self._done = False
        self._reactions: dict[int, Callable[[diffcopy.Packet], None]] = {
            diffcopy.REQ: self._on_request,
            diffcopy.FIN: self._on_finished,
            diffcopy.ERR: self._on_error,
        }

    def message(self, data: memoryview) -> None:
        try:
            packet = diffcopy.read_packet(data)
        except ValueError as error:
            raise RpcError(_INVALID, str(error)) from error
        reaction = self._reactions.get(packet.kind)
        if reaction is None:
            raise RpcError(_INVALID, f"a packet of type {packet.kind} out of place")
        reaction(packet)

    def _on_request(self, packet: diffcopy.Packet) -> None:
        file = self._walk.files.pop(packet.id, None)
        if file is None:
            raise RpcError(_INVALID, f"invalid file id {packet.id}")
        self._wanted.append((packet.id, file))

    def _on_finished(self, packet: diffcopy.Packet) -> None:
        self._done = True
        self._call.send_framed(diffcopy.FINISHED)
        self._call.finish()

    def _on_error(self, packet: diffcopy.Packet) -> None:
        self._done = True
        text = bytes(packet.data).decode("utf-8", "replace")
        self._call.finish(Status(_UNKNOWN, f"error from receiver: {text}"))

    def half_closed(self) -> None:
        """Without FIN before it, the daemon gave the transfer up."""
        if not self._done:
            self._call.finish(Status(_CANCELLED, "the transfer was given up"))

    def writable(self) -> None:
        try:
            while not self._done and self._call.queued < _LOW_WATER and self._produce():
                pass
        except SourceError as error:
            self._done = True
            self._record(error)
            self._call.send_framed(diffcopy.error_packet(str(error)))
            self._call.finish(Status(_UNKNOWN, str(error)))

    def _produce(self) -> bool:
        """Queue the next batch; return whether there was one."""
        batch = self._data.batch(self._wanted)
        if batch:
            for part in batch:
                self._call.send_framed(part)
            return True
        if self._stats is None:
            return False
        stats = next(self._stats, None)
        if stats is None:
            self._stats = None
        self._call.send_framed(diffcopy.LAST_STAT if stats is None else stats)
        return True

    def closed(self) -> None:
        self._done = True
        self._data.close()
        self._walk.close()
        self._close()
