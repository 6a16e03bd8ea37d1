"""File sync out of local sources, against a daemon played by hand."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon_shim.session import diffcopy, walk
from daemon_shim.session.filesync import METHOD, FileSync, LocalFolder, SourceFault
from daemon_shim.session.root import Root
from schemas.pb.fsutil_pb2 import Packet, Stat
from tests.daemon_shim.session.driver import (
    DIR,
    FIFO,
    FIN,
    SETUID,
    STICKY,
    SYMLINK,
    FakeCall,
    fault,
)

TIME = 1_600_000_000_123_456_789


class Transfer:
    """One transfer out of ``folder``, with the daemon's side by hand."""

    def __init__(
        self,
        folder: Path,
        *,
        asked: Mapping[str, Sequence[str]] | None = None,
        name: str = "context",
        **patterns: tuple[str, ...],
    ) -> None:
        source = LocalFolder(path=str(folder), **patterns)
        self.service = FileSync({"context": source})
        self.call = FakeCall({"dir-name": [name], **(asked or {})})
        self.call.open(self.service.methods[METHOD])

    @property
    def packets(self) -> list[Packet]:
        return [Packet.FromString(message) for message in self.call.messages]

    @property
    def stats(self) -> list[Stat]:
        return [packet.stat for packet in self.packets if packet.HasField("stat")]

    @property
    def paths(self) -> list[str]:
        return [entry.path for entry in self.stats]

    def ask(self, *numbers: int) -> None:
        requests = [Packet(type=Packet.PACKET_REQ, ID=number) for number in numbers]
        self.call.give(*(request.SerializeToString() for request in requests))
        self.more()

    def more(self) -> None:
        """What the host does when there is room."""
        handler = self.call.handler
        if handler is not None:
            self.call._guard(handler.writable)

    def data(self, number: int) -> tuple[bytes, int]:
        """The bytes sent of a file, and how many end marks."""
        mine = [p for p in self.packets if p.type == Packet.PACKET_DATA and number == p.ID]
        return b"".join(p.data for p in mine), sum(not p.data for p in mine)

    @property
    def error(self) -> str:
        errors = [p.data for p in self.packets if p.type == Packet.PACKET_ERR]
        return errors[0].decode() if errors else ""


def write(folder: Path, *names: str) -> None:
    """Make files, or folders where a name ends with a slash."""
    for name in names:
        path = folder / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)


def test_a_tree_in_the_order_of_the_protocol(tmp_path: Path) -> None:
    write(tmp_path, "a/f", "a.b", "a-c", "a/z/y", "Z", "ä", "b/", "\U0001f600", "\uffee")
    transfer = Transfer(tmp_path)
    expected = ["Z", "a", "a/f", "a/z", "a/z/y", "a-c", "a.b", "b", "ä", "\uffee", "\U0001f600"]
    assert sorted(expected, key=lambda p: [part.encode() for part in p.split("/")]) == expected
    assert transfer.paths == expected
    assert transfer.packets[-1] == Packet()


def test_what_a_stat_says(tmp_path: Path) -> None:
    write(tmp_path, "file", "folder/")
    (tmp_path / "file").chmod(0o4751)
    (tmp_path / "folder").chmod(0o1777)
    (tmp_path / "link").symlink_to("../../outside")
    os.mkfifo(tmp_path / "pipe", 0o600)
    os.link(tmp_path / "file", tmp_path / "later")
    for name in ("file", "folder", "link", "pipe"):
        os.utime(tmp_path / name, ns=(TIME, TIME), follow_symlinks=False)
    link_mode = stat.S_IMODE((tmp_path / "link").lstat().st_mode)
    expected = [
        Stat(path="file", mode=SETUID | 0o751, size=4, modTime=TIME),
        Stat(path="folder", mode=DIR | STICKY | 0o777, modTime=TIME),
        Stat(path="later", mode=SETUID | 0o751, size=4, modTime=TIME, linkname="file"),
        Stat(
            path="link",
            mode=SYMLINK | link_mode,
            size=len("../../outside"),
            modTime=TIME,
            linkname="../../outside",
        ),
        Stat(path="pipe", mode=FIFO | 0o600, modTime=TIME),
    ]
    assert Transfer(tmp_path).stats == expected


