"""Where a step failed, of definitions and errors as daemons send them."""

from __future__ import annotations

import hashlib
import json

import pytest

from daemon_shim import scene
from daemon_shim.container import Mount
from daemon_shim.errors import SolveFailedError
from daemon_shim.reference import SCRATCH, Reference
from schemas.pb import ops_pb2
from tests.daemon_shim.infos import info

CONFIG = json.dumps(
    {"config": {"Env": ["A=b=c"], "User": "u", "WorkingDir": "/w", "Shell": ["/bin/ash", "-ec"]}}
).encode()
TREE = Reference("solved")


class Graph:
    """A definition in the making; ``solved`` are the heads that were asked for."""

    def __init__(self) -> None:
        self.definition = ops_pb2.Definition()
        self.solved: list[tuple[str, int]] = []

    def add(self, op: ops_pb2.Op, *inputs: str) -> str:
        op.inputs.extend(ops_pb2.Input(digest=each, index=2) for each in inputs)
        data = op.SerializeToString()
        getattr(self.definition, "def").append(data)
        return "sha256:" + hashlib.sha256(data).hexdigest()

    def solve(self, definition: bytes) -> Reference:
        (*_, last) = getattr(ops_pb2.Definition.FromString(definition), "def")
        (head,) = ops_pb2.Op.FromString(last).inputs
        self.solved.append((head.digest, head.index))
        return TREE

    def scene(self, vertex: str, *mounts: str) -> scene.Scene | None:
        self.add(ops_pb2.Op(), vertex)
        error = SolveFailedError("no", code="UNKNOWN", vertex=vertex, mounts=mounts)
        definition = self.definition.SerializeToString()
        return scene.of_failure("app", error, definition, CONFIG, self.solve)


def source(name: str) -> ops_pb2.Op:
    return ops_pb2.Op(source=ops_pb2.SourceOp(identifier=f"docker-image://{name}"))


def test_a_result_is_as_its_image() -> None:
    found = scene.of_tree("app", TREE, CONFIG)
    assert (found.env, found.user, found.cwd) == ({"A": "b=c"}, "u", "/w")
    assert (found.shell, found.mounts) == (("/bin/ash",), (Mount(target="/", tree=TREE),))
    bare = scene.of_tree("app", TREE, b'{"config":null}')
    assert (bare.env, bare.user, bare.cwd, bare.shell) == ({}, "", "/", ("/bin/sh",))


def test_a_process_is_as_it_was_when_it_failed() -> None:
    graph = Graph()
    base, other = graph.add(source("base")), graph.add(source("other"))
    cache = ops_pb2.CacheOpt(ID="c", sharing=ops_pb2.LOCKED)
    secret = ops_pb2.SecretOpt(ID="s", uid=1, gid=2, mode=0o440, optional=True)
    process = ops_pb2.ExecOp(
        meta=ops_pb2.Meta(
            args=["/bin/bash", "-euo", "pipefail", "-c", "exit 1"],
            env=["K=v"],
            cwd="/c",
            user="x",
            hostname="h",
            extraHosts=[ops_pb2.HostIP(Host="db", IP="10.0.0.1")],
            ulimit=[ops_pb2.Ulimit(Name="nofile", Soft=1, Hard=1)],
        ),
        mounts=[
            ops_pb2.Mount(dest="/", input=0, output=0),
            ops_pb2.Mount(dest="/o", input=1, output=-1, selector="sub", readonly=True),
            ops_pb2.Mount(
                dest="/seeded", input=1, output=-1, mountType=ops_pb2.CACHE, cacheOpt=cache
            ),
            ops_pb2.Mount(dest="/c", input=-1, output=-1, mountType=ops_pb2.CACHE, cacheOpt=cache),
            ops_pb2.Mount(
                dest="/t",
                input=-1,
                output=-1,
                mountType=ops_pb2.TMPFS,
                TmpfsOpt=ops_pb2.TmpfsOpt(size=5),
            ),
            ops_pb2.Mount(
                dest="/s", input=-1, output=-1, mountType=ops_pb2.SECRET, secretOpt=secret
            ),
            ops_pb2.Mount(
                dest="/a",
                input=-1,
                output=-1,
                mountType=ops_pb2.SSH,
                SSHOpt=ops_pb2.SSHOpt(ID="default", mode=0o600),
            ),
        ],
        network=ops_pb2.NONE,
        security=ops_pb2.INSECURE,
        secretenv=[ops_pb2.SecretEnv(ID="tok", name="TOKEN")],
    )
    vertex = graph.add(ops_pb2.Op(exec=process), base, other)
    found = graph.scene(vertex, "root-then", "", "changed")
    assert found
    assert found.mounts == (
        Mount(target="/", tree="root-then", mode=0),
        Mount(target="/o", tree=TREE, selector="sub", readonly=True, mode=0),
        Mount(target="/seeded", tree=TREE, type="cache", id="c", sharing="locked", mode=0),
        Mount(target="/c", tree=SCRATCH, type="cache", id="c", sharing="locked", mode=0),
        Mount(target="/t", type="tmpfs", mode=0),
        Mount(target="/s", type="secret", id="s", uid=1, gid=2, mode=0o440, optional=True),
        Mount(target="/a", type="ssh", id="default", mode=0o600),
    )
    assert graph.solved == [(other, 2), (other, 2)]
    assert (found.env, found.cwd, found.user, found.shell) == (
        {"K": "v"},
        "/c",
        "x",
        ("/bin/bash",),
    )
    assert (found.network, found.security) == ("none", "insecure")
    assert (found.hosts, found.hostname) == ({"db": "10.0.0.1"}, "h")
    assert found.secret_env == {"TOKEN": "tok"}
    assert found.lacks == ("ulimits", "size of a tmpfs")
    untold = graph.scene(vertex)
    assert untold and untold.mounts[0] == Mount(target="/", tree=TREE, mode=0)
    assert untold.lacks[0] == "changes to files (the daemon does not hand them on)"


