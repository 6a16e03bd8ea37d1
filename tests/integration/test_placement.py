"""Targets on several daemons at once, chosen by selectors, by what they need, or by hand.

Texts in files are new each time, so that what is cached somewhere was built there.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import tarfile
import threading
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest

from daemon_shim.client import Daemon as Client
from daemon_shim.transports import transport_for
from tests.integration.command import Done, Workspace, run
from tests.real.daemon import Daemon

HEAD = """version: 1
name: placed
stages:
  s: {from: scratch, steps: [{write: {path: /a, text: "TEXT ${target}"}}]}
"""


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Some daemons in a ``daemons.toml``, each with its name as label; and one that is gone."""

    work: Workspace
    names: tuple[str, ...]

    def __call__(self, text: str, *words: str, code: int = 0) -> Done:
        """Run a command in the folder with a build file; fail unless it ends with ``code``."""
        marked = (HEAD + text).replace("TEXT", uuid.uuid5(uuid.NAMESPACE_URL, self.mark).hex)
        self.work.write("buildfile.yaml", marked)
        with self.work.surroundings():
            done = run(words)
        assert done.code == code, f"exit code {done.code}, not {code}:\n{done.err}"
        return done

    @property
    def mark(self) -> str:
        return str(self.work.folder)

    def placement(self, text: str, *words: str) -> dict[str, str]:
        """Where the targets would go."""
        data = json.loads(self(text, "plan", "--format", "json", *words).out)
        return {each["target"]: each["daemon"] for each in data["placement"]}


@pytest.fixture
def pool(tmp_path: Path, daemons: list[Daemon]) -> Pool:
    """All daemons at hand."""
    if len(daemons) < 2:
        pytest.skip("one daemon is no pool")
    work = Workspace(folder=tmp_path, daemon=daemons[0], values={})
    addresses = {each.name: each.address for each in daemons} | {"gone": f"unix://{tmp_path}/gone"}
    tables = (
        f'[daemons."{name}"]\naddress = "{address}"\nlabels = {{ site = "{name}" }}\n'
        for name, address in addresses.items()
    )
    work.write("daemons.toml", "\n".join(tables))
    return Pool(work=work, names=tuple(each.name for each in daemons))


def _each_on_its_own(pool: Pool) -> str:
    """A target for each daemon, with a selector for it, and an output."""
    targets = (
        f"  t-{name}:\n    stage: s\n    worker: {{labels: {{site: {name}}}}}\n"
        f"    outputs: [{{type: local, dest: out/{name}}}]\n"
        for name in pool.names
    )
    return "targets:\n" + "".join(targets)


def test_each_target_is_built_on_the_daemon_that_its_selector_matches(pool: Pool) -> None:
    text = _each_on_its_own(pool)
    targets = [f"t-{name}" for name in pool.names]
    assert pool.placement(text, *targets) == dict(zip(targets, pool.names, strict=True))
    done = pool(text, "build", "--progress", "plain", *targets)
    for name in pool.names:
        assert (pool.work.folder / "out" / name / "a").read_text().endswith(f" t-{name}")
        assert f"{name}: [s] write /a" in done.err
    assert f"built {len(targets)} targets" in done.err
    again = pool(text, "build", "--progress", "plain", *targets)
    assert f"{len(targets)} cached" in again.err  # each where it was built


def test_what_many_targets_share_is_built_once_on_each_daemon(pool: Pool, base_image: str) -> None:
    targets = [f"t-{number}" for number in range(200)]
    text = f"""  all: {{from: {{image: "{base_image}"}}, steps: [{{run: echo {pool.mark}}}]}}
  own: {{from: all, steps: [{{write: {{path: /own, text: "${{target}}"}}}}]}}
targets:
""" + "".join(f"  {name}: {{stage: own}}\n" for name in targets)
    used = set(pool.placement(text, *targets).values())  # those before v0.5 lack writing files
    assert len(used) > 1
    done = pool(text, "build", "--progress", "plain", *targets)
    assert done.logged(pool.mark) == len(used)
    assert "built 200 targets" in done.err


def test_a_selector_that_nothing_matches_is_refused_with_what_there_is(pool: Pool) -> None:
    text = "targets: {t: {stage: s, worker: {labels: {site: mars}}}}\n"
    done = pool(text, "build", "t", code=4)
    assert "no daemon matches the selector label site=mars of the target t" in done.err
    for name in pool.names:
        assert f"= {name} (" in done.err and f"site={name}" in done.err
    assert "= gone (" in done.err and "there is no socket" in done.err


