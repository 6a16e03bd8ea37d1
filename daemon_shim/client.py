"""A daemon as the application sees it: what it is, and builds on it."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from types import TracebackType

from daemon_shim import decoding, dialects
from daemon_shim.errors import UnsupportedError
from daemon_shim.events import Event
from daemon_shim.info import Api, DaemonInfo, Worker
from daemon_shim.job import Job
from daemon_shim.probe import probe
from daemon_shim.releases import Release
from daemon_shim.request import SolveRequest
from daemon_shim.transports.base import Transport
from daemon_shim.wire import Wire
from schemas.pb import control_pb2
from schemas.rpc import Control

_TELLS_WHAT_RUNS: Release = (0, 12, 4)


class Daemon:
    """One daemon, reached through a transport, which is closed with it.

    ``timeout`` in seconds bounds dialling; ``api`` is how it is spoken to. ``max_parallel`` is how
    many builds its callers should start at once, None for any number. ``labels`` are what its user
    says of its workers beside what they say themselves. All methods may be used from
    several threads, and raise errors of ``daemon_shim.errors``: UnreachableError or TlsError when
    nobody is there, LostConnectionError when the daemon goes away.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        timeout: float = 5.0,
        api: Api = Api.AUTO,
        max_parallel: int | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        self.wire = Wire(transport, timeout)
        self.max_parallel = max_parallel
        self.labels = dict(labels or {})
        self._api = api
        self._lock = threading.Lock()
        self._info: DaemonInfo | None = None

    def __enter__(self) -> Daemon:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def address(self) -> str:
        """The address as diagnostics show it."""
        return self.wire.address

    def info(self) -> DaemonInfo:
        """What the daemon is and can do; asked once and kept."""
        with self._lock:
            if not self._info:
                self._info = replace(probe(self.wire), api=self._api)
            return self._info

    def workers(self) -> tuple[Worker, ...]:
        """Its workers, the default one first, with what its user says of them."""
        return tuple(
            replace(each, labels={**each.labels, **self.labels}) for each in self.info().workers
        )

    def running_builds(self) -> int | None:
        """How many builds it has under way, of all clients, or None where it does not tell.

        From v0.12.4 on it does: before, a history that is asked for what is active, and to end
        at once, leaves that out (solver/llbsolver/history.go).
        """
        if self.info().release < _TELLS_WHAT_RUNS:
            return None
        message = control_pb2.BuildHistoryRequest(ActiveOnly=True, EarlyExit=True)
        try:
            return sum(1 for _ in self.wire.stream(Control.LISTEN_BUILD_HISTORY, message))
        except UnsupportedError:
            return None

    def list_workers(self, filters: Iterable[str] = ()) -> tuple[Worker, ...]:
        """The workers that any of the containerd-style filters selects; the default one first.

        Raises SolveFailedError for a filter that cannot be read.
        """
        message = control_pb2.ListWorkersRequest(filter=filters)
        return decoding.workers(self.wire.begin(Control.LIST_WORKERS, message).result().record)

    def start(self, request: SolveRequest, *, watch: bool = True) -> Job:
        """Start a build. Without ``watch`` its progress is not read.

        Raises UnsupportedError, before anything is sent, for what the daemon cannot do.
        """
        return Job(self.wire, dialects.spell(request, self.info()), watch=watch)

    def solve(self, request: SolveRequest) -> dict[str, str]:
        """Build and wait; see ``Job.result``."""
        return self.start(request).result()

    def status(self, ref: str) -> Iterator[Event]:
        """Progress of a build by its ref, also of another client's; closing it ends the call.

        Raises SolveFailedError when the daemon does not know the ref.
        """
        stream = self.wire.stream(Control.STATUS, control_pb2.StatusRequest(Ref=ref))
        try:
            for response in stream:
                yield from decoding.events(response)
        finally:
            stream.cancel()

    def close(self) -> None:
        """Close the connection; builds under way end as cancelled."""
        self.wire.close()
