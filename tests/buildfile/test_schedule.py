"""What moves when, planned for daemons that are not there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from buildfile.cachesearch import CacheSearch
from buildfile.demand import ProjectDemands
from buildfile.failure import BuildFailedError
from buildfile.handoff import Handoff, Handoffs
from buildfile.loopback import Loopback
from buildfile.placement import place
from buildfile.plan import Plan
from buildfile.provenance import Provenance
from buildfile.runplan import Order
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
from daemon_shim.session.outputs import OutputError
from tests.buildfile.projects import project
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
    daemons: Iterable[str] = "abc",
    platforms: Mapping[str, str] = MappingProxyType({}),
    releases: Mapping[str, Release] = MappingProxyType({}),
) -> Schedule:
    made = project(folder, HEAD + text)
    targets = {target.name: target for target in made.select(names)}
    infos: Mapping[str, DaemonInfo] = {
        name: _of(platforms[name]) if name in platforms else info(releases.get(name, (0, 32, 0)))
        for name in daemons
    }
    logins: Any = Nothing()
    sites: dict[str, Any] = {
        name: Site(
            daemon=FakeDaemon(each),  # type: ignore[arg-type]
            loopback=Loopback(None),
            environment={},
            logins=logins,
            search=CacheSearch(logins),
        )
        for name, each in infos.items()
    }
    stations = [station(name, f"unix:///{name}", each.workers) for name, each in infos.items()]
    placement = place(list(targets), stations, ProjectDemands(made, list(targets.values()), infos))
    assert not placement.unplaced
    order = Order(project=made, targets=tuple(targets.values()))
    return Schedule(order, placement, sites, lambda: handoffs, [*daemons, "gone"])


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
    assert list(first.values()) == [["stage one", "stage one #2"]]


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
    """The names under which each job exports its caches, in all waves."""
    return {
        job.name: [cache.tag or cache.type for cache in job.cache_exports]
        for wave in planned(schedule)
        for plan in wave.values()
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
    plan = schedule.planned(0)["a"]
    assert not plan.refusals
    assert [(len(job.calls), len(job.cache_exports)) for job in plan.jobs] == [(1, 1), (1, 1)]


def test_what_moves_looks_for_the_caches_of_its_target_as_well(
    tmp_path: Path, handoffs: Handoffs
) -> None:
    first, _ = planned(scheduled(tmp_path, handoffs, CACHED, "u"))
    (job,) = first["a"].jobs
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
    first, second = planned(schedule)
    jobs = first["a"].jobs
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
    assert [job.name for job in second["b"].jobs] == ["t"]


def test_a_daemon_that_exports_no_such_cache_builds_the_stage_all_the_same(
    tmp_path: Path, handoffs: Handoffs
) -> None:
    text = CACHED.replace("{type: local, dest: c}", "{type: s3, bucket: b, region: r}")
    schedule = scheduled(tmp_path, handoffs, text, "u", releases={"a": (0, 8, 0)})
    first, _ = planned(schedule)
    plan = first["a"]
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
    (first, second) = planned(schedule)
    asked = {"attest:provenance": "mode=min"}
    assert attested(first["arm64"]) == {"stage lib": {}, "stage app": asked}
    assert attested(second["amd64"]) == {"t": asked}
    (job,) = second["amd64"].jobs
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

    def receive(self: Handoff, job: Any, response: Mapping[str, str]) -> None:
        self.provenance = known if job.name == "stage app" else None

    monkeypatch.setattr(Handoff, "receive", receive)
    schedule = parted(tmp_path, handoffs, PUSHED, "{type: local, dest: out}")
    planned(schedule)
    solved = Solved(response={}, files=())
    schedule.receive(0, {"stage app": solved, "stage lib": solved})
    (job,) = schedule.planned(1)["amd64"].jobs
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
    (first, second) = planned(schedule)
    assert not any(attested(first["arm64"]).values())
    (note,) = (each.note for job in second["amd64"].jobs for each in job.exports)
    assert note.startswith("the provenance of linux/arm64 is only that it came from arm64, ")
    assert reason in note


def test_one_output_that_can_have_it_is_enough(
    tmp_path: Path, handoffs: Handoffs, registry: list[str]
) -> None:
    schedule = parted(tmp_path, handoffs, PUSHED, "{type: local, dest: out}", "{type: none}")
    (first, second) = planned(schedule)
    assert attested(first["arm64"])["stage app"]
    notes = [each.note for job in second["amd64"].jobs for each in job.exports]
    assert ["is that of arm64" in note for note in notes] == [True, False, False]
    assert notes[-1] == ""


def test_without_provenance_nothing_is_told_or_said(
    tmp_path: Path, handoffs: Handoffs, registry: list[str]
) -> None:
    text = PARTED.replace("provenance: min", "provenance: false")
    (first, second) = planned(parted(tmp_path, handoffs, PUSHED, text=text))
    assert not any(attested(first["arm64"]).values())
    assert not any(each.note for job in second["amd64"].jobs for each in job.exports)
    assert not registry


def test_a_registry_that_does_not_answer_is_left_alone(
    tmp_path: Path, handoffs: Handoffs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(self: RegistryClient, repository: Repository, reference: str) -> Found:
        raise NoRegistryError("nobody is there")

    monkeypatch.setattr(RegistryClient, "find", find)
    (first, second) = planned(parted(tmp_path, handoffs, PUSHED))
    assert not any(attested(first["arm64"]).values())
    (note,) = (each.note for job in second["amd64"].jobs for each in job.exports)
    assert note.endswith("as example.com does not answer this machine: nobody is there")