def test_a_selector_that_is_not_required_only_warns(pool: Pool) -> None:
    text = "targets: {t: {stage: s, worker: {labels: {site: mars}, require: false}}}\n"
    done = pool(text, "build", "t")
    assert "which is not required: it is built on" in done.err


def test_one_daemon_is_held_to_selectors_too(pool: Pool) -> None:
    first, second, *_ = pool.names
    text = _each_on_its_own(pool)
    assert pool(text, "build", f"t-{first}", "--daemon", first).code == 0
    refused = pool(text, "build", f"t-{first}", "--daemon", second, code=4)
    assert f"no label site={first}" in refused.err
    address = next(
        line.split('"')[1]
        for line in (pool.work.folder / "daemons.toml").read_text().splitlines()
        if line.startswith("address")
    )
    named = f"targets: {{t: {{stage: s, worker: {{daemon: {first}}}}}}}\n"
    assert f"no daemon {first}" in pool(named, "build", "--daemon", address, code=4).err


def test_a_pin_puts_a_target_where_it_says(pool: Pool) -> None:
    text = "targets: {t: {stage: s}, u: {stage: s}}\ngroups: {default: [t, u]}\n"
    for name in pool.names:
        placed = pool.placement(text, "--place", f"s={name}")
        assert placed == {"t": name, "u": name}
    pinned = pool(text, "build", "--progress", "plain", "--place", f"t={pool.names[-1]}", "t")
    assert f"on {pool.names[-1]} (" in pinned.err
    wrong = pool(text, "build", "--place", "t=nowhere", code=2)
    assert "--place names nowhere" in wrong.err


def test_the_same_file_is_placed_in_the_same_way(pool: Pool) -> None:
    text = "targets: {" + ", ".join(f"t{n}: {{stage: s}}" for n in range(8)) + "}\n"
    targets = [f"t{n}" for n in range(8)]
    placed = pool.placement(text, *targets)
    assert placed == pool.placement(text, *targets) == pool.placement(text, *reversed(targets))
    assert set(placed.values()) <= set(pool.names)


def test_what_needs_a_feature_goes_where_it_is(pool: Pool, daemons: list[Daemon]) -> None:
    have = []
    for each in daemons:
        with Client(transport_for(each.address), timeout=60.0) as client:
            have += [each.name] if client.info().has("mergeop") else []
    if len(have) in (0, len(daemons)):
        pytest.skip("the daemons at hand all have merges, or none has")
    text = "targets: {" + ", ".join(f"m{n}: {{stage: m}}" for n in range(4)) + "}\n"
    merge = "  t: {from: s, steps: [{mkdir: {path: /x}}]}\n  m: {merge: [s, t]}\n"
    assert set(pool.placement(merge + text, "m0", "m1", "m2", "m3").values()) <= set(have)


def test_stages_of_one_target_are_built_on_several_daemons_and_move(pool: Pool) -> None:
    """One after the other, with owners and modes kept; and looked into from the last one."""
    last = "scratch"
    stages = ""
    for number, name in enumerate(pool.names):
        stages += (
            f"  s{number}:\n    from: {last}\n    worker: {{labels: {{site: {name}}}}}\n"
            f"    steps:\n"
            f"      - write: {{path: /f{number}, text: TEXT, mode: 0640, chown: '12:{number}'}}\n"
        )
        last = f"s{number}"
    targets = f"targets: {{t: {{stage: {last}, outputs: [{{type: tar, dest: t.tar}}]}}}}\n"
    done = pool(stages + targets, "build", "--progress", "plain", "t")
    for number, name in enumerate(pool.names):
        assert f"{name}: [s{number}] write /f{number}" in done.err
    with tarfile.open(pool.work.folder / "t.tar") as archive:
        found = {each.name: (each.uid, each.gid, each.mode) for each in archive.getmembers()}
    assert found == {f"f{number}": (12, number, 0o640) for number in range(len(pool.names))}
    assert "built 1 target" in done.err
    seen = pool(stages + targets, "fs", "ls", "t", "/").out.splitlines()
    assert [line.split()[-1] for line in seen] == sorted(found)
    steps = len(pool.names)
    again = pool(stages + targets, "build", "--progress", "plain", "t")
    assert again.err.count(" CACHED") >= steps  # what has moved is the same each time


