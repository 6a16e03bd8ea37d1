"""What a daemon may and may not do to the folder it fills."""

from __future__ import annotations

import errno
import os
import stat as posix
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon_shim.session.filesend import FileSend
from daemon_shim.session.outputs import FolderOutput, OutputError
from tests.daemon_shim.session import driver
from tests.daemon_shim.session.driver import (
    DIR,
    FIN,
    LAST,
    SETUID,
    FakeCall,
    data,
    file,
    folder,
    said_fin,
    send_tree,
    stat,
)

PATH = "/moby.filesync.v1.FileSend/DiffCopy"
TIME = 1_500_000_000_123_456_789


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder beside which nothing else lies."""
    (tmp_path / "around").mkdir()
    return tmp_path / "around" / "out"


def start(output: FolderOutput) -> FakeCall:
    return FakeCall().open(FileSend([output]).methods[PATH])


def receive(output: FolderOutput, entries: list[bytes], contents: dict[int, bytes]) -> FakeCall:
    call = start(output)
    send_tree(call, entries, contents)
    return call


def listing(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def test_tree_is_written_as_announced(place: Path) -> None:
    output = FolderOutput(place)
    entries = [
        folder("a", modTime=TIME),
        file("a/f", 0o640, size=5, modTime=TIME),
        file("a.b", 0o444, size=0, modTime=TIME),
        stat("link", driver.SYMLINK | 0o777, linkname="../../etc/passwd", modTime=TIME),
        file("twin", linkname="a/f", size=5),
        file("z", 0o755 | SETUID, size=1),
    ]
    call = receive(output, entries, {1: b"hello", 5: b"z"})
    assert call.status is not None and call.status.code == 0
    assert not place.exists()
    output.commit()
    assert (place / "a/f").read_bytes() == b"hello"
    assert posix.S_IMODE((place / "a/f").stat().st_mode) == 0o640
    assert (place / "a/f").stat().st_mtime_ns == TIME
    assert (place / "a").stat().st_mtime_ns == TIME
    assert posix.S_IMODE((place / "a.b").stat().st_mode) == 0o444
    assert str((place / "link").readlink()) == "../../etc/passwd"
    assert (place / "link").lstat().st_mtime_ns == TIME
    assert (place / "twin").samefile(place / "a/f")
    assert posix.S_IMODE((place / "z").stat().st_mode) == 0o4755
    assert (place / "z").stat().st_uid == os.getuid()
    assert listing(place.parent) == [
        "out",
        *sorted("out/" + name for name in ["a", "a.b", "a/f", "link", "twin", "z"]),
    ]


def test_folder_may_be_read_only(place: Path) -> None:
    output = FolderOutput(place)
    receive(output, [stat("d", DIR | 0o500), folder("d/e"), file("d/e/f", size=1)], {2: b"x"})
    output.commit()
    assert (place / "d/e/f").read_bytes() == b"x"
    assert posix.S_IMODE((place / "d").stat().st_mode) == 0o500


def test_names_need_not_be_utf8(place: Path) -> None:
    output = FolderOutput(place)
    call = start(output)
    call.give(driver.raw_stat(b"caf\xe9", 0o644), LAST, data(0, b"x"), data(0), FIN)
    output.commit()
    assert [os.fsencode(path.name) for path in place.iterdir()] == [b"caf\xe9"]


def test_files_are_asked_for_in_order_while_entries_come(place: Path) -> None:
    call = start(FolderOutput(place))
    call.give(file("a", size=1))
    assert driver.requests(call) == [0]
    call.give(folder("b"), *(file(f"b/{number:03}", size=1) for number in range(40)))
    assert len(driver.requests(call)) > 20
    call.give(LAST)
    assert driver.requests(call) == [0, *range(2, 42)]
    assert not said_fin(call)


def test_no_more_files_are_asked_for_than_a_daemon_queues(place: Path) -> None:
    # fsutil's send.go, v0.3 to v0.32: a sender that has more than 128 waiting never ends if its
    # stream breaks.
    output = FolderOutput(place)
    call = start(output).give(*(file(f"{n:03}", size=1) for n in range(300)), LAST)
    assert driver.requests(call) == [*range(128)]
    call.give(data(5, b"x"), data(5), data(0, b"x"))
    assert driver.requests(call) == [*range(129)]
    call.give(data(299, b"x"))
    assert call.status is not None
    with pytest.raises(OutputError, match="data of entry 299, which was not asked for"):
        output.commit()


def test_all_of_many_files_come(place: Path) -> None:
    output = FolderOutput(place)
    contents = {n: b"%d" % n for n in range(300)}
    receive(output, [file(f"{n:03}", size=len(contents[n])) for n in contents], contents)
    output.commit()
    assert {int(path.name): path.read_bytes() for path in place.iterdir()} == contents


def test_pieces_of_several_files_may_be_mixed(place: Path) -> None:
    output = FolderOutput(place)
    call = start(output)
    call.give(file("a", size=2), file("b", size=2), LAST)
    call.give(data(1, b"b"), data(0, b"a"), data(1, b"b"), data(0, b"a"), data(1), data(0), FIN)
    output.commit()
    assert (place / "a").read_bytes() + (place / "b").read_bytes() == b"aabb"


def test_empty_tree_makes_an_empty_folder(place: Path) -> None:
    output = FolderOutput(place)
    receive(output, [], {})
    output.commit()
    assert listing(place.parent) == ["out"]


def test_platforms_come_in_parallel(place: Path) -> None:
    output = FolderOutput(place)
    service = FileSend([output]).methods[PATH]
    first, second = FakeCall().open(service), FakeCall().open(service)
    for call, name in ((first, "linux_amd64"), (second, "linux_arm64")):
        call.give(stat(name, DIR | 0o500), file(f"{name}/f", size=1), LAST, data(1, b"x"))
    second.give(data(1), FIN)
    first.give(data(1), FIN)
    output.commit()
    assert listing(place) == ["linux_amd64", "linux_amd64/f", "linux_arm64", "linux_arm64/f"]


def test_streams_may_share_a_folder_but_not_a_file(place: Path) -> None:
    output = FolderOutput(place)
    service = FileSend([output]).methods[PATH]
    first, second = FakeCall().open(service), FakeCall().open(service)
    send_tree(first, [stat("d", DIR | 0o500), file("d/a", size=1)], {1: b"a"})
    send_tree(second, [stat("d", DIR | 0o500), file("d/b", size=1)], {1: b"b"})
    third = FakeCall().open(service)
    send_tree(third, [folder("d"), file("d/a", size=1)], {1: b"c"})
    assert third.status is not None and third.status.code != 0
    with pytest.raises(OutputError, match="File exists"):
        output.commit()
    assert listing(place.parent) == []


# What is there already


def test_existing_folder_keeps_its_other_files(place: Path) -> None:
    (place / "d").mkdir(parents=True)
    (place / "d/old").write_text("old")
    (place / "d/f").write_text("before")
    inode = place.stat().st_ino
    output = FolderOutput(place)
    receive(output, [folder("d"), file("d/f", size=3), folder("n"), file("n/g")], {1: b"new"})
    assert (place / "d/f").read_text() == "before"
    output.commit()
    assert (place / "d/f").read_text() == "new"
    assert listing(place.parent) == [
        "out",
        *(f"out/{n}" for n in ["d", "d/f", "d/old", "n", "n/g"]),
    ]
    assert place.stat().st_ino == inode


def test_delete_leaves_only_the_result(place: Path) -> None:
    (place / "d/deep").mkdir(parents=True)
    (place / "d/deep/old").touch()
    (place / "was-folder").mkdir()
    (place / "was-folder/x").touch()
    output = FolderOutput(place, delete=True)
    receive(output, [folder("d"), file("d/f"), file("was-folder")], {})
    output.commit()
    assert listing(place) == ["d", "d/f", "was-folder"]


def test_file_does_not_replace_a_folder_with_files(place: Path) -> None:
    (place / "x").mkdir(parents=True)
    (place / "x/precious").touch()
    (place / "a").write_text("before")
    output = FolderOutput(place)
    receive(output, [file("a", size=1), file("x", size=1)], {0: b"a", 1: b"x"})
    with pytest.raises(OutputError, match="is a folder with files, and would be a file"):
        output.commit()
    assert (place / "a").read_text() == "before"
    assert listing(place.parent) == ["out", "out/a", "out/x", "out/x/precious"]


def test_kinds_may_change(place: Path) -> None:
    (place / "empty").mkdir(parents=True)
    (place / "file").touch()
    outside = place.parent / "outside"
    outside.mkdir()
    (place / "link").symlink_to(outside)
    output = FolderOutput(place)
    entries = [file("empty"), folder("file"), file("file/x"), folder("link"), file("link/x")]
    receive(output, entries, {})
    output.commit()
    assert (place / "empty").is_file()
    assert (place / "file/x").is_file()
    assert not (place / "link").is_symlink()
    assert listing(outside) == []


def test_place_may_be_a_link_to_a_folder(place: Path) -> None:
    real = place.parent / "real"
    real.mkdir()
    place.symlink_to(real)
    output = FolderOutput(place)
    receive(output, [file("f")], {})
    output.commit()
    assert listing(real) == ["f"]
    assert place.is_symlink()


def test_place_must_be_a_folder(place: Path) -> None:
    place.write_text("a file")
    output = FolderOutput(place)
    with pytest.raises(OutputError, match="is not a folder"):
        output.check()
    call = start(output)
    assert call.status is not None and call.status.code == 2
    assert str(place) not in call.status.message
    with pytest.raises(OutputError, match="is not a folder"):
        output.commit()
    assert place.read_text() == "a file"


# Malice

BAD = [
    [file("/etc/passwd")],
    [file("/x")],
    [file("../x")],
    [file("..")],
    [file(".")],
    [file("")],
    [file("a//b")],
    [folder("a"), file("a/../b")],
    [folder("a"), file("a/..")],
    [folder("a"), file("a/./b")],
    [folder("a"), file("a/")],
    [file("a\0b")],
    [file("a/b")],
    [file("a"), file("a/b")],
    [stat("a", driver.SYMLINK | 0o777, linkname="/tmp"), file("a/b")],
    [stat("a", driver.SYMLINK | 0o777, linkname="/tmp"), folder("a"), file("a/b")],
    [file("b"), file("a")],
    [file("a"), file("a")],
    [folder("a"), folder("b"), file("a/c")],
    [folder("a"), file("a/x"), file("a.b"), file("a/y")],
    [file("a" * 300, size=1)],
    [folder("d" * 300)],
]


@pytest.mark.parametrize("entries", BAD, ids=repr)
def test_bad_paths_end_the_call(place: Path, entries: list[bytes]) -> None:
    output = FolderOutput(place)
    call = receive(output, entries, {0: b"x"})
    assert call.status is not None and call.status.code != 0
    with pytest.raises(OutputError):
        output.commit()
    assert listing(place.parent) == []


@pytest.mark.parametrize("target", ["../outside", "/etc/passwd", "link/passwd", "none", "", "a/.."])
def test_hard_links_stay_in_the_tree(place: Path, target: str) -> None:
    (place.parent / "outside").touch()
    output = FolderOutput(place)
    entries = [
        folder("a"),
        stat("link", driver.SYMLINK | 0o777, linkname="/etc"),
        file("twin", linkname=target, size=1),
    ]
    call = start(output)
    call.give(*entries, LAST)
    if target == "":
        assert driver.requests(call) == [2]  # a plain file
    else:
        assert call.status is not None and call.status.code != 0
    output.abandon()
    assert listing(place.parent) == ["outside"]


def test_link_made_by_one_stream_is_not_followed_by_another(place: Path) -> None:
    outside = place.parent / "outside"
    outside.mkdir()
    output = FolderOutput(place)
    service = FileSend([output]).methods[PATH]
    first, second = FakeCall().open(service), FakeCall().open(service)
    send_tree(first, [stat("a", driver.SYMLINK | 0o777, linkname=str(outside))], {})
    send_tree(second, [folder("a"), file("a/x", size=1)], {1: b"x"})
    assert second.status is not None and second.status.code != 0
    assert listing(outside) == []
    output.abandon()


def test_folder_replaced_by_a_link_is_not_followed(place: Path) -> None:
    """Should anything swap a folder of ours for a link, its files still go nowhere else."""
    outside = place.parent / "outside"
    outside.mkdir()
    output = FolderOutput(place)
    call = start(output)
    many = [folder(f"{number:03}") for number in range(100)]  # more than are kept open
    call.give(folder("!"), file("!/x", size=1), *many)
    [partial] = place.parent.glob(".out.*.partial")
    (partial / "!").rmdir()
    (partial / "!").symlink_to(outside)
    call.give(data(1, b"x"))
    assert call.status is not None and call.status.code != 0
    assert listing(outside) == []
    output.abandon()


def test_tree_may_not_be_too_deep(place: Path) -> None:
    output = FolderOutput(place)
    paths = ["/".join(["d"] * depth) for depth in range(1, 1000)]
    call = receive(output, [folder(path) for path in paths], {})
    assert call.status is not None and "too deep" in call.status.message
    output.abandon()
    assert listing(place.parent) == []


def test_deepest_tree_is_merged_and_removed(place: Path) -> None:
    entries = [folder("/".join(["d"] * depth)) for depth in range(1, 401)]
    for _ in range(2):
        output = FolderOutput(place)
        receive(output, entries, {})
        output.commit()
    assert len(listing(place)) == 400
    assert [path.name for path in place.parent.iterdir()] == ["out"]


@pytest.mark.parametrize(
    "packets",
    [
        [data(0, b"x")],
        [file("a", size=1), data(1, b"x")],
        [folder("a"), data(0, b"x")],
        [file("a", size=1), LAST, data(0, b"x"), data(0), data(0, b"y")],
        [LAST, file("a")],
        [LAST, LAST],
        [FIN],
        [file("a", size=1), LAST, FIN],
        [b"\x08\x07"],
        [b"\x0a"],
        [b"\x12\x05\x0a\x09a"],
        [b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"],
        [b"\x0b"],
        [driver.fault("disk on fire")],
    ],
    ids=repr,
)
def test_broken_protocol_ends_the_call(place: Path, packets: list[bytes]) -> None:
    output = FolderOutput(place)
    call = start(output).give(*packets)
    assert call.status is not None and call.status.code != 0
    with pytest.raises(OutputError):
        output.commit()
    assert listing(place.parent) == []


def test_daemons_fault_is_kept(place: Path) -> None:
    output = FolderOutput(place)
    start(output).give(driver.fault("no such layer"))
    assert output.error is not None and "no such layer" in output.error.reason


def test_short_file_is_an_error(place: Path) -> None:
    output = FolderOutput(place)
    receive(output, [file("a", size=5)], {0: b"abc"})
    with pytest.raises(OutputError, match="shorter than announced"):
        output.commit()
    assert listing(place.parent) == []


PARTS = st.sampled_from(["a", "b", "..", ".", "", "link", "tmp", "\0", "/", "a/b", "~", "out"])
MODES = st.sampled_from([0o644, DIR | 0o755, driver.SYMLINK | 0o777, driver.FIFO | 0o600])
ENTRIES = st.tuples(st.lists(PARTS, min_size=1, max_size=4), MODES, st.lists(PARTS, max_size=3))


@given(entries=st.lists(ENTRIES, max_size=12), sort=st.booleans())
def test_nothing_is_ever_written_outside(
    tmp_path_factory: pytest.TempPathFactory,
    entries: list[tuple[list[str], int, list[str]]],
    sort: bool,
) -> None:
    around = tmp_path_factory.mktemp("around")
    (around / "tmp").mkdir()
    (around / "tmp/kept").write_text("kept")
    output = FolderOutput(around / "out")
    made = [("/".join(path), mode, "../" + "/".join(link)) for path, mode, link in entries]
    if sort:
        made.sort(key=lambda entry: entry[0].split("/"))
    packets = [stat(path, mode, linkname=link) for path, mode, link in made]
    call = receive(output, packets, dict.fromkeys(range(len(packets)), b"x"))
    call.drop()
    output.abandon()
    assert listing(around) == ["tmp", "tmp/kept"]
    assert (around / "tmp/kept").read_text() == "kept"


# Special files


def test_devices_are_left_out_with_a_warning(place: Path) -> None:
    output = FolderOutput(place)
    device = driver.DEVICE | driver.CHARDEV | 0o666
    entries = [stat("null", device, devmajor=1, devminor=3), stat("sock", driver.SOCKET | 0o600)]
    receive(output, [*entries, stat("zfifo", driver.FIFO | 0o620)], {})
    output.commit()
    assert listing(place) == ["zfifo"]
    assert posix.S_ISFIFO((place / "zfifo").stat().st_mode)
    assert output.warnings == [
        "null: special files are not written",
        "sock: special files are not written",
    ]


@pytest.mark.skipif(os.getuid() != 0, reason="only root makes device nodes")
def test_devices_are_made_when_asked_for(place: Path) -> None:
    output = FolderOutput(place, devices=True)
    device = driver.DEVICE | driver.CHARDEV | 0o666
    receive(output, [stat("null", device, devmajor=1, devminor=3)], {})
    output.commit()
    made = (place / "null").stat()
    assert posix.S_ISCHR(made.st_mode)
    assert (os.major(made.st_rdev), os.minor(made.st_rdev)) == (1, 3)
    assert posix.S_IMODE(made.st_mode) == 0o666


def test_attributes_are_kept_where_the_file_system_takes_them(place: Path) -> None:
    output = FolderOutput(place)
    attributes = {"user.note": b"kept", "nonsense": b"refused"}
    receive(output, [file("f", xattrs=attributes), folder("g", xattrs=attributes)], {})
    output.commit()
    try:
        os.setxattr(place, "user.probe", b"")
    except OSError:
        pytest.skip("no extended attributes here")
    assert os.getxattr(place / "f", "user.note") == b"kept"
    assert os.getxattr(place / "g", "user.note") == b"kept"


# Ends that come too early


def test_broken_off_stream_leaves_nothing(place: Path) -> None:
    output = FolderOutput(place)
    call = start(output).give(file("a", size=2), LAST, data(0, b"x"))
    call.drop()
    with pytest.raises(OutputError, match="broke off"):
        output.commit()
    assert listing(place.parent) == []


def test_half_close_before_the_end_is_an_error(place: Path) -> None:
    output = FolderOutput(place)
    call = start(output).give(file("a", size=2)).half_close()
    assert call.status is not None and call.status.code != 0
    with pytest.raises(OutputError, match="stopped sending"):
        output.commit()


def test_daemon_may_end_the_call_after_our_fin(place: Path) -> None:
    output = FolderOutput(place)
    call = start(output).give(LAST)
    assert said_fin(call)
    call.drop()
    output.commit()
    assert place.is_dir()


def test_commit_without_a_stream_is_an_error(place: Path) -> None:
    with pytest.raises(OutputError, match="sent nothing"):
        FolderOutput(place).commit()


@pytest.mark.parametrize(
    ("number", "code", "text"),
    [
        (errno.ENOSPC, 8, "No space left"),
        (errno.EACCES, 7, "denied"),
        (errno.EIO, 2, "Input/output"),
    ],
)
def test_write_errors_are_kept_and_told(
    place: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: int, text: str
) -> None:
    def refuse(fd: int, piece: memoryview) -> None:
        raise OSError(number, os.strerror(number))

    output = FolderOutput(place)
    call = start(output).give(file("a", size=2), LAST)
    monkeypatch.setattr("daemon_shim.session.receiving.write_all", refuse)
    call.give(data(0, b"xx"))
    assert call.status is not None and call.status.code == code
    assert text in call.status.message
    with pytest.raises(OutputError, match=text):
        output.commit()
    assert listing(place.parent) == []


def test_unwritable_parent_is_found_before_the_build(place: Path) -> None:
    blocked = place.parent / "file"
    blocked.touch()
    with pytest.raises(OutputError, match="is not a folder"):
        FolderOutput(blocked / "out").check()
    FolderOutput(place / "deep/er").check()
    assert not place.exists()
