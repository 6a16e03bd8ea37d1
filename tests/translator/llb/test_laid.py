"""Merges and diffs for daemons that do not know them."""

from __future__ import annotations

from typing import Any

from schemas.pb import ops_pb2 as pb
from tests.translator.stages import (
    AMD64,
    SCRATCH,
    compiled,
    copy,
    definition,
    image,
    inline,
    line,
    operations,
    run,
    stage,
)
from translator.compiled import Compiled, Lowering
from translator.llb.capabilities import CAPABILITIES, missing
from translator.platform import Platform
from translator.stage import Diff, Merge, Stage, StageRef

ALL = frozenset(CAPABILITIES)
OLD = ALL - {"mergeop", "diffop", "exec.mount.cache.content"}
BEFORE_13 = ALL - {"exec.mount.cache.content"}

BASE = stage("base", image(), run("base"))
TOOLS = stage("tools", StageRef("base"), run("tools"))
TEXT = stage("text", SCRATCH, copy(inline(("a", "b"))))
CHANGES = stage("changes", Diff(lower=StageRef("base"), upper=StageRef("tools"), span=line(8)))


def merge(*names: str) -> Stage:
    return stage("m", Merge(inputs=tuple(map(StageRef, names)), span=line(7)))


def built(last: Stage, caps: frozenset[str] = OLD, native: Platform | None = AMD64) -> Compiled:
    stages = [each for each in (BASE, TOOLS, TEXT, CHANGES) if each.ref != last.ref]
    return compiled(*stages, last, caps=caps, native=native)


def last(result: Compiled) -> tuple[pb.Op, list[tuple[str, str]]]:
    """The last operation, and where which vertex is mounted in it."""
    op = operations(result)[-1]
    mounted = [
        (mount.dest, result.names[op.inputs[mount.input].digest] if mount.input >= 0 else "")
        for mount in op.exec.mounts
    ]
    return op, mounted


def how(result: Compiled) -> list[tuple[str, str, Any]]:
    return [(each.capability, each.what, each.span) for each in result.lowerings]


def test_layers_are_laid_over_the_first_tree() -> None:
    result = built(merge("base", "text", "changes"))
    op, mounted = last(result)
    (program,) = result.programs
    assert mounted == [
        ("/dest", "[base] run base"),
        ("/", ""),
        ("/helper", "[sources] helper"),
        ("/layers/1", "[text] copy text -> /"),
        ("/layers/2", "[base] run base"),
        ("/layers/3", "[tools] run tools"),
    ]
    assert list(op.exec.meta.args) == [
        f"/helper/{program.file}",
        "layers",
        *("-", "/layers/1"),
        *("/layers/2", "/layers/3"),
    ]
    assert [mount.output for mount in op.exec.mounts[:3]] == [0, 1, -1]
    assert all(mount.readonly for mount in op.exec.mounts[2:])
    assert op.exec.network == pb.NONE
    assert result.names[definition_digest(result)] == "[m] merge base, text, changes"
    assert missing(result.needs, OLD) == ()
    assert how(result) == [("mergeop", "a merge stage", line(7))]


def definition_digest(result: Compiled) -> str:
    head = pb.Op.FromString(getattr(definition(result), "def")[-1])
    return str(head.inputs[0].digest)


def test_a_diff_is_laid_over_nothing() -> None:
    result = built(CHANGES)
    op, mounted = last(result)
    assert mounted[0] == ("/dest", "")
    assert list(op.exec.meta.args)[2:] == ["/layers/1", "/layers/2"]
    assert missing(result.needs, OLD) == ()
    assert how(result) == [("diffop", "a diff stage", line(8))]
    (lowering,) = result.lowerings
    assert lowering == Lowering(
        capability="diffop",
        what="a diff stage",
        since="v0.10.0",
        how="by a helper program that this tool sends",
        span=line(8),
    )


def test_where_one_of_the_trees_is_the_result_nothing_is_done() -> None:
    result = built(merge("base", "changes"))
    assert list(result.names.values())[-1] == "[tools] run tools"
    assert missing(result.needs, OLD) == ()
    assert not result.programs


def test_steps_go_on_from_what_was_laid() -> None:
    text = stage("inner", Merge(inputs=(BASE.ref, TEXT.ref), span=line(7)))
    app = stage("app", text.ref, run("app"))
    result = compiled(BASE, TEXT, text, app, caps=OLD, native=AMD64)
    _, mounted = last(result)
    assert mounted == [("/", "[inner] merge base, text")]


def test_what_only_adds_is_merged_by_every_daemon_that_can() -> None:
    result = built(merge("base", "text"), BEFORE_13)
    assert operations(result)[-1].HasField("merge")
    assert not result.lowerings and not result.programs


def test_what_removes_is_merged_by_those_that_do_not_fail_at_it() -> None:
    for caps, kind in ((ALL, "merge"), (BEFORE_13, "exec")):
        result = built(merge("base", "text", "changes"), caps)
        assert operations(result)[-1].HasField(kind)
        assert bool(result.lowerings) is (kind == "exec")
    what = "a merge stage of what removes files"
    assert how(result) == [("exec.mount.cache.content", what, line(7))]


def test_an_image_over_something_else_is_refused_with_the_reason() -> None:
    result = built(merge("text", "base"))
    (need,) = missing(result.needs, OLD)
    assert (need.capability, need.span) == ("mergeop", line(7))
    assert need.note == "what an image removes in its layers is only seen by the daemon"
    assert operations(result)[-1].HasField("merge")


def test_a_helper_that_does_not_run_there_is_no_help() -> None:
    result = built(merge("base", "text"), native=Platform("linux", "riscv64"))
    (need,) = missing(result.needs, OLD)
    assert need.note.endswith("is for linux/amd64 and linux/arm64, and not for linux/riscv64")
    result = built(merge("base", "text"), native=None)
    assert [each.note for each in missing(result.needs, OLD)] == [""]
