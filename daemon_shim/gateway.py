"""A build steered from this side, call by call: what the Go client calls ``client.Build``.

A Solve with neither definition nor frontend waits for calls of LLBBridge that name its ref; Return
ends it. Works on every release from v0.3.0.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING

from daemon_shim import returning
from daemon_shim.bridge import Bridge
from daemon_shim.builder import Brief, Builder, Client
from daemon_shim.calls import Calls
from daemon_shim.errors import CancelledError, DaemonError
from daemon_shim.events import Event
from daemon_shim.request import SolveRequest
from daemon_shim.results import Result
from schemas.pb import gateway_pb2

if TYPE_CHECKING:
    from daemon_shim.client import Daemon

_BUILDER_SECONDS = 5.0
"""How long a builder may go on after its build has ended."""
_ENDS_CONTAINERS = (0, 10, 0)
"""The first release that ends containers with their build (gateway.go, ``Discard``)."""


class GatewayBuild(Client):
    """A build as a context: inside it calls are made, and it ends with one ``return_``.

    ``request`` has neither definition nor frontend. Leaving with an exception ends the build with
    that error; leaving without a result cancels it. ``job`` has the progress and the result.
    """

    def __init__(
        self,
        daemon: Daemon,
        request: SolveRequest,
        *,
        product: str = "",
        inputs: Mapping[str, bytes] | None = None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        if request.definition is not None or request.frontend:
            raise ValueError("a gateway build has neither a definition nor a frontend")
        info = daemon.info()
        brief = Brief(
            opts=request.frontend_attrs,
            session_id=request.session,
            product=product,
            workers=info.workers,
            inputs=inputs or {},
        )
        self.job = daemon.start(request)
        self._bridge = Bridge(daemon.wire, self.job)
        super().__init__(Calls(self._bridge, info), brief, say=say)
        self._returned = False

    def __enter__(self) -> GatewayBuild:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._returned or self.job.done():
            return
        if isinstance(error, Exception) and not isinstance(error, CancelledError):
            self._calls.end()
            self._finish(returning.failed(error))
        else:
            self.cancel()

    def cancel(self) -> None:
        """Stop the build on the daemon, and every call that is under way."""
        if self._calls.info.release < _ENDS_CONTAINERS:
            self._calls.end()
        self.job.cancel()

    def return_result(self, result: Result) -> None:
        """End the build with a result, which goes to the exporters.

        Raises SolveFailedError if the daemon does not take it.
        """
        self._calls.end()
        self._finish(returning.succeeded(self._calls, result))

    def run(self, builder: Builder) -> BaseException | None:
        """End the build with what a builder comes to, and give what the builder raised."""
        end = returning.outcome(builder, self, self._calls)
        if not isinstance(end.error, CancelledError):
            self._finish(end.message)
        return end.error

    def _finish(self, message: gateway_pb2.ReturnRequest) -> None:
        self._returned = True
        self._bridge.finish(message)


class BuilderRun:
    """A builder at work on a daemon: the half that waits for its Return.

    The builder has a thread of its own. It starts with ``start``; any thread may wait or cancel.
    """

    def __init__(self, build: GatewayBuild, builder: Builder) -> None:
        self._build = build
        self._builder = builder
        self._error: BaseException | None = None
        self._thread = threading.Thread(
            target=self._run, name=f"builder {build.job.ref}", daemon=True
        )

    def start(self) -> BuilderRun:
        """Let the builder begin."""
        self._thread.start()
        return self

    def events(self) -> Iterator[Event]:
        """Progress as it comes, until the build's end; for one reader."""
        return self._build.job.events()

    def done(self) -> bool:
        """Whether the build has ended, however."""
        return self._build.job.done()

    def cancel(self) -> None:
        """Stop the build on the daemon, and every call of the builder."""
        self._build.cancel()

    def result(self) -> dict[str, str]:
        """Wait for the end; the daemon's ExporterResponse.

        Raises what the builder raised, else what became of the build (``Job.result``). A builder
        that goes on when its build has ended is left to itself after a few seconds.
        """
        try:
            response = self._build.job.result()
        except DaemonError:
            self._thread.join(_BUILDER_SECONDS)
            if self._error and not isinstance(self._error, CancelledError):
                raise self._error from None
            raise
        self._thread.join(_BUILDER_SECONDS)
        if self._error:
            raise self._error
        return response

    def _run(self) -> None:
        try:
            with self._build:
                self._error = self._build.run(self._builder)
        except DaemonError as error:
            self._error = error
