"""The registry's side of the OCI distribution spec, v1.1: one handler for each connection.

What daemons use of it is served: manifests by tag and digest, blobs whole or in part, and uploads
in one piece or several. Blobs of other repositories are not mounted: the answer to that is an
upload, as the spec has it. Nothing is ever held in memory but manifests.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any, TypeAlias, cast
from urllib.parse import parse_qs, urlsplit

from daemon_shim.mediatypes import kind_of
from daemon_shim.registry.client import MAX_DOCUMENT
from daemon_shim.registry.served import Document, Served
from daemon_shim.session.ingest import Ingest, Upload, WrongBlobError

_PIECE = 1 << 20
_LONGEST_LINE = 1024
_IDLE_SECONDS = 600.0  # a daemon may have to make the next piece of a layer first
_LINGER_SECONDS = 2.0
_MOST_UNREAD, _UNREAD_PIECE = 16 << 20, 64 << 10
_TLS_HANDSHAKE = b"\x16"
_TLS_HEADER = 5
_WITH_BODY = ("PATCH", "POST", "PUT")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_CONTENT_RANGE = re.compile(r"(?:bytes )?(\d+)-(\d+)(?:/.*)?")


class _RefusalError(Exception):
    """An answer that is an error: a status, a code of the spec, words, and headers."""

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}


class _GoneError(OSError):
    """The other side ended the connection within a request."""


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """A request's repository, the rest of its path, and what its query says."""

    served: Served
    part: str
    query: dict[str, str]