def test_extended_attributes_go_along(tmp_path: Path) -> None:
    write(tmp_path, "file", "folder/")
    try:
        os.setxattr(tmp_path / "file", "user.one", b"\0\xff")
        os.setxattr(tmp_path / "file", "user.two", b"")
    except OSError:
        pytest.skip("the file system of the temporary folder has no user attributes")
    first, second = Transfer(tmp_path).stats
    assert {"user.one": b"\0\xff", "user.two": b""}.items() <= dict(first.xattrs).items()
    assert not any(name.startswith("user.") for name in second.xattrs)


def test_a_socket_is_an_empty_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        transfer = Transfer(tmp_path)
    assert transfer.stats[0].mode & ~0o777 == 0
    transfer.ask(0)
    assert transfer.data(0) == (b"", 1)


def test_requested_files_come_whole_with_an_end_mark(tmp_path: Path) -> None:
    large = os.urandom(3_000_000)
    write(tmp_path, "a", "d/small")
    (tmp_path / "empty").touch()
    (tmp_path / "large").write_bytes(large)
    transfer = Transfer(tmp_path)
    assert transfer.paths == ["a", "d", "d/small", "empty", "large"]
    transfer.ask(4, 2, 3, 0)
    assert transfer.data(0) == (b"a", 1)
    assert transfer.data(2) == (b"d/small", 1)
    assert transfer.data(3) == (b"", 1)
    assert transfer.data(4) == (large, 1)
    assert max(map(len, transfer.call.messages)) <= 1 << 20
    transfer.call.give(FIN)
    assert transfer.call.messages[-1] == FIN
    assert transfer.call.status is not None
    assert transfer.call.status.code == 0
    assert transfer.call.handler is None


def test_a_link_is_to_a_path_that_was_sent(tmp_path: Path) -> None:
    write(tmp_path, "a/first", "keep/")
    os.link(tmp_path / "a/first", tmp_path / "keep/second")
    os.link(tmp_path / "a/first", tmp_path / "keep/third")
    first, second, third = Transfer(tmp_path, exclude=("a",)).stats
    assert (first.path, second.linkname, third.linkname) == ("keep", "", "keep/second")


PATTERN_ROWS: list[tuple[dict[str, tuple[str, ...]], list[str]]] = [
    ({}, ["a", "a/b", "a/b/c", "a/d", "e", "n", "n/o", "x.txt"]),
    ({"include": ("a/b",)}, ["a", "a/b", "a/b/c"]),
    ({"include": ("**/c",)}, ["a", "a/b", "a/b/c"]),
    ({"include": ("*.txt", "n")}, ["n", "n/o", "x.txt"]),
    ({"exclude": ("a",)}, ["e", "n", "n/o", "x.txt"]),
    ({"exclude": ("a", "!a/b/c")}, ["a", "a/b", "a/b/c", "e", "n", "n/o", "x.txt"]),
    ({"exclude": ("*", "!a/d")}, ["a", "a/d"]),
    ({"exclude": ("**",)}, []),
    ({"include": ("a",), "exclude": ("**/c",)}, ["a", "a/b", "a/d"]),
    ({"include": ("nothing",)}, []),
]


@pytest.mark.parametrize(("patterns", "paths"), PATTERN_ROWS)
def test_patterns(tmp_path: Path, patterns: dict[str, tuple[str, ...]], paths: list[str]) -> None:
    write(tmp_path, "a/b/c", "a/d", "e/", "n/o", "x.txt")
    assert Transfer(tmp_path, **patterns).paths == paths


def test_follow_paths_bring_link_and_target(tmp_path: Path) -> None:
    write(tmp_path, "real/v1/file", "real/v2", "other", "deep/[x]")
    (tmp_path / "current").symlink_to("/real/v1")
    (tmp_path / "file").symlink_to("current/file")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "escape").symlink_to("../../../../other")
    (tmp_path / "odd").symlink_to("deep/[x]")
    (tmp_path / "link1").symlink_to("real/v2")

    def followed(*paths: str) -> list[str]:
        return Transfer(tmp_path, follow=paths).paths

    assert followed("file") == ["current", "file", "real", "real/v1", "real/v1/file"]
    assert followed("current/file") == ["current", "real", "real/v1", "real/v1/file"]
    assert followed("/loop") == ["loop"]
    assert followed("escape") == ["escape", "other"]
    assert followed("odd") == ["deep", "deep/[x]", "odd"]
    assert followed("link*") == ["link1", "real", "real/v2"]
    assert followed("missing/x", "other") == ["other"]
    assert followed("../../real/v2") == ["real", "real/v2"]


