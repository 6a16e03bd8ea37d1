from __future__ import annotations

import pytest

from tests.translator.stages import (
    HERE,
    SCRATCH,
    compiled,
    copy,
    inline,
    instance,
    line,
    names,
    operations,
    processes,
    run,
    stage,
)
from translator.compile import compile_instances
from translator.llb import chains
from translator.llb.capabilities import CAPABILITIES
from translator.platform import Platform
from translator.stage import BindMount, Mkdir, Stage, StageRef, Step, Write

ALL = frozenset(CAPABILITIES)
MOUNTS_FEW = ALL - {"exec.secretenv"}
NO_FILES = frozenset(name for name in MOUNTS_FEW if not name.startswith("file."))
NATIVE = Platform("linux", "amd64")


def folders(count: int, name: str = "d") -> tuple[Step, ...]:
    return tuple(Mkdir(path=f"/{name}{n}", span=line(n + 1)) for n in range(count))


def words(*stages: Stage, caps: frozenset[str] = NO_FILES) -> list[int]:
    """How many changes each process of the helper does."""
    result = compiled(*stages, caps=caps, native=NATIVE)
    ops = [list(op.meta.args) for op in processes(result) if "/helper/helper" in op.meta.args]
    return [sum(args.count(each) for each in ("mkdir", "copy", "write")) for args in ops]


def test_a_short_stage_has_a_process_for_each_step() -> None:
    assert words(stage("a", SCRATCH, *folders(chains.MANY))) == [1] * chains.MANY


def test_the_steps_of_a_long_stage_become_one_process() -> None:
    result = compiled(stage("a", SCRATCH, *folders(40)), caps=NO_FILES, native=NATIVE)
    (op,) = processes(result)
    assert list(op.meta.args)[2:7] == ["step", "1", "mkdir", "--mode=755", "/d0"]
    (digest,) = result.joined
    assert result.names[digest] == "[a 1/40] mkdir /d0 and 39 more"
    assert [each.spans for each in result.joined[digest]] == [(line(n),) for n in range(1, 41)]
    assert result.spans[digest] == tuple(map(line, range(1, 41)))
    told = {(each.capability, each.how) for each in result.lowerings}
    assert ("exec.secretenv", "by one process for several steps") in told


def test_a_daemon_that_mounts_any_number_has_a_process_for_each() -> None:
    caps = frozenset(name for name in ALL if not name.startswith("file."))
    assert words(stage("a", SCRATCH, *folders(40)), caps=caps) == [1] * 40


def test_other_steps_part_chains() -> None:
    steps = (*folders(20), run(), *folders(20, "e"))
    assert words(stage("a", SCRATCH, *steps)) == [20, 20]


def test_what_another_stage_goes_on_from_is_the_end_of_a_chain() -> None:
    base = stage("base", SCRATCH, *folders(20))
    one = stage("one", StageRef("base"), *folders(20, "e"))
    two = stage("two", StageRef("base"), copy(StageRef("one"), "/x"))
    assert sorted(words(base, one, two)) == [1, 20, 20]


def test_a_chain_copies_out_of_several_trees() -> None:
    trees = [inline((f"f{n}", str(n))) for n in range(2)]
    steps = (copy(trees[0], "/a/"), copy(trees[1], "/b/"), copy(trees[0], "/c/"))
    result = compiled(stage("a", SCRATCH, *folders(40), *steps), caps=NO_FILES, native=NATIVE)
    args = list(processes(result)[-1].meta.args)
    assert [word for word in args if word.startswith("--from=")] == ["--from=/src1"]
    assert {mount.dest for mount in processes(result)[-1].mounts} >= {"/src", "/src1"}


def test_steps_that_the_daemon_knows_are_joined_below_one_that_it_does_not() -> None:
    caps = MOUNTS_FEW - {"file.rm.wildcard", "file.symlink.create", "file.copy.mode"}
    plain = stage("a", SCRATCH, *folders(40))
    assert words(plain, caps=caps - {"exec.validexitcode"}) == []
    odd = stage("a", SCRATCH, *folders(40), copy(inline(("f", "f")), "/x", chmod="g+w"))
    assert words(odd, caps=caps - {"exec.validexitcode"}) == [41]


def test_a_long_tree_that_a_step_mounts_is_joined() -> None:
    long = stage("long", SCRATCH, *folders(40))
    step = run(mounts=(BindMount(target="/m", origin=StageRef("long"), span=HERE),))
    assert words(long, stage("a", SCRATCH, step), caps=MOUNTS_FEW) == [40]
    assert words(long, stage("a", StageRef("long"), run()), caps=MOUNTS_FEW) == []


def test_what_is_too_much_for_one_process_is_done_by_several() -> None:
    large = tuple(Write(path=f"/w{n}", data=b"x" * 300_000, span=line(50 + n)) for n in range(6))
    result = compiled(stage("a", SCRATCH, *folders(40), *large), caps=NO_FILES, native=NATIVE)
    ops = processes(result)
    assert len(ops) > 1 and len(result.joined) == len(ops)
    assert [list(op.meta.args)[2] for op in ops] == ["step"] * len(ops)


def test_equal_chains_have_the_places_of_both() -> None:
    later = (Mkdir(path=f"/d{n}", span=line(n + 41)) for n in range(40))
    stages = (stage("one", SCRATCH, *folders(40)), stage("two", SCRATCH, *later))
    mounts = tuple(
        BindMount(target=f"/{each.ref.name}", origin=each.ref, span=HERE) for each in stages
    )
    root = stage("both", SCRATCH, run(mounts=mounts))
    result = compiled(*stages, root, caps=NO_FILES, native=NATIVE)
    (chain,) = result.joined.values()
    assert chain[2].spans == (line(3), line(43))


@pytest.mark.parametrize("native", [None, Platform("linux", "riscv64")])
def test_without_a_helper_nothing_is_joined(native: Platform | None) -> None:
    instances = [instance(stage("a", SCRATCH, *folders(40)))]
    (result,) = compile_instances(instances, caps=NO_FILES, native=native)
    assert len(operations(result)) == 40 and not result.joined
    assert len(names(result)) == 40