class Handler(BaseHTTPRequestHandler):
    """Answers all requests of a connection. ``find`` gives the repository of a path, if any."""

    protocol_version = "HTTP/1.1"
    server_version = "buildfile"
    sys_version = ""
    timeout = _IDLE_SECONDS

    def __init__(self, connection: socket.socket, find: Callable[[str], Served | None]) -> None:
        self._find = find
        super().__init__(connection, ("", 0), cast("Any", None))

    def handle(self) -> None:
        """Answer requests until the connection ends.

        Docker Engines try TLS first, and plain HTTP if HTTP is what they get for an answer
        (containerd's HTTPFallback, remotes/docker/resolver.go; measured on Docker 26.1 and 28.5).
        """
        if self.connection.recv(1, socket.MSG_PEEK) != _TLS_HANDSHAKE:
            super().handle()
            return
        record = self.rfile.read(_TLS_HEADER)
        self.rfile.read(int.from_bytes(record[3:], "big"))
        self.wfile.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

    def finish(self) -> None:
        """End the connection after the other side has the answer.

        Where something that was sent is not read, the system would break the connection off, and
        what is on its way with it.
        """
        super().finish()
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(_LINGER_SECONDS)
            left = _MOST_UNREAD
            while left > 0 and (data := self.connection.recv(_UNREAD_PIECE)):
                left -= len(data)

    def _answer(self) -> None:
        try:
            self._route()
        except _RefusalError as refusal:
            self._refuse(refusal)
        except ValueError as error:
            self._refuse(_RefusalError(400, "DIGEST_INVALID", str(error)))

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815 - http.server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's
        """Say nothing: the daemon tells its user what goes wrong."""

    # --- which request ---------------------------------------------------------------------------

    def _route(self) -> None:
        split = urlsplit(self.path)
        if self.command not in _WITH_BODY and (self._chunked() or self._length()):
            self.close_connection = True  # for there it would be taken for the next request
        if split.path in ("/v2/", "/v2"):
            self._send(200, {"Content-Type": "application/json"}, b"{}")
            return
        for (method, pattern), answer in _ROUTES.items():
            found = pattern.fullmatch(split.path)
            if found and method == self.command:
                served = self._find(found["name"])
                if served is None:
                    break
                query = {key: values[-1] for key, values in parse_qs(split.query).items()}
                answer(self, _Asked(served=served, part=found["part"], query=query))
                return
        raise _RefusalError(404, "NAME_UNKNOWN", "there is no such repository here")

    # --- reading ---------------------------------------------------------------------------------

    def _manifest(self, asked: _Asked) -> None:
        served, reference = asked.served, asked.part
        with _read():
            document = served.manifest(reference) if ":" in reference else served.tagged(reference)
        if document is None:
            raise _RefusalError(404, "MANIFEST_UNKNOWN", f"there is no manifest {reference}")
        self._send_document(document, reference if ":" in reference else document.digest)

    def _blob(self, asked: _Asked) -> None:
        if document := asked.served.document(asked.part):
            self._send_document(document, asked.part)
            return
        with _read():
            file = asked.served.blob(asked.part)
        if file is None:
            raise _RefusalError(404, "BLOB_UNKNOWN", f"there is no blob {asked.part}")
        with file:
            size = os.fstat(file.fileno()).st_size
            begin, end = self._wanted(size)
            headers = {
                "Content-Type": "application/octet-stream",
                "Accept-Ranges": "bytes",
                "Docker-Content-Digest": asked.part,
            }
            whole = (begin, end) == (0, size)
            if not whole:
                headers["Content-Range"] = f"bytes {begin}-{end - 1}/{size}"
            self._send_head(200 if whole else 206, headers, end - begin)
            if self.command == "GET" and end > begin:
                sent = self.connection.sendfile(file, begin, end - begin)
                if sent < end - begin:  # it shrank
                    self.close_connection = True

    def _wanted(self, size: int) -> tuple[int, int]:
        """Where to begin and to end; several ranges, and what is no range, mean all of it."""
        found = _RANGE.fullmatch(self.headers.get("Range", ""))
        if not found or not any(found.groups()):
            return 0, size
        first, last = found.groups()
        begin = int(first) if first else max(0, size - int(last))
        end = min(size, int(last) + 1) if first and last else size
        if begin >= min(end, size):
            headers = {"Content-Range": f"bytes */{size}"}
            raise _RefusalError(416, "RANGE_INVALID", f"the blob has {size} bytes", headers)
        return begin, end

    def _send_document(self, document: Document, digest: str) -> None:
        headers = {"Content-Type": document.media_type, "Docker-Content-Digest": digest}
        self._send(200, headers, document.data)

    # --- writing ---------------------------------------------------------------------------------

    def _put_manifest(self, asked: _Asked) -> None:
        ingest = _writable(asked.served)
        data = b"".join(self._body(MAX_DOCUMENT))
        kind = kind_of(data)
        if not kind:
            raise _RefusalError(
                400, "MANIFEST_INVALID", "this is no manifest of a kind that is known"
            )
        document = Document(media_type=kind, data=data)
        if ":" in asked.part and asked.part != document.digest:
            raise _RefusalError(400, "DIGEST_INVALID", f"{document.digest} came instead")
        with _written(ingest):
            asked.served.push(asked.part, document, ingest)
        place = f"{self._base(asked)}/manifests/{asked.part}"
        self._send(201, {"Location": place, "Docker-Content-Digest": document.digest})

    def _begin_upload(self, asked: _Asked) -> None:
        ingest = _writable(asked.served)
        with _written(ingest):
            upload = ingest.begin()
        if "digest" in asked.query:
            self._finish(asked, upload, ingest)
        else:
            self._go_on(asked, upload, ingest)

    def _add(self, asked: _Asked) -> None:
        ingest = _writable(asked.served)
        self._go_on(asked, self._taken(asked), ingest)

    def _end_upload(self, asked: _Asked) -> None:
        ingest = _writable(asked.served)
        self._finish(asked, self._taken(asked), ingest)

    def _drop_upload(self, asked: _Asked) -> None:
        self._taken(asked).close()
        self._send(204)

    def _state(self, asked: _Asked) -> None:
        upload = self._taken(asked)
        self._put_aside(asked, upload, 204)

    def _taken(self, asked: _Asked) -> Upload:
        upload = asked.served.take(asked.part)
        if upload is None:
            raise _RefusalError(404, "BLOB_UPLOAD_UNKNOWN", "there is no such upload")
        return upload

    def _go_on(self, asked: _Asked, upload: Upload, ingest: Ingest) -> None:
        """Take a part of a blob; more is to come."""
        with self._filling(upload, ingest):
            pass
        self._put_aside(asked, upload, 202)

    def _put_aside(self, asked: _Asked, upload: Upload, status: int) -> None:
        size = upload.size
        id_ = asked.served.keep(upload, asked.part)
        if not id_:
            upload.close()
            raise _RefusalError(429, "TOOMANYREQUESTS", "too many uploads at once")
        headers = {
            "Location": f"{self._base(asked)}/blobs/uploads/{id_}",
            "Docker-Upload-UUID": id_,
            "Range": f"0-{max(0, size - 1)}",
        }
        self._send(status, headers)

    def _finish(self, asked: _Asked, upload: Upload, ingest: Ingest) -> None:
        """Take the last part of a blob, or all of it."""
        digest = asked.query.get("digest", "")
        if not digest:
            upload.close()
            raise _RefusalError(400, "DIGEST_INVALID", "the digest is missing")
        with self._filling(upload, ingest):
            upload.commit(digest)
        place = f"{self._base(asked)}/blobs/{digest}"
        self._send(201, {"Location": place, "Docker-Content-Digest": digest})

    @contextlib.contextmanager
    def _filling(self, upload: Upload, ingest: Ingest) -> Iterator[None]:
        """Write the body to an upload, which is dropped if anything goes wrong, here or within."""
        try:
            self._check_place(upload)
            for piece in self._body():
                with _written(ingest):
                    upload.write([piece])
            with _written(ingest):
                yield
        except BaseException:
            upload.close()
            raise

    def _check_place(self, upload: Upload) -> None:
        told = self.headers.get("Content-Range")
        found = _CONTENT_RANGE.fullmatch(told or "")
        if told and (not found or int(found[1]) != upload.size):
            raise _RefusalError(416, "RANGE_INVALID", f"the upload has {upload.size} bytes so far")

    def _base(self, asked: _Asked) -> str:
        return "/v2/" + asked.served.name.partition("/")[2]

    # --- bodies ----------------------------------------------------------------------------------

    def _body(self, limit: int | None = None) -> Iterator[bytes]:
        """The pieces of the request's body. A body of more than ``limit`` bytes is refused."""
        pieces = self._chunks() if self._chunked() else self._exactly(self._length())
        size = 0
        for piece in pieces:
            size += len(piece)
            if limit is not None and size > limit:
                raise _RefusalError(413, "SIZE_INVALID", f"more than {limit >> 20} MiB")
            yield piece

    def _chunked(self) -> bool:
        coding = self.headers.get("Transfer-Encoding", "").strip().lower()
        if coding not in ("", "chunked"):
            raise _RefusalError(501, "UNSUPPORTED", f"the transfer coding {coding!r} is not known")
        return bool(coding)

    def _length(self) -> int:
        told = self.headers.get("Content-Length", "0").strip()
        if not re.fullmatch("[0-9]{1,18}", told):
            raise _RefusalError(400, "SIZE_INVALID", "the length is no number")
        return int(told)

    def _exactly(self, size: int) -> Iterator[bytes]:
        while size:
            piece = self.rfile.read(min(size, _PIECE))
            if not piece:
                raise _GoneError
            size -= len(piece)
            yield piece

    def _chunks(self) -> Iterator[bytes]:
        while size := self._chunk_size():
            yield from self._exactly(size)
            self._line()
        while self._line():
            pass  # trailers

    def _chunk_size(self) -> int:
        told = self._line().partition(b";")[0].strip()
        if not re.fullmatch(b"[0-9a-fA-F]{1,15}", told):
            raise _RefusalError(400, "SIZE_INVALID", "the length of a chunk is no number")
        return int(told, 16)

    def _line(self) -> bytes:
        line = self.rfile.readline(_LONGEST_LINE)
        if not line.endswith(b"\n"):
            raise _GoneError
        return line.strip()

    # --- answers ---------------------------------------------------------------------------------

    def _send(self, status: int, headers: dict[str, str] | None = None, data: bytes = b"") -> None:
        self._send_head(status, headers or {}, len(data))
        if self.command != "HEAD":
            self.wfile.write(data)

    def _send_head(self, status: int, headers: dict[str, str], size: int) -> None:
        self.send_response(status)
        self.send_header("Docker-Distribution-API-Version", "registry/2.0")
        for key, value in headers.items():
            self.send_header(key, value)
        if status != 204:
            self.send_header("Content-Length", str(size))
        self.end_headers()

    def _refuse(self, refusal: _RefusalError) -> None:
        """Answer with an error. What is left of the body is not read, so the connection ends."""
        error = {"code": refusal.code, "message": refusal.message}
        data = json.dumps({"errors": [error]}).encode()
        headers = {"Content-Type": "application/json", **refusal.headers}
        if self.command in _WITH_BODY:
            headers["Connection"] = "close"
            self.close_connection = True
        self._send(refusal.status, headers, data)


