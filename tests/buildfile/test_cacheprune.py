"""Cleaning a folder: what goes, what stays, who is waited for, and kills in the middle of it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from buildfile.cachecheck import verify
from buildfile.cachefolder import BusyLayoutError, CacheFolder, UnwritableLayoutError
from buildfile.cacheprune import Policy, Pruned, prune
from buildfile.cacheusage import survey
from buildfile.ocilayout import Descriptor
from tests.buildfile.killed import killed_everywhere
from tests.buildfile.layouts import Layout, named

LONG, SHORT = 5000.0, 10.0
"""Ages in seconds, far on both sides of what is young."""
TAGS = ("old", "middle", "new")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Three caches of about 100 kB each, the half of which is in a layer that all have."""
    layout = Layout(tmp_path / "caches")
    common = layout.layer(50_000, "c")
    caches = {tag: layout.cache(common, layout.layer(50_000, tag[0])) for tag in TAGS}
    layout.finish(*(named(each, tag) for tag, each in caches.items()))
    layout.age(LONG)
    for hours, tag in enumerate(reversed(TAGS)):
        layout.age(LONG + 3600 * hours, caches[tag]["digest"])
    return layout


def clean(layout: Layout, policy: Policy) -> Pruned:
    planned = prune(CacheFolder(layout.folder), policy, dry_run=True)
    before = layout.blobs()
    done = prune(CacheFolder(layout.folder), policy)
    assert [each.entry for each in done.caches] == [each.entry for each in planned.caches]
    assert done.blobs == planned.blobs
    assert before - layout.blobs() == {Path(each.path) for each in done.blobs}
    return done


def tags(layout: Layout) -> list[str]:
    return sorted(CacheFolder(layout.folder).tags())


def whole(folder: Path) -> bool:
    return not verify(CacheFolder(folder), lambda done, total: None).faults


def unused(layout: Layout) -> set[str]:
    return set(survey(CacheFolder(layout.folder)).unused)


def test_unused_blobs_go_and_caches_stay(layout: Layout) -> None:
    layout.age(LONG, layout.layer(1000, "1")["digest"])
    young = layout.layer(1000, "2")["digest"]
    assert len(clean(layout, Policy()).blobs) == 1
    assert unused(layout) == {young}
    assert tags(layout) == sorted(TAGS)
    clean(layout, Policy(min_age=0))
    assert unused(layout) == set()


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (210_000, ["middle", "new", "old"]),
        (199_999, ["middle", "new"]),
        (102_000, ["new"]),
        (99_999, []),
        (0, []),
    ],
)
def test_oldest_caches_go_until_the_rest_fits(
    layout: Layout, limit: int, expected: list[str]
) -> None:
    done = clean(layout, Policy(max_size=limit))
    assert tags(layout) == expected
    assert done.left <= limit
    assert done.left == sum(blob.stat().st_size for blob in layout.blobs())
    assert whole(layout.folder)


def test_what_is_young_counts_and_stays(layout: Layout) -> None:
    layout.layer(100_000, "1")
    clean(layout, Policy(max_size=260_000))
    assert tags(layout) == ["middle", "new"]
    assert len(unused(layout)) == 1


def test_a_young_cache_goes_with_its_blobs(layout: Layout) -> None:
    layout.age(SHORT)
    clean(layout, Policy(max_size=0))
    assert layout.blobs() == set()


@pytest.mark.parametrize(
    ("keep", "limit", "expected"),
    [
        (("new",), None, ["new"]),
        (("n*", "old"), None, ["new", "old"]),
        (("*",), None, ["middle", "new", "old"]),
        (("nothing",), None, []),
        (("old",), 150_000, ["old"]),
        (("old",), 160_000, ["new", "old"]),
        (("*",), 0, ["middle", "new", "old"]),
    ],
)
def test_tags_that_match_are_kept(
    layout: Layout, keep: tuple[str, ...], limit: int | None, expected: list[str]
) -> None:
    clean(layout, Policy(keep=keep, max_size=limit))
    assert tags(layout) == expected
    assert whole(layout.folder)


def test_what_nothing_can_import_goes(layout: Layout) -> None:
    broken = CacheFolder(layout.folder).tags()["middle"]
    layout.blob(broken.digest).unlink()
    clean(layout, Policy(keep=("middle",)))
    assert tags(layout) == []
    assert layout.blobs() == set()


