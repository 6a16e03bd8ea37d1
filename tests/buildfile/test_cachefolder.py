"""The index of a cache folder: found, changed by many at once, and killed in the middle of it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from buildfile import filelock
from buildfile.cachefolder import BusyLayoutError, CacheFolder, UnwritableLayoutError
from buildfile.ocilayout import BrokenLayoutError, Descriptor, NoLayoutError
from tests.buildfile.killed import killed_everywhere
from tests.buildfile.layouts import TAG, Layout, named

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def cache(number: int) -> Descriptor:
    return Descriptor(media_type=MANIFEST, digest=f"sha256:{number:064}", size=number)


def index(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "index.json").read_text())
    return document


def test_nothing_is_there_yet(tmp_path: Path) -> None:
    for folder in (tmp_path / "nowhere", tmp_path):
        caches = CacheFolder(folder)
        assert caches.tags() == {}
        assert caches.find() is None
        assert caches.find(cache(1).digest) is None
        with caches.importing():
            pass
    assert not (tmp_path / "nowhere").exists()


def test_put_makes_the_layout(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "caches"
    CacheFolder(folder).put("latest", cache(1))
    assert json.loads((folder / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    assert index(folder) == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [
            {
                "mediaType": MANIFEST,
                "digest": cache(1).digest,
                "size": 1,
                "annotations": {TAG: "latest"},
            }
        ],
    }
    assert list((folder / "ingest").iterdir()) == []


def test_put_moves_the_tag_and_leaves_all_else(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    one = {**layout.image("one"), "artifactType": "application/x-mine"}
    others = [named(one, "other"), one, named(one, "latest", "docker.io/library/app:latest")]
    layout.finish(named(one, "latest"), *others)
    (tmp_path / "index.json").write_text(json.dumps({**index(tmp_path), "annotations": {"a": "b"}}))
    CacheFolder(tmp_path).put("latest", cache(2))
    assert index(tmp_path)["annotations"] == {"a": "b"}
    lines = index(tmp_path)["manifests"]
    assert lines[:-1] == others
    assert (lines[-1]["digest"], lines[-1]["annotations"]) == (cache(2).digest, {TAG: "latest"})


def test_find_prefers_caches_to_images(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    image, older, lone = layout.image("app"), layout.image("cache"), layout.image("lone")
    full = "docker.io/library/app:latest"
    layout.finish(named(image, "latest", full), named(older, "latest"), named(older, "v1"))
    caches = CacheFolder(tmp_path)
    found = {ref: caches.find(ref) for ref in ("latest", full, "v1", image["digest"])}
    assert {ref: each and each.digest for ref, each in found.items()} == {
        "latest": older["digest"],
        full: image["digest"],
        "v1": older["digest"],
        image["digest"]: image["digest"],
    }
    assert list(caches.tags()) == ["v1", "latest"]
    assert caches.find(lone["digest"]) == Descriptor(digest=lone["digest"], size=lone["size"])
    assert (caches.find("v2"), caches.find(""), caches.find("../index.json")) == (None, None, None)


def test_a_new_export_makes_the_manifest_young(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    described = layout.image("one")
    os.utime(layout.blob(described["digest"]), (1, 1))
    CacheFolder(tmp_path).put("latest", Descriptor.parse(described))
    assert layout.blob(described["digest"]).stat().st_mtime > 1


def test_drop_leaves_what_was_exported_meanwhile(tmp_path: Path) -> None:
    caches = CacheFolder(tmp_path)
    for tag in ("a", "b", "c"):
        caches.put(tag, cache(1))
    before = caches.tags()
    caches.put("a", cache(2))
    caches.drop([before["a"], before["b"]])
    assert {tag: each.size for tag, each in caches.tags().items()} == {"a": 2, "c": 1}


@pytest.mark.parametrize("text", ["{", "[]", '{"manifests": [{}]}', '{"manifests": 1}'])
def test_broken_index_is_neither_read_nor_written(tmp_path: Path, text: str) -> None:
    (tmp_path / "index.json").write_text(text)
    caches = CacheFolder(tmp_path)
    for use in (caches.tags, caches.find, lambda: caches.put("latest", cache(1))):
        with pytest.raises(BrokenLayoutError):
            use()
    assert (tmp_path / "index.json").read_text() == text


@pytest.mark.parametrize("text", ["", "{}", '{"schemaVersion": 2, "manifests": null}'])
def test_index_without_entries_is_filled(tmp_path: Path, text: str) -> None:
    (tmp_path / "index.json").write_text(text)
    (tmp_path / "oci-layout").write_text("")
    assert CacheFolder(tmp_path).tags() == {}
    CacheFolder(tmp_path).put("latest", cache(1))
    assert list(CacheFolder(tmp_path).tags()) == ["latest"]
    assert (tmp_path / "oci-layout").read_text()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    caches = CacheFolder(tmp_path / "file")
    with pytest.raises(NoLayoutError):
        caches.tags()
    with pytest.raises(UnwritableLayoutError, match=r"Not a directory|File exists"):
        caches.put("latest", cache(1))


def test_mode_and_owner_of_the_index_stay(tmp_path: Path) -> None:
    caches = CacheFolder(tmp_path)
    caches.put("latest", cache(1))
    owner = 12 if os.geteuid() == 0 else os.geteuid()
    (tmp_path / "index.json").chmod(0o664)
    os.chown(tmp_path / "index.json", owner, -1)
    caches.put("latest", cache(2))
    after = (tmp_path / "index.json").stat()
    assert (after.st_mode & 0o777, after.st_uid) == (0o664, owner)


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_disk_that_takes_nothing_is_an_error_not_a_bug(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    caches = CacheFolder(tmp_path)
    caches.put("latest", cache(1))

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    monkeypatch.setattr(filelock, "_open", fail)
    for use in (lambda: caches.put("latest", cache(2)), caches.exporting().__enter__):
        with pytest.raises(UnwritableLayoutError, match=os.strerror(number)):
            use()
    with caches.importing():
        assert caches.tags()["latest"].size == 1
    assert list((tmp_path / "ingest").iterdir()) == []


# --- at once -----------------------------------------------------------------------------------

_PUT = """
import sys
from buildfile.cachefolder import CacheFolder
from buildfile.ocilayout import Descriptor

