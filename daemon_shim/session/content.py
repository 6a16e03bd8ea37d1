"""The content store service: the daemon reads and writes blobs of the client's OCI layouts.

It asks for a blob's size with Info, then Reads it by ranges, small ones included, and Writes a
cache (``daemon_shim.session.upload``); it never lists, updates or deletes (session/content and
containerd's content proxy, v0.4 to v0.32).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from daemon_shim.http2.grpc_framing import prefix
from daemon_shim.session.blobs import Store
from daemon_shim.session.ingest import Ingest
from daemon_shim.session.service import Call, Handler, Metadata, Opener, RpcError
from daemon_shim.session.unary import Unary
from daemon_shim.session.upload import Uploading
from daemon_shim.session.varint import varint
from schemas import rpc
from schemas.pb import content_pb2

_STORE = "buildkit-attachable-store-id"
_PIECE = 1 << 20
"""Bytes in one message; daemons up to v0.12 take 4 MiB at most."""
_LOW_WATER = 64 << 10
_UNKNOWN, _INVALID, _NOT_FOUND, _DENIED, _RANGE, _DATA_LOSS = 2, 3, 5, 7, 11, 15


class Content:
    """Serves ``stores``: the name that the daemon uses (``oci:ID``, ``local:FOLDER``) to an OCI
    layout's folder. Those of ``ingests`` can be written too; ``documents`` are small blobs by
    digest, for each store that has some beside its folder.

    A folder is looked at when the daemon asks, not before.
    """

    def __init__(
        self,
        stores: Mapping[str, Path],
        ingests: Mapping[str, Ingest] | None = None,
        documents: Mapping[str, Mapping[str, bytes]] | None = None,
    ) -> None:
        self._ingests = dict(ingests or {})
        folders = {**stores, **{name: each.folder for name, each in self._ingests.items()}}
        beside = documents or {}
        self._stores = {
            name: Store(folder=folder, documents=beside.get(name, {}))
            for name, folder in folders.items()
        }

    @property
    def methods(self) -> Mapping[str, Opener]:
        """All methods of the service; those that the daemon never calls are refused."""
        return {
            rpc.Content.INFO.path: self._serve(_info),
            rpc.Content.READ.path: self._serve(_Read),
            rpc.Content.WRITE.path: self._write,
            **{call.path: self._serve(_refuse) for call in _REFUSED},
        }

    def _serve(self, open_: Callable[[Call, Store], Handler]) -> Opener:
        return lambda call: open_(call, self._stores[self._name(call.metadata)])

    def _write(self, call: Call) -> Handler:
        name = self._name(call.metadata)
        if name not in self._ingests:
            raise RpcError(_DENIED, "this store is for reading only")
        return Uploading(call, self._ingests[name])

    def _name(self, metadata: Metadata) -> str:
        name = next(iter(metadata.get(_STORE, ())), None)
        if name is None:
            raise RpcError(_INVALID, f"the request names no store: it lacks {_STORE}")
        if name not in self._stores:
            raise RpcError(_NOT_FOUND, f"unknown store {name}")
        return name


_REFUSED = (
    rpc.Content.ABORT,
    rpc.Content.DELETE,
    rpc.Content.LIST,
    rpc.Content.LIST_STATUSES,
    rpc.Content.STATUS,
    rpc.Content.UPDATE,
)


def _refuse(_call: Call, _store: Store) -> Handler:
    raise RpcError(_DENIED, "this store serves single blobs only")


def _info(call: Call, store: Store) -> Handler:
    return Unary(call, partial(_describe, store))


def _describe(store: Store, request: bytes) -> bytes:
    digest = content_pb2.InfoRequest.FromString(request).digest
    with _told(digest):
        fd = store.open(digest)
    try:
        facts = os.fstat(fd)
    finally:
        os.close(fd)
    info = content_pb2.Info(digest=digest, size=facts.st_size)
    info.created_at.FromNanoseconds(facts.st_mtime_ns)
    info.updated_at.FromNanoseconds(facts.st_mtime_ns)
    return content_pb2.InfoResponse(info=info).SerializeToString()


class _Read:
    """One range of a blob, a piece at a time as the daemon takes it.

    Daemons end the call themselves once they have what they asked for.
    """

    def __init__(self, call: Call, store: Store) -> None:
        self._call = call
        self._store = store
        self._digest = ""
        self._fd = -1
        self._at = self._end = 0

    def message(self, data: memoryview) -> None:
        request = content_pb2.ReadContentRequest.FromString(bytes(data))
        if self._fd >= 0:
            raise RpcError(_INVALID, "a second request in a call that takes one")
        self._digest = request.digest
        with _told(self._digest):
            self._fd = self._store.open(self._digest)
        self._at, self._end = _range(request, os.fstat(self._fd).st_size)
        if self._at == self._end:
            self._call.finish()
        self.writable()

    def half_closed(self) -> None:
        if self._fd < 0:
            raise RpcError(_INVALID, "no request came")

    def writable(self) -> None:
        while self._at < self._end and self._call.queued < _LOW_WATER:
            self._send_piece()

    def _send_piece(self) -> None:
        """Send the next piece, and the end after the last one."""
        data = self._piece(min(_PIECE, self._end - self._at))
        head = b"\x08" + varint(self._at) + b"\x12" + varint(len(data))  # ReadContentResponse
        self._call.send_framed(prefix(len(head) + len(data)) + head)
        self._call.send_framed(data)
        self._at += len(data)
        if self._at == self._end:
            self._call.finish()

    def _piece(self, size: int) -> bytes:
        with _told(self._digest):
            data = os.pread(self._fd, size, self._at)
        if not data:
            raise RpcError(_DATA_LOSS, f"blob {self._digest} shrank while it was being read")
        return data

    def closed(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _range(request: content_pb2.ReadContentRequest, size: int) -> tuple[int, int]:
    """Where to begin and to end; a range may reach past the blob, as in containerd's server."""
    start = max(0, request.offset)
    if start > size:
        raise RpcError(_RANGE, f"blob {request.digest} has {size} bytes, not {start}")
    return start, min(size, start + request.size) if request.size > 0 else size


@contextmanager
def _told(digest: str) -> Iterator[None]:
    """Turn errors of opening and reading into the daemon's, without paths of this machine."""
    try:
        yield
    except ValueError as error:
        raise RpcError(_INVALID, str(error)) from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RpcError(_NOT_FOUND, f"blob {digest} not found") from error
    except PermissionError as error:
        raise RpcError(_DENIED, f"blob {digest} cannot be read") from error
    except OSError as error:
        raise RpcError(_UNKNOWN, f"reading blob {digest}: {error.strerror}") from error
