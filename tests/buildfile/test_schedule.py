"""What moves when, planned for daemons that are not there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from buildfile.demand import ProjectDemands
from buildfile.failure import RefusedError
from buildfile.handoff import Handoff, Handoffs
from buildfile.order import Order
from buildfile.placement import place
from buildfile.plan import Plan
from buildfile.provenance import Provenance
from buildfile.schedule import Schedule
from buildfile.site import Site
from buildfile.sites import station
from buildfile.solve import Solved
from daemon_shim.info import DaemonInfo
from daemon_shim.registry.client import (
    Found,
    NoRegistryError,
    NotThereError,
    RegistryClient,
    Repository,
)
from daemon_shim.releases import Release
from tests.buildfile.projects import project, site
from tests.daemon_shim.infos import info
from translator.platform import Platform

HEAD = """version: 1
workers: {a: {daemon: a}, b: {daemon: b}, c: {daemon: c}}
"""
CHAIN = """stages:
  one: {from: scratch, worker: a, steps: [{write: {path: /1, text: x}}]}
  two: {from: one, worker: b, steps: [{write: {path: /2, text: x}}]}
  three: {from: two, steps: [{copy: {from: one, to: /again}}]}
targets: {t: {stage: three, worker: c}, u: {stage: two}, v: {stage: one}}
"""


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
    daemons: Iterable[str] = "abc",
    platforms: Mapping[str, str] = MappingProxyType({}),
    releases: Mapping[str, Release] = MappingProxyType({}),
) -> Schedule:
    made = project(folder, HEAD + text)
    targets = {target.name: target for target in made.select(names)}
    infos = {
        name: _of(platforms[name]) if name in platforms else info(releases.get(name, (0, 32, 0)))
        for name in daemons
    }
    sites = {name: site(each) for name, each in infos.items()}
    stations = [station(name, f"unix:///{name}", each.workers) for name, each in infos.items()]
    placement = place(list(targets), stations, ProjectDemands(made, list(targets.values()), infos))
    assert not placement.unplaced
    order = Order(project=made, targets=tuple(targets.values()))
    return Schedule(order, placement, sites, lambda: handoffs, [*daemons, "gone"])


def waits(plans: Mapping[str, Plan]) -> dict[str, dict[str, tuple[str, ...]]]:
    """What each job waits for."""
    return {name: {job.name: job.waits_for for job in plan.jobs} for name, plan in plans.items()}


def test_without_moves_nothing_waits(tmp_path: Path, handoffs: Handoffs) -> None:
    schedule = scheduled(tmp_path, handoffs, CHAIN, "v")
    assert waits(schedule.plan()) == {"a": {"v": ()}}
    assert schedule.follow() is None


def test_each_stage_waits_for_what_moves_to_it(tmp_path: Path, handoffs: Handoffs) -> None:
    schedule = scheduled(tmp_path, handoffs, CHAIN, "t", "v")
    assert waits(schedule.plan()) == {
        "a": {"stage one": (), "v": ()},
        "b": {"stage two": ("stage one",)},
        "c": {"t": ("stage one", "stage two")},
    }


def test_each_daemon_gets_only_its_own_stages(tmp_path: Path, handoffs: Handoffs) -> None:
    plans = scheduled(tmp_path, handoffs, CHAIN, "t").plan()
    assert [[*plan.jobs[0].parts[0].names.values()] for plan in plans.values()] == [
        ["[one] write /1"],
        ["load image one", "[two] write /2"],
        ["load image one", "load image two", "[three] copy one -> /again"],
    ]
    assert plans["a"].jobs[0].inner and not plans["c"].jobs[0].inner


def test_a_stage_that_several_need_moves_once(tmp_path: Path, handoffs: Handoffs) -> None:
    text = """stages:
  one: {from: scratch, worker: a, steps: [{write: {path: /1, text: x}}]}
  two: {from: one, worker: b, steps: [{write: {path: /2, text: x}}]}
  deux: {from: one, worker: b, steps: [{write: {path: /2, text: y}}]}
