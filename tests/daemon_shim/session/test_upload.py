"""Blobs that a daemon writes: what is answered, what is refused, and what is left in the folder."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daemon_shim.session import ingest as ingest_module
from daemon_shim.session.content import Content
from daemon_shim.session.ingest import Ingest, WrongBlobError
from schemas import rpc
from schemas.pb import content_pb2 as pb
from tests.daemon_shim.session.driver import FakeCall

STORE = "local:/any/name"
OK, UNKNOWN, INVALID, NOT_FOUND, EXISTS, DENIED = 0, 2, 3, 5, 6, 7
EXHAUSTED, PRECONDITION, OUT_OF_RANGE = 8, 9, 11
DATA = b"0123456789" * 1000
MIB = 1 << 20


def digest_of(data: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def blob(layout: Path, digest: str) -> Path:
    return layout.joinpath("blobs", *digest.split(":"))


def request(action: pb.WriteAction, **fields: Any) -> bytes:
    return pb.WriteContentRequest(action=action, **fields).SerializeToString()


def stat(data: bytes = DATA, **fields: Any) -> bytes:
    known = {"ref": "layer-x", "total": len(data), "expected": digest_of(data)}
    return request(pb.STAT, **{**known, **fields})


def write(data: bytes, offset: int, **fields: Any) -> bytes:
    return request(pb.WRITE, data=data, offset=offset, **fields)


def commit(whole: bytes = DATA, **fields: Any) -> bytes:
    known = {"total": len(whole), "offset": len(whole), "expected": digest_of(whole)}
    return request(pb.COMMIT, **{**known, **fields})


def begin(ingest: Ingest, call: FakeCall | None = None, store: str = STORE) -> FakeCall:
    call = call or FakeCall()
    call.metadata = {"buildkit-attachable-store-id": [store]}
    return call.open(Content({}, {STORE: ingest}).methods[rpc.Content.WRITE.path])


def upload(ingest: Ingest, *requests: bytes) -> FakeCall:
    return begin(ingest).give(*requests).half_close()


def answers(call: FakeCall) -> list[tuple[int, int]]:
    """Each answer's action and offset."""
    told = [pb.WriteContentResponse.FromString(each) for each in call.messages]
    return [(each.action, each.offset) for each in told]


def code(call: FakeCall) -> int:
    assert call.status is not None, "the call goes on"
    return call.status.code


def left(layout: Path) -> list[str]:
    """All files of the layout."""
    return sorted(str(each.relative_to(layout)) for each in layout.rglob("*") if each.is_file())


def test_a_blob_as_daemons_write_it(tmp_path: Path) -> None:
    ingest = Ingest(tmp_path / "new")
    half = len(DATA) // 2
    call = upload(
        ingest, stat(), request(pb.STAT), write(DATA[:half], 0), write(DATA[half:], half), commit()
    )
    assert code(call) == OK
    assert answers(call) == [(0, 0), (0, 0), (1, half), (1, len(DATA)), (2, len(DATA))]
    last = pb.WriteContentResponse.FromString(call.messages[-1])
    assert (last.digest, last.total) == (digest_of(DATA), len(DATA))
    place = blob(tmp_path / "new", digest_of(DATA))
    assert place.read_bytes() == DATA and place.stat().st_mode & 0o222 == 0
    assert left(tmp_path / "new") == [str(place.relative_to(tmp_path / "new"))]
    assert ingest.newest == digest_of(DATA) and ingest.error is None


@pytest.mark.parametrize("data", [b"", b"x"])
def test_a_blob_may_come_with_the_commit(tmp_path: Path, data: bytes) -> None:
    call = upload(Ingest(tmp_path), stat(data), commit(data, data=data, offset=0))
    assert code(call) == OK and answers(call)[-1] == (2, len(data))
    assert blob(tmp_path, digest_of(data)).read_bytes() == data


def test_what_is_told_of_a_blob_may_come_late_or_never(tmp_path: Path) -> None:
    late = upload(Ingest(tmp_path), request(pb.STAT, ref="a"), write(b"late", 0), commit(b"late"))
    bare = request(pb.COMMIT, offset=5)
    never = upload(Ingest(tmp_path), request(pb.STAT, ref="b"), write(b"never", 0), bare)
    assert (code(late), code(never)) == (OK, OK)
    assert (
        blob(tmp_path, digest_of(b"late")).exists() and blob(tmp_path, digest_of(b"never")).exists()
    )


def test_other_algorithms_of_daemons(tmp_path: Path) -> None:
    digest = digest_of(DATA, "sha512")
    call = upload(Ingest(tmp_path), stat(expected=digest), write(DATA, 0), commit(expected=digest))
    assert code(call) == OK and blob(tmp_path, digest).read_bytes() == DATA