def test_a_followed_link_to_the_root_leaves_nothing_out(tmp_path: Path) -> None:
    write(tmp_path, "a", "b")
    (tmp_path / "top").symlink_to(".")
    assert Transfer(tmp_path, follow=("top",)).paths == ["a", "b", "top"]


ASKED = [
    ({"include-patterns": ["a"]}, {}, ["a", "a/b", "a/c"]),
    ({}, {"include": ("a/b",)}, ["a", "a/b"]),
    ({"include-patterns": ["**"]}, {"include": ("a/b",)}, ["a", "a/b"]),
    ({"include-patterns": ["a/c"]}, {"include": ("a/b",)}, []),
    ({"exclude-patterns": ["!a"]}, {"exclude": ("a",)}, ["d"]),
    ({"exclude-patterns": ["d"]}, {"exclude": ("a/c",)}, ["a", "a/b"]),
    ({"followpaths": ["a/c"]}, {"include": ("a/b", "a/c")}, ["a", "a/c"]),
    ({"include-patterns": ["d"]}, {"include": ("d",)}, ["d"]),
]


@pytest.mark.parametrize(("asked", "own", "paths"), ASKED)
def test_the_daemon_may_narrow_but_not_widen(
    tmp_path: Path,
    asked: dict[str, list[str]],
    own: dict[str, tuple[str, ...]],
    paths: list[str],
) -> None:
    write(tmp_path, "a/b", "a/c", "d")
    assert Transfer(tmp_path, asked=asked, **own).paths == paths


def test_escaped_metadata(tmp_path: Path) -> None:
    write(tmp_path, "ä ö+", "b c", "d")
    patterns = ["ä ö+", "b c"]
    escaped = {
        "include-patterns": [quote_plus(pattern) for pattern in patterns],
        "include-patterns-encoded": ["1"],
    }
    assert Transfer(tmp_path, asked=escaped).paths == ["b c", "ä ö+"]
    assert Transfer(tmp_path, asked={"include-patterns": patterns}).paths == ["b c", "ä ö+"]


@pytest.mark.parametrize("name", ["other", "", "../context", "/etc"])
def test_only_named_folders_are_served(tmp_path: Path, name: str) -> None:
    transfer = Transfer(tmp_path, name=name)
    assert transfer.call.status is not None
    assert transfer.call.status.code == 5
    assert not transfer.call.sent


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    transfer = Transfer(tmp_path / "gone")
    assert transfer.call.status is not None
    assert "gone: no such file or directory" in transfer.call.status.message
    assert [fault.source for fault in transfer.service.errors] == ["context"]


def test_a_bad_pattern(tmp_path: Path) -> None:
    transfer = Transfer(tmp_path, include=("[",))
    assert transfer.call.status is not None
    assert transfer.call.status.code == 3
    assert "bad pattern '['" in transfer.service.errors[0].reason


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path)
    with open(folder + b"/ok\xff", "wb"):  # noqa: PTH123 - a Path cannot be made of bytes
        pass
    transfer = Transfer(tmp_path)
    assert transfer.error == "ok\\xff: the name is not UTF-8, which a daemon needs"
    assert transfer.call.status is not None
    assert transfer.call.status.message == transfer.error
    assert Transfer(tmp_path, exclude=("ok*",)).paths == []


