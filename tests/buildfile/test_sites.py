"""Whole runs on daemons that are not there, with jobs by script."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from buildfile import runner
from buildfile.building import carry_out
from buildfile.cachesearch import CacheSearch
from buildfile.failure import BuildFailedError
from buildfile.handoff import Handoff, Handoffs
from buildfile.results import BuildResult
from buildfile.sites import Sites, station
from buildfile.solve import Solved
from daemon_shim.errors import LostConnectionError
from tests.buildfile.projects import project, site
from tests.buildfile.scripted import HANG, FakeSolving, Script, Seen, done, failed, raises
from tests.daemon_shim.infos import info

HEAD = """version: 1
workers: {a: {daemon: a}, b: {daemon: b}, c: {daemon: c}, wish: {daemon: c, require: false}}
"""
TWO_WAYS = """stages:
  slow: {from: scratch, worker: a, steps: [{write: {path: /1, text: x}}]}
  quick: {from: scratch, worker: b, steps: [{write: {path: /1, text: y}}]}
  over: {from: quick, worker: a, steps: [{write: {path: /2, text: x}}]}
targets:
  late: {stage: slow, worker: c}
  early: {stage: over, worker: c}
"""
Run = Callable[..., BuildResult]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Run]:
    """Build all targets of a text on the daemons a, b and c."""
    monkeypatch.setattr(runner, "Solving", FakeSolving)
    monkeypatch.setattr(Handoff, "receive", lambda *_: None)
    with Handoffs({"TMPDIR": str(tmp_path)}) as handoffs:

        def build(text: str, scripts: Mapping[str, Script], **settings: bool) -> BuildResult:
            monkeypatch.setattr(FakeSolving, "scripts", scripts)
            made = project(tmp_path, HEAD + text)
            infos = {name: replace(info((0, 32, 0)), address=f"unix:///{name}") for name in "abc"}
            nothing: Any = None
            sites = Sites(
                stations=tuple(station(n, i.address, i.workers) for n, i in infos.items()),
                open_={name: site(known) for name, known in infos.items()},
                search=CacheSearch(nothing),
                handoffs=lambda: handoffs,
            )
            run = sites.plan(made, made.select(["*"]))
            return carry_out(run, sites, Seen(), (), (), **settings)

        yield build


def test_what_waits_for_a_slow_stage_holds_up_no_other(run: Run) -> None:
    """The slow one ends when the other way has been gone to its end, over two moves."""
    ended = threading.Event()

    def slow(solving: FakeSolving) -> Solved:
        assert ended.wait(HANG)
        return done(solving)

    def early(solving: FakeSolving) -> Solved:
        ended.set()
        return done(solving)

    scripts = {"stage slow": slow, "stage quick": done, "stage over": done}
    result = run(TWO_WAYS, {**scripts, "early": early, "late": done})
    assert [*result.targets] == ["late", "early"]


def test_with_keep_going_only_what_waits_for_a_failure_is_left_out(run: Run) -> None:
    scripts = {"stage slow": done, "stage quick": raises(failed()), "late": done}
    with pytest.raises(BuildFailedError) as error:
        run(TWO_WAYS, scripts, keep_going=True)
    assert [each.message for each in error.value.diagnostics] == ["stage quick failed: no space"]
    assert error.value.built and [*error.value.built.targets] == ["late"]


def test_what_was_moved_to_a_lost_daemon_is_built_anew(run: Run) -> None:
    text = """stages:
  one: {from: scratch, worker: a, steps: [{write: {path: /1, text: x}}]}
  two: {from: one, worker: wish, steps: [{write: {path: /2, text: x}}]}
targets: {t: {stage: two, worker: wish}, u: {stage: one}}
"""
    begun: list[str] = []

    def lost_once(solving: FakeSolving) -> Solved:
        begun.append(solving.job.name)
        if len(begun) == 1:
            raise LostConnectionError("it went away", address="unix:///c")
        return done(solving)

    def once(solving: FakeSolving) -> Solved:
        begun.append("u")
        return done(solving)

    result = run(text, {"stage one": done, "t": lost_once, "u": once})
    assert {each.target: each.daemon for each in result.targets.values()} == {
        "t": "unix:///a",
        "u": "unix:///a",
    }
    assert sorted(begun) == ["t", "t", "u"]