def test_platforms_that_name_their_daemons_make_one_index(pool: Pool) -> None:
    """Both are the same machine here: the second platform runs nothing."""
    first, second, *_ = pool.names
    text = """  p: {from: s, worker: {labels: {site: "${platform.arch}"}}}
targets:
  t:
    stage: p
    platforms: [linux/amd64, linux/arm64]
    outputs: [{type: oci, dest: index, tar: false}]
"""
    labels = {first: "amd64", second: "arm64"}
    file = pool.work.folder / "daemons.toml"
    for name, arch in labels.items():
        file.write_text(file.read_text().replace(f'site = "{name}"', f'site = "{arch}"'))
    pool(text, "build", "t")
    (entry,) = json.loads((pool.work.folder / "index" / "index.json").read_text())["manifests"]
    blob = pool.work.folder / "index" / "blobs" / entry["digest"].replace(":", "/")
    platforms = [
        each["platform"]["architecture"] for each in json.loads(blob.read_text())["manifests"]
    ]
    assert platforms == ["amd64", "arm64"]


def test_looking_into_a_target_happens_where_it_is_placed(pool: Pool) -> None:
    text = _each_on_its_own(pool)
    for name in pool.names:
        assert pool(text, "fs", "cat", f"t-{name}", "/a").out.endswith(f" t-{name}")
    llb = json.loads(pool(text, "llb", f"t-{pool.names[0]}", "--offline").out)
    assert llb[0]["constraints"] == {"filter": [f"labels.site=={pool.names[0]}"]}


# --- a daemon that goes away -------------------------------------------------------------------


class Door:
    """A socket in front of a daemon's, which can be shut: then the daemon is gone."""

    def __init__(self, path: Path, daemon: Daemon) -> None:
        scheme, _, behind = daemon.address.partition("://")
        self.address = f"{scheme}://{path}"
        self._behind = behind
        self._open: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._path = path
        threading.Thread(target=self._accept, daemon=True).start()

    def shut(self) -> None:
        """Cut all connections, and take no more."""
        self._path.unlink()
        for each in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                here, _ = self._listener.accept()
                there = socket.socket(socket.AF_UNIX)
                there.connect(self._behind)
                self._open += [here, there]
                for pair in ((here, there), (there, here)):
                    threading.Thread(target=_pump, args=pair, daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def test_what_is_lost_with_a_daemon_is_built_on_another(
    tmp_path: Path, daemons: list[Daemon], base_image: str
) -> None:
    local = [each for each in daemons if each.address.startswith(("unix://", "docker:///"))]
    if len(local) < 2:
        pytest.skip("one daemon is no pool")
    door = Door(tmp_path / "door.sock", local[0])
    values = {"BASE": base_image}
    work = Workspace(folder=tmp_path, daemon=local[0], values=values)
    work.write(
        "daemons.toml",
        f'[daemons.frail]\naddress = "{door.address}"\nlabels = {{ frail = "yes" }}\n'
        f'[daemons.firm]\naddress = "{local[1].address}"\n',
    )
    work.write(
        "buildfile.yaml",
        f"""version: 1
vars:
  BASE: none
workers: {{frail: {{labels: {{frail: "yes"}}, require: false}}}}
stages:
  s:
    from: {{image: "${{BASE}}"}}
    steps: [{{run: "echo begun; sleep 2; echo {uuid.uuid4().hex} > /made"}}]
targets:
  frail: {{stage: s, worker: frail, outputs: [{{type: local, dest: out, paths: [/made]}}]}}
""",
    )
    command = [sys.executable, "-m", "buildfile", "build", "--progress", "plain"]
    with (
        work.surroundings(),
        subprocess.Popen(
            [*command, "--var", f"BASE={base_image}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as build,
    ):
        assert build.stderr
        told = ""
        for line in build.stderr:
            told += line
            if line.rstrip().endswith(" begun") and "echo" not in line:
                door.shut()
                break
        told += build.stderr.read()
    assert build.returncode == 0, told
    assert "what it built is planned again" in told and "firm: " in told
    assert (tmp_path / "out" / "made").is_file()
