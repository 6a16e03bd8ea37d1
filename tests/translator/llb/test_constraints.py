"""Selectors in the LLB: the worker constraints of a stage's operations."""

from __future__ import annotations

from dataclasses import replace

from tests.translator.stages import (
    HERE,
    SCRATCH,
    compiled,
    copy,
    definition,
    image,
    instance,
    local,
    operations,
    run,
    stage,
)
from translator.compile import compile_instances
from translator.llb.capabilities import CAPABILITIES
from translator.selector import Selector
from translator.stage import Merge, Mkdir, StageRef, Write

FAST = Selector(labels=(("pool", "fast"),), span=HERE)
SLOW = Selector(labels=(("pool", "slow"),), span=HERE)
MAYBE = Selector(labels=(("pool", "fast"),), require=False, span=HERE)


def filters(*stages: object, **options: object) -> list[list[str]]:
    return [list(op.constraints.filter) for op in operations(compiled(*stages, **options))]  # type: ignore[arg-type]


def test_the_operations_of_a_stage_have_them_and_sources_do_not() -> None:
    made = stage("a", image(), run(), copy(local()), Mkdir(path="/x", span=HERE), worker=FAST)
    assert sorted(filters(made)) == [[], [], *[["labels.pool==fast"]] * 3]


def test_a_merge_has_those_of_its_stage() -> None:
    first = stage("a", SCRATCH, Mkdir(path="/x", span=HERE))
    second = stage("b", SCRATCH, Mkdir(path="/y", span=HERE))
    both = stage("c", Merge(inputs=(StageRef("a"), StageRef("b")), span=HERE), worker=FAST)
    assert filters(first, second, both) == [[], [], ["labels.pool==fast"]]


def test_stages_that_it_is_made_of_keep_their_own() -> None:
    below = stage("a", image(), run("one"), worker=SLOW)
    above = stage("b", StageRef("a"), run("two"), worker=FAST)
    assert filters(below, above) == [[], ["labels.pool==slow"], ["labels.pool==fast"]]


def test_a_preference_is_no_constraint() -> None:
    made = stage("a", image(), run(), worker=MAYBE)
    assert compiled(made).definition == compiled(replace(made, worker=None)).definition


def test_only_the_digests_of_such_operations_differ() -> None:
    plain = operations(compiled(stage("a", image(), run())))
    bound = operations(compiled(stage("a", image(), run(), worker=FAST)))
    assert plain[0] == bound[0] and plain[1] != bound[1]
    bound[1].ClearField("constraints")
    assert plain[1] == bound[1]


def test_targets_with_other_selectors_share_what_has_none_of_theirs() -> None:
    base = stage("base", image(), run("base"), worker=SLOW)
    top = stage("top", StageRef("base"), Write(path="/a", data=b"a", span=HERE))
    one = replace(instance(base, top), worker=FAST)
    other = instance(base, top)
    first, second = map(operations, compile_instances([one, other]))
    assert first[:2] == second[:2] and first[2] != second[2]
    assert list(first[2].constraints.filter) == ["labels.pool==fast"]
    assert not second[2].constraints.filter


def test_a_daemon_must_know_of_constraints() -> None:
    made = compiled(stage("a", image(), run(), worker=FAST))
    assert "constraints" in {need.capability for need in made.needs}
    caps = [set(each.caps) for each in definition(made).metadata.values()]
    assert sum("constraints" in each for each in caps) == 2  # the step, and the result's head


def test_another_way_to_do_a_step_keeps_them() -> None:
    made = stage("a", SCRATCH, Write(path="/a", data=b"a", span=HERE), worker=FAST)
    caps = {name for name in CAPABILITIES if not name.startswith("file.")}
    helped = operations(compiled(made, caps=caps, native=made.platform))
    assert [list(op.constraints.filter) for op in helped if op.HasField("exec")] == [
        ["labels.pool==fast"]
    ]