@pytest.mark.parametrize(
    ("release", "lacks"),
    [
        (
            (0, 8, 0),
            [
                "hosts (needs BuildKit v0.10)",
                "hostname (needs BuildKit v0.12)",
                "security: insecure (needs BuildKit v0.10)",
                "secrets as variables (needs BuildKit v0.12)",
            ],
        ),
        (
            (0, 10, 0),
            ["hostname (needs BuildKit v0.12)", "secrets as variables (needs BuildKit v0.12)"],
        ),
        ((0, 12, 0), []),
    ],
)
def test_what_a_daemon_lacks_is_named_and_left_out(
    release: tuple[int, int, int], lacks: list[str]
) -> None:
    whole = scene.Scene(
        what="app",
        mounts=(),
        hosts={"a": "b"},
        hostname="h",
        security="insecure",
        secret_env={"A": "a"},
        lacks=("devices",),
    )
    found = scene.fitted(whole, info(release))
    assert list(found.lacks) == ["devices", *lacks]
    given = (found.hosts, found.hostname, found.security, found.secret_env)
    assert sum(map(bool, (*given[:2], given[2] == "insecure", given[3]))) == 4 - len(lacks)


def test_a_change_of_files_is_shown_as_it_was_before() -> None:
    graph = Graph()
    base, other = graph.add(source("base")), graph.add(source("other"))
    copy = ops_pb2.FileAction(input=1, secondaryInput=0, output=0, copy=ops_pb2.FileActionCopy())
    vertex = graph.add(ops_pb2.Op(file=ops_pb2.FileOp(actions=[copy])), other, base)
    found = graph.scene(vertex)
    assert found
    assert (found.what, found.mounts) == ("app, before that step", (Mount(target="/", tree=TREE),))
    assert graph.solved == [(base, 2)]


def test_a_change_of_files_by_a_helper_is_shown_as_it_was_before() -> None:
    graph = Graph()
    base, helper = graph.add(source("base")), graph.add(source("helper"))
    mounts = [
        ops_pb2.Mount(dest="/dest", input=0, output=0),
        ops_pb2.Mount(dest="/", input=-1, output=1),
        ops_pb2.Mount(dest="/helper", input=1, output=-1, readonly=True),
    ]
    process = ops_pb2.ExecOp(meta=ops_pb2.Meta(args=["/helper/x", "file"]), mounts=mounts)
    found = graph.scene(graph.add(ops_pb2.Op(exec=process), base, helper), "a", "b", "c")
    assert found
    assert (found.what, found.args) == ("app, before that step", ())
    assert graph.solved == [(base, 2)]


def test_a_source_is_no_place_for_a_process() -> None:
    graph = Graph()
    assert graph.scene(graph.add(source("base"))) is None
    assert graph.scene("sha256:unknown") is None


@pytest.mark.parametrize(
    ("args", "shell"),
    [
        (["/bin/sh", "-c", "x"], ("/bin/sh",)),
        (["/bin/busybox", "sh", "-eu", "-c", "x"], ("/bin/busybox", "sh")),
        (["make", "all"], ("/bin/sh",)),
        ([], ("/bin/sh",)),
    ],
)
def test_the_shell_of_a_script(args: list[str], shell: tuple[str, ...]) -> None:
    assert scene.shell_of(args) == shell
