"""A client of registries: their manifests, and small blobs such as image configs.

The API is that of the OCI distribution spec, v1.1. Images are pulled and pushed by daemons; this
looks whether a manifest is there and what an image's config says, and puts documents beside them.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urljoin, urlsplit

from daemon_shim.mediatypes import INDEXES, MANIFESTS
from daemon_shim.registry.hosts import WebError, is_here
from daemon_shim.registry.login import ANONYMOUS, Login, LoginError
from daemon_shim.registry.token import TokenRequest, fetch_token

if TYPE_CHECKING:
    from daemon_shim.registry.web import Answer

MAX_DOCUMENT = 4 << 20
"""Bytes of a manifest or a config; daemons read no more (v0.32)."""

_ACCEPT = ", ".join((*INDEXES, *MANIFESTS))
_DOCKER_HUB, _HUB_HOST = "docker.io", "registry-1.docker.io"
_DIGEST = re.compile("sha(256|384|512):[0-9a-f]{64,128}")
_PARAMETER = re.compile(r'(\w+)\s*=\s*(?:"([^"]*)"|([^\s",]+))')
_ALGORITHMS = frozenset({"sha256", "sha384", "sha512"})
_SECONDS = 20.0
_REFUSED = frozenset({401, 403})
_NO_HEAD = frozenset({405, 501})  # the method is not allowed, or not known


class RegistryError(Exception):
    """A registry cannot be asked, or does not give what was asked for. The text says why."""


class NotThereError(RegistryError):
    """The registry has no such manifest or blob, or does not show it."""


class NoRegistryError(RegistryError):
    """There is no answer from the registry's host: it is of no use to go on asking."""


@dataclass(frozen=True, kw_only=True)
class Repository:
    """A repository. ``host`` is as image names have it (``docker.io``, ``localhost:5000``).

    ``insecure`` means plain HTTP, as for all registries on this machine.
    """

    host: str
    path: str
    insecure: bool = False

    @property
    def plain(self) -> bool:
        """Whether it is asked without TLS."""
        return self.insecure or self.here

    @property
    def here(self) -> bool:
        """Whether it is on this machine."""
        return is_here(re.sub(r":\d+$", "", self.host))

    @property
    def base(self) -> str:
        """The address below which its parts are."""
        host = _HUB_HOST if self.host == _DOCKER_HUB else self.host
        return f"{'http' if self.plain else 'https'}://{host}/v2/{self.path}"


@dataclass(frozen=True, kw_only=True)
class Found:
    """A manifest that is there. ``modified`` is in seconds since 1970, where the registry tells."""

    digest: str
    media_type: str
    modified: float | None = None


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A manifest or an index, its bytes as the registry has them."""

    digest: str
    media_type: str
    data: bytes


class RegistryClient:
    """Asks registries, with the logins that ``login`` gives for a host.

    May be used from several threads. All methods wait for the network, and raise RegistryError,
    or NotThereError or NoRegistryError in particular.
    """

    def __init__(self, login: Callable[[str], Login], *, seconds: float = _SECONDS) -> None:
        self._login = login
        self._seconds = seconds
        self._lock = threading.Lock()  # credential helpers are run one at a time
        self._keys: dict[Repository, str] = {}

    def find(self, repository: Repository, reference: str) -> Found:
        """Look whether a tag or digest is there."""
        answer = self._get(repository, f"manifests/{reference}", method="HEAD", accept=_ACCEPT)
        digest = reference if ":" in reference else answer.headers.get("Docker-Content-Digest", "")
        if not _DIGEST.fullmatch(digest):  # some do not tell it
            digest = self.manifest(repository, reference).digest
        return Found(
            digest=digest,
            media_type=answer.headers.get_content_type(),
            modified=_seconds(answer.headers.get("Last-Modified")),
        )

    def manifest(self, repository: Repository, reference: str) -> Manifest:
        """Get a manifest by tag or by digest, which is checked."""
        answer = self._get(repository, f"manifests/{reference}", accept=_ACCEPT)
        digest = f"sha256:{hashlib.sha256(answer.data).hexdigest()}"
        if ":" in reference:
            _check(answer.data, reference)
            digest = reference
        return Manifest(digest=digest, media_type=_media_type(answer), data=answer.data)

    def blob(self, repository: Repository, digest: str) -> bytes:
        """Get a blob of at most MAX_DOCUMENT bytes, checked against its digest."""
        answer = self._get(repository, f"blobs/{digest}", accept="*/*")
        _check(answer.data, digest)
        return answer.data

    def put_manifest(
        self, repository: Repository, reference: str, media_type: str, data: bytes
    ) -> None:
        """Put a manifest or an index under a tag, or its digest."""
        place = f"{repository.base}/manifests/{reference}"
        self._ask(repository, place, "PUT", {"Content-Type": media_type}, data)

    def put_blob(self, repository: Repository, data: bytes) -> None:
        """Put a blob."""
        begun = self._ask(repository, f"{repository.base}/blobs/uploads/", "POST", {}, b"")
        place = _upload(begun, f"sha256:{hashlib.sha256(data).hexdigest()}")
        self._ask(repository, place, "PUT", {"Content-Type": "application/octet-stream"}, data)

    def _get(
        self, repository: Repository, part: str, *, accept: str, method: str = "GET"
    ) -> Answer:
        return self._ask(repository, f"{repository.base}/{part}", method, {"Accept": accept})

    def _ask(
        self,
        repository: Repository,
        place: str,
        method: str,
        headers: Mapping[str, str],
        data: bytes | None = None,
    ) -> Answer:
        key = self._keys.get(repository, "") if _is_of(repository, place) else ""
        answer = self._send(place, method, headers, key, data)
        if answer.status == 401 and _is_of(repository, place):
            challenges = answer.headers.get_all("WWW-Authenticate", ())
            key = self._key(repository, challenges, "pull" if data is None else "pull,push")
            answer = self._send(place, method, headers, key, data) if key else answer
        if answer.ok:
            return answer
        if method == "HEAD" and answer.status in _NO_HEAD:
            return self._ask(repository, place, "GET", headers)
        raise _refusal(repository, answer)

    def _send(
        self, place: str, method: str, headers: Mapping[str, str], key: str, data: bytes | None
    ) -> Answer:
        from urllib.request import Request

        from daemon_shim.registry.web import ask

        request = Request(  # noqa: S310 - its scheme is http or https
            place, data=data, headers=dict(headers), method=method
        )
        if key:
            request.add_unredirected_header("Authorization", key)
        try:
            return ask(request, seconds=self._seconds, limit=MAX_DOCUMENT)
        except WebError as error:
            raise NoRegistryError(str(error)) from None

    def _key(self, repository: Repository, challenges: Iterable[str], actions: str) -> str:
        """What the registry wants in ``Authorization``; '' where there is nothing to give."""
        with self._lock:
            try:
                login = self._login(repository.host)
                key = _answer_to(list(challenges), repository, login, actions)
            except LoginError as error:
                raise RegistryError(str(error)) from None
            self._keys[repository] = key
            return key


def _is_of(repository: Repository, place: str) -> bool:
    """Whether an address is at the registry's own host, which alone gets the login."""
    return urlsplit(place)[:2] == urlsplit(repository.base)[:2]


