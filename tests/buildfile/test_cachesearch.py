"""What ``plan`` says of caches in registries."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path

import pytest

from buildfile.cachenames import CacheNames
from buildfile.cachesearch import CacheSearch, searched
from buildfile.plan import Plan
from daemon_shim import ages
from daemon_shim.mediatypes import INDEXES, MANIFESTS
from daemon_shim.registry.client import Found, NoRegistryError, RegistryClient, Repository
from daemon_shim.registry.login import ANONYMOUS
from daemon_shim.releases import Release
from tests.buildfile.projects import planned
from tests.daemon_shim.registry.scripted import Reply, Scripted, digest_of, scripted, serve
from translator.reference import Reference

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
    plan = planned(folder, text, ages.imagine(release))
    return searched(plan, CacheSearch(lambda _: ANONYMOUS), every=True)


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


POOL = CacheNames(daemon="a", pool=("a", "b", "c"))
IMPORT = """version: 1
stages: {{s: {{from: scratch}}}}
targets: {{t: {{stage: s, cache: {{import: ["{ref}"]}}}}}}
"""


def sent(plan: Plan) -> list[str]:
    """The tags that a daemon is told of."""
    options = [cache.option for job in plan.jobs for cache in job.cache_imports]
    return [Reference.parse(each.attrs["ref"]).tag for each in options if each]


def of_pool(folder: Path, ref: str, search: CacheSearch, *, release: Release = NEW) -> Plan:
    text = IMPORT.format(ref=ref)
    return searched(planned(folder, text, ages.imagine(release), names=POOL), search)


@pytest.fixture
def server() -> Iterator[Scripted]:
    """A registry with what three of four names are exported under."""
    with scripted() as made:
        for tag in ("latest-a", "latest", "latest-b"):
            serve(made, "c", tag, json.dumps({"config": {}}).encode(), INDEXES[0])
        made.replies["HEAD /v2/c/manifests/latest-c"] = Reply(404)
        yield made


@pytest.mark.parametrize("release", [(0, 3, 3), OLD, NEW])
def test_of_all_names_those_that_are_there_are_sent(
    tmp_path: Path, server: Scripted, release: Release
) -> None:
    plan = of_pool(tmp_path, f"{server.host}/c", CacheSearch(lambda _: ANONYMOUS), release=release)
    assert sent(plan) == ["latest-a", "latest", "latest-b"]
    assert len(plan.jobs[0].cache_imports) == 3 and not plan.warnings


def test_a_name_that_is_not_there_is_no_fault_and_another_daemons_not_spoken_of(
    tmp_path: Path, server: Scripted
) -> None:
    for tag in ("latest", "latest-b"):
        server.replies[f"HEAD /v2/c/manifests/{tag}"] = Reply(404)
    plan = of_pool(tmp_path, f"{server.host}/c", CacheSearch(lambda _: ANONYMOUS))
    assert sent(plan) == ["latest-a"]
    assert [each.found for each in plan.jobs[0].cache_imports[1:]] == ["not there yet"]
    assert not plan.warnings


@pytest.mark.parametrize(
    ("release", "expected", "warned"), [(NEW, ["latest-a", "latest"], 0), ((0, 3, 3), [], 1)]
)
def test_where_nobody_can_be_asked_the_daemon_finds_out(
    tmp_path: Path, release: Release, expected: list[str], warned: int
) -> None:
    search = CacheSearch(lambda _: ANONYMOUS)
    plan = of_pool(tmp_path, "127.0.0.1:1/c", search, release=release)
    assert sent(plan) == expected
    assert len(plan.jobs[0].cache_imports) == 2 and len(plan.warnings) == warned


def test_what_another_daemon_left_in_a_form_that_this_one_cannot_read_is_told_of_alone(
    tmp_path: Path, server: Scripted
) -> None:
    data = json.dumps({"config": {"mediaType": CACHE}}).encode()
    serve(server, "c", "latest-b", data, MANIFESTS[0])
    search = CacheSearch(lambda _: ANONYMOUS)
    plan = of_pool(tmp_path, f"{server.host}/c", search, release=OLD)
    assert sent(plan) == ["latest-a", "latest"] and not plan.warnings
    assert "in the form of an image" in plan.jobs[0].cache_imports[2].found


def test_each_name_is_asked_for_once_in_a_run(tmp_path: Path, server: Scripted) -> None:
    search = CacheSearch(lambda _: ANONYMOUS)
    for daemon in "abc":
        text = IMPORT.format(ref=f"{server.host}/c")
        names = replace(POOL, daemon=daemon)
        for release in (NEW, (0, 3, 3)):
            made = searched(planned(tmp_path, text, ages.imagine(release), names=names), search)
            assert searched(made, search, every=True) == made
    heads = [asked for asked, _ in server.asked if asked.startswith("HEAD")]
    assert len(heads) == len(set(heads)) == 4


def test_a_registry_that_does_not_answer_is_asked_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def find(self: RegistryClient, repository: Repository, name: str) -> Found:
        asked.append(repository.host)
        raise NoRegistryError("it did not answer in time")

    monkeypatch.setattr(RegistryClient, "find", find)
    search = CacheSearch(lambda _: ANONYMOUS)
    for path in ("c", "d"):
        of_pool(tmp_path, f"r.example/{path}", search)
    assert set(asked) == {"r.example"} and len(asked) <= 4  # the first names side by side


def test_one_name_is_left_to_the_daemon(tmp_path: Path) -> None:
    text = IMPORT.format(ref="127.0.0.1:1/c,by-daemon=false")
    plan = planned(tmp_path, text, ages.imagine(NEW), names=POOL)
    assert searched(plan, CacheSearch(lambda _: ANONYMOUS)) is plan and len(sent(plan)) == 1
