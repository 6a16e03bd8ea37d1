"""Local sources sent to real daemons, and back through the local exporter to compare."""

from __future__ import annotations

import hashlib
import json
import os
import random
import stat
import uuid
from pathlib import Path

import grpc
import pytest

from daemon_shim.session.filesend import FileSend
from daemon_shim.session.filesync import FileSync, LocalFolder
from daemon_shim.session.outputs import FolderOutput
from schemas.pb import ops_pb2 as ops
from tests.daemon_shim.session.solving import solve
from tests.real.daemon import Daemon

OLD = 1_500_000_000_000_000_000
ATTRIBUTES = {
    "include": "local.includepattern",
    "exclude": "local.excludepatterns",
    "follow": "local.followpaths",
}


def definition(hint: str, source: LocalFolder) -> ops.Definition:
    """A graph of one local source, with the patterns that the client allows."""
    attrs = {"local.sharedkeyhint": hint, "local.unique": uuid.uuid4().hex}
    for name, attribute in ATTRIBUTES.items():
        if patterns := getattr(source, name):
            attrs[attribute] = json.dumps(patterns)
    op = ops.Op(source=ops.SourceOp(identifier="local://context", attrs=attrs))
    data = op.SerializeToString(deterministic=True)
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    end = ops.Op(inputs=[ops.Input(digest=digest)]).SerializeToString()
    return ops.Definition(**{"def": [data, end], "metadata": {digest: ops.OpMetadata()}})


def round_trip(daemon: Daemon, source: LocalFolder, back: Path, hint: str = "") -> None:
    """Send a source and have it exported to ``back``."""
    output = FolderOutput(back)
    services = [FileSync({"context": source}), FileSend([output])]
    graph = definition(hint or uuid.uuid4().hex, source)
    solve(daemon.address, graph, services, ("local", {}))
    output.commit()


def tree(folder: Path) -> dict[str, tuple[object, ...]]:
    """What there is to compare: kinds, modes, times, targets, contents, which are one file."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        kind = stat.S_IFMT(status.st_mode)
        content: object = None
        if stat.S_ISREG(kind):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        elif stat.S_ISLNK(kind):
            content = str(path.readlink())
        mode = 0 if stat.S_ISLNK(kind) else stat.S_IMODE(status.st_mode)
        time = 0 if stat.S_ISDIR(kind) else status.st_mtime_ns // 1_000_000_000
        found[str(path.relative_to(folder))] = (kind, mode, time, status.st_nlink, content)
    return {name: entry if entry[0] != stat.S_IFDIR else entry[:2] for name, entry in found.items()}


def fill(folder: Path) -> None:
    """Make a tree with something of everything that both ways carry."""
    draw = random.Random(7)  # the same tree each time
    for name in ("a/b", "a.b", "a-b", "ä/ö", "empty", "many"):
        (folder / name).mkdir(parents=True)
    for number in range(1500):
        (folder / "many" / f"f{number}").write_bytes(draw.randbytes(draw.randrange(3000)))
    (folder / "large").write_bytes(draw.randbytes(5_000_000))
    (folder / "a/b/zero").touch()
    (folder / "a/run").write_text("x")
    (folder / "a/run").chmod(0o755)
    (folder / "a b+%").write_text("odd name")
    (folder / "ä/ö/ü").write_text("ü")
    (folder / "link").symlink_to("/a/run")
    (folder / "dangling").symlink_to("nowhere/at all")
    os.link(folder / "a/run", folder / "hard")
    for path in folder.rglob("*"):
        os.utime(path, ns=(OLD, OLD), follow_symlinks=False)


def test_a_tree_comes_back_as_it_was(daemon: Daemon, tmp_path: Path) -> None:
    source = tmp_path / "source"
    fill(source)
    round_trip(daemon, LocalFolder(path=str(source)), tmp_path / "back")
    assert tree(tmp_path / "back") == tree(source)


def test_changes_arrive_with_the_next_transfer(daemon: Daemon, tmp_path: Path) -> None:
    source = tmp_path / "source"
    fill(source)
    hint = uuid.uuid4().hex
    for step in range(3):
        round_trip(daemon, LocalFolder(path=str(source)), tmp_path / f"back{step}", hint)
        assert tree(tmp_path / f"back{step}") == tree(source)
        (source / "many" / f"f{step}").write_text("changed")
        (source / "many" / f"f{step + 100}").unlink()
        (source / f"new{step}").write_text("new")
        (source / "hard").unlink(missing_ok=True)


def test_patterns_mean_the_same_to_both(daemon: Daemon, tmp_path: Path) -> None:
    source = tmp_path / "source"
    fill(source)
    (source / "way").symlink_to("a/b")
    folder = LocalFolder(
        path=str(source),
        include=("many/f1?", "ä", "a b+%"),
        exclude=("**/f12", "a/run", "!many/f13"),
        follow=("way/zero",),
    )
    round_trip(daemon, folder, tmp_path / "back")
    expected = ["a", "a b+%", "a/b", "a/b/zero", "many", "way", "ä", "ä/ö", "ä/ö/ü"]
    expected += [f"many/f1{digit}" for digit in range(10) if digit != 2]
    assert sorted(tree(tmp_path / "back")) == sorted(expected)


def test_a_file_that_cannot_be_sent_is_named(daemon: Daemon, tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/bad\xff", "wb"):  # noqa: PTH123 - not UTF-8
        pass
    source = LocalFolder(path=str(tmp_path))
    service = FileSync({"context": source})
    with pytest.raises(grpc.RpcError):
        solve(daemon.address, definition(uuid.uuid4().hex, source), [service])
    assert [(fault.source, fault.path) for fault in service.errors] == [("context", "bad\udcff")]


def test_a_folder_that_was_not_named_is_refused(daemon: Daemon, tmp_path: Path) -> None:
    graph = definition(uuid.uuid4().hex, LocalFolder(path=str(tmp_path)))
    with pytest.raises(grpc.RpcError):
        solve(daemon.address, graph, [FileSync({"other": LocalFolder(path=str(tmp_path))})])
