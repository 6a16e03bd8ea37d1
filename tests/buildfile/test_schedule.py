"""What moves when, planned for daemons that are not there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from buildfile.demand import ProjectDemands
from buildfile.failure import BuildFailedError
from buildfile.handoff import Handoff, Handoffs
from buildfile.loopback import Loopback
from buildfile.placement import place
from buildfile.plan import Plan
from buildfile.runplan import Order
from buildfile.schedule import Schedule
from buildfile.site import Site
from buildfile.sites import station
from buildfile.solve import Solved
from daemon_shim.info import DaemonInfo
from daemon_shim.session.outputs import OutputError
from tests.buildfile.projects import project
from tests.daemon_shim.infos import info

HEAD = """version: 1
workers: {a: {daemon: a}, b: {daemon: b}, c: {daemon: c}}
"""
CHAIN = """stages:
  one: {from: scratch, worker: a, steps: [{write: {path: /1, text: x}}]}
  two: {from: one, worker: b, steps: [{write: {path: /2, text: x}}]}
  three: {from: two, steps: [{copy: {from: one, to: /again}}]}
targets: {t: {stage: three, worker: c}, u: {stage: two}, v: {stage: one}}
"""


class FakeDaemon:
    def __init__(self, made: DaemonInfo) -> None:
        self.info = lambda: made


class Nothing:
    """A client of registries and a holder of logins that nobody may ask."""

    login = None


@pytest.fixture
def handoffs(tmp_path: Path) -> Iterator[Handoffs]:
    with Handoffs({"TMPDIR": str(tmp_path)}) as made:
        yield made


def _of(platform: str) -> DaemonInfo:
    made = info((0, 32, 0))
    workers = tuple(replace(each, platforms=(platform,)) for each in made.workers)
    return replace(made, address=f"unix:///{platform}", workers=workers)


def scheduled(
    folder: Path,
    handoffs: Handoffs,
    text: str,
    *names: str,
    daemons: str = "abc",
    platforms: Mapping[str, str] = MappingProxyType({}),
) -> Schedule:
    made = project(folder, HEAD + text)
    targets = {target.name: target for target in made.select(names)}
    infos: Mapping[str, DaemonInfo] = {
        name: _of(platforms[name]) if name in platforms else info((0, 32, 0)) for name in daemons
    }
    logins: Any = Nothing()
    sites: dict[str, Any] = {
        name: Site(
            daemon=FakeDaemon(each),  # type: ignore[arg-type]
            loopback=Loopback(None),
            environment={},
            logins=logins,
        )
        for name, each in infos.items()
    }
    stations = [station(name, f"unix:///{name}", each.workers) for name, each in infos.items()]
    placement = place(list(targets), stations, ProjectDemands(made, list(targets.values()), infos))
    assert not placement.unplaced
    order = Order(project=made, targets=tuple(targets.values()))
    return Schedule(order, placement, sites, lambda: handoffs)


def planned(schedule: Schedule) -> list[dict[str, Plan]]:
    return [schedule.planned(wave) for wave in range(schedule.waves)]


def names(schedule: Schedule) -> list[dict[str, list[str]]]:
    return [
        {name: [job.name for job in plan.jobs] for name, plan in wave.items()}
        for wave in planned(schedule)
    ]


def test_without_moves_there_is_one_wave(tmp_path: Path, handoffs: Handoffs) -> None:
    schedule = scheduled(tmp_path, handoffs, CHAIN, "v")
    assert names(schedule) == [{"a": ["v"]}]


def test_each_stage_comes_after_what_moves_to_it(tmp_path: Path, handoffs: Handoffs) -> None:
    schedule = scheduled(tmp_path, handoffs, CHAIN, "t", "v")
    assert names(schedule) == [
        {"a": ["stage one", "v"]},
        {"b": ["stage two"]},
        {"c": ["t"]},
    ]


def test_each_daemon_gets_only_its_own_stages(tmp_path: Path, handoffs: Handoffs) -> None:
    first, second, third = planned(scheduled(tmp_path, handoffs, CHAIN, "t"))
    steps = [
        [*plan.jobs[0].parts[0].names.values()] for plan in (first["a"], second["b"], third["c"])
    ]
    assert steps == [
        ["[one] write /1"],
        ["load image one", "[two] write /2"],
        ["load image one", "load image two", "[three] copy one -> /again"],
    ]
    assert first["a"].jobs[0].inner and not third["c"].jobs[0].inner


def test_a_stage_that_several_need_moves_once(tmp_path: Path, handoffs: Handoffs) -> None:
    text = """stages:
  one: {from: scratch, worker: a, steps: [{write: {path: /1, text: x}}]}
  two: {from: one, worker: b, steps: [{write: {path: /2, text: x}}]}
  deux: {from: one, worker: b, steps: [{write: {path: /2, text: y}}]}
