from __future__ import annotations

import pytest

from tests.translator.loading import AMD64, ARM64, build, faults, project
from translator.diagnostic import InvalidFileError
from translator.platform import Platform
from translator.stage import Copy, ImageSource, Instance, LocalSource, Run, Stage, StageRef

TEXT = """version: 1
sources:
  src: {local: .}
  tool: {image: "tool:${platform.arch}"}
stages:
  shared: {from: {image: alpine}, steps: [{copy: {from: src, to: /}}]}
  per-platform: {from: shared, steps: [{run: ["${platform}"]}]}
  per-target: {from: shared, steps: [{run: ["${target}"]}]}
  per-go: {from: {image: "go:${matrix.go:-none}"}}
  uses-go: {from: shared, steps: [{copy: {from: per-go, to: /}}]}
  uses-tool: {from: shared, steps: [{copy: {from: tool, to: /}}]}
  script: {from: shared, steps: [{run: "echo ${platform} ${target}"}]}
  cross: {platform: build, from: {image: go}, steps: [{run: [make, "${platform.arch}"]}]}
  pinned: {platform: build, from: shared}
  on-pinned: {from: pinned}
  from-pinned: {from: scratch, steps: [{copy: {from: pinned, to: /}}]}
  pinned-copies: {platform: build, from: scratch, steps: [{copy: {from: shared, to: /}}]}
  fixed: {platform: linux/386, from: shared}
  dynamic: {from: "${matrix.base:-shared}"}
targets:
  shared: {stage: shared}
  per-platform: {stage: per-platform}
  per-target: {stage: per-target}
  other-target: {stage: per-target}
  per-go: {stage: uses-go, matrix: {go: ["1", "2"], base: [shared]}}
  uses-go: {stage: uses-go}
  uses-tool: {stage: uses-tool}
  script: {stage: script}
  cross: {stage: cross}
  pinned: {stage: pinned}
  on-pinned: {stage: on-pinned}
  from-pinned: {stage: from-pinned}
  pinned-copies: {stage: pinned-copies}
  fixed: {stage: fixed}
  dynamic: {stage: dynamic}
  dynamic-go: {stage: dynamic, matrix: {base: [per-go]}}
"""


def instances(target: str, *platforms: Platform) -> list[Instance]:
    made = project(TEXT)
    (chosen,) = made.select([target])
    return [made.instantiate(chosen, platform, AMD64) for platform in platforms]


def stage(instance: Instance, name: str) -> Stage:
    (found,) = [made for ref, made in instance.stages.items() if ref.name == name]
    return found


def names(instance: Instance) -> list[str]:
    return [ref.name for ref in instance.stages]


def test_stages_come_after_what_they_use_and_the_root_last() -> None:
    text = """version: 1
stages:
  z: {from: scratch}
  b:
    from: z
    steps:
      - copy: {from: c, to: /}
      - {run: x, mounts: [{type: bind, from: a, target: /}]}
  a: {from: z}
  c: {from: a}
  unused: {from: b}
targets: {t: {stage: b}}
"""
    instance = build(text)
    assert names(instance) == ["z", "a", "c", "b"]
    assert instance.root == list(instance.stages)[-1]
    assert instance.platform == AMD64


def test_what_depends_on_nothing_is_one_object_for_all_targets() -> None:
    made = project(TEXT)
    both = made.select(["shared", "script"])
    first, second = (made.instantiate(each, AMD64, AMD64) for each in both)
    assert stage(first, "shared") is stage(second, "shared")
    again = made.instantiate(both[0], AMD64, AMD64)
    assert again == first
    assert again.stages is first.stages


def test_a_script_depends_on_nothing() -> None:
    (instance,) = instances("script", AMD64)
    assert instance.root == StageRef("script", "linux-amd64")
    (run,) = stage(instance, "script").steps
    assert isinstance(run, Run)
    assert run.script == "echo ${platform} ${target}"


def test_a_target_platform_and_matrix_tell_stages_apart() -> None:
    amd, arm = instances("per-platform", AMD64, ARM64)
    assert amd.root != arm.root
    assert stage(arm, "per-platform").platform == ARM64
    made = project(TEXT)
    roots = [
        made.instantiate(each, AMD64, AMD64).root
        for each in made.select(["per-target", "other-target", "per-go", "uses-go"])
    ]
    assert len(set(roots)) == len(roots)


