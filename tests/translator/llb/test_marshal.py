"""Graphs to bytes: order, digests, sharing, metadata, source maps."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from schemas.pb import ops_pb2 as pb
from tests.translator.stages import (
    AMD64,
    FILE,
    HERE,
    SCRATCH,
    compiled,
    copy,
    definition,
    image,
    inline,
    instance,
    line,
    local,
    run,
    stage,
)
from tests.translator.wire import fields, numbers
from translator.compile import compile_instances
from translator.llb.graph import (
    Edge,
    ExecOp,
    Graph,
    SourceOp,
    Tree,
    TreeMount,
    Use,
    Vertex,
)
from translator.llb.marshal import LARGEST_SOURCE, marshal
from translator.span import Position, SourceFile, Span
from translator.stage import SecretMount, SetEnv

BODY = 2, 3, 4
ROOT = Path(__file__).parents[3]
USES = (Use("file.base", HERE),)


def source(place: str = "x", **more: Any) -> Vertex:
    rest: dict[str, Any] = {"name": place, "uses": (), "span": HERE, **more}
    return Vertex(payload=SourceOp(identifier=f"local://{place}"), **rest)


def process(*inputs: Edge, **more: Any) -> Vertex:
    mounts = tuple(TreeMount(target=f"/{number}", input=number) for number, _ in enumerate(inputs))
    op = ExecOp(args=("true",), env=(), cwd="/", mounts=mounts)
    rest: dict[str, Any] = {"name": "p", "uses": (), "span": HERE, "platform": AMD64, **more}
    return Vertex(payload=op, inputs=inputs, **rest)


def bytes_of(*vertices: Vertex, root: Tree = None) -> pb.Definition:
    root = root or Edge(len(vertices) - 1)
    (result,) = marshal(Graph(vertices=vertices, roots=(root,)))
    return pb.Definition.FromString(result.data)


def ops(message: pb.Definition) -> list[bytes]:
    return list(getattr(message, "def"))


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


# --- bytes -----------------------------------------------------------------------------------


def test_the_body_stands_behind_all_other_fields() -> None:
    message = bytes_of(source(), process(Edge(0), constraints=("a==b",)))
    _, data, head = ops(message)
    assert numbers(data) == [1, 10, 11, 2]
    assert numbers(head) == [1]


def test_fields_of_a_body_stand_in_the_order_of_their_numbers() -> None:
    step = run(network="host", hosts=(("a", "1.1.1.1"),), mounts=(SecretMount(id="s", span=HERE),))
    result = compiled(
        stage("a", image(), step, copy(inline(("a", "b")), "/x", chown="1:1", chmod="0644"))
    )
    for data in ops(definition(result))[:-1]:
        (body_data,) = (content for number, content in fields(data) if number in BODY)
        assert numbers(body_data) == sorted(numbers(body_data))


def test_maps_are_sorted_by_key() -> None:
    attrs = tuple((key, "v") for key in "zmab")
    message = bytes_of(replace(source(), payload=SourceOp(identifier="x://y", attrs=attrs)))
    ((_, body),) = fields(ops(message)[0])
    keys = [fields(content)[0][1] for number, content in fields(body) if number == 2]
    assert keys == [b"a", b"b", b"m", b"z"]


def test_inputs_go_by_digest_and_the_last_operation_names_the_result() -> None:
    message = bytes_of(source("a"), source("b"), process(Edge(1), Edge(0, 3)))
    *_, last, head = ops(message)
    parsed = pb.Op.FromString(last)
    assert [(each.digest, each.index) for each in parsed.inputs] == [
        (digest(ops(message)[1]), 0),
        (digest(ops(message)[0]), 3),
    ]
    assert pb.Op.FromString(head).inputs[0].digest == digest(last)
    assert pb.Op.FromString(head).WhichOneof("op") is None
    assert dict(message.metadata[digest(head)].caps) == {"constraints": True, "platform": True}


def test_equal_vertices_are_one() -> None:
    message = bytes_of(
        source("a", name="first", span=line(3)),
        source("a", name="second", span=line(4), ignore_cache=True, uses=USES),
        process(Edge(0)),
        process(Edge(1)),
        process(Edge(2), Edge(3, 1)),
    )
    assert len(ops(message)) == 4
    key = digest(ops(message)[0])
    metadata = message.metadata[key]
    assert metadata.description["llb.customname"] == "first"
    assert metadata.ignore_cache and metadata.caps["file.base"]
    lines = [each.ranges[0].start.line for each in message.Source.locations[key].locations]
    assert lines == [3, 4]


def test_what_the_result_does_not_use_is_left_out() -> None:
    vertices = (source("a"), source("b"), process(Edge(1)))
    assert len(ops(bytes_of(*vertices, root=Edge(1)))) == 2


def test_a_name_is_no_part_of_the_digest() -> None:
    assert ops(bytes_of(source(name="one"))) == ops(bytes_of(source(name="other")))


@given(
    st.lists(
        st.lists(st.integers(min_value=0, max_value=1 << 30), max_size=3), min_size=1, max_size=30
    )
)
def test_every_graph_is_closed_and_in_order(shape: list[list[int]]) -> None:
    vertices: list[Vertex] = []
    for number, wanted in enumerate(shape):
        inputs = dict.fromkeys(Edge(each % number) for each in wanted if number)
        vertices.append(process(*inputs, constraints=(str(number % 5),)))
    message = bytes_of(*vertices)
    seen: set[str] = set()
    for data in ops(message):
        assert {each.digest for each in pb.Op.FromString(data).inputs} <= seen
        assert digest(data) not in seen
        seen.add(digest(data))
    assert set(message.metadata) == seen


# --- the same every time ---------------------------------------------------------------------

PROGRAM = """
import hashlib
from tests.translator.llb.test_marshal import everything
print(hashlib.sha256(repr(everything()).encode()).hexdigest())
"""


def everything() -> list[object]:
    """A bit of all that has an order."""
    src = local(include=("a", "b"), exclude=("c",))
    options = SetEnv(env=(("Z", "1"), ("A", "2")), span=HERE)
    first = stage("a", image(), options, copy(src, "/x/", paths=("b", "a")), env=(("Q", "1"),))
    mounts = tuple(SecretMount(id=name, env=name, span=HERE) for name in "zxy")
    second = stage("b", first.ref, run(mounts=mounts, network="host", security="insecure"))
    result = compile_instances([instance(first, second), instance(first)])
    return [
        (each.definition, each.image_config, each.locals, each.secrets, each.entitlements)
        for each in result
    ]


def test_the_same_bytes_whatever_the_hash_seed() -> None:
    printed = set()
    for seed in ("0", "1", "4711"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", PROGRAM]
        printed.add(subprocess.check_output(command, env=environment, cwd=ROOT, text=True))
    assert len(printed) == 1


def test_a_long_chain_needs_no_recursion() -> None:
    stages = [stage("s0", SCRATCH, run("0"))]
    for number in range(1, 3000):
        stages.append(stage(f"s{number}", stages[-1].ref, run(str(number))))
    assert compiled(*stages).vertices == 3000


# --- the way back to the file ----------------------------------------------------------------


def span(start: tuple[int, int], end: tuple[int, int], file: SourceFile = FILE) -> Span:
    return Span(file, Position(*start), Position(*end))


def places(message: pb.Definition) -> list[tuple[str, int, int, int, int]]:
    return [
        (
            message.Source.infos[location.sourceIndex].filename,
            each.start.line,
            each.start.character,
            each.end.line,
            each.end.character,
        )
        for key in sorted(message.Source.locations)
        for location in message.Source.locations[key].locations
        for each in location.ranges
    ]


def test_each_operation_leads_to_its_lines() -> None:
    message = bytes_of(source(span=span((3, 5), (4, 2))))
    assert places(message) == [("buildfile.yaml", 3, 4, 4, 1)]
    (info,) = message.Source.infos
    assert (info.data.decode(), info.language) == (FILE.text, "YAML")


def test_an_end_before_a_lines_first_character_is_the_line_above() -> None:
    message = bytes_of(source(span=span((3, 5), (5, 1))))
    assert places(message) == [("buildfile.yaml", 3, 4, 4, 0)]


def test_several_files_are_listed_once_each() -> None:
    other = SourceFile(name="other.yaml", folder="/project", text="x")
    message = bytes_of(
        source("a"), source("b", span=span((1, 1), (1, 2), other)), process(Edge(0), Edge(1))
    )
    assert [info.filename for info in message.Source.infos] == ["buildfile.yaml", "other.yaml"]


def test_large_files_go_by_name_alone() -> None:
    large = SourceFile(name="large.yaml", folder="/", text="x" * (LARGEST_SOURCE + 1))
    message = bytes_of(source(span=span((1, 1), (1, 2), large)))
    (info,) = message.Source.infos
    assert (info.filename, info.data) == ("large.yaml", b"")


def test_compiled_knows_the_spans_and_names_of_its_digests() -> None:
    result = compiled(stage("a", SCRATCH, run(span=line(9))))
    (data, _) = ops(definition(result))
    assert result.spans == {digest(data): (line(9),)}
    assert result.names == {digest(data): "[a] run true"}
    assert result.vertices == 1
