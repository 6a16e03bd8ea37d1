"""Calls with one request and one response."""

from __future__ import annotations

from collections.abc import Callable

from daemon_shim.session.service import Call, RpcError

_INVALID_ARGUMENT = 3


class Unary:
    """Answers one call with ``answer(request)``, which runs on another thread and may be slow.

    What it raises ends the call (see ``Call.spawn``).
    """

    def __init__(self, call: Call, answer: Callable[[bytes], bytes]) -> None:
        self._call = call
        self._answer = answer
        self._asked = False

    def message(self, data: memoryview) -> None:
        """Take the request."""
        if self._asked:
            raise RpcError(_INVALID_ARGUMENT, "a second request in a call that takes one")
        self._asked = True
        request = bytes(data)
        self._call.spawn(lambda: self._answer(request), self._reply)

    def _reply(self, response: object) -> None:
        assert isinstance(response, bytes)  # noqa: S101 - what ``answer`` returned
        self._call.send(response)
        self._call.finish()

    def half_closed(self) -> None:
        """The request is expected to be here."""
        if not self._asked:
            raise RpcError(_INVALID_ARGUMENT, "no request came")

    def writable(self) -> None:
        """One response needs no pacing."""

    def closed(self) -> None:
        """Nothing is held."""
