from __future__ import annotations

import json

import pytest

from daemon_shim import failure
from daemon_shim.errors import (
    LostConnectionError,
    SolveFailedError,
    SourceRange,
    UnreachableError,
    UnsupportedError,
)
from daemon_shim.failure import Failure
from schemas.pb import status_pb2

DIGEST = "sha256:" + "a" * 64
PROCESS = 'process "/bin/sh -c false" did not complete successfully: exit code: 3'


def packed(*details: tuple[str, object]) -> bytes:
    status = status_pb2.Status(code=2, message="m")
    for url, value in details:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        status.details.add(type_url=url, value=data)
    return status.SerializeToString()


def solved(details: bytes, message: str = PROCESS, vertex: str = "") -> SolveFailedError:
    told = Failure(code="UNKNOWN", message=message, details=tuple(failure._details(details)))
    error = failure.to_error(told, address="unix:///x", vertex=vertex)
    assert isinstance(error, SolveFailedError)
    return error


VERTEX = ("github.com/moby/buildkit/errdefs.Vertex+json", {"digest": DIGEST})


@pytest.mark.parametrize(
    ("line", "character"), [("Line", "Character"), ("line", "character")], ids=["v0.8", "v0.11"]
)
def test_vertex_and_places_come_from_the_details(line: str, character: str) -> None:
    source = {
        "info": {"filename": "buildfile.yaml", "data": "YQ=="},
        "ranges": [
            {"start": {line: 3, character: 2}, "end": {line: 4, character: 9}},
            {"start": {line: 7}},
        ],
    }
    error = solved(
        packed(
            ("github.com/moby/buildkit/stack.Stack+json", {"frames": []}),
            VERTEX,
            ("github.com/moby/buildkit/errdefs.Source+json", source),
        )
    )
    assert (error.vertex, error.code, error.exit_code) == (DIGEST, "UNKNOWN", 3)
    assert error.ranges == (
        SourceRange(
            file="buildfile.yaml",
            start_line=3,
            start_character=2,
            end_line=4,
            end_character=9,
            text="a",
        ),
        SourceRange(
            file="buildfile.yaml",
            start_line=7,
            start_character=0,
            end_line=7,
            end_character=0,
            text="a",
        ),
    )


def test_the_details_vertex_counts_before_the_watched_one() -> None:
    assert solved(packed(VERTEX), vertex="sha256:other").vertex == DIGEST
    assert solved(b"", vertex="sha256:other").vertex == "sha256:other"


@pytest.mark.parametrize(
    "details",
    [
        b"\xff\xff\xff",
        packed(("github.com/moby/buildkit/errdefs.Vertex+json", b"{no json")),
        packed(("github.com/moby/buildkit/errdefs.Vertex+json", [1, 2])),
        packed(("github.com/moby/buildkit/errdefs.Vertex+json", {"digest": 7})),
        packed(("github.com/moby/buildkit/errdefs.Vertex", b"\x0a\x01x")),
        packed(("errdefs.Source+json", {"info": [], "ranges": {"a": 1}})),
        packed(("errdefs.Source+json", {"ranges": ["x", 3, None]})),
        packed(("", b"")),
        packed(("errdefs.Vertex+json", b"[" * 1_000_000)),
    ],
)
def test_odd_details_only_add_nothing(details: bytes) -> None:
    error = solved(details)
    assert (error.vertex, error.ranges, str(error)) == ("", (), PROCESS)


@pytest.mark.parametrize(
    "position",
    [None, 7, "x", [], {"line": "x"}, {"line": None}],
)
def test_odd_positions_are_line_none(position: object) -> None:
    details = packed(("errdefs.Source+json", {"ranges": [{"start": position, "end": position}]}))
    (place,) = solved(details).ranges
    assert (place.start_line, place.end_line) == (0, 0)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (PROCESS, 3),
        ("executor failed running [/bin/sh -c exit 7]: exit code: 7", 7),
        ("executor failed running [x]: exit status 12", 12),
        ("buildkit-runc did not terminate successfully", None),
    ],
)
def test_exit_codes_of_all_ages(message: str, code: int | None) -> None:
    assert solved(b"", message).exit_code == code


def test_an_exit_message_counts_before_the_text() -> None:
    details = packed(("gatewayapi.ExitMessage+json", {"Code": 9}))
    assert solved(details, "exit code: 1").exit_code == 9


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("UNAVAILABLE", LostConnectionError),
        ("DEADLINE_EXCEEDED", UnreachableError),
        ("UNIMPLEMENTED", UnsupportedError),
        ("PERMISSION_DENIED", SolveFailedError),
        ("NOT_FOUND", SolveFailedError),
    ],
)
def test_codes_have_their_errors(code: str, kind: type[Exception]) -> None:
    error = failure.to_error(Failure(code=code, message="m"), address="unix:///x")
    assert type(error) is kind
    assert error.address == "unix:///x"


def test_what_the_daemon_itself_says_is_a_failed_build_whatever_its_code() -> None:
    """A registry that is unavailable is not a daemon that is gone."""
    told = Failure(code="UNAVAILABLE", message="registry", details=(("Vertex", {"digest": "d"}),))
    error = failure.to_error(told, address="unix:///x")
    assert isinstance(error, SolveFailedError)
    assert error.code == "UNAVAILABLE"
