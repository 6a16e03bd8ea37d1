"""HTTP as registries are asked by it: bounded answers, and redirects that lose nothing.

What a request has in ``Authorization`` goes to its own host only. A redirect never leads from TLS
to plain HTTP, nor from another host to this machine.

Import it where something is asked: most builds ask no registry.
"""

from __future__ import annotations

import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage, HTTPSConnection
from typing import IO, Any
from urllib.parse import urlsplit

from daemon_shim.registry.hosts import WebError, host_of, is_here
from daemon_shim.registry.trust import trusted

_PIECE = 64 << 10


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer of any status. ``place`` is where it came from after redirects."""

    status: int
    headers: HTTPMessage
    data: bytes
    place: str

    @property
    def ok(self) -> bool:
        """Whether the status says that it is what was asked for."""
        return 200 <= self.status < 300


def ask(request: urllib.request.Request, *, seconds: float, limit: int) -> Answer:
    """Send a request and read the answer, following redirects of GET and HEAD.

    ``seconds`` bound each wait, and the body as a whole; ``limit`` is its bytes at most. Raises
    WebError.
    """
    _, host = host_of(request.full_url)
    handlers: list[urllib.request.BaseHandler] = [
        _TrustingHttps(),
        _CarefulRedirects(),
    ]
    if is_here(host):
        handlers.append(urllib.request.ProxyHandler({}))
    opener = urllib.request.build_opener(*handlers)
    try:
        with _opened(opener, request, seconds) as answer:
            return Answer(
                status=answer.status,
                headers=answer.headers,
                data=_body(answer, limit, time.monotonic() + seconds),
                place=answer.url,
            )
    except (OSError, HTTPException) as error:
        raise WebError(_reason(error)) from None
    except ValueError:  # its words may hold the login
        raise WebError("its address, or the token it gave, cannot be sent") from None


def _opened(
    opener: urllib.request.OpenerDirector, request: urllib.request.Request, seconds: float
) -> Any:
    try:
        return opener.open(request, timeout=seconds)
    except urllib.error.HTTPError as error:
        return error  # an answer too


def _body(answer: Any, limit: int, until: float) -> bytes:
    data = bytearray()
    while piece := answer.read1(_PIECE):
        data += piece
        if len(data) > limit:
            raise WebError(f"the answer is longer than {limit >> 20} MiB")
        if time.monotonic() > until:
            raise TimeoutError
    if answer.length:
        raise WebError("the answer breaks off")
    return bytes(data)


def _reason(error: Exception) -> str:
    cause = getattr(error, "reason", None) or error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({cause.verify_message})"
    if isinstance(cause, TimeoutError):
        return "it did not answer in time"
    return str(getattr(cause, "strerror", None) or cause or type(error).__name__)


class _TrustingHttps(urllib.request.HTTPSHandler):
    """Trusts each host as it is to be, also where a redirect leads to it."""

    def https_open(self, req: urllib.request.Request) -> Any:
        host = urlsplit(req.full_url).netloc  # not that of a proxy
        return self.do_open(HTTPSConnection, req, context=trusted(host))


class _CarefulRedirects(urllib.request.HTTPRedirectHandler):
    """Follows GET and HEAD, without the login (its header is not redirected)."""

    def redirect_request(  # noqa: PLR0913, PLR0917 - the signature is urllib's
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Any,
        newurl: str,
    ) -> urllib.request.Request | None:
        if req.get_method() not in ("GET", "HEAD"):
            return None
        try:
            check_redirect(req.full_url, newurl)
        except WebError:
            fp.close()
            raise
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def check_redirect(old: str, new: str) -> None:
    """Raise WebError where one address may not lead to another."""
    before, after = host_of(old), host_of(new)
    if before == after:
        return
    if is_here(after[1]) and not is_here(before[1]):
        raise WebError("it redirects to this machine")
    if after[0] == "http" and (before[0] == "https" or not is_here(after[1])):
        raise WebError("it redirects to plain HTTP")
