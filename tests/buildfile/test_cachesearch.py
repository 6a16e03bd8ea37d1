"""What ``plan`` says of caches in registries."""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from pathlib import Path

import pytest

from buildfile.cachesearch import searched
from buildfile.plan import Plan
from daemon_shim import ages
from daemon_shim.mediatypes import INDEXES, MANIFESTS
from daemon_shim.registry.client import RegistryClient
from daemon_shim.registry.login import ANONYMOUS
from tests.buildfile.projects import planned
from tests.daemon_shim.registry.scripted import Reply, Scripted, digest_of, scripted, serve

OLD, NEW = (0, 8, 0), (0, 12, 0)
CACHE = "application/vnd.buildkit.cacheconfig.v0"
CONFIG = "application/vnd.oci.image.config.v1+json"


def put(server: Scripted, kind: str, config: str) -> str:
    return serve(server, "c", "1", json.dumps({"config": {"mediaType": config}}).encode(), kind)


def search(folder: Path, refs: list[str], release: tuple[int, int, int]) -> Plan:
    imports = ", ".join(f'"type=registry,ref={ref}"' for ref in refs)
    text = (
        f"version: 1\nstages: {{s: {{from: scratch}}}}\n"
        f"targets: {{t: {{stage: s, cache: {{import: [{imports}, type=gha]}}}}}}\n"
    )
    return searched(
        planned(folder, text, ages.imagine(release)), RegistryClient(lambda _: ANONYMOUS)
    )


def found(folder: Path, refs: list[str], release: tuple[int, int, int]) -> list[str]:
    plan = search(folder, refs, release)
    return [cache.found for job in plan.jobs for cache in job.cache_imports]


@pytest.mark.parametrize(
    ("kind", "config", "release", "told"),
    [
        (INDEXES[0], "", OLD, "DIGEST is there"),
        (MANIFESTS[0], CACHE, NEW, "DIGEST is there"),
        # An image with an inline cache, which any release from v0.4 on reads.
        (MANIFESTS[0], CONFIG, OLD, "DIGEST is there"),
        (
            MANIFESTS[0],
            CACHE,
            OLD,
            "DIGEST is there, in the form of an image, which BuildKit v0.12 reads and v0.8.0 does "
            "not: export it with image-manifest=false",
        ),
    ],
)
def test_a_manifest_that_is_there(
    tmp_path: Path, kind: str, config: str, release: tuple[int, int, int], told: str
) -> None:
    with scripted() as server:
        digest = put(server, kind, config)
        answers = found(tmp_path, [f"{server.host}/c:1"], release)
    assert answers == [told.replace("DIGEST", digest), ""]


def test_each_place_is_asked_once(tmp_path: Path) -> None:
    with scripted() as server:
        refs = [f"{server.host}/c:1", f"{server.host}/c:2", f"{server.host}/c:1"]
        put(server, INDEXES[0], "")
        server.replies["HEAD /v2/c/manifests/2"] = Reply(404)
        first, second, third, _ = found(tmp_path, refs, NEW)
    assert first == third and first.endswith(" is there")
    assert second == "not there yet"
    assert sorted(asked for asked, _ in server.asked) == [
        "HEAD /v2/c/manifests/1",
        "HEAD /v2/c/manifests/2",
    ]


def test_what_cannot_be_looked_up_is_no_failure(tmp_path: Path) -> None:
    first, _ = found(tmp_path, ["127.0.0.1:1/c:1"], NEW)
    assert first.startswith("cannot be looked up: ")


def test_how_old_it_is_and_what_the_daemon_cannot_unpack(tmp_path: Path) -> None:
    layer = {"mediaType": "application/vnd.oci.image.layer.v1.tar+zstd"}
    data = json.dumps({"manifests": [layer, {"mediaType": CACHE}]}).encode()
    modified = formatdate(time.time() - 3 * 86400, usegmt=True)
    told = {"Docker-Content-Digest": digest_of(data), "Last-Modified": modified}
    with scripted() as server:
        server.replies["HEAD /v2/c/manifests/1"] = Reply(headers=told)
        server.replies[f"GET /v2/c/manifests/{digest_of(data)}"] = Reply(body=data)
        (old, _), (new, _) = (found(tmp_path, [f"{server.host}/c:1"], each) for each in (OLD, NEW))
    assert new == f"{digest_of(data)} is there, 3 days old"
    assert old.startswith(f"{new}, its layers are packed by zstd, which needs BuildKit v0.9")


def test_what_would_fail_a_build_on_the_oldest_daemon_is_left_out(tmp_path: Path) -> None:
    with scripted() as server:
        refs = [f"{server.host}/c:{tag}" for tag in ("1", "2")] + ["127.0.0.1:1/c:1"]
        put(server, INDEXES[0], "")
        server.replies["HEAD /v2/c/manifests/2"] = Reply(404)
        plan = search(tmp_path, refs, (0, 3, 3))
    ((there, missing, unknown, _),) = [job.cache_imports for job in plan.jobs]
    assert there.option and there.option.attrs["ref"] == refs[0]
    assert (missing.option, missing.warning, missing.found) == (None, "", "not there yet")
    assert unknown.option is None and unknown.warning.startswith("cannot be looked up: ")
    told = [each.message for each in plan.warnings if "looked up" in each.message]
    assert len(told) == 1 and "that t imports is left out: cannot be looked up" in told[0]
