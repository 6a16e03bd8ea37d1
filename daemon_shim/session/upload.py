"""``Write`` of the content store: a daemon sends a blob into a layout of the client.

Each request is answered once, with the offset reached, and the daemon waits for that before it
sends the next; STAT asks, WRITE adds, COMMIT ends (containerd's content proxy and server, as in
v0.4 to v0.32). A blob that is there already ends the call with ALREADY_EXISTS, which daemons take
for success. An answer means that a piece was taken: it is written and hashed on another thread
while the next one is on its way, and what goes wrong there ends the call.
"""

from __future__ import annotations

import errno
from collections.abc import Callable

from daemon_shim.session.ingest import Ingest, Upload, WrongBlobError, algorithm_of
from daemon_shim.session.service import Call, RpcError
from schemas.pb import content_pb2 as pb

_MUCH = 2 << 20
"""Bytes that wait to be written before the daemon has to wait too."""
_UNKNOWN, _INVALID, _EXISTS, _EXHAUSTED, _PRECONDITION, _RANGE = 2, 3, 6, 8, 9, 11
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Uploading:
    """The handler of one call, which brings one blob into ``ingest``."""

    def __init__(self, call: Call, ingest: Ingest) -> None:
        self._call = call
        self._ingest = ingest
        self._upload: Upload | None = None
        self._ref = self._expected = ""
        self._total = self._offset = 0
        self._kept: list[bytes] = []
        self._size = 0
        self._owed: list[bytes] = []
        self._restart = self._working = self._over = False
        self._commit: pb.WriteContentRequest | None = None

    def message(self, data: memoryview) -> None:
        """Take a request."""
        request = pb.WriteContentRequest.FromString(data)  # type: ignore[arg-type] # any buffer
        if self._commit is not None:
            raise RpcError(_INVALID, "a request after the commit")
        if not self._ref:
            self._begin(request)
        self._check_total(request)
        if request.action not in _ACTIONS:
            raise RpcError(_INVALID, f"unknown action {request.action}")
        _ACTIONS[request.action](self, request)
        self._go_on()

    def half_closed(self) -> None:
        """The daemon gives up an upload that it did not commit."""
        if self._commit is None:
            self._call.finish()

    def writable(self) -> None:
        """Answers are small."""

    def closed(self) -> None:
        """Drop what was not committed."""
        self._over = True
        self._kept.clear()
        if self._upload is not None:
            self._upload.close()

    # --- requests ------------------------------------------------------------------------------

    def _begin(self, request: pb.WriteContentRequest) -> None:
        if not request.ref:
            raise RpcError(_INVALID, "the first request has no ref")
        self._ref, self._expected = request.ref, request.expected
        try:
            algorithm_of(request.expected)
            there = bool(request.expected) and self._ingest.holds(request.expected, request.total)
        except ValueError as error:
            raise RpcError(_INVALID, str(error)) from error
        except OSError as error:
            raise self._failed(error) from error
        if there:
            self._ingest.newest = request.expected
            raise RpcError(_EXISTS, f"blob {request.expected} is here already")

    def _check_total(self, request: pb.WriteContentRequest) -> None:
        if request.total < 0 or (self._total and request.total not in (0, self._total)):
            raise RpcError(_PRECONDITION, f"the size changed to {request.total}")
        self._total = request.total or self._total

    def _stat(self, request: pb.WriteContentRequest) -> None:
        self._owe(request)

    def _write(self, request: pb.WriteContentRequest) -> None:
        self._take(request)
        self._owe(request)

    def _end(self, request: pb.WriteContentRequest) -> None:
        self._take(request)
        if request.expected and self._expected not in ("", request.expected):
            raise RpcError(_PRECONDITION, f"the digest changed to {request.expected}")
        self._commit = request

    def _take(self, request: pb.WriteContentRequest) -> None:
        if request.offset not in (0, self._offset):
            raise RpcError(_RANGE, f"offset {request.offset} does not follow {self._offset}")
        if request.offset == 0 and self._offset:
            self._kept, self._size, self._offset = [], 0, 0
            self._restart = True
        if data := request.data:  # a copy each time
            self._kept.append(data)
            self._size += len(data)
            self._offset += len(data)
        if self._total and self._offset > self._total:
            raise RpcError(_PRECONDITION, f"more than the {self._total} bytes announced came")

    # --- answers -------------------------------------------------------------------------------

    def _owe(self, request: pb.WriteContentRequest) -> None:
        self._owed.append(self._answer(request.action))

    def _answer(self, action: pb.WriteAction, digest: str = "") -> bytes:
        return pb.WriteContentResponse(
            action=action, offset=self._offset, total=self._total, digest=digest
        ).SerializeToString()

    def _settle(self) -> None:
        """Answer, unless so much waits to be written that the daemon has to wait."""
        if self._size > _MUCH:
            self._call.pause()
            return
        self._call.resume()
        for answer in self._owed:
            self._call.send(answer)
        self._owed.clear()

    # --- the other thread ----------------------------------------------------------------------

    def _go_on(self) -> None:
        self._settle()
        if self._working:
            return
        if self._kept or self._restart:
            kept, self._kept, self._size = self._kept, [], 0
            restart, self._restart = self._restart, False
            self._work(lambda: self._store(kept, restart), lambda _: self._go_on())
            self._settle()
        elif self._commit is not None:
            request = self._commit
            self._work(lambda: self._put(request), self._committed)

    def _work(self, work: Callable[[], object], done: Callable[[object], None]) -> None:
        def told(result: object) -> None:
            self._working = False
            if isinstance(result, OSError):
                raise self._failed(result)
            if isinstance(result, (WrongBlobError, ValueError)):
                raise RpcError(_PRECONDITION, str(result))
            done(result)

        def guarded() -> object:
            try:
                return work()
            except (OSError, WrongBlobError, ValueError) as error:
                return error

        self._working = True
        self._call.spawn(guarded, told)

    def _store(self, pieces: list[bytes], restart: bool) -> None:
        upload = self._opened()
        if restart:
            upload.restart()
        upload.write(pieces)

    def _put(self, request: pb.WriteContentRequest) -> str:
        return self._opened().commit(request.expected or self._expected, self._total)

    def _opened(self) -> Upload:
        if self._upload is None:
            self._upload = self._ingest.begin(algorithm_of(self._expected))
            if self._over:
                self._upload.close()
        return self._upload

    def _committed(self, digest: object) -> None:
        self._ingest.newest = str(digest)
        self._call.send(self._answer(pb.COMMIT, str(digest)))
        self._call.finish()

    def _failed(self, error: OSError) -> RpcError:
        """Keep the reason for the user; the daemon is told no path of this machine."""
        self._ingest.error = self._ingest.error or error
        code = _EXHAUSTED if error.errno in _FULL else _UNKNOWN
        return RpcError(code, f"the client cannot write into its folder: {error.strerror}")


_ACTIONS: dict[int, Callable[[Uploading, pb.WriteContentRequest], None]] = {
    pb.STAT: Uploading._stat,
    pb.WRITE: Uploading._write,
    pb.COMMIT: Uploading._end,
}
