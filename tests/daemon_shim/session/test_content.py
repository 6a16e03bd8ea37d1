"""The content store: ranges of a layout's blobs, and nothing else of this machine."""

from __future__ import annotations

import hashlib
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from daemon_shim.session.content import Content
from schemas import rpc
from schemas.pb import content_pb2
from tests.daemon_shim.session.driver import FakeCall

INFO, READ = rpc.Content.INFO.path, rpc.Content.READ.path
STORE = "oci:base"
MIB = 1 << 20
OK, INVALID, NOT_FOUND, DENIED, OUT_OF_RANGE, DATA_LOSS = 0, 3, 5, 7, 11, 15


def put(layout: Path, data: bytes, algorithm: str = "sha256") -> str:
    digits = hashlib.new(algorithm, data).hexdigest()
    blob = layout / "blobs" / algorithm / digits
    blob.parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(data)
    return f"{algorithm}:{digits}"


def place(layout: Path, digest: str) -> Path:
    return layout.joinpath("blobs", *digest.split(":"))


def begin(layout: Path, path: str, store: str | None = STORE, call: Any = None) -> Any:
    call = call or FakeCall()
    call.metadata = {} if store is None else {"buildkit-attachable-store-id": [store]}
    return call.open(Content({STORE: layout}).methods[path])


def info(layout: Path, digest: str, **options: Any) -> FakeCall:
    request = content_pb2.InfoRequest(digest=digest).SerializeToString()
    call: FakeCall = begin(layout, INFO, **options).give(request)
    return call


def read(layout: Path, digest: str, offset: int = 0, size: int = 0, **options: Any) -> Any:
    request = content_pb2.ReadContentRequest(digest=digest, offset=offset, size=size)
    return begin(layout, READ, **options).give(request.SerializeToString()).half_close()


def code(call: FakeCall) -> int:
    assert call.status is not None, "the call goes on"
    return call.status.code


def content(call: FakeCall) -> bytes:
    """The bytes sent, their offsets checked."""
    data = b""
    pieces = [content_pb2.ReadContentResponse.FromString(each) for each in call.messages]
    for piece in pieces:
        assert piece.offset == pieces[0].offset + len(data)
        data += piece.data
    return data


