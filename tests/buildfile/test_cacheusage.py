"""What a cache needs, in every form that BuildKit has written, and what nothing needs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from buildfile.cachefolder import CacheFolder
from buildfile.cacheusage import Usage, survey
from buildfile.ocilayout import BrokenLayoutError
from tests.buildfile.layouts import Layout, named


def look(layout: Layout) -> Usage:
    return survey(CacheFolder(layout.folder))


def unused(layout: Layout) -> set[str]:
    return set(look(layout).unused)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


def test_nothing_is_there_yet(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        usage = survey(CacheFolder(folder))
        assert (usage.caches, usage.blobs, usage.unfinished) == ((), {}, ())


@pytest.mark.parametrize("form", ["manifest", "index", "list"])
def test_cache_needs_its_manifest_its_config_and_its_layers(layout: Layout, form: str) -> None:
    cache = layout.cache(layout.layer(10, "a"), layout.layer(20, "b"), form=form)
    layout.finish(named(cache, "latest"))
    stray = layout.layer(30, "c")
    (one,) = look(layout).caches
    assert len(one.needs) == 4
    assert unused(layout) == {stray["digest"]}


def test_image_of_several_platforms_needs_all_of_them(layout: Layout) -> None:
    index = layout.index(layout.image("amd", "linux/amd64"), layout.image("arm", "linux/arm64"))
    layout.finish(named(index, "1"))
    assert len(look(layout).caches[0].needs) == 5
    assert unused(layout) == set()


def test_a_layer_is_never_read_as_a_manifest(layout: Layout) -> None:
    stray = layout.layer(30)
    text = layout.write(
        b'{"layers": [{"digest": "%s", "size": 30}]}' % stray["digest"].encode(), "text/plain"
    )
    layout.finish(named(layout.cache(text), "latest"))
    assert unused(layout) == {stray["digest"]}


def test_an_entry_without_a_type_is_read(layout: Layout) -> None:
    cache = layout.cache(layout.layer(10))
    layout.finish({**cache, "mediaType": ""})
    assert unused(layout) == set()


def test_sizes_count_a_blob_once(layout: Layout) -> None:
    common, own = layout.layer(1000, "a"), layout.layer(500, "b")
    one, two = layout.cache(common, own), layout.cache(common)
    layout.finish(named(one, "one"), named(two, "two"))
    usage = look(layout)
    assert usage.shared(usage.caches[0]) == usage.shared(usage.caches[1]) == 1000
    assert usage.size(usage.caches) == sum(blob.stat().st_size for blob in layout.blobs())
    assert usage.size(usage.caches[:1]) - usage.size(usage.caches[1:]) > 500


def test_missing_blobs_are_told_of(layout: Layout) -> None:
    layer = layout.layer(10)
    layout.finish(named(layout.cache(layer), "latest"))
    layout.blob(layer["digest"]).unlink()
    usage = look(layout)
    assert [each.digest for each in usage.missing(usage.caches[0])] == [layer["digest"]]
    assert not usage.caches[0].broken


@pytest.mark.parametrize(
    ("reason", "media_type"), [("missing", ""), ("missing", "text/plain"), ("damaged", "")]
)
def test_cache_without_its_manifest_is_broken(layout: Layout, reason: str, media_type: str) -> None:
    cache = layout.cache(layout.layer(10))
    layout.finish({**cache, "mediaType": media_type or cache["mediaType"]})
    layout.blob(cache["digest"]).unlink()
    if reason == "damaged":
        layout.blob(cache["digest"]).write_bytes(b"x" * cache["size"])
    (one,) = look(layout).caches
    assert reason in one.broken
    assert set(one.needs) == {cache["digest"]}


def test_manifest_that_cannot_be_read_is_not_taken_for_a_broken_one(layout: Layout) -> None:
    cache = layout.cache(layout.layer(10))
    layout.finish(named(cache, "latest"))
    layout.blob(cache["digest"]).unlink()
    layout.blob(cache["digest"]).symlink_to("/etc/hostname")
    with pytest.raises(BrokenLayoutError, match="leads out"):
        look(layout)


def test_what_is_unfinished_is_listed(layout: Layout) -> None:
    layout.finish()
    ingest = layout.folder / "ingest"
    (ingest / "of-containerd").mkdir(parents=True)
    (ingest / "of-containerd" / "data").write_bytes(b"x" * 10)
    (ingest / "of-containerd" / "ref").write_bytes(b"x" * 5)
    (ingest / "of-ours").write_bytes(b"x" * 7)
    os.utime(ingest / "of-containerd", (1, 1))
    found = {Path(each.path).name: (each.size, each.is_folder) for each in look(layout).unfinished}
    assert found == {"of-containerd": (15, True), "of-ours": (7, False)}
    assert all(each.changed > 1 for each in look(layout).unfinished)


def test_only_blobs_are_listed(layout: Layout) -> None:
    layout.finish(named(layout.cache(layout.layer(10)), "latest"))
    before = look(layout).blobs
    blobs = layout.folder / "blobs" / "sha256"
    (blobs / "readme").write_text("")
    (blobs / ("0" * 64)).mkdir()
    (blobs / ("1" * 64)).symlink_to("/etc/hostname")
    (layout.folder / "blobs" / "sha512").symlink_to(blobs)
    assert look(layout).blobs == before
