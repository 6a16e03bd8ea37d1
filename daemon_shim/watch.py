"""A build's progress, read on a thread of its own so that nothing is lost when nobody looks."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator

from daemon_shim import decoding
from daemon_shim.errors import DaemonError
from daemon_shim.events import Event, VertexEvent
from daemon_shim.wire import Wire
from schemas.pb import control_pb2
from schemas.rpc import Control

# How long the Status stream may go on after Solve has ended. It ends by itself, except that after
# a Solve that was refused it waits 3 to 6 seconds for the job and then fails (all releases).
_AFTER_SUCCESS = 10.0
_AFTER_FAILURE = 3.0
_AFTER_REFUSAL = 0.5
# How long to wait for the vertex of a failed call.
_BLAME = 2.0


class Watch:
    """Follows the Status stream of ``ref`` until it ends or is stopped.

    The stream's own failures are kept quiet: the result of the build tells what went wrong.
    """

    def __init__(self, wire: Wire, ref: str) -> None:
        self._stream = wire.stream(Control.STATUS, control_pb2.StatusRequest(Ref=ref))
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._errors: dict[str, str] = {}
        self._news = threading.Condition()
        self._began = self._ended = False
        self._timer: threading.Timer | None = None
        threading.Thread(target=self._read, name=f"status {ref}", daemon=True).start()

    def events(self) -> Iterator[Event]:
        """Each event as it comes, until the build's last; for one reader."""
        while (event := self._events.get()) is not None:
            yield event

    def stop_soon(self, *, failed: bool) -> None:
        """The build has ended: give the stream a little time for what is still to come."""
        after_failure = _AFTER_FAILURE if self._began else _AFTER_REFUSAL
        grace = after_failure if failed else _AFTER_SUCCESS
        with self._news:
            if self._ended:
                return
            self._timer = threading.Timer(grace, self.stop)
            self._timer.daemon = True
            self._timer.start()

    def stop(self) -> None:
        """End the stream now."""
        self._stream.cancel()

    def failed_vertex(self, message: str) -> str:
        """The digest of the vertex whose error a failed call's message repeats, '' for none.

        Waits for it a moment, for the call may end before its vertex does.
        """
        with self._news:
            self._news.wait_for(lambda: self._ended or self._blamed(message), _BLAME)
            return self._blamed(message)

    def _blamed(self, message: str) -> str:
        return next(
            (digest for digest, text in self._errors.items() if text in message or message in text),
            "",
        )

    def _read(self) -> None:
        try:
            for response in self._stream:
                self._began = True
                for event in decoding.events(response):
                    self._note(event)
                    self._events.put(event)
        except DaemonError:
            pass
        finally:
            with self._news:
                self._ended = True
                self._news.notify_all()
                if self._timer:
                    self._timer.cancel()
            self._events.put(None)

    def _note(self, event: Event) -> None:
        if isinstance(event, VertexEvent) and event.error:
            with self._news:
                self._errors[event.digest] = event.error
                self._news.notify_all()
