"""Caches in folders of this machine, on each daemon that asks the session for them."""

from __future__ import annotations

import json
import os
import re
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from daemon_shim import support
from daemon_shim.info import DaemonInfo
from tests.integration.command import Done, Workspace
from tests.integration.test_caches import forget
from tests.integration.tree import files

_FILE = """
version: 1
vars:
  BASE: none
  SALT: ""
stages:
  app:
    from: {image: "${BASE}"}
    env: {SALT: "${SALT}"}
    steps:
      - run: 'mkdir /one; cat /proc/sys/kernel/random/uuid >/one/uuid # %s'
      - run: 'mkdir /two; cp /one/uuid /two/uuid'
  two:
    from: scratch
    steps: [{copy: {from: app, paths: [/two], to: /}}]
targets:
  app: {stage: two, outputs: [{type: local, dest: out}]}
  image: {stage: app, outputs: [{type: oci, dest: app.tar}]}
"""


@pytest.fixture(autouse=True)
def needs_caches(info: DaemonInfo) -> None:
    if reason := support.reason(info, "cache-export", "registry"):
        pytest.skip(reason)


@pytest.fixture(params=["auto", "legacy"])
def both_ways(work: Workspace, request: pytest.FixtureRequest) -> Workspace:
    """With the daemon's own local caches, and through a registry of this side as on v0.3."""
    return replace(work, words=("--api", request.param))


def _uuid(work: Workspace) -> str:
    return files(work.folder / "out")["uuid"]


def _index(folder: Path) -> dict[str, dict[str, Any]]:
    """The lines of the index by tag."""
    lines = json.loads((folder / "index.json").read_text())["manifests"]
    return {each["annotations"]["org.opencontainers.image.ref.name"]: each for each in lines}


def _needed(folder: Path, line: dict[str, Any]) -> set[str]:
    """The names of the blobs that a cache consists of."""
    name = line["digest"].partition(":")[2]
    text = (folder / "blobs" / "sha256" / name).read_text()
    return {name, *re.findall(r'"digest": ?"sha256:([0-9a-f]{64})"', text)}


def _export(work: Workspace, *entries: str, text: str | None = None) -> Done:
    words = (word for entry in entries for word in ("--export-cache", entry))
    return work.build(text, "app", *words)


def _found(work: Workspace, first: str, entry: str, *words: str) -> bool:
    """Whether a daemon that forgot everything finds the result in a cache."""
    forget(work.daemon)
    work.build(None, "app", "--import-cache", entry, *words)
    return _uuid(work) == first


def test_a_first_build_is_quiet_and_the_next_takes_over(both_ways: Workspace) -> None:
    work = both_ways
    text = _FILE % uuid.uuid4().hex
    both = ("--import-cache", "type=local,src=c", "--export-cache", "type=local,dest=c,mode=max")
    done = work.build(text, "app", *both)
    assert "warning" not in done.err and "importing" not in done.err
    first = _uuid(work)
    forget(work.daemon)
    done = work.build(None, "app", *both)
    assert _uuid(work) == first and "importing cache manifest" in done.err
    forget(work.daemon)
    work.build(None, "app")
    assert _uuid(work) != first


def test_the_folder_is_as_buildctl_writes_it(both_ways: Workspace) -> None:
    work = both_ways
    _export(work, "type=local,dest=c,mode=max,tag=one", text=_FILE % uuid.uuid4().hex)
    cache = work.folder / "c"
    assert json.loads((cache / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    (line,) = _index(cache).values()
    assert set(line) == {"mediaType", "digest", "size", "annotations"}
    manifest = cache / "blobs" / "sha256" / line["digest"].partition(":")[2]
    assert manifest.stat().st_size == line["size"]
    assert not list((cache / "ingest").iterdir())
    assert _needed(cache, line) == {each.name for each in manifest.parent.iterdir()}


def test_an_image_that_is_steered_imports_too(work: Workspace, info: DaemonInfo) -> None:
    if reason := support.reason(info, "exporter", "oci"):
        pytest.skip(reason)
    cache = "type=local,src=c"
    _export(work, "type=local,dest=c,mode=max", text=_FILE % uuid.uuid4().hex)
    first = _uuid(work)
    forget(work.daemon)
    done = work.build(None, "image", "--import-cache", cache, "--export-cache", "type=local,dest=d")
    assert "importing cache manifest" in done.err
    assert _found(work, first, "type=local,src=c") and _index(work.folder / "d")


def test_several_exports_of_one_build_stay_apart(both_ways: Workspace) -> None:
    """The response speaks of one of them only, where the daemon takes several at once."""
    work = both_ways
    salt = uuid.uuid4().hex
    _export(
        work,
        "type=local,dest=c,mode=max",
        "type=local,dest=c,tag=min,mode=min",
        "type=local,dest=d,mode=max",
        f"type=registry,ref={work.values['REGISTRY']}/local/{salt},mode=min",
        text=_FILE % salt,
    )
    first = _uuid(work)
    assert set(_index(work.folder / "c")) == {"latest", "min"}
    assert set(_index(work.folder / "d")) == {"latest"}
    for entry in ("src=c", "src=d", "src=c,tag=min"):
        assert _found(work, first, f"type=local,{entry}"), entry


def test_builds_at_once_into_one_folder_all_survive(work: Workspace) -> None:
    (work.folder / "buildfile.yaml").write_text(_FILE % uuid.uuid4().hex)

    names = ["a", "b", "c"]
    started = [
        work.start(
            *("app", "--var", f"SALT={name}", "--output", f"type=local,dest=out-{name}"),
            *("--export-cache", f"type=local,dest=c,mode=max,tag={name}"),
        )
        for name in names
    ]
    for process in started:
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0 and b"no cache was written" not in err, err.decode()
    assert set(_index(work.folder / "c")) == set(names)
    for name in names:
        first = files(work.folder / f"out-{name}")["uuid"]
        entry = f"type=local,src=c,tag={name}"
        assert _found(work, first, entry, "--var", f"SALT={name}"), name


def test_a_folder_that_cannot_be_written_fails_the_build_by_name(both_ways: Workspace) -> None:
    work = both_ways
    work.write("c", "a file")
    words = ("app", "--export-cache", "type=local,dest=c")
    done = work.build(_FILE % uuid.uuid4().hex, *words, code=1)
    assert f"the cache of app could not be written: {work.folder}/c" in done.err


def test_a_broken_index_is_a_warning(work: Workspace) -> None:
    work.write("c/index.json", "{")
    words = ("app", "--import-cache", "type=local,src=c")
    done = work.build(_FILE % uuid.uuid4().hex, *words)
    assert f"warning: the local cache in {work.folder}/c that app imports is left out" in done.err


def test_reset_leaves_what_the_last_build_needs(work: Workspace) -> None:
    _export(work, "type=local,dest=c,mode=max", text=_FILE % uuid.uuid4().hex)
    blobs = work.folder / "c" / "blobs" / "sha256"
    old = {each.name for each in blobs.iterdir()}
    for name in old:  # what came just now may be of a build that goes on
        os.utime(blobs / name, (1, 1))
    _export(work, "type=local,dest=c,mode=max,reset=true", text=_FILE % uuid.uuid4().hex)
    first = _uuid(work)
    (line,) = _index(work.folder / "c").values()
    left = {each.name for each in blobs.iterdir()}
    assert left == _needed(work.folder / "c", line) and old - left
    assert _found(work, first, "type=local,src=c")
