from __future__ import annotations

from pathlib import Path

from buildfile.demand import ProjectDemands
from buildfile.placement import Demand, Station
from buildfile.sites import station
from daemon_shim.info import DaemonInfo, Worker
from tests.buildfile.projects import project
from tests.daemon_shim.infos import graphdriver, info
from translator.platform import Platform

TEXT = """version: 1
workers: {fast: {labels: {pool: fast}}}
stages:
  a: {from: scratch, worker: fast, steps: [{write: {path: /a, text: a}}]}
  b: {from: scratch, steps: [{write: {path: /b, text: b}}, {symlink: {path: /l, target: b}}]}
  m: {merge: [a, b]}
  r: {from: a, steps: [{run: [/a]}, {copy: {from: b, to: /}}]}
targets:
  b: {stage: b, worker: fast}
  m: {stage: m}
  e: {stage: b, outputs: [{type: image, name: x, push: true}]}
  r:
    stage: r
    platforms: [linux/arm64, linux/amd64]
    outputs: [{type: tar, dest: x.tar}, {type: image, name: x, push: true}]
    cache: {export: [{type: local, dest: c}], import: [{type: gha}]}
    attest: {sbom: true}
"""


def demands(folder: Path, daemon: DaemonInfo) -> tuple[ProjectDemands, Station]:
    made = project(folder, TEXT)
    return (
        ProjectDemands(made, made.select(["b", "m", "e", "r"]), {"it": daemon}),
        station("it", daemon.address, daemon.workers),
    )


def wanted(folder: Path, target: str) -> Demand:
    made, there = demands(folder, info((0, 13, 0)))
    return made.of(target, there)


def test_selectors_are_those_of_the_target_and_of_its_stages(tmp_path: Path) -> None:
    names = [(each.selector.name, each.owner) for each in wanted(tmp_path, "m").wishes]
    assert names == [("fast", "the stage a")]
    names = [(each.selector.name, each.owner) for each in wanted(tmp_path, "b").wishes]
    assert names == [("fast", "the target b")]


def test_platforms_are_those_that_steps_run_on(tmp_path: Path) -> None:
    assert wanted(tmp_path, "m").platforms == frozenset()
    assert wanted(tmp_path, "r").platforms == {
        Platform("linux", "arm64"),
        Platform("linux", "amd64"),
    }
    assert {ref.name for ref in wanted(tmp_path, "r").stages} == {"a", "b", "r"}


def test_a_dockerfile_has_steps_to_run(tmp_path: Path) -> None:
    text = """version: 1
stages: {s: {dockerfile: {context: {local: .}}}}
targets: {t: {stage: s}}
"""
    made, daemon = project(tmp_path, text), info((0, 32, 0))
    demands_ = ProjectDemands(made, made.select(["t"]), {"it": daemon})
    assert demands_.of("t", station("it", daemon.address, daemon.workers)).platforms == {
        Platform("linux", "amd64")
    }


def test_what_an_old_daemon_lacks(tmp_path: Path) -> None:
    made, there = demands(tmp_path, info((0, 3, 0)))
    assert made.lacking("b", there) == ("copying and changing files", "a symlink step")
    assert "a merge stage" in made.lacking("m", there)
    lacking = made.lacking("r", there)
    for each in (
        "this tar output",
        "a local cache to export",
        "a gha cache to import",
        "attestations",
    ):
        assert each in lacking


def test_a_new_daemon_lacks_nothing(tmp_path: Path) -> None:
    made, there = demands(tmp_path, info((0, 32, 0)))
    assert made.lacking("m", there) == made.lacking("r", there) == ()


def test_that_an_engine_pushes_by_itself_is_no_lack(tmp_path: Path) -> None:
    made, there = demands(tmp_path, graphdriver((0, 32, 0)))
    assert made.lacking("e", there) == ()


def test_a_station_has_its_workers_with_normal_platforms() -> None:
    workers = (Worker(id="w", labels={"a": "b"}, platforms=("linux/arm64/v8",)), Worker(id="v"))
    first, second = station("new", "unix:///new.sock", workers).workers
    assert (first.id, first.labels, first.daemon) == ("w", {"a": "b"}, "new")
    assert first.platforms == (Platform("linux", "arm64"),) and second.id == "v"


def test_a_daemon_without_workers_is_there_all_the_same() -> None:
    (worker,) = station("new", "unix:///new.sock", ()).workers
    assert worker.platforms == () and worker.daemon == "new"
