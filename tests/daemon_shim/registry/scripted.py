"""A registry that answers as told, and keeps what it was asked."""

from __future__ import annotations

import contextlib
import hashlib
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Reply:
    """An answer. A header's ``{base}`` becomes the server's address."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    length: int | None = None


@dataclass
class Scripted:
    """``replies`` are by ``METHOD path``, several are given one after the other."""

    host: str
    replies: dict[str, Reply | list[Reply]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Method and path, and the Authorization header, of each request."""
    sent: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    """The content type and the body that came last, by method and path."""

    def next(self, asked: str) -> Reply:
        reply = self.replies.get(asked, Reply(404))
        if isinstance(reply, list):
            return reply.pop(0) if len(reply) > 1 else reply[0]
        return reply


@contextlib.contextmanager
def scripted(tls: ssl.SSLContext | None = None) -> Iterator[Scripted]:
    """Run one on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            asked = f"{self.command} {self.path}"
            told.asked.append((asked, self.headers.get("Authorization", "")))
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            told.sent[asked] = (self.headers.get("Content-Type", ""), body)
            reply = told.next(asked)
            self.send_response(reply.status)
            for key, value in reply.headers.items():
                self.send_header(key, value.replace("{base}", f"http://{told.host}"))
            length = len(reply.body) if reply.length is None else reply.length
            self.send_header("Content-Length", str(length))
            self.end_headers()
            if self.command != "HEAD":
                with contextlib.suppress(OSError):  # the client need not read all of it
                    self.wfile.write(reply.body)

        do_GET = do_HEAD = do_POST = do_PUT = _answer  # noqa: N815 - http.server's names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - theirs
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        told = Scripted(host=f"127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield told
        finally:
            server.shutdown()
            thread.join()


def serve(server: Scripted, repository: str, tag: str, manifest: bytes, kind: str = "") -> str:
    """Let it have a manifest, to be found by its tag and got by its digest, which is returned."""
    digest = digest_of(manifest)
    headers = {"Docker-Content-Digest": digest, **({"Content-Type": kind} if kind else {})}
    manifests = f"/v2/{repository}/manifests"
    for asked in (f"HEAD {manifests}/{tag}", f"GET {manifests}/{digest}"):
        server.replies[asked] = Reply(headers=headers, body=manifest)
    return digest


def digest_of(data: bytes) -> str:
    """The digest of some bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
