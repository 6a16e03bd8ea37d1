"""A registry on this machine's loopback, in place of stores that a daemon cannot ask a session for.

It is started when something needs it, and only for a daemon that is seen to reach it: that is
tried once, with an image that nobody else can have.
"""

from __future__ import annotations

import json
import secrets
import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING

from daemon_shim.mediatypes import DOCKER_CONFIG, DOCKER_MANIFEST

if TYPE_CHECKING:
    from daemon_shim.client import Daemon
    from daemon_shim.registry.loopback import LoopbackRegistry
    from daemon_shim.registry.served import Document, Offer, Served

HOW = "through a registry on this machine's loopback"
_TAG = "probe"
_NO_PORT = "0"


class Loopback:
    """The registry of one run, as a context. ``daemon`` None is one that is only imagined: then
    nothing is started, and what is served has a name that leads nowhere.
    """

    def __init__(self, daemon: Daemon | None) -> None:
        self._daemon = daemon
        self._stack = ExitStack()
        self._registry: LoopbackRegistry | None = None
        self._refusal: str | None = None

    def __enter__(self) -> Loopback:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the registry, if it was started."""
        self._stack.close()

    def refusal(self) -> str:
        """Why the daemon cannot be served so, '' if it can. Raises DaemonError."""
        if self._refusal is None:
            self._refusal = self._probe(self._daemon) if self._daemon else ""
        return self._refusal

    def serve(self, offer: Offer) -> Served:
        """Serve what is offered until the end of the run."""
        from daemon_shim.registry.served import Served

        if self._registry is None:
            name = f"localhost:{_NO_PORT}/{secrets.token_hex(16)}/layout"
            return Served(name, offer)
        return self._registry.serve(offer)

    def _probe(self, daemon: Daemon) -> str:
        from daemon_shim.errors import SolveFailedError
        from daemon_shim.registry.loopback import LoopbackRegistry
        from daemon_shim.registry.served import Offer

        if not daemon.wire.transport.local:
            return "only a daemon on a unix socket is given a registry on this machine's loopback"
        try:
            self._registry = self._stack.enter_context(LoopbackRegistry())
        except OSError as error:
            return f"no registry can be started on this machine's loopback: {error.strerror}"
        config = _document(DOCKER_CONFIG, {"os": "linux", "comment": secrets.token_hex(16)})
        told = {"mediaType": DOCKER_CONFIG, "digest": config.digest, "size": len(config.data)}
        manifest = {"schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "config": told, "layers": []}
        tags = {_TAG: _document(DOCKER_MANIFEST, manifest)}
        probe = self.serve(Offer(tags=tags, documents=(config,)))
        try:
            seen = _resolved(daemon, f"{probe.name}:{_TAG}")
        except SolveFailedError as error:
            return f"it does not reach a registry on this machine's loopback: {_cause(error)}"
        return "" if seen == config.data else "its loopback is not this machine's"


def _document(media_type: str, content: Mapping[str, object]) -> Document:
    from daemon_shim.registry.served import Document

    return Document(media_type=media_type, data=json.dumps(content).encode())


def _resolved(daemon: Daemon, ref: str) -> bytes:
    """The config of an image as a daemon sees it. Raises SolveFailedError."""
    from daemon_shim.gateway import GatewayBuild
    from daemon_shim.request import SolveRequest
    from daemon_shim.results import Result
    from daemon_shim.session.host import SessionHost

    with (
        SessionHost(daemon.wire.transport, (), name="buildfile") as session,
        GatewayBuild(
            daemon, SolveRequest(ref=uuid.uuid4().hex, session=session.id, internal=True)
        ) as build,
    ):
        image = build.resolve_image(
            ref, platform=daemon.info().default_platform, log_name="look for the loopback registry"
        )
        build.return_result(Result())
        build.job.result()
    return image.config


def _cause(error: Exception) -> str:
    """The end of a daemon's words, which holds the cause, without the name that was asked for."""
    return str(error).rpartition('": ')[2].strip() or str(error)
