"""Archives that are made here of what a local exporter sends."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from daemon_shim.session.filesend import FileSend
from daemon_shim.session.outputs import FileOutput, OutputError, StreamOutput
from schemas.pb.fsutil_pb2 import Packet
from tests.daemon_shim.session.driver import (
    CHARDEV,
    DEVICE,
    DIR,
    FIFO,
    LAST,
    SETUID,
    SOCKET,
    STICKY,
    SYMLINK,
    FakeCall,
    data,
    file,
    folder,
    raw_stat,
    requests,
    said_fin,
    send_tree,
    stat,
)

PATH = "/moby.filesync.v1.FileSend/DiffCopy"


def start(output: FileOutput | StreamOutput) -> FakeCall:
    return FakeCall().open(FileSend([output]).methods[PATH])


def made(*entries: bytes, contents: Mapping[int, bytes] | None = None) -> bytes:
    """The archive of an honest daemon's tree."""
    stream = io.BytesIO()
    output = StreamOutput(stream, archived=True)
    call = start(output)
    send_tree(call, entries, contents or {})
    assert call.status is not None and call.status.code == 0
    output.commit()
    return stream.getvalue()


def members(archive: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {member.name: member for member in tar}


def test_every_kind_of_entry() -> None:
    archive = made(
        file("a", SETUID | 0o751, size=3, uid=12, gid=34, modTime=1_500_000_000),
        folder("d", modTime=1_499_999_999),
        file("d/b", size=2),
        stat("d/s", SYMLINK | 0o777, linkname="../a"),
        stat("dev", DEVICE | CHARDEV | 0o600, devmajor=1, devminor=3),
        file("empty"),
        stat("fifo", FIFO | 0o644),
        file("hard", 0o751, size=3, linkname="a"),
        stat("t", DIR | STICKY | 0o777, uid=99_999_999),
        contents={0: b"one", 2: b"tw"},
    )
    found = members(archive)
    kinds = {name: member.type for name, member in found.items()}
    assert kinds == {
        "a": tarfile.REGTYPE,
        "d": tarfile.DIRTYPE,
        "d/b": tarfile.REGTYPE,
        "d/s": tarfile.SYMTYPE,
        "dev": tarfile.CHRTYPE,
        "empty": tarfile.REGTYPE,
        "fifo": tarfile.FIFOTYPE,
        "hard": tarfile.LNKTYPE,
        "t": tarfile.DIRTYPE,
    }
    a = found["a"]
    assert (a.mode, a.uid, a.gid, a.size, a.uname) == (0o4751, 12, 34, 3, "")
    # Whole seconds, to the nearest one, as Go writes them.
    assert (a.mtime, found["d"].mtime) == (2, 1)
    assert (found["d/s"].linkname, found["hard"].linkname, found["hard"].size) == ("../a", "a", 0)
    assert (found["dev"].devmajor, found["dev"].devminor) == (1, 3)
    assert (found["t"].mode, found["t"].uid) == (0o1777, 99_999_999)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        texts = {name: tar.extractfile(name) for name in ("a", "d/b", "empty", "hard")}
        assert [text.read() for text in texts.values() if text] == [b"one", b"tw", b"", b"one"]
    assert archive.endswith(bytes(1024)) and len(archive) % 512 == 0


def test_a_folder_has_a_slash_in_the_archive() -> None:
    assert made(folder("d")).startswith(b"d/\0")


def test_an_empty_tree_is_an_empty_archive() -> None:
    assert made() == bytes(1024)


def test_long_names_strange_bytes_and_attributes() -> None:
    name = "/".join(["n" * 90] * 3)
    attributes = {"user.text": b"v", "security.capability": b"\x01\xff\x00"}
    found = members(
        made(
            *(folder("/".join(["n" * 90] * depth)) for depth in (1, 2)),
            file(name, size=1, xattrs=attributes),
            raw_stat(b"\xff\xc3\xa4", 0o600),
            contents={2: b"x"},
        )
    )
    assert found[name].pax_headers["SCHILY.xattr.user.text"] == "v"
    raw = found[name].pax_headers["SCHILY.xattr.security.capability"]
    assert raw.encode("utf-8", "surrogateescape") == b"\x01\xff\x00"
    assert "\udcffä" in found


def test_small_files_are_asked_for_together_and_come_in_any_order() -> None:
    stream = io.BytesIO()
    output = StreamOutput(stream, archived=True)
    call = start(output).give(*(file(name, size=1) for name in "abc"), LAST)
    assert requests(call) == [0, 1, 2]
    call.give(data(2, b"c"), data(2), data(1, b"b"), data(0, b"a"), data(1))
    assert not said_fin(call)
    call.give(data(0))
    assert said_fin(call)
    output.commit()
    with tarfile.open(fileobj=io.BytesIO(stream.getvalue())) as tar:
        texts = [tar.extractfile(name) for name in "abc"]
        assert [text.read() for text in texts if text] == [b"a", b"b", b"c"]


def test_large_files_are_asked_for_one_by_one() -> None:
    call = start(StreamOutput(io.BytesIO(), archived=True))
    size = 3 << 20
    call.give(file("a", size=size), file("b", size=size), LAST)
    assert requests(call) == [0]
    call.give(data(0, bytes(size)), data(0))
    assert requests(call) == [0, 1]


def test_many_files_are_not_asked_for_at_once() -> None:
    call = start(StreamOutput(io.BytesIO(), archived=True))
    call.give(*(file(f"{number:03}", size=1) for number in range(100)), LAST)
    assert len(requests(call)) == 64
    call.give(data(0, b"x"), data(0))
    assert len(requests(call)) == 65


def test_a_socket_is_left_out() -> None:
    output = StreamOutput(io.BytesIO(), archived=True)
    send_tree(start(output), [stat("s", SOCKET | 0o644), file("t")], {})
    output.commit()
    assert output.warnings == ["s: special files are not written"]


@pytest.mark.parametrize(
    ("packets", "reason"),
    [
        ([file("a", size=2), data(0, b"abc")], "longer than announced"),
        ([file("a", size=2), data(0, b"a"), data(0)], "shorter than announced"),
        ([file("a", size=2), data(1, b"a")], "not asked for"),
        ([file("../a")], "not in order"),
        ([file("b"), file("a")], "not in order"),
        ([file("a", linkname="../b")], "not a path"),
        ([stat("a", DEVICE, devmajor=1 << 40)], "does not fit into an archive"),
        ([file("a"), LAST, file("b")], "after the last"),
        ([Packet(type=Packet.PACKET_FIN).SerializeToString()], "an end before the end"),
    ],
)
def test_a_daemon_that_lies_is_not_believed(
    packets: list[bytes], reason: str, tmp_path: Path
) -> None:
    output = FileOutput(tmp_path / "a.tar", archived=True)
    call = start(output).give(*packets)
    assert call.status is not None and call.status.code != 0
    with pytest.raises(OutputError, match=reason):
        output.commit()
    assert list(tmp_path.iterdir()) == []


def test_a_file_appears_whole(tmp_path: Path) -> None:
    output = FileOutput(tmp_path / "a.tar", archived=True)
    call = start(output)
    send_tree(call, [file("a", size=1)], {0: b"x"})
    assert list(tmp_path.iterdir()) != [tmp_path / "a.tar"]
    output.commit()
    assert list(tmp_path.iterdir()) == [tmp_path / "a.tar"]
    assert set(members((tmp_path / "a.tar").read_bytes())) == {"a"}
