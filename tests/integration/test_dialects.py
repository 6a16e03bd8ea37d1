"""A cache that one dialect wrote is read by the other, and written once."""

from __future__ import annotations

import re
import uuid

import pytest

from daemon_shim import support
from daemon_shim.info import DaemonInfo
from daemon_shim.registry.client import RegistryClient, Repository
from daemon_shim.registry.login import ANONYMOUS
from tests.integration.command import Done, Workspace
from tests.integration.test_caches import forget
from tests.integration.tree import files

_FILE = """
version: 1
vars:
  BASE: none
stages:
  app:
    from: {image: "${BASE}"}
    steps: [{run: 'mkdir /one; cat /proc/sys/kernel/random/uuid >/one/uuid # %s'}]
targets:
  app: {stage: app, outputs: [{type: local, dest: out}]}
"""


@pytest.mark.parametrize(("write", "read"), [("legacy", "auto"), ("auto", "legacy")])
def test_dialects_read_each_others_caches(
    work: Workspace, info: DaemonInfo, write: str, read: str
) -> None:
    if reason := support.reason(info, "cache-export", "registry"):
        pytest.skip(reason)
    salt = uuid.uuid4().hex
    ref = f"type=registry,ref={work.values['REGISTRY']}/dialects/{salt}"
    done = work.build(_FILE % salt, "--api", write, "--export-cache", f"{ref},mode=max")
    # v0.11 calls the whole by its first part.
    assert len(_vertices(done, "(exporting cache|preparing build cache)")) == 1
    first = _uuid(work)
    forget(work.daemon)
    done = work.build(None, "--api", read, "--import-cache", ref)
    assert len(_vertices(done, "importing cache manifest")) == 1
    assert _uuid(work) == first


def test_an_old_daemon_is_not_spoken_to_in_fields_that_it_ignores(
    work: Workspace, info: DaemonInfo
) -> None:
    ref = f"type=registry,ref={work.values['REGISTRY']}/dialects/none"
    refused = not info.has_typed_caches
    text = _FILE % uuid.uuid4().hex
    done = work.build(text, "--api", "current", "--import-cache", ref, code=4 if refused else 0)
    assert ("in the current API needs BuildKit v0.4" in done.err) == refused


def test_several_caches_are_exported_and_the_steps_run_once(
    work: Workspace, info: DaemonInfo
) -> None:
    if reason := support.reason(info, "cache-export", "registry"):
        pytest.skip(reason)
    salt = uuid.uuid4().hex
    registry = work.values["REGISTRY"]
    refs = [f"{registry}/dialects/{salt}:{number}" for number in (1, 2, 3)]
    words = [word for ref in refs for word in ("--export-cache", f"type=registry,ref={ref}")]
    text = _FILE.replace("mkdir /one;", "mkdir /one; echo once;") % salt
    done = work.build(text, *words)
    assert done.logged("once") == 1
    client = RegistryClient(lambda _: ANONYMOUS)
    place = Repository(host=registry, path=f"dialects/{salt}")
    assert all(client.find(place, number).digest for number in ("1", "2", "3"))


def _vertices(done: Done, title: str) -> set[str]:
    found = re.finditer(rf"^(#\d+) {title}", done.err, re.MULTILINE)
    return {each[1] for each in found}


def _uuid(work: Workspace) -> str:
    return files(work.folder / "out/one")["uuid"]
