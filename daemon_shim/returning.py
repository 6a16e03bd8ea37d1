"""The end of a steered build: whatever becomes of its builder, the daemon is told.

A Return holds a result or an error; one with neither kills a Docker Engine (20.10 to 28.5).
"""

from __future__ import annotations

from dataclasses import dataclass

from daemon_shim import results
from daemon_shim.builder import Builder, Client
from daemon_shim.calls import Calls
from daemon_shim.errors import DaemonError, SolveFailedError, UnsupportedError
from daemon_shim.failure import CODES
from daemon_shim.results import Result
from schemas.pb import gateway_pb2, status_pb2


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a builder came to: what to tell the daemon, and what the builder raised, if it did."""

    message: gateway_pb2.ReturnRequest
    error: BaseException | None = None


def outcome(builder: Builder, client: Client, calls: Calls) -> Outcome:
    """Run a builder to its end. Raises nothing but what comes from outside, such as Ctrl-C."""
    try:
        result = builder(client)
        if not isinstance(result, Result):
            raise TypeError(f"the builder returned {type(result).__name__}, not a Result")
        return Outcome(message=succeeded(calls, result))
    except (Exception, SystemExit) as error:
        return Outcome(message=failed(error), error=error)
    finally:
        calls.end()


def succeeded(calls: Calls, result: Result) -> gateway_pb2.ReturnRequest:
    """The Return of a result. Raises UnsupportedError for what the daemon cannot take."""
    return gateway_pb2.ReturnRequest(result=results.spell(calls, result))


def failed(error: BaseException) -> gateway_pb2.ReturnRequest:
    """The Return of an error.

    What the daemon itself said goes back whole, with its vertex, sources and stack.
    """
    if isinstance(error, SolveFailedError):
        if error.status:
            return gateway_pb2.ReturnRequest(error=status_pb2.Status.FromString(error.status))
        return failure(error.code, str(error))
    if isinstance(error, UnsupportedError):
        return failure("UNIMPLEMENTED", str(error))
    if isinstance(error, DaemonError):
        return failure("UNKNOWN", str(error))
    return failure("UNKNOWN", f"{type(error).__name__}: {error}".removesuffix(": "))


def failure(code: str, message: str) -> gateway_pb2.ReturnRequest:
    """The Return of an error with the name of a gRPC status, such as ``UNKNOWN``."""
    number = CODES.index(code)
    return gateway_pb2.ReturnRequest(error=status_pb2.Status(code=number, message=message))