targets: {t: {stage: two}, u: {stage: deux}}
"""
    schedule = scheduled(tmp_path, handoffs, text, "t", "u")
    assert waits(schedule.plan()) == {
        "a": {"stage one": ()},
        "b": {"t": ("stage one",), "u": ("stage one",)},
    }


def test_a_stage_comes_back_to_a_daemon_that_it_left(tmp_path: Path, handoffs: Handoffs) -> None:
    text = """stages:
  one: {from: scratch, worker: a, steps: [{write: {path: /1, text: x}}]}
  two: {from: one, worker: b, steps: [{write: {path: /2, text: x}}]}
  three: {from: two, worker: a, steps: [{copy: {from: one, to: /x}}]}
targets: {t: {stage: three, worker: a}}
"""
    schedule = scheduled(tmp_path, handoffs, text, "t", daemons="ab")
    plans = schedule.plan()
    assert waits(plans) == {
        "a": {"stage one": (), "t": ("stage two",)},
        "b": {"stage two": ("stage one",)},
    }
    (part,) = plans["a"].jobs[1].parts
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
        for plan in schedule.plan().values()
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
    plans = schedule.plan()
    given = {str(job.instances[0].platform) for job in plans["b"].jobs}
    (job,) = plans["a"].jobs
    loaded = sorted(name for name in job.parts[0].names.values() if "load image" in name)
    assert given == {"linux/amd64", "linux/arm64"} and len(plans["b"].jobs) == len(loaded) == 2
    assert set(job.waits_for) == {each.name for each in plans["b"].jobs}


def test_names_are_no_other_jobs(tmp_path: Path, handoffs: Handoffs) -> None:
    text = """stages:
  one: {from: scratch, worker: a, steps: [{write: {path: "/${platform.arch}", text: x}}]}
  two: {from: one, worker: b}
targets: {t: {stage: two, platforms: [linux/amd64, linux/arm64]}}
"""
    assert waits(scheduled(tmp_path, handoffs, text, "t").plan()) == {
        "a": {"stage one": (), "stage one #2": ()},
        "b": {"t": ("stage one", "stage one #2")},
    }


# --- a run under way ---------------------------------------------------------------------------


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Mapping[str, str]]]:
    """What handoffs took, by the names of the jobs."""
    found: list[tuple[str, Mapping[str, str]]] = []

    def receive(self: Handoff, job: Any, response: Mapping[str, str]) -> None:
        found.append((job.name, response))

    monkeypatch.setattr(Handoff, "receive", receive)
    return found


def receive(schedule: Schedule, plans: Mapping[str, Plan], *names: str) -> None:
    jobs = {job.name: job for plan in plans.values() for job in plan.jobs}
    for name in names:
        schedule.receive(jobs[name], Solved(response={"of": name}, files=()))


def follow(schedule: Schedule) -> dict[str, list[str]]:
    """All that can begin."""
    plans = iter(schedule.follow, None)
    return {name: [job.name for job in plan.jobs] for name, plan in plans}


def test_what_waits_follows_as_soon_as_all_of_it_is_there(
    tmp_path: Path, handoffs: Handoffs, taken: list[tuple[str, Mapping[str, str]]]
) -> None:
    schedule = scheduled(tmp_path, handoffs, CHAIN, "t", "v")
    plans = schedule.plan()
    assert follow(schedule) == {}
    receive(schedule, plans, "stage one")
    assert taken == [("stage one", {"of": "stage one"})]
    assert follow(schedule) == {"b": ["stage two"]}
    assert follow(schedule) == {}
    receive(schedule, plans, "stage two")
    assert follow(schedule) == {"c": ["t"]}


PAIRS = """stages:
  one: {from: scratch, worker: a, steps: [{write: {path: /1, text: x}}]}
  eins: {from: scratch, worker: a, steps: [{write: {path: /1, text: y}}]}
  two: {from: one, worker: b}
  zwei: {from: eins, worker: b}
  drei: {from: eins, worker: c}