folder, name = sys.argv[1:]
for number in range(1, 11):
    described = Descriptor(media_type="a/b", digest=f"sha256:{number:064}", size=number)
    CacheFolder(folder).put(f"{name}-{number % 3}", described)
"""

_BUILDCTL = """
import fcntl, json, os, sys

folder, name = sys.argv[1:]
index, lock = f"{folder}/index.json", f"{folder}/index.json.lock"
while True:
    with open(os.open(lock, os.O_CREAT | os.O_RDONLY, 0o600)) as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        with open(os.open(index, os.O_RDWR | os.O_CREAT, 0o644), "r+") as file:
            document = json.loads(file.read() or '{"manifests": []}')
            document["manifests"].append({"mediaType": "a/b", "digest": "sha256:" + "0" * 64,
                "size": 1, "annotations": {"org.opencontainers.image.ref.name": name}})
            file.seek(0)
            file.write(json.dumps(document))
            file.truncate()
    os.unlink(lock)
    break
"""


def test_many_exports_at_once_all_survive(tmp_path: Path) -> None:
    scripts = {"a": _PUT, "b": _PUT, "c": _PUT, "d": _PUT, "other": _BUILDCTL}
    running = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path), name])
        for name, script in scripts.items()
    ]
    assert [each.wait(timeout=120) for each in running] == [0] * len(running)
    sizes = {tag: each.size for tag, each in CacheFolder(tmp_path).tags().items()}
    mine = {f"{name}-{rest}": {0: 9, 1: 10, 2: 8}[rest] for name in "abcd" for rest in range(3)}
    assert sizes == {**mine, "other": 1}


def test_lock_that_is_held_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("buildfile.cachefolder._LOCK_SECONDS", 0)
    caches = CacheFolder(tmp_path)
    caches.put("latest", cache(1))
    with (tmp_path / "index.json.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(BusyLayoutError, match=r"index\.json\.lock"):
            caches.put("latest", cache(2))
        assert caches.tags()["latest"].size == 1
        (tmp_path / "index.json").write_text("{")
        with pytest.raises(BrokenLayoutError):
            caches.tags()


def test_lock_on_a_file_that_is_gone_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lock"
    lock = fcntl.flock
    gone: list[int] = []

    def remove_first(fd: int, kind: int) -> None:
        lock(fd, kind)
        if not gone:
            path.unlink()  # as buildctl does after it has let go
            gone.append(fd)

    monkeypatch.setattr(fcntl, "flock", remove_first)
    with filelock.locked(str(path), filelock.EXCLUSIVE):
        monkeypatch.undo()
        with (
            pytest.raises(BlockingIOError),
            filelock.locked(str(path), filelock.SHARED),
        ):
            pass
    assert gone


def test_index_that_is_being_written_is_read_when_it_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    caches = CacheFolder(tmp_path)
    caches.put("latest", cache(1))
    whole = (tmp_path / "index.json").read_text()
    (tmp_path / "index.json").write_text(whole + '"}]}')
    lock = fcntl.flock

    def finish(fd: int, kind: int) -> None:
        lock(fd, kind)
        (tmp_path / "index.json").write_text(whole)

    monkeypatch.setattr(fcntl, "flock", finish)
    assert list(caches.tags()) == ["latest"]


def test_blobs_are_used_by_many_or_pruned_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("buildfile.cachefolder._LOCK_SECONDS", 0)
    caches = CacheFolder(tmp_path)
    with (
        caches.exporting(),
        caches.importing(),
        CacheFolder(tmp_path).exporting(),
        pytest.raises(BusyLayoutError),
        caches.pruning(),
    ):
        pass
    with caches.pruning():
        for use in (caches.exporting, caches.importing):
            with pytest.raises(BusyLayoutError), use():
                pass


# --- killed ------------------------------------------------------------------------------------


@pytest.mark.parametrize("there", [True, False])
def test_killed_anywhere_it_still_imports(tmp_path: Path, there: bool) -> None:
    template, out = tmp_path / "template", tmp_path / "out"
    template.mkdir()
    out.mkdir()
    if there:
        CacheFolder(template).put("latest", cache(1))
        CacheFolder(template).put("other", cache(1))
    folders = killed_everywhere(
        template,
        out,
        setup="from buildfile.cachefolder import CacheFolder\n"
        "from tests.buildfile.test_cachefolder import cache",
        script='CacheFolder(folder).put("latest", cache(2))',
    )
    sizes = [tuple(each.size for each in CacheFolder(path).tags().values()) for path in folders]
    before, after = ((1, 1), (2, 1)) if there else ((), (2,))
    assert sizes == sorted(sizes)
    assert {tuple(sorted(each, reverse=True)) for each in sizes} == {before, after}
    assert len(folders) > 5
    for path in folders:
        CacheFolder(path).put("again", cache(3))
        assert "again" in CacheFolder(path).tags()
