"""The border where gRPC ends: a failed call's status becomes an error of ``daemon_shim.errors``.

Up to v0.7 a status is bare and mostly UNKNOWN. From v0.8 its details carry JSON inside ``Any``
(errdefs, api/services/errdefs), with the failing vertex and the places in the definition's sources.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from daemon_shim.errors import (
    CancelledError,
    DaemonError,
    LostConnectionError,
    SolveFailedError,
    SourceRange,
    StackFrame,
    UnreachableError,
    UnsupportedError,
)
from schemas.pb import status_pb2

if TYPE_CHECKING:
    import grpc

DETAILS = "grpc-status-details-bin"
"""The trailer with the whole Status."""
CODES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
"""The names of gRPC's status codes, by number."""
_NESTED = re.compile(r"rpc error: code = \w+ desc = ")
# "process "..." did not complete successfully: exit code: 1" since v0.8; "executor failed running
# [...]: exit code: 1" and "runc did not terminate sucessfully" forms before.
_EXIT_CODE = re.compile(r"exit (?:code|status):? (\d+)")


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A failed call.

    ``code`` is the status name, ``details`` decoded JSON by message name, ``status`` the whole
    serialised Status that they come from.
    """

    code: str
    message: str
    details: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    status: bytes = b""

    def find(self, name: str) -> Iterator[Mapping[str, Any]]:
        """The details of one kind, such as ``Vertex``."""
        return (value for kind, value in self.details if kind == name)


def read(error: grpc.RpcError) -> Failure:
    """Take a gRPC error apart."""
    packed = next(
        (entry.value for entry in error.trailing_metadata() or () if entry.key == DETAILS), b""
    )
    told = of_status(error.code().name, error.details() or "", packed)
    # gRPC's own words for a stream that was reset: nothing that the daemon says.
    cut = told.message.startswith("Stream removed") and not packed
    return replace(told, code="UNAVAILABLE") if cut else told


def code_name(code: int) -> str:
    """The name of a status code; UNKNOWN for one that gRPC does not have."""
    return CODES[code] if 0 <= code < len(CODES) else "UNKNOWN"


def of_status(code: str, message: str, packed: bytes) -> Failure:
    """Read a status by its name and message; ``packed`` is the trailer with all of it, or empty."""
    return Failure(
        code=code,
        message=_NESTED.sub("", message).strip() or "the daemon gives no reason",
        details=tuple(_details(packed)),
        status=packed,
    )


def to_error(failure: Failure, *, address: str, vertex: str = "") -> DaemonError:
    """The error of a failed call; ``vertex`` is the failing one where the status names none."""
    make = _ERRORS.get(failure.code)
    if make and not failure.details:
        return make(failure, address)
    told = next(failure.find("Vertex"), {})
    left = next(failure.find("Solve"), {})
    return SolveFailedError(
        failure.message,
        code=failure.code,
        vertex=_string(told, "digest") or vertex,
        ranges=tuple(_ranges(failure)),
        exit_code=_exit_code(failure),
        address=address,
        stack=tuple(_stack(failure)),
        status=failure.status,
        mounts=_strings(left, "mountIDs"),
    )


def cancelled(address: str) -> CancelledError:
    """The error of a call that was stopped on this side."""
    return CancelledError("the build was cancelled", address=address)


def _lost(failure: Failure, address: str) -> DaemonError:
    return LostConnectionError(
        f"lost the connection to {address}: {failure.message}",
        address=address,
        hint="look at the daemon's log; it may have been stopped, or have crashed",
    )


def _silent(_failure: Failure, address: str) -> DaemonError:
    return UnreachableError(
        f"{address} does not answer", address=address, hint="look at the daemon's log"
    )


def _unsupported(failure: Failure, address: str) -> DaemonError:
    return UnsupportedError(
        f"{address} does not know a call: {failure.message}", feature="call", address=address
    )


_ERRORS: dict[str, Callable[[Failure, str], DaemonError]] = {
    "UNAVAILABLE": _lost,
    "DEADLINE_EXCEEDED": _silent,
    "UNIMPLEMENTED": _unsupported,
}


def _details(packed: bytes) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The JSON details. What cannot be read is skipped: they only add to the message."""
    try:
        status = status_pb2.Status.FromString(packed)
    except DecodeError:
        return
    for detail in status.details:
        name, _, form = detail.type_url.rpartition("/")[2].rpartition(".")[2].partition("+")
        value = _json(detail.value) if form == "json" else None
        if isinstance(value, dict):
            yield name, value


def _json(data: bytes) -> object:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _ranges(failure: Failure) -> Iterator[SourceRange]:
    for source in failure.find("Source"):
        info, ranges = source.get("info"), source.get("ranges")
        told = info if isinstance(info, dict) else {}
        file, text = _string(told, "filename"), _text(_string(told, "data"))
        for entry in ranges if isinstance(ranges, list) else ():
            if isinstance(entry, dict):
                yield _range(file, text, entry)


def _text(data: str) -> str:
    """Bytes as JSON has them."""
    try:
        return base64.b64decode(data).decode("utf-8", "replace")
    except ValueError:
        return ""


def _range(file: str, text: str, entry: Mapping[str, Any]) -> SourceRange:
    start, end = _position(entry, "start"), _position(entry, "end")
    return SourceRange(
        file=file,
        start_line=start[0],
        start_character=start[1],
        end_line=end[0] or start[0],
        end_character=end[1],
        text=text,
    )


def _stack(failure: Failure) -> Iterator[StackFrame]:
    """The frames of every stack that the error gathered (util/stack, v0.8 and later)."""
    for stack in failure.find("Stack"):
        frames = stack.get("frames")
        for frame in frames if isinstance(frames, list) else ():
            if isinstance(frame, dict):
                yield StackFrame(
                    function=_string(frame, "Name"),
                    file=_string(frame, "File"),
                    line=_number(frame, "Line") or 0,
                )


def _position(entry: Mapping[str, Any], key: str) -> tuple[int, int]:
    """Line and character; their keys begin with a capital before v0.11."""
    position = entry.get(key)
    if not isinstance(position, dict):
        return 0, 0
    lower = {name.lower(): value for name, value in position.items()}
    return _number(lower, "line") or 0, _number(lower, "character") or 0


def _exit_code(failure: Failure) -> int | None:
    for message in failure.find("ExitMessage"):
        code = _number({name.lower(): value for name, value in message.items()}, "code")
        if code is not None:
            return code
    match = _EXIT_CODE.search(failure.message)
    return int(match[1]) if match else None


def _string(value: Mapping[str, Any], key: str) -> str:
    found = value.get(key)
    return found if isinstance(found, str) else ""


def _strings(value: Mapping[str, Any], key: str) -> tuple[str, ...]:
    found = value.get(key)
    return tuple(map(str, found)) if isinstance(found, list) else ()


def _number(value: Mapping[str, Any], key: str) -> int | None:
    found = value.get(key)
    return found if isinstance(found, int) else None