targets: {t: {stage: two}, u: {stage: zwei}, v: {stage: drei}, w: {stage: drei}}
"""


def test_what_waits_for_one_follows_without_the_other(
    tmp_path: Path, handoffs: Handoffs, taken: object
) -> None:
    schedule = scheduled(tmp_path, handoffs, PAIRS, "t", "u", "v", "w")
    receive(schedule, schedule.plan(), "stage eins")
    assert follow(schedule) == {"b": ["u"], "c": ["v", "w"]}


def test_what_a_daemon_can_begin_at_once_is_planned_together(
    tmp_path: Path, handoffs: Handoffs, taken: object
) -> None:
    schedule = scheduled(tmp_path, handoffs, PAIRS, "t", "u")
    receive(schedule, schedule.plan(), "stage eins", "stage one")
    assert follow(schedule) == {"b": ["t", "u"]}


def test_what_cannot_be_planned_is_left_out_alone(
    tmp_path: Path, handoffs: Handoffs, taken: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = scheduled(tmp_path, handoffs, PAIRS, "t", "u", "v")
    receive(schedule, schedule.plan(), "stage eins", "stage one")
    with monkeypatch.context() as patched:
        patched.setattr(Site, "plan", _refuse)
        with pytest.raises(RefusedError):
            schedule.follow()
    assert follow(schedule) == {"c": ["v"]}


def _refuse(*_: object, **__: object) -> Plan:
    raise RefusedError([])


# --- caches --------------------------------------------------------------------------------------

CACHED = """stages:
  one: {from: scratch, worker: a, steps: [{write: {path: /1, text: x}}]}
  two: {from: scratch, worker: a, steps: [{write: {path: "/${platform.arch}", text: x}}]}
  three: {from: one, worker: b, steps: [{copy: {from: two, to: /2}}]}
  other: {from: one, worker: c}
cache:
  import: [{type: local, src: c}]
  export: [{type: local, dest: c}, {type: local, dest: d, tag: own, by-daemon: false}, type=inline]
targets:
  t: {stage: three, platforms: [linux/amd64, linux/arm64], outputs: [{type: image, name: t}]}
  u: {stage: other}
"""


def exports(schedule: Schedule) -> dict[str, list[str]]:
    """The names under which each job exports its caches."""
    return {
        job.name: [cache.tag or cache.type for cache in job.cache_exports]
        for plan in schedule.plan().values()
        for job in plan.jobs
    }


def test_what_moves_has_a_cache_of_its_own(tmp_path: Path, handoffs: Handoffs) -> None:
    made = exports(scheduled(tmp_path, handoffs, CACHED, "t"))
    assert made.pop("t") == ["latest-b", "own", "inline"]
    assert sorted(made) == ["stage one", "stage one #2", "stage two", "stage two #2"]
    for name, tags in made.items():
        stage = name.split()[1]
        own, together = tags
        assert own.startswith(f"latest-a-{stage}-") and together.startswith(f"own-{stage}-")
    names = [tag for tags in made.values() for tag in tags]
    assert len(set(names)) == len(names) == 8  # each platform has one


def test_each_platform_that_is_built_elsewhere_has_a_cache_beside_the_targets_own(
    tmp_path: Path, handoffs: Handoffs
) -> None:
    text = """stages: {app: {from: scratch, steps: [{run: [make]}]}}
targets:
  t:
    stage: app
    platforms: [linux/amd64, linux/arm64, linux/s390x]
    outputs: [{type: image, name: t}]
    cache: {export: [{type: local, dest: c}]}
"""
    platforms = {"a": "linux/amd64", "b": "linux/arm64", "c": "linux/s390x"}
    made = exports(scheduled(tmp_path, handoffs, text, "t", platforms=platforms))
    (own,) = made.pop("t")
    tags = [tag for tags in made.values() for tag in tags]
    givers = {*"abc"} - {own.removeprefix("latest-")}
    assert len(tags) == 2
    assert {tag.rpartition("-")[0] for tag in tags} == {f"latest-{each}-app" for each in givers}


def test_a_frontend_that_works_alone_makes_each_cache_of_what_moves(
    tmp_path: Path, handoffs: Handoffs
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch")
    text = """sources: {src: {local: .}}
stages:
  one: {dockerfile: {context: src}, worker: a}
  two: {from: one, worker: b}
