"""Outputs of one file, and the choice of an output."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon_shim.session.filesend import FileSend
from daemon_shim.session.outputs import FileOutput, FolderOutput, Output, OutputError, StreamOutput
from schemas.pb.filesync_pb2 import BytesMessage
from tests.daemon_shim.session.driver import LAST, FakeCall, data, file

PATH = "/moby.filesync.v1.FileSend/DiffCopy"
INDEX = "buildkit-attachable-exporter-id"


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def piece(content: bytes) -> bytes:
    return BytesMessage(data=content).SerializeToString()


def start(*outputs: Output | None, **metadata: list[str]) -> FakeCall:
    named = {key.replace("_", "-"): values for key, values in metadata.items()}
    return FakeCall(named).open(FileSend(outputs).methods[PATH])


def test_file_appears_whole(tmp_path: Path) -> None:
    dest = tmp_path / "sub/out.tar"
    output = FileOutput(dest)
    call = start(output).give(piece(b"one "), piece(b""), piece(b"two"))
    assert not dest.exists()
    call.half_close()
    assert call.status is not None and call.status.code == 0
    assert not dest.exists()
    output.commit()
    assert dest.read_bytes() == b"one two"
    assert names(dest.parent) == ["out.tar"]


def test_metadata_is_kept(tmp_path: Path) -> None:
    output = FileOutput(tmp_path / "out.tar")
    call = FakeCall({"exporter-md-containerimage.digest": ["sha256:1"], "containerd-lease": ["x"]})
    call.open(FileSend([output]).methods[PATH]).half_close()
    assert output.received == {"containerimage.digest": "sha256:1"}


def test_existing_file_stays_until_commit_and_keeps_its_mode(tmp_path: Path) -> None:
    dest = tmp_path / "out.tar"
    dest.write_text("before")
    dest.chmod(0o600)
    failed = FileOutput(dest)
    start(failed).give(piece(b"half")).drop()
    with pytest.raises(OutputError, match="broke off"):
        failed.commit()
    assert dest.read_text() == "before"
    output = FileOutput(dest)
    start(output).give(piece(b"whole")).half_close()
    output.commit()
    assert dest.read_text() == "whole"
    assert stat.S_IMODE(dest.stat().st_mode) == 0o600
    assert names(tmp_path) == ["out.tar"]


def test_abandoned_file_is_gone(tmp_path: Path) -> None:
    output = FileOutput(tmp_path / "out.tar")
    start(output).give(piece(b"all")).half_close()
    output.abandon()
    output.abandon()
    assert names(tmp_path) == []


def test_special_files_and_folders_are_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="not a plain file"):
        FileOutput("/dev/null").check()
    with pytest.raises(OutputError, match="is a folder"):
        FileOutput(tmp_path).check()
    call = start(FileOutput("/dev/null"))
    assert call.status is not None and call.status.code != 0
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_second_stream_is_refused(tmp_path: Path) -> None:
    output = FileOutput(tmp_path / "out.tar")
    start(output).half_close()
    again = start(output)
    assert again.status is not None and again.status.code != 0
    with pytest.raises(OutputError, match="second stream"):
        output.commit()
    assert names(tmp_path) == []


def test_broken_message_is_an_error(tmp_path: Path) -> None:
    output = FileOutput(tmp_path / "out.tar")
    call = start(output).give(b"\x0a\x05ab")
    assert call.status is not None and call.status.code != 0
    output.abandon()


def test_full_disk_leaves_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path) as disk:
        for output in (FileOutput(disk / "out.tar"), FolderOutput(disk / "out")):
            call = start(output)
            if isinstance(output, FolderOutput):
                call.give(file("a", size=1 << 20), LAST, *[data(0, bytes(64 << 10))] * 16)
            else:
                call.give(*[piece(bytes(64 << 10))] * 16)
            assert call.status is not None and call.status.code == 8
            with pytest.raises(OutputError, match="No space left on device"):
                output.commit()
            assert names(disk) == []


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    disk = folder / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_folder_on_a_disk_of_its_own_is_filled_from_within(tmp_path: Path) -> None:
    with small_disk(tmp_path) as disk:
        (disk / "old").touch()
        output = FolderOutput(disk, delete=True)
        call = start(output).give(file("a", size=1), LAST, data(0, b"x"), data(0))
        call.drop()
        output.commit()
        assert names(disk) == ["a"]


# A stream


def test_stream_gets_all_in_order() -> None:
    target = io.BytesIO()
    output = StreamOutput(target)
    start(output).give(piece(b"one "), piece(b"two")).half_close()
    output.commit()
    assert target.getvalue() == b"one two"


def test_slow_stream_holds_the_daemon_back() -> None:
    target = io.BytesIO()
    output = StreamOutput(target)
    call = start(output)
    call.later = True
    call.give(piece(b"first"), *[piece(bytes(300 << 10))] * 4)
    assert call.paused
    call.half_close()
    assert call.status is None
    call.run()
    assert not call.paused
    assert call.status is not None and call.status.code == 0
    assert len(target.getvalue()) == 5 + 4 * (300 << 10)


def test_closed_pipe_is_an_error() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb", buffering=0) as pipe:
        output = StreamOutput(pipe)
        call = start(output).give(piece(b"x"))
        assert call.status is not None and call.status.code == 2
        with pytest.raises(OutputError, match="Broken pipe"):
            output.commit()


# The choice of an output


def test_index_chooses_the_output(tmp_path: Path) -> None:
    outputs = [None, FileOutput(tmp_path / "one"), FileOutput(tmp_path / "two")]
    FakeCall({INDEX: ["2"]}).open(FileSend(outputs).methods[PATH]).half_close()
    outputs[2].commit()  # type: ignore[union-attr]
    assert names(tmp_path) == ["two"]


@pytest.mark.parametrize(("index", "code"), [("0", 5), ("7", 5), ("-1", 3), ("x", 3), ("", 3)])
def test_other_indexes_are_refused(tmp_path: Path, index: str, code: int) -> None:
    outputs = [None, FileOutput(tmp_path / "one")]
    call = FakeCall({INDEX: [index]}).open(FileSend(outputs).methods[PATH])
    assert call.status is not None and call.status.code == code
    assert names(tmp_path) == []
