"""Caches that several daemons export to one place, and find there again when they forgot all."""

from __future__ import annotations

import json
import urllib.request
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from buildfile.cachenames import OTHERS
from daemon_shim import support
from daemon_shim.client import Daemon as Client
from daemon_shim.transports import transport_for
from tests.integration.command import Done, Workspace, run
from tests.integration.test_caches import forget
from tests.real.daemon import Daemon

_FILE = """
version: 1
name: shared
vars:
  BASE: none
stages:
  tool:
    from: {image: "${BASE}"}
    steps: [{run: "cat /proc/sys/kernel/random/uuid > /tool # SALT"}]
  app:
    from: {image: "${BASE}"}
    env: {TARGET: "${target}"}
    steps: [{run: "cat /proc/sys/kernel/random/uuid > /made # SALT"}]
  both: {from: app, steps: [{copy: {from: tool, paths: [/tool], to: /}}]}
cache:
  import: [{type: local, src: cache}, "REF"]
  export: [{type: local, dest: cache, mode: max}, {ref: "REF", mode: max, image-manifest: false}]
targets:
  moved: {stage: both, outputs: [{type: local, dest: out/moved, paths: [/made, /tool]}]}
"""
_ELSEWHERE = ("--export-cache", "type=local,dest=elsewhere")
"""What was found in a cache and not needed itself is not exported again."""
_TARGET = "  {}: {{stage: app, outputs: [{{type: local, dest: out/{}, paths: [/made]}}]}}\n"


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Some daemons that export caches, and one that is gone; a target ``t-NAME`` for each."""

    work: Workspace
    daemons: Mapping[str, Daemon]
    ref: str

    def build(self, place: Mapping[str, str], *words: str) -> Done:
        """Build what is placed somewhere on daemons that forgot all."""
        for each in self.daemons.values():
            forget(each)
        pins = (word for pin in place.items() for word in ("--place", "=".join(pin)))
        targets = [owner for owner in place if owner != "tool"]
        base = f"BASE={self.work.values['BASE']}"
        with self.work.surroundings():
            done = run(
                ("build", "--progress", "plain", "--var", base, *pins, *words, *targets),
            )
        assert done.code == 0, done.err
        assert "ERROR" not in done.err and "not found" not in done.err
        return done

    @property
    def made(self) -> dict[str, str]:
        """What steps wrote, which is new each time that they run."""
        found = sorted((self.work.folder / "out").glob("*/*"))
        return {f"{each.parent.name}/{each.name}": each.read_text() for each in found}

    @property
    def tags(self) -> tuple[set[str], set[str]]:
        """The names of the caches in the folder and in the registry."""
        lines = json.loads((self.work.folder / "cache" / "index.json").read_text())["manifests"]
        host, _, path = self.ref.partition("/")
        with urllib.request.urlopen(f"http://{host}/v2/{path}/tags/list", timeout=30) as answer:
            there = json.loads(answer.read())["tags"]
        key = "org.opencontainers.image.ref.name"
        return {each["annotations"][key] for each in lines}, set(there)


@pytest.fixture
def pool(tmp_path: Path, daemons: list[Daemon], base_image: str, registry: str) -> Pool:
    able = {}
    for each in daemons:
        with Client(transport_for(each.address), timeout=60.0) as client:
            if not support.reason(client.info(), "cache-export", "registry"):
                able[each.name] = each
    if len(able) < 2:
        pytest.skip("one daemon is no pool")
    able = dict([*able.items()][1 - OTHERS :])  # so few that each looks for the caches of all
    work = Workspace(folder=tmp_path, daemon=next(iter(able.values())), values={"BASE": base_image})
    addresses = {name: each.address for name, each in able.items()}
    addresses["gone"] = f"unix://{tmp_path}/gone"
    tables = (f'[daemons."{name}"]\naddress = "{at}"\n' for name, at in addresses.items())
    work.write("daemons.toml", "\n".join(tables))
    salt = uuid.uuid4().hex
    ref = f"{registry}/pool/{salt}"
    targets = "".join(_TARGET.format(f"t-{name}", f"t-{name}") for name in able)
    work.write("buildfile.yaml", _FILE.replace("SALT", salt).replace("REF", ref) + targets)
    return Pool(work=work, daemons=able, ref=ref)


def test_caches_of_several_daemons_stay_beside_each_other(pool: Pool) -> None:
    names = [*pool.daemons]
    own = {f"t-{name}": name for name in names}
    others = dict(zip(own, (*names[1:], names[0]), strict=True))
    assert "importing" not in pool.build(own).err
    expected = {f"latest-{name}" for name in names}
    assert pool.tags == (expected, expected)
    first = pool.made
    for place in (own, others):
        for cache in ("type=local,src=cache", f"type=registry,ref={pool.ref}"):
            done = pool.build(place, "--import-cache", cache, *_ELSEWHERE)
            assert pool.made == first, f"{cache} for {place}:\n{done.err}"


def test_what_moves_is_in_a_cache_of_its_own(pool: Pool) -> None:
    giver, taker, *_ = pool.daemons
    place = {"tool": giver, "moved": taker}
    pool.build(place)
    local, there = pool.tags
    (own,) = (each for each in there if each.startswith(f"latest-{giver}-tool-"))
    assert local == there == {own, f"latest-{taker}"}
    first = pool.made
    assert len(first) == 2
    for cache in ("type=local,src=cache", f"type=registry,ref={pool.ref}"):
        pool.build(place, "--import-cache", cache, *_ELSEWHERE)
        assert pool.made == first, cache
