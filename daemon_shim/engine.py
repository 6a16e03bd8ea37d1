"""The few calls of a Docker Engine's own API that a build needs.

An engine without the containerd image store has no exporter that pushes or makes archives, only
``moby``, which puts the image into the engine. Pushing it and saving it are then the engine's work
(API of Docker 20.10 to 28.5; the version is left out of the paths, so that each uses its own).
"""

from __future__ import annotations

import base64
import http.client
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from daemon_shim.errors import DaemonError, LostConnectionError, SolveFailedError
from daemon_shim.transports.base import Transport

T = TypeVar("T")

_PIECE = 1024 * 1024
_DIGEST = re.compile(r"digest: (sha256:[0-9a-f]{64})")


@dataclass(frozen=True, kw_only=True)
class RegistryLogin:
    """A registry's credentials: a name and a password, or an identity token."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    server: str = ""

    def header(self) -> str:
        """The value of ``X-Registry-Auth``, which every push must carry."""
        told = {
            "username": self.username,
            "password": self.password,
            "identitytoken": self.identity_token,
            "serveraddress": self.server,
        }
        text = json.dumps({name: value for name, value in told.items() if value})
        return base64.urlsafe_b64encode(text.encode()).decode()


@dataclass(frozen=True, kw_only=True)
class EngineImage:
    """An image in the engine: the digest of its config, and its names with manifest digests."""

    id: str
    tags: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()


class EngineClient:
    """Calls an engine, on a connection of its own for each. ``timeout`` in seconds is for dialling.

    Raises UnreachableError or TlsError when nobody is there, LostConnectionError when the engine
    goes away, and SolveFailedError for whatever it refuses.
    """

    def __init__(self, transport: Transport, *, timeout: float = 5.0) -> None:
        self._transport = transport
        self._timeout = timeout

    def image_inspect(self, ref: str) -> EngineImage:
        """Look an image up. Raises SolveFailedError with code NOT_FOUND if there is none."""
        with self._request("GET", f"/images/{_path(ref)}/json") as response:
            told = self._parse(self._reading(response.read))
        return EngineImage(
            id=told.get("Id", ""),
            tags=tuple(told.get("RepoTags") or ()),
            digests=tuple(told.get("RepoDigests") or ()),
        )

    def push_image(
        self,
        ref: str,
        *,
        login: RegistryLogin | None = None,
        tell: Callable[[str], None] = lambda line: None,
    ) -> str:
        """Push an image of the engine under its name; returns the manifest's digest.

        ``tell`` hears what the engine says meanwhile, one line at a time, without the bars.
        """
        name, tag = split_tag(ref)
        path = f"/images/{_path(name)}/push?{urlencode({'tag': tag})}"
        headers = {"X-Registry-Auth": (login or RegistryLogin()).header()}
        digest = ""
        with self._request("POST", path, headers) as response:
            for message in self._messages(response):
                digest = _pushed_digest(message) or digest
                if (status := message.get("status")) and not message.get("progressDetail"):
                    tell(f"{message['id']}: {status}" if message.get("id") else status)
        if not digest:
            raise self._lost()
        return digest

    def save_image(self, ref: str) -> Iterator[bytes]:
        """Read an image as the archive of ``docker save``, in pieces; close it to stop early."""
        with self._request("GET", f"/images/{_path(ref)}/get") as response:
            while piece := self._reading(lambda: response.read(_PIECE)):
                yield piece
            if response.length:
                raise self._lost()

    @contextmanager
    def _request(
        self, method: str, path: str, headers: Mapping[str, str] | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        connection = http.client.HTTPConnection("docker")
        connection.sock = self._transport.dial(self._timeout)
        try:
            self._reading(lambda: connection.request(method, path, headers=dict(headers or {})))
            with self._reading(connection.getresponse) as response:
                if response.status >= 400:
                    raise self._refused(response)
                yield response
        finally:
            connection.close()

    def _reading(self, step: Callable[[], T]) -> T:
        """Take a step on the connection, whose faults are the engine's going away."""
        try:
            return step()
        except (http.client.HTTPException, OSError) as error:
            raise self._lost() from error

    def _messages(self, response: http.client.HTTPResponse) -> Iterator[Mapping[str, Any]]:
        """The messages of a stream; an error in it comes after a good status, so look at each."""
        while line := self._reading(response.readline):
            message = self._parse(line) if line.strip() else {}
            if error := message.get("error"):
                raise self._failed(error, "UNKNOWN")
            yield message

    def _parse(self, text: bytes) -> Mapping[str, Any]:
        try:
            message = json.loads(text)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            raise self._failed("the engine's answer cannot be read", "INTERNAL")
        return message

    def _refused(self, response: http.client.HTTPResponse) -> DaemonError:
        body = response.read(64 * 1024)
        try:
            message = json.loads(body)["message"]
        except (ValueError, KeyError, TypeError):
            message = body.decode("utf-8", "replace").strip() or response.reason
        return self._failed(message, _CODES.get(response.status, "UNKNOWN"))

    def _lost(self) -> LostConnectionError:
        return LostConnectionError(
            f"lost the connection to {self._transport.address}",
            address=self._transport.address,
            hint="look at the engine's log",
        )

    def _failed(self, message: str, code: str) -> SolveFailedError:
        return SolveFailedError(message.strip(), code=code, address=self._transport.address)


_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "FAILED_PRECONDITION",
}


def split_tag(ref: str) -> tuple[str, str]:
    """An image's name and its tag, ``latest`` when it has none."""
    name, colon, tag = ref.rpartition(":")
    return (name, tag) if colon and "/" not in tag else (ref, "latest")


def _path(ref: str) -> str:
    return quote(ref, safe="/:@")


def _pushed_digest(message: Mapping[str, Any]) -> str:
    """The digest, which only the last line tells when the containerd image store pushes."""
    match = _DIGEST.search(message.get("status") or "")
    return match[1] if match else ""