def _writable(served: Served) -> Ingest:
    if served.ingest is None:
        raise _RefusalError(405, "UNSUPPORTED", "this repository is for reading only")
    return served.ingest


@contextlib.contextmanager
def _read() -> Iterator[None]:
    """Turn errors of opening and reading into answers, without paths of this machine."""
    try:
        yield
    except PermissionError as error:
        raise _RefusalError(403, "DENIED", "this cannot be read") from error
    except OSError as error:
        raise _RefusalError(500, "UNKNOWN", f"reading: {error.strerror}") from error


@contextlib.contextmanager
def _written(ingest: Ingest) -> Iterator[None]:
    """Turn errors of writing into answers; the first one is kept for our own user."""
    try:
        yield
    except WrongBlobError as error:
        raise _RefusalError(400, "DIGEST_INVALID", str(error)) from error
    except OSError as error:
        ingest.error = ingest.error or error
        raise _RefusalError(500, "UNKNOWN", f"writing: {error.strerror}") from error


_Route: TypeAlias = Callable[[Handler, _Asked], None]

_DIGEST = "[a-z0-9]+:[0-9a-f]+"
_TAG = "[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"


def _path(rest: str) -> re.Pattern[str]:
    return re.compile(f"/v2/(?P<name>[a-z0-9/]+)/{rest}")


_MANIFESTS = _path(f"manifests/(?P<part>{_DIGEST}|{_TAG})")
_BLOBS = _path(f"blobs/(?P<part>{_DIGEST})")
_UPLOADS = _path("blobs/uploads/?(?P<part>)")
_UPLOAD = _path("blobs/uploads/(?P<part>[0-9a-f]{32})")
_ROUTES: Mapping[tuple[str, re.Pattern[str]], _Route] = {
    ("GET", _MANIFESTS): Handler._manifest,
    ("HEAD", _MANIFESTS): Handler._manifest,
    ("PUT", _MANIFESTS): Handler._put_manifest,
    ("GET", _BLOBS): Handler._blob,
    ("HEAD", _BLOBS): Handler._blob,
    ("POST", _UPLOADS): Handler._begin_upload,
    ("GET", _UPLOAD): Handler._state,
    ("PATCH", _UPLOAD): Handler._add,
    ("PUT", _UPLOAD): Handler._end_upload,
    ("DELETE", _UPLOAD): Handler._drop_upload,
}
