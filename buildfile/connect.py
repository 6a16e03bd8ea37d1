"""From what the user chose to an open daemon."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from buildfile.locate import locate
from daemon_shim.info import Api
from daemon_shim.transports.base import TlsFiles

if TYPE_CHECKING:
    from daemon_shim.client import Daemon


@dataclass(frozen=True, kw_only=True)
class DaemonChoice:
    """Which daemon, and how to reach it.

    ``address`` None: found on this machine, or started. ``timeout`` in seconds bounds dialling.
    ``api`` is the dialect to speak. ``environment`` None means this process's own.
    """

    address: str | None = None
    tls: TlsFiles = field(default_factory=TlsFiles)
    timeout: float = 5.0
    api: Api = Api.AUTO
    environment: Mapping[str, str] | None = None


@contextmanager
def connected(choice: DaemonChoice, say: Callable[[str], None]) -> Iterator[Daemon]:
    """Open the daemon, ask it what it is, and close it in the end.

    ``say`` hears what takes time, such as starting one. Raises UnreachableError or TlsError.
    """
    from daemon_shim.client import Daemon
    from daemon_shim.transports import transport_for

    environment = os.environ if choice.environment is None else choice.environment
    located = locate(choice.address, environment, say)
    transport = transport_for(
        located.address, tls=choice.tls, docker_host=environment.get("DOCKER_HOST", "")
    )
    with Daemon(transport, timeout=choice.timeout, api=choice.api) as daemon:
        daemon.info()
        yield daemon
