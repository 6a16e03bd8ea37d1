"""Graphs in Python beside the same ones in a build file."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.pb import ops_pb2
from tests.buildfile.projects import project
from translator.compile import compile_instances
from translator.platform import Platform
from translator.state import (
    LacksError,
    State,
    bind,
    cache,
    copy,
    image,
    local,
    mkdir,
    remove,
    scratch,
    secret,
    symlink,
    write,
)

AMD64 = "linux/amd64"
TEXT = """version: 1
sources:
  code: {local: ., include: [src/*], ignore-file: none}
stages:
  base:
    from: {image: "alpine:3"}
    env: {A: "1"}
    workdir: /w
    steps:
      - run: make
        mounts:
          - {type: cache, target: /c, id: c}
          - {type: secret, id: token}
          - {type: bind, from: code, source: src, target: /src}
      - {run: [ls, -l], user: nobody}
  build:
    from: scratch
    steps:
      - {copy: {from: base, paths: [/w/out], to: /bin/}}
      - {copy: {from: code, paths: [src/a], to: /a}}
      - {mkdir: {path: /d, parents: true}}
      - {write: {path: /d/f, text: hello}}
      - {symlink: {target: f, path: /d/l}}
      - {remove: {path: /a}}
secrets: {token: {env: TOKEN}}
targets: {build: {stage: build}}
"""


def python_way() -> State:
    code = local("code", include=["src/*"])
    base = (
        image("alpine:3")
        .named("base")
        .env({"A": "1"})
        .workdir("/w")
        .run("make", cache("/c", "c"), secret("token"), bind("/src", code, "src"))
        .run(["ls", "-l"], user="nobody")
    )
    return scratch().file(
        copy(base, "/w/out", to="/bin/"),
        copy(code, "src/a", to="/a"),
        mkdir("/d", parents=True),
        write("/d/f", "hello"),
        symlink("f", "/d/l"),
        remove("/a"),
    )


def ops(definition: bytes) -> set[bytes]:
    return set(getattr(ops_pb2.Definition.FromString(definition), "def"))


def test_the_same_graph_has_the_same_vertices(tmp_path: Path) -> None:
    made = project(tmp_path, TEXT)
    platform = Platform.parse(AMD64)
    instance = made.instantiate(made.select(["build"])[0], platform, platform)
    (yaml,) = compile_instances([instance])
    compiled = python_way().compile(platform=AMD64)
    assert ops(compiled.definition) == ops(yaml.definition)
    assert compiled.secrets == ("token",)
    assert [use.name for use in compiled.locals] == ["code"]


def test_bytes_are_the_same_every_time() -> None:
    first, second = (python_way().marshal(platform=AMD64) for _ in range(2))
    assert first == second


def test_a_state_is_not_changed_by_what_follows() -> None:
    base = image("alpine:3")
    one, two = base.run("one"), base.run("two")
    assert base.steps == ()
    assert len(ops(one.marshal(platform=AMD64)) & ops(two.marshal(platform=AMD64))) == 1


def test_a_step_stands_at_its_line_of_python() -> None:
    compiled = image("alpine:3").run("false").compile(platform=AMD64)
    places = {span.file.name for spans in compiled.spans.values() for span in spans}
    assert places == {__name__}
    lines = {span.start.line for spans in compiled.spans.values() for span in spans}
    assert len(lines) == 1
    assert b"/" not in next(iter(places)).encode()


def test_an_images_config_counts_where_it_is_known() -> None:
    config = b'{"config": {"Env": ["A=b"], "WorkingDir": "/w"}}'
    state = image("alpine:3", digest="sha256:" + "a" * 64, config=config).run("pwd")
    definition = ops_pb2.Definition.FromString(state.marshal(platform=AMD64))
    execs = [ops_pb2.Op.FromString(op) for op in getattr(definition, "def")]
    (meta,) = [op.exec.meta for op in execs if op.HasField("exec")]
    assert (list(meta.env), meta.cwd) == (["A=b"], "/w")
    assert any("@sha256:aaa" in op.source.identifier for op in execs)


def test_what_a_daemon_lacks_is_named_with_its_place() -> None:
    state = scratch().file(write("/a", "b"))
    with pytest.raises(LacksError, match=r"test_state:\d+:1: copying and changing files.*v0\.5"):
        state.marshal(platform=AMD64, caps={"source.image"})


def test_one_local_source_has_one_set_of_patterns() -> None:
    one, other = local("code", include=["a"]), local("code", include=["b"])
    state = scratch().file(copy(one, to="/a"), copy(other, to="/b"))
    with pytest.raises(ValueError, match="different patterns"):
        state.marshal(platform=AMD64)


def test_chains_of_any_length_are_compiled() -> None:
    state = image("alpine:3")
    for number in range(3000):
        state = State(state).run(f"echo {number}")
    assert state.compile(platform=AMD64).vertices == 3001