def _without_rights(tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the rights away; root has them all the same, so the system says no in its place."""
    path.chmod(0)
    if os.geteuid() != 0:
        return
    real = os.open

    def refuse(name: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if name == path.name:
            raise PermissionError(13, "Permission denied")
        return real(name, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", refuse)


def test_an_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "d/secret", "fine")
    _without_rights(tmp_path, tmp_path / "d/secret", monkeypatch)
    transfer = Transfer(tmp_path)
    transfer.ask(1)
    assert transfer.error == "d/secret: permission denied"
    assert transfer.service.errors == (
        SourceFault(source="context", path="d/secret", reason="permission denied"),
    )
    assert transfer.call.status is not None
    assert transfer.call.status.code == 2


def test_an_unreadable_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "locked/file", "fine")
    _without_rights(tmp_path, tmp_path / "locked", monkeypatch)
    assert Transfer(tmp_path).error == "locked: permission denied"
    assert Transfer(tmp_path, exclude=("locked",)).paths == ["fine"]
    assert Transfer(tmp_path, exclude=("locked", "!locked/x")).paths == ["fine"]


def test_faults_are_told_at_once(tmp_path: Path) -> None:
    told: list[SourceFault] = []
    service = FileSync({"x": LocalFolder(path=str(tmp_path / "no"))}, failed=told.append)
    FakeCall({"dir-name": ["x"]}).open(service.methods[METHOD])
    assert tuple(told) == service.errors != ()


@pytest.mark.parametrize("size", [10, 2_000_000])
def test_a_file_that_grew_is_sent_as_it_was_listed(tmp_path: Path, size: int) -> None:
    (tmp_path / "log").write_bytes(b"x" * size)
    transfer = Transfer(tmp_path)
    with (tmp_path / "log").open("ab") as file:
        file.write(b"more")
    transfer.ask(0)
    assert transfer.data(0) == (b"x" * size, 1)


@pytest.mark.parametrize("size", [10, 2_000_000])
def test_a_file_that_shrank_cannot_be_sent(tmp_path: Path, size: int) -> None:
    (tmp_path / "log").write_bytes(b"x" * size)
    transfer = Transfer(tmp_path)
    os.truncate(tmp_path / "log", size - 1)
    transfer.ask(0)
    assert transfer.error == "log: the file shrank while it was being sent"
    assert transfer.data(0)[1] == 0


def test_a_file_that_went_away(tmp_path: Path) -> None:
    write(tmp_path, "file")
    transfer = Transfer(tmp_path)
    (tmp_path / "file").unlink()
    transfer.ask(0)
    assert transfer.error == "file: no such file or directory"


def test_nothing_outside_is_read_through_a_swapped_link(tmp_path: Path) -> None:
    write(tmp_path, "source/d/file", "source/plain", "outside/file")
    transfer = Transfer(tmp_path / "source")
    (tmp_path / "source/d").rename(tmp_path / "moved")
    (tmp_path / "source/d").symlink_to(tmp_path / "outside")
    (tmp_path / "source/plain").unlink()
    (tmp_path / "source/plain").symlink_to(tmp_path / "outside/file")
    transfer.ask(1)
    assert transfer.error.startswith("d/file: ")
    again = Transfer(tmp_path / "source")
    assert again.paths == ["d", "plain"]
    assert all(entry.mode & SYMLINK for entry in again.stats)


def test_a_fifo_in_a_files_place_does_not_hold_the_session(tmp_path: Path) -> None:
    write(tmp_path, "file")
    transfer = Transfer(tmp_path)
    (tmp_path / "file").unlink()
    os.mkfifo(tmp_path / "file")
    transfer.ask(0)
    assert transfer.error.startswith("file: ")


@pytest.mark.parametrize("number", [0, 2, 99, (1 << 32) - 1])
def test_a_request_for_what_was_not_offered(tmp_path: Path, number: int) -> None:
    write(tmp_path, "d/file")
    (tmp_path / "link").symlink_to("d/file")
    transfer = Transfer(tmp_path)
    transfer.ask(number)
    assert transfer.call.status is not None
    assert transfer.call.status.message == f"invalid file id {number}"


def test_a_file_is_given_once(tmp_path: Path) -> None:
    write(tmp_path, "file")
    transfer = Transfer(tmp_path)
    transfer.ask(0)
    transfer.ask(0)
    assert transfer.data(0) == (b"file", 1)
    assert transfer.call.status is not None
    assert transfer.call.status.code == 3


@pytest.mark.parametrize("message", [b"\xff", b"\x08\x01\x18", b"\x22\x05ab", b"\x0d\0\0\0\0"])
def test_what_is_no_packet(tmp_path: Path, message: bytes) -> None:
    transfer = Transfer(tmp_path)
    transfer.call.give(message)
    assert transfer.call.status is not None
    assert transfer.call.status.code == 3


def test_the_daemons_error_ends_the_transfer(tmp_path: Path) -> None:
    transfer = Transfer(tmp_path)
    transfer.call.give(fault("no space left"))
    assert transfer.call.status is not None
    assert transfer.call.status.message == "error from receiver: no space left"
    assert transfer.service.errors == ()


def test_giving_up_frees_everything(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(3_000_000))
    before = set(Path("/proc/self/fd").iterdir())
    transfer = Transfer(tmp_path)
    transfer.call.queued = 0
    transfer.ask(0)
    transfer.call.half_close()
    assert transfer.call.status is not None
    assert transfer.call.status.code == 1
    assert set(Path("/proc/self/fd").iterdir()) == before


def test_nothing_is_made_while_enough_is_on_its_way(tmp_path: Path) -> None:
    write(tmp_path, *(f"d{n}/f" for n in range(10)))
    call = FakeCall({"dir-name": ["context"]})
    call.queued = 1 << 20
    service = FileSync({"context": LocalFolder(path=str(tmp_path))})
    call.open(service.methods[METHOD])
    assert not call.sent
    call.queued = 0
    assert call.handler is not None
    call.handler.writable()
    assert len(call.messages) == 21


def test_batches_are_bounded(tmp_path: Path) -> None:
    write(tmp_path, *(f"{'n' * 200}{n:04}" for n in range(800)))
    root = Root(str(tmp_path))
    selection = walk.Selection(root, ())
    sizes = [len(batch) for batch in walk.Walk(root, selection)]
    root.close()
    assert len(sizes) > 2
    assert max(sizes) < 66 << 10


def test_a_very_deep_tree(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    for _ in range(300):
        os.mkdir("d", dir_fd=folder)
        deeper = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = deeper
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=folder))
    os.close(folder)
    (tmp_path / "e").touch()
    assert Transfer(tmp_path).paths[-2:] == ["d/" * 300 + "file", "e"]


def _packet(data: bytes) -> Packet:
    assert data[0] == 0
    assert int.from_bytes(data[1:5], "big") == len(data) - 5
    return Packet.FromString(data[5:])


@given(
    path=st.text(min_size=1, max_size=300),
    size=st.integers(0, (1 << 63) - 1),
    time=st.integers(-(1 << 63), (1 << 63) - 1),
    mode=st.sampled_from([stat.S_IFREG | 0o644, stat.S_IFDIR | 0o7777, stat.S_IFCHR | 0o600]),
    xattrs=st.dictionaries(st.text(max_size=5), st.binary(max_size=200), max_size=3),
)
def test_packets_are_protobuf(
    path: str, size: int, time: int, mode: int, xattrs: dict[str, bytes]
) -> None:
    rest = diffcopy.device_field(5, 300) + diffcopy.link_field(path.encode())
    rest += diffcopy.xattr_field({name.encode(): value for name, value in xattrs.items()})
    packet = diffcopy.stat_packet(path.encode(), diffcopy.mode_field(mode), size, time, rest)
    expected = Stat(
        path=path,
        mode=diffcopy.go_mode(mode),
        size=size,
        modTime=time,
        linkname=path,
        devmajor=5,
        devminor=300,
        xattrs=xattrs,
    )
    assert _packet(packet) == Packet(stat=expected)


@given(st.integers(0, (1 << 32) - 1), st.binary(max_size=300))
def test_data_packets_are_protobuf(number: int, content: bytes) -> None:
    data = diffcopy.data_head(number, len(content)) + content
    assert _packet(data) == Packet(type=Packet.PACKET_DATA, ID=number, data=content)
    assert _packet(diffcopy.data_end(number)) == Packet(type=Packet.PACKET_DATA, ID=number)
    for kind in (Packet.PACKET_REQ, Packet.PACKET_ERR):
        sent = Packet(type=kind, ID=number, data=content).SerializeToString()
        read = diffcopy.read_packet(memoryview(sent))
        assert (read.kind, read.id, bytes(read.data)) == (kind, number, content)


def test_modes() -> None:
    rows: Iterable[tuple[int, int]] = (
        (stat.S_IFBLK | 0o660, 1 << 26 | 0o660),
        (stat.S_IFCHR | 0o666, 1 << 26 | 1 << 21 | 0o666),
        (stat.S_IFREG | 0o6755, 1 << 23 | 1 << 22 | 0o755),
        (stat.S_IFSOCK | 0o755, 0o755),
    )
    assert [diffcopy.go_mode(mode) for mode, _ in rows] == [mode for _, mode in rows]