def test_a_cache_with_a_lost_layer_is_kept(layout: Layout) -> None:
    common = layout.layer(50_000, "c")["digest"]
    layout.blob(common).unlink()
    clean(layout, Policy())
    assert tags(layout) == sorted(TAGS)


def test_the_cache_that_an_export_replaced_goes_with_its_blobs(layout: Layout) -> None:
    folder = CacheFolder(layout.folder)
    folder.put("old", folder.tags()["new"])
    assert sum(each.size for each in clean(layout, Policy()).blobs) > 50_000
    assert tags(layout) == sorted(TAGS)
    assert unused(layout) == set()


# --- in use ------------------------------------------------------------------------------------


def test_a_folder_in_use_is_left_alone(layout: Layout) -> None:
    before = layout.blobs()
    folder = CacheFolder(layout.folder)
    for use in (folder.exporting, folder.importing):
        with use(), pytest.raises(BusyLayoutError, match="uses it"):
            prune(folder, Policy(max_size=0))
    assert layout.blobs() == before
    assert tags(layout) == sorted(TAGS)


def test_an_export_of_others_is_noticed_by_what_it_is_writing(layout: Layout) -> None:
    writing = layout.folder / "ingest" / ("0" * 64)
    writing.mkdir(parents=True)
    (writing / "data").write_bytes(b"x" * 10)
    for young in (writing, writing / "data"):
        os.utime(writing, (1, 1))
        os.utime(writing / "data", (1, 1))
        os.utime(young)
        with pytest.raises(BusyLayoutError, match="writing"):
            prune(CacheFolder(layout.folder), Policy(max_size=0))
    assert tags(layout) == sorted(TAGS)
    os.utime(writing / "data", (1, 1))
    os.utime(writing, (1, 1))
    clean(layout, Policy())
    assert not writing.exists()


def test_a_file_that_is_being_written_is_noticed_whatever_its_age(layout: Layout) -> None:
    ingest = layout.folder / "ingest"
    ingest.mkdir()
    writing = ingest / "blob.partial"
    with writing.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        os.utime(writing, (1, 1))
        with pytest.raises(BusyLayoutError, match="writing"):
            prune(CacheFolder(layout.folder), Policy(max_size=0))
    clean(layout, Policy())
    assert not writing.exists()


def test_an_export_that_ends_meanwhile_keeps_its_blobs(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by buildctl, which does not hold the folder: it was told that an old blob is there."""
    reused = layout.layer(50_000, "r")
    layout.age(LONG, reused["digest"])
    drop = CacheFolder.drop

    def export_then_drop(folder: CacheFolder, entries: object) -> None:
        drop(folder, [*entries])  # type: ignore[call-overload]
        folder.put("theirs", Descriptor.parse(layout.cache(reused)))

    monkeypatch.setattr(CacheFolder, "drop", export_then_drop)
    prune(CacheFolder(layout.folder), Policy(keep=("new",)))
    assert tags(layout) == ["new", "theirs"]
    assert layout.blob(reused["digest"]).exists()
    assert whole(layout.folder)


def test_what_cannot_be_removed_is_an_error_not_a_bug(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "unlink", fail)
    layout.age(LONG, layout.layer(1000, "1")["digest"])
    with pytest.raises(UnwritableLayoutError, match="Permission denied"):
        prune(CacheFolder(layout.folder), Policy())


def test_nothing_is_written_for_a_dry_run(layout: Layout) -> None:
    prune(CacheFolder(layout.folder), Policy(max_size=0), dry_run=True)
    assert {each.name for each in layout.folder.iterdir()} == {"blobs", "index.json", "oci-layout"}


def test_killed_anywhere_it_leaves_no_cache_without_its_blobs(
    layout: Layout, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    folders = killed_everywhere(
        layout.folder,
        out,
        setup="from buildfile.cachefolder import CacheFolder\n"
        "from buildfile.cacheprune import Policy, prune",
        script="prune(CacheFolder(folder), Policy(keep=('new',), min_age=0))",
    )
    assert all(map(whole, folders))
    states = [tuple(sorted(CacheFolder(each).tags())) for each in folders]
    assert set(states) == {("middle", "new", "old"), ("new",)}
    sizes = [len(Layout(each).blobs()) for each in folders]
    assert sizes == sorted(sizes, reverse=True)
    assert (sizes[0], sizes[-1]) == (10, 4)
    for folder in folders:
        prune(CacheFolder(folder), Policy(keep=("new",), min_age=0))
        assert len(Layout(folder).blobs()) == 4
        assert list((folder / "ingest").iterdir()) == []
