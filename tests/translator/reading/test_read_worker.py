from __future__ import annotations

import pytest

from tests.translator.loading import AMD64, ARM64, build, faults, project, table
from translator.selector import Selector, Traits
from translator.workerfilter import parse

HEAD = """version: 1
vars: {POOL: fast, PLACE: {type: string, default: overlay}}
workers:
  arm: {platform: linux/arm64, labels: {pool: "${POOL}", a.b: c}}
  overlay: {filter: [labels.snapshotter==overlayfs, labels.x], labels: {pool: p}}
  old: {daemon: old, require: false}
"""


def selector(stage: str = "{from: scratch}", target: str = "{stage: s}") -> Selector | None:
    instance = build(f"{HEAD}stages: {{s: {stage}}}\ntargets: {{t: {target}}}\n")
    return instance.selector(instance.stages[instance.root])


def test_a_stage_has_the_selector_that_it_names() -> None:
    made = selector("{from: scratch, worker: arm}")
    assert made and (made.name, made.platform, made.require) == ("arm", ARM64, True)
    assert made.labels == (("a.b", "c"), ("pool", "fast"))
    assert str(made) == "arm" and made.span.start.line == 4


def test_a_name_may_come_from_a_variable() -> None:
    made = selector("{from: scratch, worker: '${PLACE}'}")
    assert made and made.name == "overlay"


def test_a_selector_in_place_has_no_name_and_knows_the_platform() -> None:
    made = selector("{from: scratch, worker: {platform: '${platform}', filter: id}}")
    assert made and (made.name, made.platform, str(made)) == (
        "",
        AMD64,
        "platform linux/amd64, filter id",
    )


def test_a_targets_selector_counts_for_stages_that_have_none() -> None:
    of_target = selector("{from: scratch}", "{stage: s, worker: old}")
    assert of_target and of_target.name == "old" and of_target.require is False
    own = selector("{from: scratch, worker: arm}", "{stage: s, worker: old}")
    assert own and own.name == "arm"
    assert selector() is None


def test_a_matrix_chooses_among_selectors() -> None:
    made = project(
        f"{HEAD}stages: {{s: {{from: scratch}}}}\n"
        "targets: {t: {stage: s, matrix: {w: [arm, old]}, worker: '${matrix.w}'}}\n"
    )
    assert [each.worker and each.worker.name for each in made.select(["t"])] == ["arm", "old"]


@pytest.mark.parametrize(
    ("base", "own", "wishes"),
    [
        ("arm", "overlay", "overlay"),
        ("{labels: {a: b}}", "arm", "arm"),
        ("{labels: {a: b}}", "{labels: {c: d}, daemon: x}", "daemon x, label a=b, label c=d"),
    ],
)
def test_a_selector_is_inherited_as_other_keys_are(base: str, own: str, wishes: str) -> None:
    made = project(
        f"{HEAD}stages: {{s: {{from: scratch}}}}\ntargets:\n"
        f"  base: {{abstract: true, worker: {base}}}\n"
        f"  as-it-is: {{extends: [base], stage: s}}\n"
        f"  t: {{extends: [base], stage: s, worker: {own}}}\n"
    )
    (target,), (same,) = made.select(["t"]), made.select(["as-it-is"])
    assert str(target.worker) == wishes
    assert same.worker is not None


def test_selectors_of_several_files_are_merged() -> None:
    made = project(
        "version: 1\ninclude: [more.yaml]\nworkers: {a: {labels: {x: y}}}\n",
        {"/project/more.yaml": "workers: {a: {daemon: d}, b: {daemon: e}}\n"},
    )
    assert {name: each.wishes for name, each in made.workers.items()} == {
        "a": "daemon d, label x=y",
        "b": "daemon e",
    }


def test_the_command_line_sets_a_targets_selector() -> None:
    text = f"{HEAD}stages: {{s: {{from: scratch}}}}\ntargets: {{t: {{stage: s, worker: arm}}}}\n"
    (target,) = project(text, overrides=["t.worker=old"]).select(["t"])
    assert target.worker and target.worker.name == "old"
    assert faults(text, overrides=["t.worker=odl"]) == [
        "--set:1:10 unknown-worker there is no worker odl"
    ]


def test_a_fault_of_a_named_selector_is_told_once() -> None:
    text = (
        "version: 1\nworkers: {w: {filter: labels.a=b}}\n"
        "stages: {a: {from: scratch, worker: w}, b: {from: a, worker: w}}\n"
        "targets: {t: {stage: b, worker: w}}\n"
    )
    assert faults(text) == ["2:31 bad-filter there is no operator ="]


# --- matching ----------------------------------------------------------------------------------


def test_what_a_worker_lacks_is_named() -> None:
    made = selector("{from: scratch, worker: {labels: {a: b, c: d}, platform: linux/arm64}}")
    assert made is not None
    traits = Traits(labels={"a": "b"}, platforms=(AMD64,))
    assert made.lacking(traits) == ("platform linux/arm64", "label c=d")
    assert not made.lacking(Traits(labels={"a": "b", "c": "d"}, platforms=(AMD64, ARM64)))


def test_one_of_several_filters_must_match() -> None:
    made = selector("{from: scratch, worker: {filter: [labels.a==b, id==x], daemon: d}}")
    assert made is not None
    assert not made.lacking(Traits(id="x", daemon="d"))
    assert made.lacking(Traits(id="y", daemon="e")) == (
        "daemon d",
        "filter labels.a==b or id==x",
    )


@pytest.mark.parametrize(
    ("name", "constraints"),
    [
        ("arm", ("labels.a.b==c,labels.pool==fast",)),
        (
            "overlay",
            ("labels.pool==p,labels.snapshotter==overlayfs", "labels.pool==p,labels.x"),
        ),
        ("old", ()),
        ("{labels: {a: b}, require: false}", ()),
        ("{platform: linux/amd64}", ()),
    ],
)
def test_constraints_for_the_llb(name: str, constraints: tuple[str, ...]) -> None:
    made = selector(f"{{from: scratch, worker: {name}}}")
    assert made is not None and made.constraints() == constraints


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("pool", "fast", "labels.pool==fast"),
        ("org.x.y_z", "a/b:c", "labels.org.x.y_z==a/b:c"),
        ("process-mode", "x", 'labels."process-mode"==x'),
        ("a", "b c", 'labels.a=="b c"'),
        ("a", "", 'labels.a==""'),
        ("a", "/b/", 'labels.a=="/b/"'),
        ('q"\\', "é\n", 'labels."q\\"\\\\"=="é\\U0000000a"'),
    ],
)
def test_a_label_is_written_so_that_it_reads_the_same(key: str, value: str, text: str) -> None:
    made = Selector(labels=((key, value),), span=table("a: b").span)
    assert made.constraints() == (text,)
    (read,) = parse(text).selectors
    assert (read.label, read.operator, read.value) == (key, "==", value)
