"""One Solve under way: its progress, its result, and a way to stop it from any thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from daemon_shim.errors import CancelledError
from daemon_shim.events import Event
from daemon_shim.watch import Watch
from daemon_shim.wire import Wire
from schemas.pb import control_pb2
from schemas.rpc import Control


class Job:
    """A build on the daemon. Made by ``Daemon.start``."""

    def __init__(self, wire: Wire, message: control_pb2.SolveRequest, *, watch: bool) -> None:
        self.ref = message.Ref
        self._address = wire.address
        self._cancelled = False
        self._solve = wire.begin(Control.SOLVE, message)
        self._watch = Watch(wire, self.ref) if watch else None
        self._solve.on_end(self._ended)

    def events(self) -> Iterator[Event]:
        """Progress as it comes, until the build's end; for one reader. Empty if not watched."""
        return self._watch.events() if self._watch else iter(())

    def result(self) -> dict[str, str]:
        """Wait for the end; the daemon's ExporterResponse.

        Raises SolveFailedError, LostConnectionError, UnsupportedError, or CancelledError after
        ``cancel``.
        """
        try:
            response = self._solve.result(blame=self.failed_vertex)
        except Exception as error:
            if self._cancelled and not isinstance(error, CancelledError):
                raise CancelledError("the build was cancelled", address=self._address) from error
            raise
        return dict(response.ExporterResponse)

    def cancel(self) -> None:
        """Stop the build on the daemon. Harmless when it has ended."""
        self._cancelled = self._cancelled or not self._solve.done()
        self._solve.cancel()
        if self._watch:
            self._watch.stop()

    def done(self) -> bool:
        """Whether the build has ended, however."""
        return self._solve.done()

    def on_end(self, tell: Callable[[], None]) -> None:
        """Call ``tell`` when the build ends, on another thread, or now if it has."""
        self._solve.on_end(tell)

    def failed_vertex(self, message: str) -> str:
        """The vertex whose error ``message`` repeats, '' for none; may wait for it a moment."""
        return self._watch.failed_vertex(message) if self._watch else ""

    def _ended(self) -> None:
        if self._watch:
            self._watch.stop_soon(failed=self._solve.failed())
