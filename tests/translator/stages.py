"""Stages by hand, for tests of the back half. Each ``span`` is a line of one file."""

from __future__ import annotations

from typing import Any

from schemas.pb import ops_pb2 as pb
from translator.compile import compile_instances
from translator.compiled import Compiled
from translator.llb.graph import Graph
from translator.llb.marshal import marshal
from translator.platform import Platform
from translator.span import Position, SourceFile, Span
from translator.stage import (
    Copy,
    ImageSource,
    InlineSource,
    Instance,
    LocalSource,
    Origin,
    Run,
    Scratch,
    Stage,
    StageRef,
    Step,
)

AMD64 = Platform("linux", "amd64")
ARM64 = Platform("linux", "arm64")
FILE = SourceFile(
    name="buildfile.yaml",
    folder="/project",
    text="".join(f"line {number}\n" for number in range(1, 100)),
)


def line(number: int) -> Span:
    return Span(FILE, Position(number, 1), Position(number, 6))


HERE = line(1)
SCRATCH = Scratch(span=HERE)


def image(ref: str = "alpine", **more: Any) -> ImageSource:
    return ImageSource(name="base", ref=ref, span=HERE, **more)


def local(name: str = "src", **more: Any) -> LocalSource:
    return LocalSource(name=name, path=more.pop("path", f"/project/{name}"), span=HERE, **more)


def inline(*files: tuple[str, str]) -> InlineSource:
    return InlineSource(name="text", files=files, span=HERE)


def run(script: str = "true", **more: Any) -> Run:
    return Run(script=script, span=more.pop("span", HERE), **more)


def copy(origin: Origin, to: str = "/", **more: Any) -> Copy:
    return Copy(origin=origin, to=to, span=more.pop("span", HERE), **more)


def stage(name: str, origin: Origin, *steps: Step, **more: Any) -> Stage:
    platform = more.pop("platform", AMD64)
    return Stage(
        ref=StageRef(name), platform=platform, origin=origin, steps=steps, span=HERE, **more
    )


def instance(*stages: Stage) -> Instance:
    """The last stage is the root."""
    root = stages[-1]
    return Instance(
        root=root.ref, platform=root.platform, stages={each.ref: each for each in stages}
    )


def compiled(*stages: Stage, **options: Any) -> Compiled:
    return compile_instances([instance(*stages)], **options)[0]


def definition(result: Compiled) -> pb.Definition:
    return pb.Definition.FromString(result.definition)


def operations(result: Compiled) -> list[pb.Op]:
    """All but the last, which only names the result."""
    return [pb.Op.FromString(data) for data in getattr(definition(result), "def")[:-1]]


def processes(result: Compiled) -> list[pb.ExecOp]:
    return [op.exec for op in operations(result) if op.HasField("exec")]


def changes(result: Compiled) -> list[pb.FileAction]:
    return [action for op in operations(result) for action in op.file.actions]


def sources(result: Compiled) -> dict[str, dict[str, str]]:
    ops = [op.source for op in operations(result) if op.HasField("source")]
    return {op.identifier: dict(op.attrs) for op in ops}


def names(result: Compiled) -> list[str]:
    return list(result.names.values())


def only(graph: Graph) -> pb.Definition:
    (result,) = marshal(graph)
    return pb.Definition.FromString(result.data)
