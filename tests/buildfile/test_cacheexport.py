"""What becomes of a folder when a daemon has written a cache into it."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from buildfile.cacheexport import CacheError, CacheExport
from buildfile.cachefolder import CacheFolder
from buildfile.caches import PlannedCache
from daemon_shim.request import CacheOption
from translator.target import CacheEntry

INDEX = "application/vnd.oci.image.index.v1+json"
IMAGE = "application/vnd.oci.image.manifest.v1+json"
DOCKER = "application/vnd.docker.distribution.manifest.list.v2+json"


def export(folder: Path, **attrs: str) -> CacheExport:
    plan = PlannedCache(
        entry=CacheEntry(type="local", attrs=attrs, folder=str(folder)),
        kind="export",
        option=CacheOption(type="local", attrs={"dest": str(folder)}),
        folder=str(folder),
        tag=attrs.get("tag", "latest"),
    )
    return CacheExport(plan)


def push(made: CacheExport, data: bytes) -> str:
    """Have a daemon write a blob."""
    upload = made.ingest.begin()
    upload.write([data])
    made.ingest.newest = upload.commit()
    return made.ingest.newest


def manifest(type_: str = IMAGE, key: str = "layers", **more: Any) -> bytes:
    return json.dumps({"schemaVersion": 2, "mediaType": type_, key: [], **more}).encode()


def told(data: bytes, type_: str = IMAGE) -> dict[str, str]:
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    described = {"mediaType": type_, "digest": digest, "size": len(data)}
    return {"cache.manifest": json.dumps(described)}


def lines(folder: Path) -> list[tuple[str, str]]:
    """Each tag in the index with the media type that stands there."""
    return sorted((tag, each.media_type) for tag, each in CacheFolder(folder).tags().items())


def test_the_manifest_goes_into_the_index(tmp_path: Path) -> None:
    for tag in ("", "other"):
        made = export(tmp_path / "c", **({"tag": tag} if tag else {}))
        with made.held():
            push(made, b"layer")
            push(made, manifest(salt=tag))
            made.finish(told(manifest(salt=tag)))
        assert list(made.settle()) == []
    assert lines(tmp_path / "c") == [("latest", IMAGE), ("other", IMAGE)]
    assert json.loads((tmp_path / "c" / "oci-layout").read_text())["imageLayoutVersion"] == "1.0.0"


def test_an_empty_cache_leaves_the_index_alone(tmp_path: Path) -> None:
    made = export(tmp_path)
    made.finish({})
    made.finish(told(manifest()))  # of another export of the same build
    assert lines(tmp_path) == []
    assert list(made.settle()) == [f"no cache was written to {tmp_path}: the daemon sent none"]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (manifest(), IMAGE),
        (manifest(DOCKER, "manifests"), DOCKER),
        (b'{"schemaVersion": 2, "manifests": []}', INDEX),
        (b'{"schemaVersion": 2, "layers": []}', IMAGE),
    ],
)
def test_a_response_about_another_export_does_not_mislead(
    tmp_path: Path, data: bytes, expected: str
) -> None:
    made = export(tmp_path)
    push(made, data)
    made.finish(told(b"another's manifest"))
    assert lines(tmp_path) == [("latest", expected)]


@pytest.mark.parametrize("data", [b"\x1f\x8b layer", b'{"layers": [], "records": []}', b"[2]"])
def test_what_is_no_manifest_does_not_get_into_the_index(tmp_path: Path, data: bytes) -> None:
    made = export(tmp_path)  # its exporter broke off, with ignore-error
    push(made, data)
    made.finish(told(b"another's manifest"))
    assert lines(tmp_path) == []


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"digest": "sha256:x", "size": 1}'])
def test_a_response_that_cannot_be_read_is_told_of(tmp_path: Path, text: str) -> None:
    made = export(tmp_path)
    push(made, manifest())
    with pytest.raises(CacheError, match="description of it cannot be read"):
        made.finish({"cache.manifest": text})


def test_a_broken_index_is_told_of_and_kept(tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text("{")
    made = export(tmp_path)
    push(made, manifest())
    with pytest.raises(CacheError) as raised:
        made.finish(told(manifest()))
    assert raised.value.dest == str(tmp_path)
    assert (tmp_path / "index.json").read_text() == "{"


def test_a_failure_that_is_ignored_is_told_of(tmp_path: Path) -> None:
    made = export(tmp_path)
    made.ingest.error = OSError(28, "No space left on device", "/a/path")
    assert list(made.settle()) == [
        f"a cache could not be written: {tmp_path}: No space left on device"
    ]


def test_reset_removes_what_no_cache_needs(tmp_path: Path) -> None:
    first = export(tmp_path)
    with first.held():
        old = push(first, manifest(number=1))
        first.finish(told(manifest(number=1)))
    for blob in (tmp_path / "blobs" / "sha256").iterdir():
        os.utime(blob, (1, 1))
    second = export(tmp_path, reset="true")
    with second.held():
        new = push(second, manifest(number=2))
        stray = push(second, b"of a build that goes on")
        second.ingest.newest = new
        second.finish(told(manifest(number=2)))
        assert list(second.settle()) == [
            f"the cache in {tmp_path} was not reset: a build or a cleaning uses it"
        ]
    assert second.ingest.holds(old)
    assert list(second.settle()) == []
    assert not second.ingest.holds(old)
    assert second.ingest.holds(new) and second.ingest.holds(stray)