def test_variants_reach_through_what_a_stage_uses() -> None:
    made = project(TEXT)
    first, second = (made.instantiate(each, AMD64, AMD64) for each in made.select(["per-go"]))
    assert stage(first, "uses-go") != stage(second, "uses-go")
    (copy,) = stage(first, "uses-go").steps
    assert isinstance(copy, Copy)
    assert copy.origin in first.stages
    origin = stage(second, "per-go").origin
    assert isinstance(origin, ImageSource)
    assert origin.ref == "go:2"
    assert stage(first, "shared") is stage(second, "shared")


def test_a_source_that_depends_on_the_platform_makes_its_users_depend() -> None:
    amd, arm = instances("uses-tool", AMD64, ARM64)
    refs = []
    for instance in (amd, arm):
        (copy,) = stage(instance, "uses-tool").steps
        assert isinstance(copy, Copy)
        assert isinstance(copy.origin, ImageSource)
        refs.append(copy.origin.ref)
    assert refs == ["tool:amd64", "tool:arm64"]


def test_cross_compiling_runs_on_the_builder_for_the_target() -> None:
    amd, arm = instances("cross", AMD64, ARM64)
    assert stage(amd, "cross").platform == stage(arm, "cross").platform == AMD64
    (run,) = stage(arm, "cross").steps
    assert isinstance(run, Run)
    assert run.argv == ("make", "arm64")
    assert amd.root != arm.root


def test_a_pinned_stage_is_the_same_for_all_platforms_and_so_is_what_it_starts_from() -> None:
    amd, arm = instances("pinned", AMD64, ARM64)
    assert arm.platform == ARM64
    assert stage(arm, "pinned") is stage(amd, "pinned")
    assert stage(arm, "shared").platform == AMD64


def test_a_stage_from_a_pinned_one_runs_where_that_runs() -> None:
    (arm,) = instances("on-pinned", ARM64)
    assert {made.platform for made in arm.stages.values()} == {AMD64}


def test_copying_leaves_each_side_its_platform() -> None:
    (arm,) = instances("from-pinned", ARM64)
    assert (stage(arm, "from-pinned").platform, stage(arm, "pinned").platform) == (ARM64, AMD64)
    (arm,) = instances("pinned-copies", ARM64)
    assert (stage(arm, "pinned-copies").platform, stage(arm, "shared").platform) == (AMD64, ARM64)


def test_a_pinned_stage_that_copies_from_others_depends_on_the_platform() -> None:
    amd, arm = instances("pinned-copies", AMD64, ARM64)
    assert amd.root != arm.root


def test_other_builders_make_other_stages_where_it_matters() -> None:
    made = project(TEXT)
    (chosen,) = made.select(["from-pinned"])
    on_amd = made.instantiate(chosen, ARM64, AMD64)
    on_arm = made.instantiate(chosen, ARM64, ARM64)
    assert on_amd.root != on_arm.root
    assert stage(on_arm, "pinned").platform == ARM64


def test_a_stage_may_name_its_platform() -> None:
    (arm,) = instances("fixed", ARM64)
    assert {str(made.platform) for made in arm.stages.values()} == {"linux/386"}


def test_from_may_depend_on_the_matrix() -> None:
    (plain,) = instances("dynamic", AMD64)
    (other,) = instances("dynamic-go", AMD64)
    assert names(plain) == ["shared", "dynamic"]
    assert names(other) == ["per-go", "dynamic"]


def test_sources_in_place_have_names_of_their_own() -> None:
    text = """version: 1
stages: {s: {from: {local: ./x}}}
targets: {t: {stage: s}}
"""
    instance = build(text)
    origin = instance.stages[instance.root].origin
    assert isinstance(origin, LocalSource)
    assert origin.name == "s:1"


def test_chains_of_ten_thousand_stages_need_no_recursion() -> None:
    chain = "\n".join(f"  s{i}: {{from: s{i - 1}}}" for i in range(1, 10_000))
    text = (
        f"version: 1\nstages:\n  s0: {{from: scratch}}\n{chain}\ntargets: {{t: {{stage: s9999}}}}\n"
    )
    assert names(build(text)) == [f"s{i}" for i in range(10_000)]


