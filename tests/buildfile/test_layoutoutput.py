"""An OCI layout as a folder: from archives of daemons, into new folders and ones that are there."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from buildfile.cachecheck import verify
from buildfile.cachefolder import CacheFolder
from buildfile.layoutoutput import LayoutOutput
from buildfile.ocilayout import find_image
from daemon_shim.session.filesend import FileSend
from daemon_shim.session.outputs import OutputError
from schemas.pb.filesync_pb2 import BytesMessage
from tests.buildfile.layouts import Layout, named, word
from tests.daemon_shim.session.driver import FakeCall
from translator.platform import Platform

NAME = "docker.io/library/app:1"
AMD64 = "linux/amd64"


def archive(layout: Layout, *more: tuple[str, bytes]) -> bytes:
    """The archive of a layout, as the exporters send it."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as files:
        files.add(layout.folder, "", recursive=True)
        for name, content in more:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            files.addfile(member, io.BytesIO(content))
    return data.getvalue()


def receive(dest: Path, data: bytes, *names: str) -> None:
    output = LayoutOutput(dest, names)
    output.check()
    send(output, data).half_close()
    output.commit()


def send(output: LayoutOutput, data: bytes) -> FakeCall:
    call = FakeCall({}).open(FileSend([output]).methods["/moby.filesync.v1.FileSend/DiffCopy"])
    return call.give(BytesMessage(data=data).SerializeToString())


def image(folder: Path, ref: str) -> str:
    return word(find_image(str(folder), ref, Platform.parse(AMD64)).config)


def whole(folder: Path) -> bool:
    return not verify(CacheFolder(folder), lambda done, total: None).faults


@pytest.fixture
def sent(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "sent")


def test_new_folder_has_the_image_and_nothing_else(sent: Layout, tmp_path: Path) -> None:
    sent.finish(named(sent.image("new", AMD64), "1", NAME))
    dest = tmp_path / "new" / "dest"
    receive(dest, archive(sent))
    assert image(dest, NAME) == "new"
    assert {each.name for each in dest.iterdir()} == {"blobs", "index.json", "oci-layout"}
    assert list(dest.parent.iterdir()) == [dest]
    assert whole(dest)


def test_a_layout_that_is_there_keeps_its_other_images(sent: Layout, tmp_path: Path) -> None:
    there = Layout(tmp_path / "dest")
    old, other = there.image("old", AMD64), there.image("other", AMD64)
    there.finish(named(old, "1", NAME), named(other, "2"))
    sent.finish(named(sent.image("new", AMD64), "1", NAME))
    receive(there.folder, archive(sent))
    assert (image(there.folder, NAME), image(there.folder, "2")) == ("new", "other")
    assert len(CacheFolder(there.folder).index().entries) == 2
    assert whole(there.folder)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ((), [("", "latest")]),
        ((NAME,), [(NAME, "1")]),
        ((NAME, "localhost:5000/b:2"), [(NAME, "1"), ("localhost:5000/b:2", "2")]),
    ],
)
def test_names_that_the_archive_lacks_are_given(
    sent: Layout, tmp_path: Path, names: tuple[str, ...], expected: list[tuple[str, str]]
) -> None:
    sent.finish(sent.image("new", AMD64))
    receive(tmp_path / "dest", archive(sent), *names)
    entries = CacheFolder(tmp_path / "dest").index().entries
    assert [(each.image, each.tag) for each in entries] == expected


def test_nothing_else_of_an_archive_is_unpacked(sent: Layout, tmp_path: Path) -> None:
    sent.finish(named(sent.image("new", AMD64), "1"))
    stray = [("manifest.json", b"[]"), ("../out", b"x"), ("/out", b"x"), ("blobs/sha256/../x", b"")]
    receive(tmp_path / "dest", archive(sent, *stray))
    found = {each.name for each in (tmp_path / "dest").iterdir()}
    assert found == {"blobs", "index.json", "oci-layout"}
    assert len(list((tmp_path / "dest" / "blobs" / "sha256").iterdir())) == len(sent.blobs())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("damage", ["blob", "index", "cut", "no archive"])
def test_damage_leaves_what_was_there(
    sent: Layout, tmp_path: Path, damage: str, there: bool
) -> None:
    dest = Layout(tmp_path / "dest")
    if there:
        dest.finish(named(dest.image("old", AMD64), "1"))
    entry = sent.image("new", AMD64)
    sent.finish(named(entry, "1"))
    if damage == "blob":
        sent.blob(entry["digest"]).write_bytes(b"x" * entry["size"])
    if damage == "index":
        (sent.folder / "index.json").write_text("{")
    data = archive(sent)
    data = {"cut": data[:1500], "no archive": b"nothing" * 1000}.get(damage, data)
    with pytest.raises(OutputError):
        receive(dest.folder, data)
    assert [each.name for each in tmp_path.glob(".*")] == []
    if there:
        assert image(dest.folder, "1") == "old"
        assert whole(dest.folder)
    else:
        assert not dest.folder.exists()


def test_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    output = LayoutOutput(tmp_path / "dest")
    send(output, b"half")
    output.abandon()
    assert list(tmp_path.iterdir()) == []


def test_other_folders_are_refused_before_the_build(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place, reason in ((tmp_path / "file", "not a folder"), (tmp_path, "no OCI layout")):
        with pytest.raises(OutputError, match=reason):
            LayoutOutput(place).check()
    (tmp_path / "empty").mkdir()
    LayoutOutput(tmp_path / "empty").check()