def _upload(begun: Answer, digest: str) -> str:
    """Where a blob is to be sent, as the registry answered."""
    from daemon_shim.registry.web import check_redirect

    try:
        place = urljoin(begun.place, begun.headers.get("Location", ""))
        check_redirect(begun.place, place)
    except (WebError, ValueError) as error:
        raise RegistryError(str(error)) from None
    return f"{place}{'&' if '?' in place else '?'}digest={quote(digest)}"


def _answer_to(
    challenges: Iterable[str], repository: Repository, login: Login, actions: str
) -> str:
    for challenge in challenges:
        scheme, _, rest = challenge.strip().partition(" ")
        told = {key.lower(): quoted or bare for key, quoted, bare in _PARAMETER.findall(rest)}
        if scheme.lower() == "bearer":
            scope = told.get("scope") or f"repository:{repository.path}:{actions}"
            wanted = TokenRequest(
                realm=told.get("realm", ""), service=told.get("service", ""), scopes=(scope,)
            )
            return f"Bearer {fetch_token(wanted, login).token}"
        if scheme.lower() == "basic" and login != ANONYMOUS:
            if repository.plain and not repository.here:
                raise LoginError("it wants a login, which is not sent without TLS")
            pair = f"{login.username}:{login.secret}".encode()
            return f"Basic {base64.b64encode(pair).decode()}"
    return ""


def _refusal(repository: Repository, answer: Answer) -> RegistryError:
    if answer.status == 404:
        return NotThereError("it is not there")
    if answer.status in _REFUSED:
        host = "" if repository.host == _DOCKER_HUB else f" {repository.host}"
        return RegistryError(
            f"it is not there, or needs another login (docker login{host}; "
            f"HTTP status {answer.status})"
        )
    if answer.status == 429:
        return RegistryError("it answers no more for now: too many requests (HTTP status 429)")
    return RegistryError(f"it answered with HTTP status {answer.status}")


def _media_type(answer: Answer) -> str:
    """As the document itself says, or the answer's header."""
    try:
        document = json.loads(answer.data)
    except (ValueError, RecursionError):
        raise RegistryError("its manifest is not JSON") from None
    told = document.get("mediaType") if isinstance(document, dict) else None
    return told if isinstance(told, str) else answer.headers.get_content_type()


def _check(data: bytes, digest: str) -> None:
    algorithm, _, digits = digest.partition(":")
    if algorithm not in _ALGORITHMS:
        raise RegistryError(f"{digest!r} is not a digest")
    if hashlib.new(algorithm, data).hexdigest() != digits:
        raise RegistryError(f"what it gives for {digest} has another digest")


def _seconds(text: str | None) -> float | None:
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(text).timestamp() if text else None
    except ValueError:
        return None