targets: {t: {stage: two, cache: {export: [r/one, r/two]}}}
"""
    schedule = scheduled(tmp_path, handoffs, text, "t", releases={"a": (0, 6, 0)})
    plan = schedule.plan()["a"]
    assert not plan.refusals
    assert [(len(job.calls), len(job.cache_exports)) for job in plan.jobs] == [(1, 1), (1, 1)]


def test_what_moves_looks_for_the_caches_of_its_target_as_well(
    tmp_path: Path, handoffs: Handoffs
) -> None:
    (job,) = scheduled(tmp_path, handoffs, CACHED, "u").plan()["a"].jobs
    tags = [cache.tag for cache in job.cache_imports]
    (export, _) = job.cache_exports
    assert tags == [export.tag, "latest-a", "latest"]


def test_what_several_need_is_exported_once(tmp_path: Path, handoffs: Handoffs) -> None:
    """For the first of them, also where it moves in two ways."""
    text = CACHED.replace("  u: {stage: other}", "  u: {stage: other, cache: {export: [r/u]}}")
    text = text.replace(", linux/arm64", "")
    made = exports(scheduled(tmp_path, handoffs, text, "t", "u", releases={"c": (0, 3, 3)}))
    legs = [tags for name, tags in made.items() if name.startswith("stage one")]
    assert sorted(map(len, legs)) == [0, 2] and "registry" not in [*legs[0], *legs[1]]
    assert made["u"] == ["registry"]


def test_a_daemon_that_exports_one_cache_at_a_time_gets_a_job_for_each(
    tmp_path: Path, handoffs: Handoffs
) -> None:
    schedule = scheduled(tmp_path, handoffs, CACHED, "t", "u", releases={"a": (0, 8, 0)})
    plans = schedule.plan()
    jobs = plans["a"].jobs
    assert {job.name: len(job.cache_exports) for job in jobs} == {
        f"stage {name}": 1
        for name in (
            "one",
            "one (2)",
            "one #2",
            "one #2 (2)",
            "two",
            "two (2)",
            "two #2",
            "two #2 (2)",
        )
    }
    again = [job for job in jobs if job.name.endswith("(2)")]
    assert all(job.inner and not job.exports and job.note for job in again)
    (waiting,) = plans["b"].jobs
    assert {*waiting.waits_for} == {"stage one", "stage two", "stage one #2", "stage two #2"}


def test_what_only_exports_a_cache_is_not_waited_for(
    tmp_path: Path, handoffs: Handoffs, taken: list[tuple[str, Mapping[str, str]]]
) -> None:
    schedule = scheduled(tmp_path, handoffs, CACHED, "u", releases={"a": (0, 8, 0)})
    plans = schedule.plan()
    receive(schedule, plans, "stage one (2)")
    assert follow(schedule) == {} and taken == []
    receive(schedule, plans, "stage one")
    assert follow(schedule) == {"c": ["u"]}


def test_a_daemon_that_exports_no_such_cache_builds_the_stage_all_the_same(
    tmp_path: Path, handoffs: Handoffs
) -> None:
    text = CACHED.replace("{type: local, dest: c}", "{type: s3, bucket: b, region: r}")
    schedule = scheduled(tmp_path, handoffs, text, "u", releases={"a": (0, 8, 0)})
    plan = schedule.plan()["a"]
    assert not plan.refusals
    told = [each.message for each in plan.warnings if "s3" in each.message]
    assert len(told) == 1 and "that stage one exports is left out: S3 cache needs" in told[0]
    assert [cache.option is None for job in plan.jobs for cache in job.cache_exports] == [
        True,
        False,
    ]


# --- how each platform was built -----------------------------------------------------------------

PARTED = """stages:
  lib: {from: scratch, worker: {daemon: arm64}, steps: [{write: {path: /l, text: x}}]}
  app:
    from: scratch
    worker: {daemon: "${platform.arch}"}
    steps: [{copy: {from: lib, to: /}}, {write: {path: /a, text: x}}]
targets:
  t:
    stage: app
    worker: {daemon: amd64}
    platforms: [linux/amd64, linux/arm64]
    attest: {provenance: min}
    outputs: [OUTPUT]
"""
PUSHED = "{type: image, name: example.com/app, push: true}"


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Registries that answer that they have nothing; the names that they were asked for."""
    asked = []

    def find(self: RegistryClient, repository: Repository, reference: str) -> Found:
        asked.append(f"{repository.host}/{repository.path}:{reference}")
        raise NotThereError("it is not there")

    monkeypatch.setattr(RegistryClient, "find", find)
    return asked


