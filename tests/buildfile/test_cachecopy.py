"""Copying caches: what goes, what stays, damage on the way, and kills in the middle of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from buildfile.cachecheck import verify
from buildfile.cachecopy import Copied, copy
from buildfile.cachefolder import BusyLayoutError, CacheFolder, UnwritableLayoutError
from buildfile.cacheusage import survey
from buildfile.ocilayout import BrokenLayoutError, LayoutError
from tests.buildfile.killed import killed_everywhere
from tests.buildfile.layouts import Layout, named


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Caches ``one`` and ``two`` with a common layer, an image, and a blob that nothing needs."""
    layout = Layout(tmp_path / "source")
    common = layout.layer(3 << 20, "c")
    one, two = layout.cache(common), layout.cache(common, layout.layer(1000, "2"), form="index")
    image = layout.index(layout.image("amd", "linux/amd64"), layout.image("arm", "linux/arm64"))
    layout.finish(
        named(one, "one"),
        {**named(two, "two"), "artifactType": "application/x-mine"},
        named(image, "1", "docker.io/library/app:1"),
    )
    layout.layer(1000, "u")
    layout.age(5000)
    return layout


def run(source: Path, dest: Path, *refs: str) -> Copied:
    return copy(CacheFolder(source), CacheFolder(dest), refs, lambda done, total: None)


def whole(folder: Path) -> bool:
    return not verify(CacheFolder(folder), lambda done, total: None).faults


def test_all_is_copied_that_a_cache_needs(layout: Layout, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    done = copy(
        CacheFolder(layout.folder),
        CacheFolder(tmp_path / "new" / "dest"),
        [],
        lambda now, total: seen.append((now, total)),
    )
    source, dest = (
        survey(CacheFolder(each)) for each in (layout.folder, tmp_path / "new" / "dest")
    )
    assert [each.entry for each in dest.caches] == [each.entry for each in source.caches]
    assert dest.unused == {}
    assert dest.blobs.keys() == source.blobs.keys() - source.unused.keys()
    assert (done.blobs, done.size) == (len(dest.blobs), dest.bytes(dest.blobs))
    assert seen[-1] == (done.size, done.size)
    assert [each.changed for each in dest.caches] == [each.changed for each in source.caches]
    assert whole(tmp_path / "new" / "dest")
    again = run(layout.folder, tmp_path / "new" / "dest")
    assert (again.blobs, again.size, again.present) == (0, 0, done.blobs)


def test_only_some_are_copied_and_all_else_stays(layout: Layout, tmp_path: Path) -> None:
    there = Layout(tmp_path / "dest")
    old, mine = there.cache(there.layer(10, "a")), there.cache(there.layer(10, "b"))
    there.finish(named(old, "one"), named(mine, "mine"), named(old, "two"))
    done = run(layout.folder, there.folder, "one", "docker.io/library/app:1")
    assert [each.name for each in done.caches] == ["one", "docker.io/library/app:1"]
    caches = CacheFolder(there.folder).tags()
    source = CacheFolder(layout.folder).tags()
    assert caches["one"] == source["one"]
    assert (caches["mine"].digest, caches["two"].digest) == (mine["digest"], old["digest"])
    assert whole(there.folder)


@pytest.mark.parametrize("refs", [("three",), ("one", "three"), ("sha256:" + "0" * 64,)])
def test_unknown_tag_copies_nothing(layout: Layout, tmp_path: Path, refs: tuple[str, ...]) -> None:
    with pytest.raises(LayoutError, match=r"no cache .* there are one, two, docker"):
        run(layout.folder, tmp_path / "dest", *refs)
    assert survey(CacheFolder(tmp_path / "dest")).blobs == {}


@pytest.mark.parametrize("damage", ["missing", "other content", "cut", "manifest"])
def test_damage_is_not_copied(layout: Layout, tmp_path: Path, damage: str) -> None:
    manifest = CacheFolder(layout.folder).tags()["one"].digest
    blob = layout.blob(manifest if damage == "manifest" else layout.layer(3 << 20, "c")["digest"])
    data = blob.read_bytes()
    blob.unlink()
    if damage != "missing":
        blob.write_bytes({"cut": data[:-1]}.get(damage, b"x" * len(data)))
    with pytest.raises(BrokenLayoutError, match=blob.name):
        run(layout.folder, tmp_path / "dest")
    assert CacheFolder(tmp_path / "dest").index().entries == ()
    assert whole(tmp_path / "dest")
    assert list((tmp_path / "dest" / "ingest").iterdir()) == []


def test_full_disk_is_an_error_not_a_bug(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise OSError(28, "No space left on device")

    (tmp_path / "dest").mkdir()
    monkeypatch.setattr(os, "write", fail)
    with pytest.raises(UnwritableLayoutError, match="No space left"):
        run(layout.folder, tmp_path / "dest")


def test_folders_are_held(layout: Layout, tmp_path: Path) -> None:
    def prune(done: int, total: int) -> None:
        for folder in (layout.folder, tmp_path / "dest"):
            with pytest.raises(BusyLayoutError), CacheFolder(folder).pruning():
                pass

    copy(CacheFolder(layout.folder), CacheFolder(tmp_path / "dest"), [], prune)
    with CacheFolder(layout.folder).pruning(), CacheFolder(tmp_path / "dest").pruning():
        pass


def test_killed_anywhere_it_leaves_what_was_there(layout: Layout, tmp_path: Path) -> None:
    there = Layout(tmp_path / "dest")
    there.finish(named(there.cache(there.layer(10)), "one"))
    before = CacheFolder(there.folder).tags()["one"]
    out = tmp_path / "out"
    out.mkdir()
    folders = killed_everywhere(
        there.folder,
        out,
        setup="from buildfile.cachefolder import CacheFolder\n"
        "from buildfile.cachecopy import copy\n"
        f"source = CacheFolder({str(layout.folder)!r})",
        script="copy(source, CacheFolder(folder), ['two'], lambda done, total: None)",
    )
    assert all(map(whole, folders))
    assert all(CacheFolder(each).tags()["one"] == before for each in folders)
    copied = ["two" in CacheFolder(each).tags() for each in folders]
    assert copied == sorted(copied)
    assert (copied[0], copied[-1]) == (False, True)
