"""What comes next in a run, with plans for daemons that are not there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from buildfile.course import Course
from buildfile.failure import RefusedError
from buildfile.order import Order
from buildfile.placement import Station
from buildfile.runplan import RunPlan
from buildfile.sites import station
from daemon_shim.errors import DaemonError, LostConnectionError
from tests.buildfile.projects import planned, project
from tests.daemon_shim.infos import info
from translator.diagnostic import Diagnostic

TEXT = """version: 1
stages: {s: {from: scratch, steps: [{write: {path: /a, text: a}}]}}
targets:
  a: {stage: s, outputs: [{type: tar, dest: 1.tar}, {type: tar, dest: 2.tar}]}
  b: {stage: s}
"""
OLD = info((0, 8, 0))


class Said:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@dataclass
class FakeSites:
    """Plans all that is asked for on the first daemon that is left."""

    folder: Path
    stations: tuple[Station, ...]
    asked: list[list[str]] = field(default_factory=list)

    @property
    def open_(self) -> dict[str, Any]:
        daemon = type("Site", (), {"daemon": None})
        return {each.name: daemon for each in self.stations}

    def planned(self, order: Order, stations: Sequence[Station]) -> RunPlan:
        names = [target.name for target in order.targets]
        self.asked.append(names)
        first = next(each.name for each in stations if each.workers)
        made = planned(self.folder, TEXT, OLD, *names)
        return RunPlan(plans={first: made}, order=order)


def course(folder: Path, said: Said) -> tuple[Course, FakeSites]:
    made = project(folder, TEXT)
    stations = [station(name, f"unix:///{name}", OLD.workers) for name in ("one", "two")]
    sites: Any = FakeSites(folder, tuple(stations))
    order = Order(project=made, targets=made.select(["a", "b"]))
    display: Any = said
    return Course(sites, sites.planned(order, stations), display), sites


def lost(name: str) -> DaemonError:
    return LostConnectionError("it went away", address=f"unix:///{name}")


def test_where_nothing_moves_nothing_follows(tmp_path: Path) -> None:
    made, _ = course(tmp_path, said := Said())
    (share,) = made.begin()
    assert [job.name for job in share.plan.jobs] == ["a", "a (2)", "b"] and share.mark == "one"
    assert said.lines == ["on one (unix:///test.sock): a, b"]
    assert made.follow() is None


def test_what_follows_is_refused_where_the_daemon_cannot_do_it(tmp_path: Path) -> None:
    text = TEXT.replace("type: tar, dest: 2.tar", "type: image, name: x, compression: zstd")
    plan = planned(tmp_path, text, OLD, "a")
    schedule: Any = type("Schedule", (), {"follow": lambda _: ("one", plan)})()
    sites: Any = FakeSites(tmp_path, (station("one", "unix:///one", OLD.workers),))
    run = RunPlan(plans={"one": plan}, schedule=schedule)
    display: Any = Said()
    with pytest.raises(RefusedError):
        Course(sites, run, display).follow()


def test_what_a_lost_daemon_did_not_build_is_planned_for_another(tmp_path: Path) -> None:
    made, sites = course(tmp_path, said := Said())
    made.begin()
    (share,) = made.again(["a", "a (2)"], [lost("one")])
    assert sites.asked == [["a", "b"], ["b"]]
    assert share.mark == "two" and [job.name for job in share.plan.jobs] == ["b"]
    assert said.lines[1] == (
        "warning: lost unix:///one (it went away); what it built is planned again"
    )


def test_a_target_of_which_a_part_is_there_is_not_built_twice(tmp_path: Path) -> None:
    made, _ = course(tmp_path, Said())
    made.begin()
    with pytest.raises(LostConnectionError):
        made.again(["a"], [lost("one")])


def test_where_others_go_on_that_target_is_left_out(tmp_path: Path) -> None:
    made, sites = course(tmp_path, Said())
    made.begin()
    left_out: list[Diagnostic] = []
    (share,) = made.again(["a"], [lost("one")], left_out.extend)
    assert sites.asked == [["a", "b"], ["b"]]
    assert [job.name for job in share.plan.jobs] == ["b"]
    assert [each.message for each in left_out] == ["unix:///one: it went away"]


@pytest.mark.parametrize(("names", "left"), [(["b"], [["a"]]), (["a", "b"], [])])
def test_what_no_other_daemon_may_build_is_left_out_too(
    tmp_path: Path, names: list[str], left: list[list[str]]
) -> None:
    refusal = Diagnostic(code="x", message="there is no other")

    class Picky(FakeSites):
        def planned(self, order: Order, stations: Sequence[Station]) -> RunPlan:
            run = super().planned(order, stations)
            refused = frozenset(names).intersection(self.asked[-1])
            plans = {
                name: replace(plan, refusals=(refusal,) * bool(refused), refused=refused)
                for name, plan in run.plans.items()
            }
            return replace(run, plans=plans)

    made, _ = course(tmp_path, Said())
    made._sites = sites = Picky(tmp_path, made._stations)  # type: ignore[assignment]
    left_out: list[Diagnostic] = []
    shares = made.again([], [lost("one")], left_out.extend)
    assert sites.asked == [["a", "b"], *left]
    assert {job.target.name for share in shares for job in share.plan.jobs} == {
        name for asked in left for name in asked
    }
    assert left_out == [refusal]


def test_the_last_daemon_that_is_lost_ends_the_run(tmp_path: Path) -> None:
    made, _ = course(tmp_path, Said())
    made.begin()
    with pytest.raises(LostConnectionError):
        made.again([], [lost("one"), lost("two")])


def test_a_daemon_that_is_none_of_the_run_is_no_loss_to_go_on_from(tmp_path: Path) -> None:
    made, _ = course(tmp_path, Said())
    made.begin()
    with pytest.raises(LostConnectionError):
        made.again([], [lost("three")])
