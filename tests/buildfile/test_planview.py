from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from daemon_shim import ages
from tests.buildfile.projects import as_json, as_text, planned
from tests.daemon_shim.infos import graphdriver, info

TEXT = """version: 1
stages:
  s: {from: scratch, steps: [{write: {path: /a, text: a}}]}
targets:
  t:
    stage: s
    outputs:
      - {type: image, name: x/y, push: true}
      - {type: local, dest: out, paths: [/a]}
    cache: {import: ["type=registry,ref=r"]}
"""


def test_a_plan_in_words(tmp_path: Path) -> None:
    text = as_text(planned(tmp_path, TEXT, graphdriver((0, 13, 0))))
    assert "daemon unix:///test.sock: BuildKit v0.13.0" in text
    assert "  output  image x/y (pushed) - the engine stores the image and pushes it" in text
    assert f"  output  local {tmp_path}/out (only /a)" in text
    assert "  cache from  type=registry,ref=r" in text
    assert "target t (2)" in text


def test_a_refused_output_says_why(tmp_path: Path) -> None:
    zstd = TEXT.replace("push: true", "compression: zstd")
    text = as_text(planned(tmp_path, zstd, info((0, 8, 0))))
    assert "image x/y - refused: compression=zstd needs BuildKit v0.10" in text


def test_a_plan_as_data(tmp_path: Path) -> None:
    data = as_json(planned(tmp_path, TEXT, info((0, 13, 0))))
    assert json.loads(json.dumps(data)) == data
    image, local = data["jobs"]
    assert image["target"] == local["target"] == "t"
    assert image["platforms"][0]["platform"] == "linux/amd64"
    assert image["outputs"][0]["exporter"] == "image"
    assert image["outputs"][0]["attrs"] == {"name": "docker.io/x/y:latest", "push": "true"}
    assert local["outputs"][0]["dest"] == f"{tmp_path}/out"
    assert data["refusals"] == [] and data["warnings"] == []


def test_a_plan_tells_what_a_job_waits_for(tmp_path: Path) -> None:
    made = planned(tmp_path, TEXT, info((0, 13, 0)))
    first, second = made.jobs
    names = ("stage one", "stage two")
    plan = replace(made, jobs=(replace(first, waits_for=names), second))
    assert as_text(plan).count("  waits for  stage one, stage two\n") == 1
    assert [each["waits-for"] for each in as_json(plan)["jobs"]] == [[*names], []]


def test_a_plan_tells_the_selector_of_a_stage(tmp_path: Path) -> None:
    text = """version: 1
workers: {fast: {labels: {pool: fast}, platform: linux/amd64}}
stages:
  a: {from: scratch, steps: [{write: {path: /a, text: a}}]}
  s: {from: a, worker: {filter: id, require: false}}
targets: {t: {stage: s, worker: fast}}
"""
    plan = planned(tmp_path, text, ages.imagine((0, 13, 0)))
    assert "stages  a (linux/amd64, worker fast), s (linux/amd64, worker filter id)" in as_text(
        plan
    )
    (job,) = as_json(plan)["jobs"]
    (first, second) = job["platforms"][0]["stages"]
    assert first["worker"] == {
        "name": "fast",
        "platform": "linux/amd64",
        "labels": {"pool": "fast"},
        "filter": [],
        "daemon": "",
        "require": True,
    }
    assert second["worker"]["filter"] == ["id"] and second["worker"]["require"] is False


def test_a_plan_tells_each_stage_with_its_platform(tmp_path: Path) -> None:
    text = """version: 1
stages:
  tool: {from: scratch, platform: build, steps: [{write: {path: /a, text: a}}]}
  s: {from: scratch, steps: [{copy: {from: tool, paths: [/a], to: /}}]}
targets: {t: {stage: s, platforms: [linux/arm64]}}
"""
    plan = planned(tmp_path, text, ages.imagine((0, 13, 0)))
    assert "    stages  tool (linux/amd64), s (linux/arm64)" in as_text(plan)
    (job,) = as_json(plan)["jobs"]
    assert job["platforms"][0]["stages"] == [
        {"stage": "tool", "platform": "linux/amd64", "worker": None, "made-by": ""},
        {"stage": "s", "platform": "linux/arm64", "worker": None, "made-by": ""},
    ]


def test_a_plan_names_the_dialect_and_why_a_job_is_one(tmp_path: Path) -> None:
    plan = planned(tmp_path, TEXT.replace(", paths: [/a]", ""), ages.imagine((0, 8, 0)))
    text, data = as_text(plan), as_json(plan)
    assert "daemon a plain buildkitd: BuildKit v0.8.0 (buildkitd of its own), transitional" in text
    assert "target t (2) - a build of its own: more than one output in a build needs" in text
    assert data["daemons"][0]["imagined"] and data["daemons"][0]["dialect"] == "transitional"
    assert data["jobs"][1]["note"].startswith("a build of its own")


def test_a_plan_tells_what_is_done_another_way(tmp_path: Path) -> None:
    plan = planned(tmp_path, TEXT, ages.imagine((0, 4, 0)))
    (told,) = [line for line in as_text(plan).splitlines() if "copying" in line][:1]
    what = "copying and changing files by a helper program that this tool sends"
    assert told.startswith(f"    lowered  {what}, as it needs BuildKit v0.5 (")
    assert told.endswith("buildfile.yaml:3:38)")
    (lowering, *_) = as_json(plan)["jobs"][0]["platforms"][0]["lowerings"]
    assert (lowering["capability"], lowering["since"]) == ("file.base", "v0.5")
    assert lowering["span"]["start"] == {"line": 3, "column": 38}
    native = planned(tmp_path, TEXT, ages.imagine((0, 32, 2)))
    assert "lowered" not in as_text(native)
    assert as_json(native)["jobs"][0]["platforms"][0]["lowerings"] == []


def test_many_places_of_a_lowering_are_counted(tmp_path: Path) -> None:
    writes = ", ".join(f"{{write: {{path: /{n}, text: a}}}}" for n in range(5))
    stages = f"stages: {{s: {{from: scratch, steps: [{writes}]}}}}\n"
    text = f"version: 1\n{stages}targets: {{t: {{stage: s}}}}\n"
    told = as_text(planned(tmp_path, text, ages.imagine((0, 3, 0))))
    assert " and 2 more)" in told
