"""Caches as they are planned for a daemon: what it is told, and what users are."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from buildfile import cachefolder
from buildfile.cachefolder import CacheFolder
from buildfile.cachenames import CacheNames
from buildfile.caches import PlannedCache, options
from buildfile.ocilayout import Descriptor
from buildfile.plan import Plan
from buildfile.runplan import RunPlan
from daemon_shim.info import DaemonInfo
from tests.buildfile.projects import as_text, planned
from tests.daemon_shim.infos import graphdriver, info

V8, V10, V11, V15, V32 = (info((0, minor, 0)) for minor in (8, 10, 11, 15, 32))
MANIFEST = (
    b'{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}'
)


def made(
    folder: Path, cache: str, info: DaemonInfo = V32, environment: Mapping[str, str] | None = None
) -> Plan:
    text = (
        "version: 1\nstages: {s: {from: scratch, steps: [{write: {path: /a, text: a}}]}}\n"
        f"targets: {{t: {{stage: s, cache: {{{cache}}}}}}}\n"
    )
    return planned(folder, text, info, environment=environment)


def imported(folder: Path, entry: str, *more: object) -> PlannedCache:
    (cache,) = made(folder, f"import: ['{entry}']", *more).jobs[0].cache_imports  # type: ignore[arg-type]
    return cache


def exported(folder: Path, entry: str, *more: object) -> PlannedCache:
    (cache,) = made(folder, f"export: ['{entry}']", *more).jobs[0].cache_exports  # type: ignore[arg-type]
    return cache


def fill(folder: Path, tag: str = "latest", age: float = 0) -> str:
    """Put a cache into a folder."""
    digest = f"sha256:{hashlib.sha256(MANIFEST).hexdigest()}"
    blob = folder / "blobs" / "sha256" / digest.partition(":")[2]
    blob.parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(MANIFEST)
    type_ = json.loads(MANIFEST)["mediaType"]
    CacheFolder(folder).put(tag, Descriptor(media_type=type_, digest=digest, size=len(MANIFEST)))
    then = time.time() - age
    os.utime(blob, (then, then))
    return digest


def warnings(plan: Plan) -> list[str]:
    return [each.message for each in plan.warnings]


# --- local ---------------------------------------------------------------------------------------


def test_what_is_not_there_yet_is_not_sent_and_not_told_of(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    fill(tmp_path / "full")
    for entry in ("src=none", "src=empty", "src=full,tag=other"):
        plan = made(tmp_path, f"import: ['type=local,{entry}']")
        (cache,) = plan.jobs[0].cache_imports
        assert (cache.option, cache.store, cache.found) == (None, "", "not there yet")
        assert not plan.warnings and options([cache]) == ()
    assert not (tmp_path / "none").exists() and not list((tmp_path / "empty").iterdir())


def test_a_tag_is_looked_up_and_its_digest_sent(tmp_path: Path) -> None:
    digest = fill(tmp_path / "c", "main")
    cache = imported(tmp_path, "type=local,src=c,tag=main")
    assert cache.option is not None
    assert dict(cache.option.attrs) == {"src": str(tmp_path / "c"), "digest": digest}
    assert cache.store == f"local:{tmp_path}/c"
    assert cache.shown == f"type=local,src={tmp_path}/c,tag=main"


def test_an_index_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "c")
    reads: list[str] = []
    read = cachefolder.read_index
    monkeypatch.setattr(cachefolder, "read_index", lambda path: reads.append(path) or read(path))
    assert imported(tmp_path, "type=local,src=c").option is not None
    assert reads == [str(tmp_path / "c")]


def test_a_digest_comes_before_the_tag(tmp_path: Path) -> None:
    digest = fill(tmp_path / "c", "main")
    cache = imported(tmp_path, f"type=local,src=c,digest={digest}")
    assert cache.option is not None and cache.option.attrs["digest"] == digest


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (-5, "less than a minute old"),
        (59, "less than a minute old"),
        (61, "1 minute old"),
        (3599, "59 minutes old"),
        (2 * 3600 + 5, "2 hours old"),
        (3 * 86400 + 5, "3 days old"),
    ],
)
def test_the_age_is_shown(tmp_path: Path, age: float, expected: str) -> None:
    fill(tmp_path / "c", age=age)
    assert imported(tmp_path, "type=local,src=c").found == f"latest, {expected}"


def test_what_is_broken_is_left_out_with_a_warning(tmp_path: Path) -> None:
    digest = fill(tmp_path / "blobless")
    (tmp_path / "blobless" / "blobs" / "sha256" / digest.partition(":")[2]).unlink()
    fill(tmp_path / "garbled")
    (tmp_path / "garbled" / "index.json").write_text("{")
    absent = "sha256:" + "0" * 64
    for entry, why in (
        ("src=blobless", digest),
        ("src=garbled", "index.json"),
        (f"src=blobless,digest={absent}", f"the folder has no {absent}"),
    ):
        plan = made(tmp_path, f"import: ['type=local,{entry}']")
        assert options(plan.jobs[0].cache_imports) == ()
        (warning,) = plan.warnings
        folder = tmp_path / entry[4:].partition(",")[0]
        assert warning.message.startswith(
            f"the local cache in {folder} that t imports is left out: "
        )
        assert why in warning.message and warning.span is not None


def test_an_export_is_told_where_but_not_what_is_ours(tmp_path: Path) -> None:
    cache = exported(tmp_path, "type=local,dest=c,mode=max,tag=main,reset=true")
    assert cache.option is not None and cache.resets and cache.tag == "main"
    assert dict(cache.option.attrs) == {"dest": f"{tmp_path}/c", "mode": "max"}
    assert cache.store == f"local:{tmp_path}/c"


def test_exports_into_one_folder_can_be_told_apart(tmp_path: Path) -> None:
    entries = "export: ['type=local,dest=c', 'type=local,dest=c,tag=b', 'type=local,dest=d']"
    caches = made(tmp_path, entries).jobs[0].cache_exports
    assert [each.folder for each in caches] == [f"{tmp_path}/{name}" for name in "ccd"]
    assert len({each.store for each in caches}) == 3
    assert all(os.path.normpath(each.store[6:]) == each.folder for each in caches)


@pytest.mark.parametrize(
    ("entry", "known", "expected"),
    [
        ("type=local,dest=c,mode=max,compression=gzip,image-manifest=false", V8, ""),
        ("type=local,dest=c,compression=zstd", V8, "compression needs BuildKit v0.10"),
        ("type=local,dest=c,compression-level=3", V8, "compression-level needs BuildKit v0.10"),
        ("type=local,dest=c,image-manifest=true", V11, "image-manifest needs BuildKit v0.12"),
        ("type=local,dest=c", graphdriver((0, 13, 0)), "has no cache export to a folder"),
        ("type=gha,token=t,url=u,url_v2=v", V15, "url_v2 needs BuildKit v0.20"),
        ("type=s3,bucket=b,retry_mode=standard,disable_accept_encoding=true", V15, "v0.30"),
    ],
)
def test_what_a_daemon_would_ignore_is_refused(
    tmp_path: Path, entry: str, known: DaemonInfo, expected: str
) -> None:
    refusal = exported(tmp_path, entry, known).refusal
    assert expected in refusal and bool(refusal) == bool(expected)


def test_what_hardly_matters_is_left_out_with_a_warning(tmp_path: Path) -> None:
    entry = "type=local,dest=c,ignore-error=true"
    plan = made(tmp_path, f"export: ['{entry}']", V10)
    assert not plan.refusals
    assert warnings(plan) == [
        f"the local cache in {tmp_path}/c that t exports: ignore-error needs BuildKit v0.11, and "
        "this is v0.10.0: the build fails if the cache cannot be written"
    ]
    (option,) = options(plan.jobs[0].cache_exports)
    assert "ignore-error" not in option.attrs
    assert not made(tmp_path, f"export: ['{entry}']", V11).warnings


def test_what_a_daemon_does_anyway_is_not_asked_of_one_that_has_no_word_for_it(
    tmp_path: Path,
) -> None:
    entry = "r/c,mode=max,image-manifest=false,oci-mediatypes=false"
    attrs = {}
    for known in (info((0, 3, 3)), V8, V32):
        cache = exported(tmp_path, entry, known)
        assert cache.option and not cache.refusal and not cache.warning
        attrs[known.release] = {*cache.option.attrs} - {"ref", "mode"}
    assert list(attrs.values()) == [
        set(),
        {"oci-mediatypes"},
        {"oci-mediatypes", "image-manifest"},
    ]


def test_targets_that_replace_each_others_caches_are_told_of(tmp_path: Path) -> None:
    text = """version: 1