def parted(
    folder: Path, handoffs: Handoffs, *outputs: str, text: str = PARTED, release: Release = (0, 32)
) -> Schedule:
    return scheduled(
        folder,
        handoffs,
        text.replace("OUTPUT", ", ".join(outputs)),
        "t",
        daemons=("amd64", "arm64"),
        releases={"arm64": release},
    )


def attested(plan: Plan) -> dict[str, dict[str, str]]:
    return {job.name: dict(job.frontend_attrs) for job in plan.jobs}


def test_who_builds_a_platform_tells_of_it(
    tmp_path: Path, handoffs: Handoffs, registry: list[str]
) -> None:
    """Not who builds a stage of one."""
    schedule = parted(tmp_path, handoffs, PUSHED)
    plans = schedule.plan()
    asked = {"attest:provenance": "mode=min"}
    assert attested(plans["arm64"]) == {"stage lib": {}, "stage app": asked}
    assert attested(plans["amd64"]) == {"t": asked}
    (job,) = plans["amd64"].jobs
    assert job.exports[0].note == "the provenance of linux/arm64 is that of arm64"
    assert not job.exports[0].provenance  # nothing is built yet
    assert registry == ["example.com/app:latest"]


def test_what_was_told_goes_to_the_target(
    tmp_path: Path,
    handoffs: Handoffs,
    registry: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = Provenance(type="x", predicate={})

    def take(self: Handoff, job: Any, response: Mapping[str, str]) -> None:
        self.provenance = known if job.name == "stage app" else None

    monkeypatch.setattr(Handoff, "receive", take)
    schedule = parted(tmp_path, handoffs, PUSHED, "{type: local, dest: out}")
    receive(schedule, schedule.plan(), "stage app", "stage lib")
    (job,) = next(plan for name, plan in iter(schedule.follow, None) if name == "amd64").jobs
    told = {Platform.parse("linux/arm64"): known}
    assert [each.provenance for each in job.exports] == [told, {}]


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize(
    ("output", "release", "reason"),
    [
        ("{type: image, name: app}", (0, 32, 0), "as the image is not pushed"),
        ("{type: local, dest: out}", (0, 32, 0), "as type=local has no index"),
        (PUSHED, (0, 10, 6), "as attestations need BuildKit v0.11"),
    ],
)
def test_what_nobody_tells_is_in_the_plan(
    tmp_path: Path, handoffs: Handoffs, output: str, release: Release, reason: str
) -> None:
    schedule = parted(tmp_path, handoffs, output, release=release)
    plans = schedule.plan()
    assert not any(attested(plans["arm64"]).values())
    (note,) = (each.note for job in plans["amd64"].jobs for each in job.exports)
    assert note.startswith("the provenance of linux/arm64 is only that it came from arm64, ")
    assert reason in note


def test_one_output_that_can_have_it_is_enough(
    tmp_path: Path, handoffs: Handoffs, registry: list[str]
) -> None:
    schedule = parted(tmp_path, handoffs, PUSHED, "{type: local, dest: out}", "{type: none}")
    plans = schedule.plan()
    assert attested(plans["arm64"])["stage app"]
    notes = [each.note for job in plans["amd64"].jobs for each in job.exports]
    assert ["is that of arm64" in note for note in notes] == [True, False, False]
    assert notes[-1] == ""


def test_without_provenance_nothing_is_told_or_said(
    tmp_path: Path, handoffs: Handoffs, registry: list[str]
) -> None:
    text = PARTED.replace("provenance: min", "provenance: false")
    plans = parted(tmp_path, handoffs, PUSHED, text=text).plan()
    assert not any(attested(plans["arm64"]).values())
    assert not any(each.note for job in plans["amd64"].jobs for each in job.exports)
    assert not registry


def test_a_registry_that_does_not_answer_is_left_alone(
    tmp_path: Path, handoffs: Handoffs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(self: RegistryClient, repository: Repository, reference: str) -> Found:
        raise NoRegistryError("nobody is there")

    monkeypatch.setattr(RegistryClient, "find", find)
    plans = parted(tmp_path, handoffs, PUSHED).plan()
    assert not any(attested(plans["arm64"]).values())
    (note,) = (each.note for job in plans["amd64"].jobs for each in job.exports)
    assert note.endswith("as example.com does not answer this machine: nobody is there")
