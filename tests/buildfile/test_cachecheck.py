"""Checking a folder: what is whole, damaged, missing, of another size, or cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildfile.cachecheck import Verified, verify
from buildfile.cachefolder import CacheFolder
from tests.buildfile.layouts import Layout, named


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


def check(layout: Layout) -> Verified:
    return verify(CacheFolder(layout.folder), lambda done, total: None)


def faults(layout: Layout) -> dict[str, tuple[str, list[str]]]:
    return {
        each.digest: (each.reason, [cache.name for cache in each.caches])
        for each in check(layout).faults
    }


@pytest.mark.parametrize("form", ["manifest", "index", "list"])
def test_whole_caches_have_no_faults(layout: Layout, form: str) -> None:
    layout.finish(named(layout.cache(layout.layer(3 << 20), form=form), "latest"))
    seen: list[tuple[int, int]] = []
    done = verify(CacheFolder(layout.folder), lambda now, total: seen.append((now, total)))
    assert done.faults == ()
    assert len(done.usage.blobs) == 3
    size = sum(blob.stat().st_size for blob in layout.blobs())
    assert seen[-1] == (size, size)
    assert seen == sorted(seen)
    assert len(seen) > 3


def test_damage_names_the_caches_that_need_it(layout: Layout) -> None:
    common, own = layout.layer(1000, "a"), layout.layer(1000, "b")
    layout.finish(named(layout.cache(common), "one"), named(layout.cache(common, own), "two"))
    stray = layout.layer(1000, "c")
    for each in (common, own, stray):
        layout.blob(each["digest"]).write_bytes(b"x" * 1000)
    reason = "is damaged: its content has another digest"
    assert faults(layout) == {
        common["digest"]: (reason, ["one", "two"]),
        own["digest"]: (reason, ["two"]),
        stray["digest"]: (reason, []),
    }


def test_missing_layers_and_manifests(layout: Layout) -> None:
    layer = layout.layer(1000)
    one, two = layout.cache(layer), layout.cache(layer, layer)
    layout.finish(named(one, "one"), named(two, "two"))
    for each in (layer, two):
        layout.blob(each["digest"]).unlink()
    assert faults(layout) == {
        layer["digest"]: ("is missing", ["one"]),
        two["digest"]: ("is missing", ["two"]),
    }


def test_wrong_size_in_a_manifest(layout: Layout) -> None:
    layer = layout.layer(1000)
    layout.finish(named(layout.cache({**layer, "size": 999}), "latest"))
    assert faults(layout) == {layer["digest"]: ("has 1000 bytes instead of 999", ["latest"])}


def test_entry_that_is_no_manifest(layout: Layout) -> None:
    entry = layout.add(["something"], "manifest.v1+json")
    layout.finish(named(entry, "latest"))
    ((digest, (reason, names)),) = faults(layout).items()
    assert (digest, names) == (entry["digest"], ["latest"])
    assert reason.startswith("is no manifest")


def test_blob_that_cannot_be_read(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = layout.layer(1000)
    layout.finish(named(layout.cache(layer), "latest"))

    def fail(folder: Path, digest: str) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("buildfile.cachecheck.open_blob", fail)
    assert faults(layout)[layer["digest"]] == ("cannot be read: Input/output error", ["latest"])