stages: {s: {from: scratch}}
cache: {export: ['type=local,dest=c', 'type=local,dest=c,tag=${target}', 'r/c:1', 'type=inline']}
targets: {a: {stage: s}, b: {stage: s}}
"""
    together = {"x": planned(tmp_path, text, V32, "a", "b")}
    apart = {name: planned(tmp_path, text, V32, name) for name in ("a", "b")}
    told = [
        each
        for plans in (together, apart)
        for each in RunPlan(plans=plans).warnings
        if each.code == "cache-replaced"
    ]
    assert {each.message for each in told} == {
        "a, b export their caches to the same place, where only the last one stays"
    }
    assert [each.hint for each in told] == 2 * [
        'give each a tag of its own, such as tag: "${target}"',
        'give each a ref of its own, such as ref: "localhost:5000/cache:${target}"',
    ]


POOL = CacheNames(daemon="a", pool=("a", "b", "c"))
EXPORTED = """version: 1
stages: {s: {from: scratch}}
cache: {export: ['type=local,dest=c', 'r/c:1,by-daemon=%s']}
targets: {t: {stage: s}, u: {stage: s}}
"""


@pytest.mark.parametrize("by_daemon", ["true", "false"])
def test_daemons_do_not_replace_each_others_caches_unless_told_to(
    tmp_path: Path, by_daemon: str
) -> None:
    text = EXPORTED % by_daemon
    plans = {
        name: planned(tmp_path, text, V32, target, names=replace(POOL, daemon=name))
        for name, target in (("a", "t"), ("b", "u"))
    }
    told = [each.hint for each in RunPlan(plans=plans).warnings if each.code == "cache-replaced"]
    exports = [cache for plan in plans.values() for cache in plan.jobs[0].cache_exports]
    assert [each.tag for each in exports] == ["latest-a", "", "latest-b", ""]
    assert all("by-daemon" not in each.option.attrs for each in exports if each.option)
    shown = [each.shown for each in exports if not each.folder]
    if by_daemon == "true":
        assert shown == [f"type=registry,ref=r/c:1-{name}" for name in "ab"] and not told
    else:
        assert shown == ["type=registry,by-daemon=false,ref=r/c:1"] * 2
        assert len(told) == 1 and told[0].startswith("give each a ref of its own")


def test_on_one_daemon_targets_still_replace_each_others_caches(tmp_path: Path) -> None:
    plan = planned(tmp_path, EXPORTED % "true", V32, "t", "u", names=POOL)
    told = [each.code for each in RunPlan(plans={"a": plan}).warnings]
    assert told == ["cache-replaced"] * 2


def test_of_a_folder_all_that_daemons_left_is_imported(tmp_path: Path) -> None:
    for tag in ("latest", "latest-c", "latest-x"):
        fill(tmp_path / "c", tag)
    (tmp_path / "c" / "blobs").rename(tmp_path / "blobs")  # what is amiss is told of once
    text = EXPORTED.replace("export: [", "import: [") % "true"
    plan = planned(tmp_path, text, V32, "t", names=POOL)
    assert [each.tag for each in plan.jobs[0].cache_imports if each.folder] == [
        "latest-a",
        "latest",
        "latest-c",
    ]
    assert len(warnings(plan)) == 1
    (tmp_path / "blobs").rename(tmp_path / "c" / "blobs")
    found = planned(tmp_path, text, V32, "t", names=POOL).jobs[0].cache_imports
    assert [(each.found[:10], each.option is None) for each in found if each.folder] == [
        ("not there ", True),
        ("latest, le", False),
        ("latest-c, ", False),
    ]


# --- services on the web -------------------------------------------------------------------------

GITHUB = {
    "ACTIONS_RUNTIME_TOKEN": "s3cret",
    "ACTIONS_CACHE_URL": "https://v1",
    "ACTIONS_RESULTS_URL": "https://v2",
}


@pytest.mark.parametrize(
    ("environment", "known", "expected"),
    [
        (GITHUB, V32, {"url": "https://v1"}),
        (
            {**GITHUB, "ACTIONS_CACHE_SERVICE_V2": "true"},
            V32,
            {"url": "https://v1", "url_v2": "https://v2"},
        ),
        ({**GITHUB, "ACTIONS_CACHE_SERVICE_V2": "True"}, V15, {"url": "https://v1"}),
        ({k: v for k, v in GITHUB.items() if "CACHE" not in k}, V32, {"url": "https://v2"}),
    ],
)
def test_github_tells_where_its_cache_is(
    tmp_path: Path, environment: dict[str, str], known: DaemonInfo, expected: dict[str, str]
) -> None:
    cache = exported(tmp_path, "type=gha,scope=a", known, environment)
    assert cache.option is not None
    assert dict(cache.option.attrs) == {"scope": "a", "token": "s3cret", **expected}


def test_what_the_build_file_says_comes_first(tmp_path: Path) -> None:
    cache = imported(tmp_path, "type=gha,token=mine,url=u", V32, GITHUB)
    assert cache.option is not None
    assert dict(cache.option.attrs) == {"token": "mine", "url": "u"}
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "r"}
    own = imported(tmp_path, "type=s3,bucket=b,access_key_id=mine,region=x", V32, keys)
    assert own.option is not None
    assert dict(own.option.attrs) == {"bucket": "b", "access_key_id": "mine", "region": "x"}


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({}, "ACTIONS_RUNTIME_TOKEN is not set"),
        (
            {"ACTIONS_RUNTIME_TOKEN": "t"},
            "neither ACTIONS_CACHE_URL nor ACTIONS_RESULTS_URL is set",
        ),
    ],
)
def test_outside_of_github_its_cache_is_left_out(
    tmp_path: Path, environment: dict[str, str], why: str
) -> None:
    plan = made(tmp_path, "import: ['type=gha']", V32, environment)
    assert options(plan.jobs[0].cache_imports) == ()
    assert warnings(plan) == [f"the gha cache that t imports is left out: {why}"]


@pytest.mark.parametrize(
    ("entry", "environment", "expected"),
    [
        (
            "type=s3,name=a",
            {
                "AWS_BUCKET": "b",
                "AWS_REGION": "r",
                "AWS_ACCESS_KEY_ID": "k",
                "AWS_SECRET_ACCESS_KEY": "s",
                "AWS_SESSION_TOKEN": "",
            },
            {"bucket": "b", "region": "r", "access_key_id": "k", "secret_access_key": "s"},
        ),
        (
            "type=azblob,name=a",
            {
                "BUILDKIT_AZURE_STORAGE_ACCOUNT_URL": "u",
                "BUILDKIT_AZURE_STORAGE_ACCOUNT_NAME": "n",
                "BUILDKIT_AZURE_STORAGE_PREFIX": "p",
            },
            {"account_url": "u", "account_name": "n", "prefix": "p"},
        ),
        ("type=x-s3,name=a", {"AWS_BUCKET": "b"}, {}),
        ("type=registry,ref=a", {"AWS_BUCKET": "b"}, None),
    ],
)
def test_the_environment_has_keys(
    tmp_path: Path, entry: str, environment: dict[str, str], expected: dict[str, str] | None
) -> None:
    cache = imported(tmp_path, entry, V32, environment)
    assert cache.option is not None
    known = {"ref": "a"} if expected is None else {"name": "a", **expected}
    assert dict(cache.option.attrs) == known


def test_no_token_is_shown(tmp_path: Path) -> None:
    entry = "type=s3,bucket=b,secret_access_key=s3cret,access_key_id=s3cret"
    plan = made(tmp_path, f"import: ['{entry}', 'type=gha']", V32, GITHUB)
    assert "bucket=b" in as_text(plan) and "s3cret" not in as_text(plan)
    assert "token, url from the environment" in as_text(plan)
    assert "s3cret" not in repr(plan.jobs[0].cache_imports)
