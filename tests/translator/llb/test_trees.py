from __future__ import annotations

import json

import pytest

from schemas.pb import ops_pb2 as pb
from tests.translator.stages import (
    AMD64,
    ARM64,
    HERE,
    SCRATCH,
    compiled,
    copy,
    image,
    inline,
    instance,
    line,
    local,
    operations,
    run,
    stage,
)
from translator.compile import compile_instances, images_needed
from translator.compiled import ResolvedImage
from translator.llb.describe import as_dot
from translator.stage import Diff, ImageOptions, Merge, Origin, Stage, StageRef, Write

BASE = stage("base", image("alpine"), run("touch /x"))
PAGES = stage("pages", SCRATCH, Write(path="/index", data=b"hi", span=HERE))
TOOLS = stage("tools", BASE.ref, run("make"))
EMPTY = stage("empty", SCRATCH)


def merge(*inputs: Origin, **more: object) -> Stage:
    return stage("m", Merge(inputs=inputs, span=line(7)), **more)


def diff(lower: Origin, upper: Origin) -> Stage:
    return stage("d", Diff(lower=lower, upper=upper, span=line(8)))


def last(*stages: Stage) -> pb.Op:
    return operations(compiled(*stages))[-1]


def test_a_merge_has_its_inputs_in_order() -> None:
    result = compiled(BASE, PAGES, merge(PAGES.ref, BASE.ref, image("busybox")))
    op = operations(result)[-1]
    assert [each.input for each in op.merge.inputs] == [0, 1, 2]
    digests = {name: digest for digest, name in result.names.items()}
    assert [each.digest for each in op.inputs] == [
        digests["[pages] write /index"],
        digests["[base] run touch /x"],
        digests["load image docker.io/library/busybox:latest"],
    ]
    assert not op.HasField("platform")
    assert digests["[m] merge pages, base, base"]
    assert {need.capability: need.span for need in result.needs}["mergeop"] == line(7)


@pytest.mark.parametrize(
    ("inputs", "count"),
    [
        ((SCRATCH, PAGES.ref, BASE.ref, EMPTY.ref), 2),
        ((PAGES.ref, BASE.ref, PAGES.ref), 2),
        ((SCRATCH, PAGES.ref, EMPTY.ref), 0),
        ((PAGES.ref, PAGES.ref), 0),
    ],
)
def test_what_changes_nothing_is_left_out_of_a_merge(
    inputs: tuple[Origin, ...], count: int
) -> None:
    op = last(BASE, PAGES, EMPTY, merge(*inputs))
    assert len(op.merge.inputs) == count
    assert op.HasField("merge" if count else "file")


def test_of_a_tree_that_comes_twice_the_last_place_counts() -> None:
    assert last(BASE, PAGES, merge(PAGES.ref, BASE.ref, PAGES.ref)) == last(
        BASE, PAGES, merge(BASE.ref, PAGES.ref)
    )


def test_a_merge_of_nothing_is_nothing() -> None:
    result = compiled(EMPTY, merge(SCRATCH, EMPTY.ref))
    assert (result.definition, result.vertices) == (b"", 0)


def test_a_diff_has_a_lower_and_an_upper() -> None:
    result = compiled(BASE, TOOLS, diff(BASE.ref, TOOLS.ref))
    op = operations(result)[-1]
    assert (op.diff.lower.input, op.diff.upper.input) == (0, 1)
    assert len(op.inputs) == 2
    assert not op.HasField("platform")
    assert "[d] diff base -> tools" in result.names.values()
    assert {need.capability: need.span for need in result.needs}["diffop"] == line(8)


def test_a_diff_may_leave_nothing_but_removals() -> None:
    op = last(BASE, diff(BASE.ref, SCRATCH))
    assert (op.diff.lower.input, op.diff.upper.input) == (0, -1)
    assert len(op.inputs) == 1


def test_a_diff_without_a_lower_is_its_upper() -> None:
    assert last(BASE, diff(SCRATCH, BASE.ref)).HasField("exec")


def test_a_diff_of_one_with_itself_is_nothing() -> None:
    assert compiled(BASE, diff(BASE.ref, BASE.ref)).definition == b""


def config(*stages: Stage) -> dict[str, object]:
    answer = ResolvedImage(digest="", config=b'{"config": {"User": "alpine"}}')
    images = dict.fromkeys(images_needed([instance(*stages)]), answer)
    (result,) = compile_instances([instance(*stages)], images=images)
    found: dict[str, object] = json.loads(result.image_config)["config"]
    return found


def test_the_config_is_that_of_the_first_input_or_of_the_upper() -> None:
    base = stage("base", image(), image=ImageOptions(cmd=("a",), span=HERE))
    tools = stage("tools", base.ref, run(), user="tools")
    assert config(base, tools, merge(SCRATCH, base.ref, tools.ref))["User"] == "alpine"
    assert config(base, tools, merge(tools.ref, base.ref))["User"] == "tools"
    assert config(base, tools, diff(base.ref, tools.ref))["User"] == "tools"
    assert config(merge(image(), local()))["User"] == "alpine"
    own = merge(base.ref, tools.ref, image=ImageOptions(user="own", span=HERE))
    assert (config(base, tools, own)["User"], config(base, tools, own)["Cmd"]) == ("own", ["a"])


def test_steps_go_on_from_a_merge() -> None:
    app = stage("app", StageRef("m"), copy(inline(("a", "b"))))
    file = last(BASE, PAGES, merge(BASE.ref, PAGES.ref), app).file
    assert [action.input for action in file.actions] == [0]


def test_a_folder_that_is_merged_is_sent_whole() -> None:
    (use,) = compiled(BASE, merge(BASE.ref, local("src"))).locals
    assert (use.include, use.follow) == ((), ())


def test_a_merge_is_the_same_for_all_platforms() -> None:
    merges = [
        stage("m", Merge(inputs=(local(), inline(("a", "b"))), span=HERE), platform=platform)
        for platform in (AMD64, ARM64)
    ]
    first, second = compile_instances([instance(each) for each in merges])
    assert first.names.keys() == second.names.keys()


def test_a_merge_is_made_anew_without_a_cache() -> None:
    result = compiled(BASE, PAGES, merge(BASE.ref, PAGES.ref), no_cache=["m"])
    definition = pb.Definition.FromString(result.definition)
    fresh = [result.names[key] for key, each in definition.metadata.items() if each.ignore_cache]
    assert fresh == ["[m] merge base, pages"]


def test_merges_and_diffs_have_shapes_of_their_own() -> None:
    drawn = as_dot(compiled(BASE, PAGES, merge(BASE.ref, PAGES.ref)).definition)
    assert 'label="[m] merge base, pages" shape=invtrapezium' in drawn
    drawn = as_dot(compiled(BASE, TOOLS, diff(BASE.ref, TOOLS.ref)).definition)
    assert 'label="[d] diff base -> tools" shape=trapezium' in drawn