class SlowCall(FakeCall):
    """Counts what was not taken yet; keeps nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = self.total = 0

    def send_framed(self, frames: bytes | bytearray | memoryview) -> None:
        self.queued += len(frames)
        self.largest = max(self.largest, self.queued)

    def take(self) -> None:
        """Take all that is queued, and ask for more."""
        self.total += self.queued
        self.queued = 0
        if self.handler is not None:
            self._guard(self.handler.writable)


def test_info_tells_the_size(tmp_path: Path) -> None:
    digest = put(tmp_path, b"layer")
    call = info(tmp_path, digest)
    assert code(call) == OK
    [message] = call.messages
    told = content_pb2.InfoResponse.FromString(message).info
    assert (told.digest, told.size) == (digest, 5)
    assert told.created_at.ToNanoseconds() == place(tmp_path, digest).stat().st_mtime_ns


@pytest.mark.parametrize(
    ("offset", "size", "expected"),
    [
        (0, 0, b"0123456789"),
        (3, 0, b"3456789"),
        (3, 2, b"34"),
        (8, 100, b"89"),
        (10, 0, b""),
        (10, 5, b""),
        (-4, 3, b"012"),
        (2, -1, b"23456789"),
    ],
)
def test_read_gives_the_range(tmp_path: Path, offset: int, size: int, expected: bytes) -> None:
    call = read(tmp_path, put(tmp_path, b"0123456789"), offset, size)
    assert code(call) == OK
    assert content(call) == expected


def test_read_starts_at_the_offset(tmp_path: Path) -> None:
    call = read(tmp_path, put(tmp_path, b"0123456789"), 7)
    [message] = call.messages
    assert content_pb2.ReadContentResponse.FromString(message).offset == 7


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_read_knows_the_algorithms_of_daemons(tmp_path: Path, algorithm: str) -> None:
    assert content(read(tmp_path, put(tmp_path, b"x", algorithm))) == b"x"


def test_read_of_an_empty_blob_is_empty(tmp_path: Path) -> None:
    call = read(tmp_path, put(tmp_path, b""))
    assert code(call) == OK and call.messages == []


def test_large_blob_comes_in_pieces(tmp_path: Path) -> None:
    data = bytes(range(256)) * (10 << 10) + b"end"
    call = read(tmp_path, put(tmp_path, data))
    assert content(call) == data
    pieces = [content_pb2.ReadContentResponse.FromString(each).data for each in call.messages]
    assert [len(piece) for piece in pieces] == [MIB, MIB, len(data) - 2 * MIB]


def test_memory_stays_flat_however_large_the_blob(tmp_path: Path) -> None:
    digest = put(tmp_path, b"")
    size = 512 << 20
    with place(tmp_path, digest).open("r+b") as blob:
        blob.truncate(size)
    call = SlowCall()
    tracemalloc.start()
    try:
        read(tmp_path, digest, call=call)
        while call.status is None:
            call.take()
        call.take()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size < call.total < size + (size >> 10)
    assert call.largest < MIB + 100
    assert peak < 4 * MIB


def test_read_waits_while_much_else_is_on_the_way(tmp_path: Path) -> None:
    call = SlowCall()
    call.queued = 10 * MIB
    read(tmp_path, put(tmp_path, bytes(MIB + 1)), call=call)
    assert call.largest == 0 and call.status is None
    call.take()
    call.take()
    assert call.status is not None and call.status.code == OK


def test_read_stops_when_the_daemon_has_enough(tmp_path: Path) -> None:
    call = SlowCall()
    read(tmp_path, put(tmp_path, bytes(3 * MIB)), call=call)
    call.drop()
    call.take()
    assert call.total < MIB + 100 and call.status is None


def test_offset_past_the_end_is_out_of_range(tmp_path: Path) -> None:
    assert code(read(tmp_path, put(tmp_path, b"abc"), 4)) == OUT_OF_RANGE


def test_blob_that_shrinks_is_lost(tmp_path: Path) -> None:
    call = SlowCall()
    digest = put(tmp_path, bytes(3 * MIB))
    read(tmp_path, digest, call=call)
    place(tmp_path, digest).write_bytes(b"")
    call.take()
    assert call.status is not None and call.status.code == DATA_LOSS


@pytest.mark.parametrize("ask", [info, read])
def test_missing_blob_is_not_found(tmp_path: Path, ask: Any) -> None:
    assert code(ask(tmp_path, "sha256:" + "0" * 64)) == NOT_FOUND
    assert code(ask(tmp_path / "nowhere", "sha256:" + "0" * 64)) == NOT_FOUND


@pytest.mark.parametrize(
    "digest",
    [
        "",
        "sha256",
        "sha256:",
        "sha256:" + "0" * 63,
        "sha256:" + "A" * 64,
        "sha256:" + "0" * 64 + "\n",
        "md5:" + "0" * 32,
        "sha256:../../" + "0" * 58,
        "../sha256:" + "0" * 64,
        "/etc:passwd",
    ],
)
@pytest.mark.parametrize("ask", [info, read])
def test_what_is_no_digest_is_invalid(tmp_path: Path, digest: str, ask: Any) -> None:
    assert code(ask(tmp_path, digest)) == INVALID


@pytest.mark.parametrize("ask", [info, read])
def test_symlink_out_of_the_layout_is_refused(tmp_path: Path, ask: Any) -> None:
    layout = tmp_path / "layout"
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    digest = put(layout, b"blob")
    place(layout, digest).unlink()
    place(layout, digest).symlink_to("../../../secret")
    call = ask(layout, digest)
    assert code(call) == DENIED
    assert b"s3cret" not in call.sent and str(tmp_path) not in call.status.message


def test_folder_that_leads_out_is_refused(tmp_path: Path) -> None:
    digest = put(tmp_path / "elsewhere", b"blob")
    layout = tmp_path / "layout"
    layout.mkdir()
    (layout / "blobs").symlink_to("../elsewhere/blobs")
    assert code(read(layout, digest)) == DENIED


def test_symlink_within_the_layout_is_followed(tmp_path: Path) -> None:
    digest = put(tmp_path / "layout", b"blob")
    blob = place(tmp_path / "layout", digest)
    blob.rename(tmp_path / "layout" / "kept")
    blob.symlink_to("../../kept")
    (tmp_path / "link").symlink_to("layout")
    assert content(read(tmp_path / "link", digest)) == b"blob"


def test_circle_of_symlinks_ends(tmp_path: Path) -> None:
    digest = put(tmp_path, b"blob")
    place(tmp_path, digest).unlink()
    place(tmp_path, digest).symlink_to(digest.partition(":")[2])
    assert code(read(tmp_path, digest)) != OK


@pytest.mark.parametrize("ask", [info, read])
def test_folder_in_a_blobs_place_is_not_found(tmp_path: Path, ask: Any) -> None:
    digest = put(tmp_path, b"blob")
    place(tmp_path, digest).unlink()
    place(tmp_path, digest).mkdir()
    assert code(ask(tmp_path, digest)) == NOT_FOUND


@pytest.mark.parametrize("ask", [info, read])
def test_store_must_be_known(tmp_path: Path, ask: Any) -> None:
    digest = put(tmp_path, b"blob")
    assert code(ask(tmp_path, digest, store="oci:other")) == NOT_FOUND
    assert code(ask(tmp_path, digest, store="base")) == NOT_FOUND
    assert code(ask(tmp_path, digest, store=None)) == INVALID


@pytest.mark.parametrize(
    "call",
    [each for each in rpc.ALL if each.path.startswith("/containerd.services.content.")],
    ids=lambda each: each.path.rpartition("/")[2],
)
def test_nothing_but_reading_is_allowed(tmp_path: Path, call: rpc.Rpc[Any, Any]) -> None:
    refused = call.path not in (INFO, READ)
    started = begin(tmp_path, call.path)
    assert (started.status is not None) == refused
    if refused:
        assert code(started) == DENIED
    assert code(begin(tmp_path, call.path, store="oci:other")) == NOT_FOUND


def test_call_without_a_request_is_invalid(tmp_path: Path) -> None:
    assert code(begin(tmp_path, READ).half_close()) == INVALID


def test_second_request_is_invalid(tmp_path: Path) -> None:
    call = SlowCall()
    digest = put(tmp_path, bytes(3 * MIB))
    read(tmp_path, digest, call=call)
    call.give(content_pb2.ReadContentRequest(digest=digest).SerializeToString())
    assert call.status is not None and call.status.code == INVALID
