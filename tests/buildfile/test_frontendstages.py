from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from buildfile.draft import draft
from buildfile.exports import export
from buildfile.frontendstages import Answer, NoFrontendError, NotMadeError, make_all
from buildfile.lacks import no_frontend
from buildfile.loopback import Loopback
from buildfile.plan import Plan
from buildfile.plan import plan as plan_of
from daemon_shim import ages
from tests.buildfile.projects import as_json, as_text, planned, project
from tests.translator.stages import HERE, SCRATCH, instance, local, run, stage
from translator.compile import compile_instances
from translator.compiled import FrontendNeed, ResolvedFrontend
from translator.diagnostic import Diagnostic
from translator.stage import Dockerfile, Stage, StageRef
from translator.target import Output

Ask: TypeAlias = Callable[[Sequence[FrontendNeed]], Sequence[Answer]]

_TEXT = """version: 1
stages:
  site-too: {dockerfile: {}}
  above: {from: site}
targets:
  site: {dockerfile: {context: {local: .}, args: {A: b}}}
  both:
    dockerfile: {inline: FROM scratch}
    platforms: [linux/amd64, linux/arm64]
    no-cache: true
  inner: {dockerfile: {contexts: {base: site}}}
  above: {stage: above}
  part: {stage: site-too, outputs: [{type: local, dest: out, paths: [/x]}]}
"""


def plan(folder: Path, release: tuple[int, int, int], *targets: str) -> Plan:
    return planned(folder, _TEXT, ages.imagine(release), *targets)


def refusals(made: Plan) -> list[str]:
    return [each.message.partition(" cannot build ")[2] for each in made.refusals]


def test_old_daemons_build_a_dockerfile_by_itself(tmp_path: Path) -> None:
    made = plan(tmp_path, (0, 6, 0), "site", "both")
    assert refusals(made) == []
    site, both = made.jobs
    (call,) = site.calls
    assert call.frontend == "dockerfile.v0"
    assert call.opts["build-arg:A"] == "b"
    assert call.folders["context"].path == str(tmp_path)
    assert [str(each.stage.platform) for each in both.calls] == ["linux/amd64", "linux/arm64"]
    assert {each.opts["no-cache"] for each in both.calls} == {""}


@pytest.mark.parametrize("target", ["above", "inner", "part"])
def test_old_daemons_are_refused_what_takes_or_tells_graphs(tmp_path: Path, target: str) -> None:
    made = plan(tmp_path, (0, 6, 0), target)
    why = "stage of a frontend among others needs BuildKit v0.7, and this is v0.6.0"
    assert {each.partition(": ")[2] for each in refusals(made)} == {why}
    assert not made.jobs[0].calls


@pytest.mark.parametrize(("type_", "made_alone"), [("tar", False), ("oci", True)])
def test_one_that_moves_does_so_with_its_image_config(
    tmp_path: Path, type_: str, made_alone: bool
) -> None:
    info = ages.imagine((0, 6, 0))
    given = project(tmp_path, _TEXT)
    (each,) = draft(given, given.select(["site"]), info)
    output = Output(type=type_, dest=str(tmp_path / "moved"), span=each.target.span)
    moving = replace(each, inner=True, exports=(export(output, each.target, info),))
    made = plan_of([moving], info, {}, loopback=Loopback(None))
    assert (bool(made.jobs[0].calls), not made.refusals) == (made_alone, made_alone)


def test_newer_ones_are_asked_and_some_know_no_contexts(tmp_path: Path) -> None:
    made = plan(tmp_path, (0, 8, 0), "above", "site", "part")
    assert (refusals(made), [job.calls for job in made.jobs]) == ([], [()] * 3)
    made = plan(tmp_path, (0, 8, 0), "inner")
    assert refusals(made) == [
        "the stage inner: Dockerfile with contexts needs BuildKit v0.10, and this is v0.8.0"
    ]
    assert refusals(plan(tmp_path, (0, 10, 0), "inner")) == []


def test_a_plan_says_who_makes_a_stage(tmp_path: Path) -> None:
    made = plan(tmp_path, (0, 13, 0), "above")
    words = "by dockerfile.v0, file Dockerfile with context site:1, dockerfile site:1"
    text = as_text(made)
    assert f"stages  site (linux/amd64, {words}), above (linux/amd64)" in text
    assert "[site] by dockerfile.v0, file Dockerfile" in text
    first, second = as_json(made)["jobs"][0]["platforms"][0]["stages"]
    assert (first["made-by"], second["made-by"]) == (words, "")


# --- asking ------------------------------------------------------------------------------------


def docker(name: str, **more: Any) -> Stage:
    made = Dockerfile(**{"context": local(), "span": HERE, **more})
    return stage(name, made)


def answers(given: Mapping[str, Answer]) -> tuple[list[list[str]], Ask]:
    rounds: list[list[str]] = []

    def ask(needs: Sequence[FrontendNeed]) -> Sequence[Answer]:
        rounds.append([need.stage.ref.name for need in needs])
        return [given[name] for name in rounds[-1]]

    return rounds, ask


def test_stages_are_asked_for_in_rounds() -> None:
    whole = instance(
        docker("a"),
        docker("b"),
        stage("between", StageRef("a"), run()),
        docker("c", context=StageRef("between")),
        stage("last", StageRef("c")),
    )
    made = compile_instances([instance(stage("x", SCRATCH, run()))])[0].definition
    rounds, ask = answers({name: ResolvedFrontend(definition=made) for name in "abc"})
    info = ages.imagine((0, 13, 0))
    known = make_all([whole], compile_instances, info, ask)
    assert rounds == [["a", "b"], ["c"]]
    assert {ref.name for ref in known} == {"a", "b", "c"}


def test_what_the_daemon_cannot_make_is_not_asked_for() -> None:
    rounds, ask = answers({})
    info = ages.imagine((0, 8, 0))
    whole = instance(docker("a", contexts=(("x", local()),)))
    assert make_all([whole], compile_instances, info, ask) == {}
    assert rounds == []
    assert no_frontend(docker("a"), info) == ""


def test_all_that_failed_is_told_and_refusals_before_it() -> None:
    failed = Diagnostic(code="c", message="failed")
    whole = instance(docker("a"), docker("b"), stage("last", StageRef("b")))
    info = ages.imagine((0, 13, 0))
    compile_ = compile_instances
    _, ask = answers({"a": failed, "b": failed})
    with pytest.raises(NotMadeError) as caught:
        make_all([whole], compile_, info, ask)
    assert (caught.value.diagnostics, caught.value.refused) == ((failed,), False)
    refused = Diagnostic(code="c", message="not there")
    _, ask = answers({"a": failed, "b": NoFrontendError(refused)})
    with pytest.raises(NotMadeError) as caught:
        make_all([whole], compile_, info, ask)
    assert (caught.value.diagnostics, caught.value.refused) == ((refused,), True)
