"""Caches, and what targets and builds share."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest

from daemon_shim import support
from daemon_shim.client import Daemon as Client
from daemon_shim.info import DaemonInfo
from daemon_shim.transports import transport_for
from schemas import rpc
from schemas.pb import control_pb2 as control
from tests.integration.command import Workspace
from tests.integration.tree import files
from tests.real.daemon import Daemon

_FILE = """
version: 1
vars:
  BASE: none
  REGISTRY: none
  NAME: none
stages:
  app:
    from: {image: "${BASE}"}
    steps:
      - run: 'cat /proc/sys/kernel/random/uuid >/uuid # %s'
  out:
    from: scratch
    steps: [{copy: {from: app, paths: [/uuid], to: /}}]
targets:
  image:
    stage: app
    outputs: [{type: image, name: "${REGISTRY}/${NAME}:image", push: true}]
    cache: {export: [%s]}
  imported:
    stage: out
    outputs: [{type: local, dest: out}]
    cache: {import: [{type: registry, ref: "${REGISTRY}/${NAME}:%s"}]}
  plain: {stage: out, outputs: [{type: local, dest: out}]}
"""


def forget(daemon: Daemon) -> None:
    """Let the daemon drop its build cache: steps of one release need not be those of another."""
    with Client(transport_for(daemon.address), timeout=60.0) as client:
        for _ in client.wire.stream(rpc.Control.PRUNE, control.PruneRequest(all=True)):
            pass


def _uuid(work: Workspace) -> str:
    return files(work.folder / "out")["uuid"]


@pytest.mark.parametrize("kind", ["inline", "registry"])
def test_an_exported_cache_saves_the_work(work: Workspace, info: DaemonInfo, kind: str) -> None:
    name = f"cache/{uuid.uuid4().hex}"
    tag = {"inline": "image", "registry": "cache"}[kind]
    export = {"inline": "{type: inline}", "registry": '"${REGISTRY}/${NAME}:cache"'}[kind]
    text = _FILE % (name, export, tag)
    refused = support.reason(info, "cache-export", kind)
    done = work.build(text, "image", "--var", f"NAME={name}", code=4 if refused else 0)
    if refused:
        assert f"cannot build image: {refused}" in done.err
        return
    work.build(None, "plain", "--var", f"NAME={name}")
    first = _uuid(work)
    forget(work.daemon)
    done = work.build(None, "imported", "--var", f"NAME={name}")
    assert _uuid(work) == first
    assert "importing cache manifest" in done.err
    forget(work.daemon)
    work.build(None, "plain", "--var", f"NAME={name}")
    assert _uuid(work) != first


def test_a_cache_that_is_not_there_is_no_failure(work: Workspace) -> None:
    text = _FILE % (uuid.uuid4().hex, "", "absent")
    work.build(text, "imported", "--var", "NAME=cache/none")
    assert len(_uuid(work)) == 37


def test_the_command_line_names_caches(work: Workspace, info: DaemonInfo) -> None:
    name = f"cache/{uuid.uuid4().hex}"
    ref = f"type=registry,ref={work.values['REGISTRY']}/{name}:given"
    words = ("plain", "--var", f"NAME={name}", "--export-cache", ref)
    refused = support.reason(info, "cache-export", "registry")
    work.build(_FILE % (name, "", "x"), *words, code=4 if refused else 0)
    if refused:
        return
    first = _uuid(work)
    forget(work.daemon)
    work.build(None, "plain", "--var", f"NAME={name}", "--import-cache", ref)
    assert _uuid(work) == first


_LOCAL = """
version: 1
vars:
  BASE: none
stages:
  app:
    from: {image: "${BASE}"}
    steps:
      - run: 'cat /proc/sys/kernel/random/uuid >/uuid # %s'
      - run: 'cp /uuid /copy'
targets:
  exported:
    stage: app
    outputs: [{type: local, dest: out}]
    cache: {export: [{type: local, dest: cache, mode: max}]}
  imported:
    stage: app
    outputs: [{type: local, dest: out}]
    cache: {import: [{type: local, src: cache}]}
"""


def test_a_local_cache_of_any_daemon_is_one_for_all(
    work: Workspace, info: DaemonInfo, daemons: list[Daemon]
) -> None:
    """On those without local caches it goes through a registry of this side."""
    forget(work.daemon)
    refused = support.reason(info, "cache-export", "registry")
    work.build(_LOCAL % uuid.uuid4().hex, "exported", code=4 if refused else 0)
    if refused:
        return
    first = _uuid(work)
    for each in daemons:
        forget(each)
        done = replace(work, daemon=each).build(None, "imported")
        assert _uuid(work) == first, f"nothing was found by {each.name}:\n{done.err}"


_SHARED = """
version: 1
vars:
  BASE: none
sources: {src: {local: src}}
stages:
  common:
    from: {image: "${BASE}"}
    steps:
      - copy: {from: src, to: /src}
      - run: |
          echo "the shared step" # %s
          cat /proc/sys/kernel/random/uuid >/uuid
  one:
    from: common
    steps: [{run: 'sleep 0.2; mkdir /out; cp /uuid /out/one'}]
  two:
    from: common
    steps: [{run: 'sleep 0.2; mkdir /out; cp /uuid /out/two'}]
targets:
  one: {stage: one, outputs: [{type: local, dest: out-one, paths: [/out]}]}
  two: {stage: two, outputs: [{type: local, dest: out-two, paths: [/out]}]}
groups: {default: [one, two]}
"""


def test_targets_share_what_they_share(work: Workspace) -> None:
    work.write("src/file", "text")
    done = work.build(_SHARED % uuid.uuid4().hex)
    one, two = (files(work.folder / f"out-{name}")[name] for name in ("one", "two"))
    assert one == two
    assert done.logged("the shared step") == 1
    assert done.err.count("] run sleep 0.2") >= 2


def test_all_is_cached_the_second_time(work: Workspace) -> None:
    work.write("src/file", "text")
    text = _SHARED % uuid.uuid4().hex
    work.build(text)
    first = files(work.folder / "out-one")
    done = work.build(None)
    assert files(work.folder / "out-one") == first
    assert done.logged("the shared step") == 0
    assert work.build(None, "one", "--no-cache").logged("the shared step") == 1


def test_a_target_without_cache_runs_anew_alone(work: Workspace) -> None:
    work.write("src/file", "text")
    text = _SHARED % uuid.uuid4().hex
    work.build(text)
    first = files(work.folder / "out-two")
    work.build(None, "--set", "one.no-cache=true", "one")
    assert files(work.folder / "out-one")["one"] != first["two"]
