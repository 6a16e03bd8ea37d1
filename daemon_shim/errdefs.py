"""Errors of a builder's own with the details that clients look for: the writing half of
``daemon_shim.failure``.

The details are JSON inside ``google.protobuf.Any`` (solver/errdefs, v0.8 and later); older daemons
drop them, and their clients see the message alone.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from daemon_shim.errors import SolveFailedError, SourceRange
from daemon_shim.failure import CODES
from schemas.pb import status_pb2

_PLACE = "github.com/moby/buildkit/errdefs."


@dataclass(frozen=True, kw_only=True)
class Source:
    """A place in a file that clients draw: ``text`` is all of it."""

    text: str
    language: str
    place: SourceRange


def invalid(message: str, sources: Iterable[Source] = ()) -> SolveFailedError:
    """What was asked for is wrong, at places in the user's files."""
    return _error("UNKNOWN", message, [("Source", _source(each)) for each in sources])


def unsupported_request(name: str) -> SolveFailedError:
    """A subrequest that this frontend has not; clients then go without it."""
    return _error("UNKNOWN", f"unsupported request {name}", [("Subrequest", {"name": name})])


def unsupported_capability(name: str) -> SolveFailedError:
    """A capability that the client wants its frontend to have (``frontend.caps``)."""
    message = f"unsupported frontend capability {name}"
    return _error("UNIMPLEMENTED", message, [("FrontendCap", {"name": name})])


def _error(
    code: str, message: str, details: Iterable[tuple[str, Mapping[str, Any]]]
) -> SolveFailedError:
    status = status_pb2.Status(code=CODES.index(code), message=message)
    for name, value in details:
        status.details.add(type_url=f"{_PLACE}{name}+json", value=json.dumps(value).encode())
    return SolveFailedError(message, code=code, status=status.SerializeToString())


def _source(source: Source) -> dict[str, Any]:
    """As Go writes the message; its bytes are base64 there."""
    place = source.place
    return {
        "info": {
            "filename": place.file,
            "data": base64.b64encode(source.text.encode()).decode(),
            "language": source.language,
        },
        "ranges": [
            {
                "start": {"line": place.start_line, "character": place.start_character},
                "end": {"line": place.end_line, "character": place.end_character},
            }
        ],
    }