def test_a_blob_that_is_there_is_not_taken_again(tmp_path: Path) -> None:
    upload(Ingest(tmp_path), stat(), write(DATA, 0), commit())
    ingest = Ingest(tmp_path)
    call = upload(ingest, stat())
    assert code(call) == EXISTS and ingest.newest == digest_of(DATA)


def test_a_damaged_blob_of_another_size_is_replaced(tmp_path: Path) -> None:
    place = blob(tmp_path, digest_of(DATA))
    place.parent.mkdir(parents=True)
    place.write_bytes(b"cut")
    assert code(upload(Ingest(tmp_path), stat(), write(DATA, 0), commit())) == OK
    assert place.read_bytes() == DATA


def test_offset_zero_begins_again(tmp_path: Path) -> None:
    call = upload(Ingest(tmp_path), stat(), write(b"wrong", 0), write(DATA, 0), commit())
    assert code(call) == OK
    assert answers(call) == [(0, 0), (1, 5), (1, len(DATA)), (2, len(DATA))]
    assert blob(tmp_path, digest_of(DATA)).read_bytes() == DATA


@pytest.mark.parametrize(
    ("requests", "expected"),
    [
        ([request(pb.STAT)], INVALID),
        ([stat(expected="sha256:../../../etc/passwd")], INVALID),
        ([stat(expected="md5:" + "0" * 32)], INVALID),
        ([stat(total=-1)], PRECONDITION),
        ([stat(), stat(total=5)], PRECONDITION),
        ([stat(), request(7)], INVALID),  # type: ignore[arg-type]
        ([stat(), write(DATA, 5)], OUT_OF_RANGE),
        ([stat(), write(DATA, -5)], OUT_OF_RANGE),
        ([stat(), write(DATA + b"more", 0)], PRECONDITION),
        ([stat(), write(DATA, 0), commit(offset=7)], OUT_OF_RANGE),
        ([stat(), write(DATA[:5], 0), commit(offset=5)], PRECONDITION),
        ([stat(), write(b"x" * len(DATA), 0), commit()], PRECONDITION),
        ([stat(), write(DATA, 0), commit(expected=digest_of(b"other"))], PRECONDITION),
        ([request(pb.STAT, ref="r"), write(DATA, 0), commit(expected="sha256:x")], PRECONDITION),
        ([stat(), write(DATA[:5], 0)], OK),
    ],
)
def test_what_is_wrong_or_broken_off_leaves_nothing(
    tmp_path: Path, requests: list[bytes], expected: int
) -> None:
    ingest = Ingest(tmp_path)
    assert code(upload(ingest, *requests)) == expected
    assert left(tmp_path) == [] and ingest.newest == "" and ingest.error is None


def test_nothing_follows_a_commit(tmp_path: Path) -> None:
    call = FakeCall()
    call.later = True
    begin(Ingest(tmp_path), call).give(stat(), write(DATA, 0), commit(), write(b"more", len(DATA)))
    assert code(call) == INVALID
    call.run()
    assert left(tmp_path) == []


def test_only_stores_for_writing_are_written(tmp_path: Path) -> None:
    readable = Content({STORE: tmp_path}).methods[rpc.Content.WRITE.path]
    call = FakeCall({"buildkit-attachable-store-id": [STORE]}).open(readable)
    assert code(call) == DENIED
    assert code(begin(Ingest(tmp_path), store="local:/other")) == NOT_FOUND


def test_a_store_that_is_written_can_be_read(tmp_path: Path) -> None:
    ingest = Ingest(tmp_path)
    upload(ingest, stat(), write(DATA, 0), commit())
    call = FakeCall({"buildkit-attachable-store-id": [STORE]})
    call.open(Content({}, {STORE: ingest}).methods[rpc.Content.INFO.path])
    call.give(pb.InfoRequest(digest=digest_of(DATA)).SerializeToString())
    assert pb.InfoResponse.FromString(call.messages[0]).info.size == len(DATA)


def test_answers_do_not_wait_for_the_disk_until_much_waits(tmp_path: Path) -> None:
    call = FakeCall()
    call.later = True
    data = bytes(8 * MIB)
    begin(Ingest(tmp_path), call).give(stat(data))
    pieces = [write(data[at : at + MIB], at) for at in range(0, 8 * MIB, MIB)]
    for number, piece in enumerate(pieces[:3]):
        call.give(piece)
        assert answers(call)[-1] == (1, (number + 1) * MIB) and not call.paused
    call.give(pieces[3])
    assert answers(call)[-1] == (1, 3 * MIB) and call.paused
    call.waiting.pop(0)()  # the first piece is written, and the rest on its way
    assert answers(call)[-1] == (1, 4 * MIB) and not call.paused
    call.give(*pieces[4:])
    call.run()
    call.give(commit(data))
    call.run()
    assert code(call) == OK and blob(tmp_path, digest_of(data)).stat().st_size == 8 * MIB


