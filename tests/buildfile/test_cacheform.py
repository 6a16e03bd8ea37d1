"""Which forms of a cache's manifest a daemon is given."""

from __future__ import annotations

import json
from typing import Any

import pytest

from buildfile.cacheform import form_for
from buildfile.ocilayout import Descriptor
from daemon_shim.releases import Release
from tests.daemon_shim.infos import info

_OCI, _DOCKER = "application/vnd.oci.image", "application/vnd.docker"
_GZIP, _ZSTD = (f"{_OCI}.layer.v1.tar+{kind}" for kind in ("gzip", "zstd"))
_CONFIG = {"mediaType": "application/vnd.buildkit.cacheconfig.v0", "digest": "c", "size": 2}
_FOUND = Descriptor(media_type=f"{_OCI}.manifest.v1+json", digest=f"sha256:{'0' * 64}", size=1)


def _image(kind: str = _GZIP) -> bytes:
    layers = [{"mediaType": kind, "digest": "a", "size": 1, "annotations": {"b": "c"}}]
    return json.dumps({"schemaVersion": 2, "config": _CONFIG, "layers": layers}).encode()


def _index(kind: str = _GZIP) -> bytes:
    manifests = [{"mediaType": kind, "digest": "a", "size": 1}, _CONFIG]
    return json.dumps({"schemaVersion": 2, "manifests": manifests}).encode()


@pytest.mark.parametrize("release", [(0, 3, 0), (0, 11, 6)])
def test_an_image_becomes_an_index_where_only_that_is_read(release: Release) -> None:
    form = form_for(_image(), _FOUND, info(release))
    assert form.made and not form.reason
    assert form.document.media_type == f"{_OCI}.index.v1+json"
    manifest: dict[str, Any] = json.loads(form.document.data)
    assert manifest["mediaType"] == form.document.media_type
    assert manifest["manifests"] == [*json.loads(_image())["layers"], _CONFIG]


@pytest.mark.parametrize(
    ("data", "release"),
    [
        (_image(), (0, 12, 0)),
        (_image(_ZSTD), (0, 32, 0)),
        (_index(), (0, 3, 0)),
        (_index(_ZSTD), (0, 9, 0)),
        (b"no JSON", (0, 3, 0)),
        (b"[1]", (0, 3, 0)),
        (b'{"layers": 5, "config": [], "manifests": 5}', (0, 3, 0)),
        (b'{"layers": [5, {"mediaType": 5}]}', (0, 3, 0)),
    ],
)
def test_all_else_stays_as_it_is(data: bytes, release: Release) -> None:
    form = form_for(data, _FOUND, info(release))
    assert (form.document.data, form.made, form.reason) == (data, False, "")
    assert form.document.media_type == _FOUND.media_type


@pytest.mark.parametrize("data", [_image(_ZSTD), _index(_ZSTD)])
def test_zstd_is_not_for_daemons_that_fail_at_it(data: bytes) -> None:
    form = form_for(data, _FOUND, info((0, 8, 0)))
    assert (
        form.reason
        == "its layers are packed by zstd, which needs BuildKit v0.9, and this is v0.8.0"
    )
