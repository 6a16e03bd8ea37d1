"""A process in a gateway container: its input, its outputs, and how it ends.

The order of messages on ExecProcess: ours begin with Init; the daemon's are Started, File, Exit, a
File with EOF for each output, and Done (frontend/gateway/gateway.go, v0.8). It waits with Done
until it was told the end of the input, too, and drops all that is open when our side ends.
"""

from __future__ import annotations

import signal
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol, TypeAlias, runtime_checkable

from daemon_shim import failure
from daemon_shim.calls import Calls
from daemon_shim.errors import LostConnectionError, SolveFailedError
from schemas.pb import gateway_pb2, status_pb2
from schemas.rpc import LLBBridge

_PIECE = 32 << 10
_STDIN = 0
_CODES = 0xFF  # what the daemon ended itself has code -1


@runtime_checkable
class Reads(Protocol):
    """What input is read from, such as a binary file."""

    def read(self, size: int, /) -> bytes:
        """Up to ``size`` bytes; none at the end."""


class Writes(Protocol):
    """What output is written to, such as a binary file."""

    def write(self, data: bytes, /) -> object:
        """Take all of ``data``."""


Input: TypeAlias = bytes | Reads | Iterable[bytes]
"""A process's standard input: all of it, a file, or pieces as they come."""


class Process:
    """A process, from ``Container.exec``.

    Nothing is read from the daemon but in ``wait``, so that output never piles up. The other
    methods may be called from any thread meanwhile.
    """

    def __init__(
        self,
        calls: Calls,
        message: gateway_pb2.InitMessage,
        *,
        stdin: Input | None,
        outputs: Mapping[int, Writes | None],
    ) -> None:
        self._calls = calls
        self._id = uuid.uuid4().hex
        self._outputs = {fd: output for fd, output in outputs.items() if output is not None}
        self._lock = threading.Lock()
        self._is_fed = stdin is None
        self._exit: gateway_pb2.ExitMessage | None = None
        message.Fds.extend([*([] if stdin is None else [_STDIN]), *self._outputs])
        self._exchange = calls.caller.converse(LLBBridge.EXEC_PROCESS)
        self._is_done = self._ended = False
        try:
            self._exchange.send(gateway_pb2.ExecMessage(ProcessID=self._id, Init=message))
            self._await_start()
        except BaseException:
            self._end()
            raise
        if stdin is not None:
            self._exchange.feed(self._fed(_pieces(stdin)))

    def wait(self) -> int:
        """Move input and output until the process ends; its exit code.

        128 and more where a signal ended it. Raises SolveFailedError where the daemon could not
        run it, LostConnectionError, CancelledError, and what the input or an output raises.
        """
        try:
            while not self._ended and self._move():
                pass
        finally:
            self._end()
        return self._code()

    def resize(self, rows: int, columns: int) -> None:
        """Tell the process's terminal its size."""
        self._send(gateway_pb2.ExecMessage(Resize={"Rows": rows, "Cols": columns}))

    def signal(self, name: str) -> None:
        """Send a signal, such as ``TERM``. Raises UnsupportedError before v0.10."""
        name = name.removeprefix("SIG")
        if f"SIG{name}" not in signal.Signals.__members__:
            raise ValueError(f"no signal is called {name}")
        self._calls.require("gateway.exec.signals", "signals for processes in containers")
        self._send(gateway_pb2.ExecMessage(Signal={"Name": name}))

    def kill(self) -> None:
        """End it at once. Before v0.10 only the container's release does."""
        self.signal("KILL")

    # --- the daemon's messages -----------------------------------------------------------------

    def _await_start(self) -> None:
        while (message := self._exchange.receive()) is not None:
            if message.WhichOneof("Input") == "Started":
                return
            self._take(message)
        self._code()

    def _move(self) -> bool:
        """Take one message in, and say whether there are more.

        What follows the exit code is the rest of the output. That an input which nobody reads any
        more cannot be written then ends the call with an error, which is none.
        """
        try:
            message = self._exchange.receive()
        except SolveFailedError:
            if self._exit is None:
                raise
            return False
        return message is not None and self._take(message)

    def _take(self, message: gateway_pb2.ExecMessage) -> bool:
        kind = message.WhichOneof("Input")
        if kind == "File" and message.File.Data:
            self._outputs[message.File.Fd].write(message.File.Data)
        elif kind == "Exit":
            self._exit = message.Exit
            self._end_input()
        self._is_done = self._is_done or kind == "Done"
        return self._exit is None or not self._is_done

    def _code(self) -> int:
        if self._exit is None:
            raise LostConnectionError(
                "the daemon does not say how the process ended", address=self._calls.info.address
            )
        if self._exit.HasField("Error"):
            self._raise_unless_exited(self._exit.Error)
        return self._exit.Code & _CODES

    def _raise_unless_exited(self, error: status_pb2.Status) -> None:
        """Raise an error that tells of something else than the exit code."""
        told = failure.of_status(
            failure.code_name(error.code), error.message, error.SerializeToString()
        )
        made = failure.to_error(told, address=self._calls.info.address)
        if not isinstance(made, SolveFailedError) or made.exit_code is None:
            raise made

    def _end(self) -> None:
        self._ended = True
        self._exchange.close()

    # --- ours ----------------------------------------------------------------------------------

    def _send(self, message: gateway_pb2.ExecMessage) -> None:
        message.ProcessID = self._id
        if not self._ended:
            self._exchange.send(message)

    def _fed(self, pieces: Iterator[bytes]) -> Iterator[gateway_pb2.ExecMessage]:
        for piece in pieces:
            if self._is_fed:
                return
            yield self._file(Data=piece)
        self._end_input()

    def _end_input(self) -> None:
        """Tell the end of the input, once."""
        with self._lock:
            was_fed, self._is_fed = self._is_fed, True
        if not was_fed:
            self._send(self._file(EOF=True))

    def _file(self, **values: object) -> gateway_pb2.ExecMessage:
        return gateway_pb2.ExecMessage(ProcessID=self._id, File={"Fd": _STDIN, **values})


def _pieces(given: Input) -> Iterator[bytes]:
    """The input in pieces that fit a message."""
    for large in _read(given):
        for start in range(0, len(large), _PIECE):
            yield large[start : start + _PIECE]


def _read(given: Input) -> Iterable[bytes]:
    if isinstance(given, bytes):
        return (given,)
    if isinstance(given, Reads):
        # A buffered file gives what there is with ``read1``; ``read`` waits for a whole piece.
        read = getattr(given, "read1", given.read)
        return iter(lambda: read(_PIECE), b"")
    return given