@pytest.mark.parametrize("waiting", [0, 1])
def test_a_call_that_ends_while_it_is_written_leaves_nothing(tmp_path: Path, waiting: int) -> None:
    call = FakeCall()
    call.later = True
    begin(Ingest(tmp_path), call).give(stat(), write(DATA[:5], 0), write(DATA[5:], 5))
    for _ in range(waiting):
        call.waiting.pop(0)()
    call.drop()
    while call.waiting:
        call.waiting.pop(0)()
    assert left(tmp_path) == []


def test_two_builds_may_write_one_blob_at_once(tmp_path: Path) -> None:
    first, second = begin(Ingest(tmp_path)), begin(Ingest(tmp_path))
    for call in (first, second):
        call.give(stat(), write(DATA[:5], 0))
    for call in (first, second):
        call.give(write(DATA[5:], 5), commit())
    assert (code(first), code(second)) == (OK, OK)
    assert left(tmp_path) == [f"blobs/sha256/{digest_of(DATA).partition(':')[2]}"]


# --- the folder ---------------------------------------------------------------------------------


def test_what_a_killed_build_left_is_removed_by_the_next(tmp_path: Path) -> None:
    (tmp_path / "ingest" / "of-buildctl").mkdir(parents=True)
    leftover = tmp_path / "ingest" / "0123.partial"
    leftover.write_bytes(b"half")
    at_work = Ingest(tmp_path / "link")
    (tmp_path / "link").symlink_to(tmp_path)
    upload_ = at_work.begin()
    assert not leftover.exists() and (tmp_path / "ingest" / "of-buildctl").is_dir()
    Ingest(tmp_path).begin().close()
    upload_.write([b"still there"])
    assert blob(tmp_path, upload_.commit()).read_bytes() == b"still there"


@pytest.mark.parametrize("name", ["ingest", "blobs", "blobs/sha256"])
def test_symlinks_lead_nowhere(tmp_path: Path, name: str) -> None:
    layout, outside = tmp_path / "layout", tmp_path / "outside"
    outside.mkdir()
    (layout / name).parent.mkdir(parents=True)
    (layout / name).symlink_to(outside)
    ingest = Ingest(layout)
    call = upload(ingest, stat(), write(DATA, 0), commit())
    assert code(call) == UNKNOWN and str(tmp_path) not in call.status.message
    assert ingest.error is not None and list(outside.iterdir()) == []
    assert left(layout) == []


def test_a_symlink_in_a_blobs_place_is_replaced(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    place = blob(tmp_path / "layout", digest_of(DATA))
    place.parent.mkdir(parents=True)
    place.symlink_to("nowhere")
    assert code(upload(Ingest(tmp_path / "layout"), stat(), write(DATA, 0), commit())) == OK
    assert not place.is_symlink() and place.read_bytes() == DATA
    assert secret.read_text() == "s3cret"


@pytest.mark.parametrize(
    ("number", "expected"), [(errno.ENOSPC, EXHAUSTED), (errno.EDQUOT, EXHAUSTED), (errno.EIO, 2)]
)
def test_a_full_disk_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, expected: int
) -> None:
    def full(*_: object) -> int:
        raise OSError(number, os.strerror(number), str(tmp_path))

    ingest = Ingest(tmp_path)
    call = begin(ingest).give(stat())
    monkeypatch.setattr(ingest_module.os, "write", full)
    call.give(write(DATA, 0))
    monkeypatch.undo()
    assert code(call) == expected
    assert call.status is not None and os.strerror(number) in call.status.message
    assert ingest.error is not None and ingest.error.errno == number
    assert left(tmp_path) == []


def test_a_file_in_the_folders_place_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ingest = Ingest(tmp_path / "file")
    assert code(upload(ingest, stat(), write(DATA, 0), commit())) == UNKNOWN
    assert ingest.error is not None


@pytest.mark.parametrize(
    "use", [lambda it: it.write([b"x"]), lambda it: it.restart(), lambda it: it.commit()]
)
def test_an_upload_ends_once(tmp_path: Path, use: Callable[[Any], None]) -> None:
    upload_ = Ingest(tmp_path).begin()
    upload_.close()
    upload_.close()
    with pytest.raises(WrongBlobError):
        use(upload_)