def test_a_circle_is_drawn() -> None:
    text = """version: 1
stages:
  a: {from: b}
  b: {from: scratch, steps: [{copy: {from: c, to: /}}]}
  c: {from: scratch, steps: [{run: x, mounts: [{type: cache, target: /, from: a}]}]}
  d: {from: c}
targets: {t: {stage: d}}
"""
    with pytest.raises(InvalidFileError) as error:
        project(text)
    (fault,) = error.value.diagnostics
    assert fault.code == "stage-cycle"
    assert fault.message == "the stage c uses itself: c -> a -> b -> c"
    assert [(str(each.span), each.message) for each in fault.related] == [
        ("buildfile.yaml:5:79", "c uses a"),
        ("buildfile.yaml:3:13", "a uses b"),
        ("buildfile.yaml:4:44", "b uses c"),
    ]


def test_what_is_merged_or_compared_runs_where_the_first_of_it_runs() -> None:
    text = """version: 1
vars: {PARTS: {type: list, items: string, default: [plain, pinned]}}
sources: {src: {local: .}}
stages:
  pinned: {from: scratch, platform: build}
  plain: {from: scratch, steps: [{run: ["${platform}"]}]}
  first: {merge: [scratch, pinned, plain]}
  later: {merge: [plain, pinned]}
  listed: {merge: "${PARTS}"}
  in-place: {merge: [{image: x}, pinned]}
  upper: {diff: {lower: plain, upper: pinned}}
  lower: {diff: {lower: pinned, upper: plain}}
  on-upper: {from: upper}
  said: {merge: [plain, src], platform: build}
targets:
  t: {stage: "${matrix.stage}", matrix: {stage: [STAGES]}}
"""
    expected = {
        "first": AMD64,
        "later": ARM64,
        "listed": ARM64,
        "in-place": ARM64,
        "upper": AMD64,
        "lower": ARM64,
        "on-upper": AMD64,
        "said": AMD64,
    }
    made = project(text.replace("STAGES", ", ".join(expected)))
    arms = [made.instantiate(target, ARM64, AMD64) for target in made.select(["t"])]
    assert {arm.root.name: arm.stages[arm.root].platform for arm in arms} == expected
    for arm in arms:
        # What lies beside the first is made for the platform of the whole, unless it is pinned.
        plain = [made.platform for ref, made in arm.stages.items() if ref.name == "plain"]
        assert plain in ([], [expected[arm.root.name]])


def test_a_merge_that_a_matrix_lists_depends_on_it() -> None:
    text = """version: 1
stages:
  a: {from: scratch}
  b: {from: scratch, steps: [{run: make}]}
  c: {merge: [a, "${matrix.other}"]}
targets: {t: {stage: c, matrix: {other: [a, b]}}}
"""
    made = project(text)
    found = [made.instantiate(each, AMD64, AMD64) for each in made.select(["t"])]
    assert [names(each) for each in found] == [["a", "c"], ["a", "b", "c"]]
    assert found[0].root != found[1].root


def test_a_circle_that_a_matrix_closes_is_found() -> None:
    text = """version: 1
stages:
  a: {from: "${matrix.base}"}
  b: {from: a}
targets: {t: {stage: b, matrix: {base: [b]}}}
"""
    assert faults(text) == ["4:13 stage-cycle the stage b uses itself: b -> a -> b"]


def test_a_target_without_the_key_that_its_stages_read_is_a_fault() -> None:
    text = """version: 1
stages: {s: {from: {image: "go:${matrix.go}"}}}
targets: {a: {stage: s, matrix: {go: ["1"]}}, b: {stage: s}}
"""
    assert faults(text) == ["2:32 unset-matrix-key the target b has no matrix key go"]


def test_faults_that_only_a_platform_brings_up() -> None:
    text = """version: 1
stages: {s: {from: "${platform.arch}"}, amd64: {from: scratch}}
targets: {t: {stage: s}}
"""
    made = project(text)
    (chosen,) = made.select()
    assert names(made.instantiate(chosen, AMD64, AMD64)) == ["amd64", "s"]
    with pytest.raises(InvalidFileError, match="there is no stage or source arm64"):
        made.instantiate(chosen, ARM64, AMD64)