targets: {t: {stage: two}, u: {stage: deux}}
"""
    schedule = scheduled(tmp_path, handoffs, text, "t", "u")
    first, second = names(schedule)
    assert first == {"a": ["stage one"]}
    assert second == {"b": ["t", "u"]}


def test_a_stage_comes_back_to_a_daemon_that_it_left(tmp_path: Path, handoffs: Handoffs) -> None:
    text = """stages:
  one: {from: scratch, worker: a, steps: [{write: {path: /1, text: x}}]}
  two: {from: one, worker: b, steps: [{write: {path: /2, text: x}}]}
  three: {from: two, worker: a, steps: [{copy: {from: one, to: /x}}]}
targets: {t: {stage: three, worker: a}}
"""
    schedule = scheduled(tmp_path, handoffs, text, "t", daemons="ab")
    waves = planned(schedule)
    assert [[*wave] for wave in waves] == [["a"], ["b"], ["a"]]
    (part,) = waves[2]["a"].jobs[0].parts
    assert {*part.names.values()} == {
        "[one] write /1",
        "load image two",
        "[three] copy one -> /x",
    }


def test_the_build_platform_is_that_of_the_daemon_which_builds_the_stage(
    tmp_path: Path, handoffs: Handoffs
) -> None:
    text = """stages:
  base: {from: scratch, platform: build, steps: [{write: {path: /0, text: x}}]}
  one: {from: base, worker: a, steps: [{write: {path: /1, text: x}}]}
  two: {from: base, worker: b, platform: build, steps: [{copy: {from: one, to: /2}}]}
  three: {from: base, worker: c, steps: [{copy: {from: one, to: /3}}, {copy: {from: two, to: /4}}]}
targets: {t: {stage: three}}
"""
    platforms = {"a": "linux/arm64", "b": "linux/s390x"}
    schedule = scheduled(tmp_path, handoffs, text, "t", platforms=platforms)
    built = {
        job.name: {ref.name: str(stage.platform) for ref, stage in job.instances[0].stages.items()}
        for wave in planned(schedule)
        for plan in wave.values()
        for job in plan.jobs
    }
    assert built == {
        "stage one": {"base": "linux/arm64", "one": "linux/arm64"},
        "stage two": {"base": "linux/s390x", "one": "linux/arm64", "two": "linux/s390x"},
        "t": {
            "base": "linux/amd64",
            "one": "linux/arm64",
            "two": "linux/s390x",
            "three": "linux/amd64",
        },
    }


def test_a_stage_that_is_there_twice_for_another_platform_moves_twice(
    tmp_path: Path, handoffs: Handoffs
) -> None:
    """For the target's daemon both are one."""
    text = """stages:
  lib: {from: scratch, worker: b, steps: [{write: {path: /0, text: x}}]}
  tool: {from: lib, platform: build, steps: [{write: {path: /1, text: x}}]}
  top: {from: lib, steps: [{copy: {from: tool, to: /2}}]}
  one: {from: top, worker: a}
  two: {from: scratch, worker: c, steps: [{copy: {from: one, to: /3}}]}
targets: {t: {stage: two}}
"""
    schedule = scheduled(tmp_path, handoffs, text, "t", platforms={"a": "linux/arm64"})
    first, second, third = planned(schedule)
    given = {str(job.instances[0].platform) for job in first["b"].jobs}
    (job,) = second["a"].jobs
    loaded = sorted(name for name in job.parts[0].names.values() if "load image" in name)
    assert given == {"linux/amd64", "linux/arm64"} and len(first["b"].jobs) == len(loaded) == 2
    assert [*third] == ["c"]


def test_names_are_no_other_jobs(tmp_path: Path, handoffs: Handoffs) -> None:
    text = """stages:
  one: {from: scratch, worker: a, steps: [{write: {path: "/${platform.arch}", text: x}}]}
  two: {from: one, worker: b}
targets: {t: {stage: two, platforms: [linux/amd64, linux/arm64]}}
"""
    (first, _) = names(scheduled(tmp_path, handoffs, text, "t"))
    assert list(first.values()) == [["stage one", "stage one (2)"]]


def test_what_a_leg_delivers_is_taken_and_a_failure_has_its_name(
    tmp_path: Path, handoffs: Handoffs, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []

    def receive(self: Handoff, job: Any, response: Mapping[str, str]) -> None:
        taken.append((job.name, response))
        if "bad" in response:
            raise OutputError("it is damaged", dest="x")

    monkeypatch.setattr(Handoff, "receive", receive)
    schedule = scheduled(tmp_path, handoffs, CHAIN, "t")
    planned(schedule)
    schedule.receive(0, {"stage one": Solved(response={"k": "v"}, files=()), "t": None})  # type: ignore[dict-item]
    assert taken == [("stage one", {"k": "v"})]
    with pytest.raises(BuildFailedError) as error:
        schedule.receive(0, {"stage one": Solved(response={"bad": ""}, files=())})
    assert "stage one" in str(error.value)


def test_what_waits_for_a_failure_is_left_out(tmp_path: Path, handoffs: Handoffs) -> None:
    schedule = scheduled(tmp_path, handoffs, CHAIN, "t", "v")
    planned(schedule)
    schedule.receive(0, {})
    assert schedule.planned(1) == schedule.planned(2) == {}
