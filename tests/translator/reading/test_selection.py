from __future__ import annotations

import pytest

from tests.translator.loading import faults, line, project
from translator.diagnostic import InvalidCommandError

TEXT = """version: 1
stages: {{s: {{from: scratch}}}}
targets:
  base: {{abstract: true}}
  app: {{extends: [base], stage: s}}
  api: {{stage: s}}
  web: {{stage: s, matrix: {{v: ["1", "2"]}}}}
{groups}
"""


def selected(*names: str, groups: str = "") -> list[str]:
    return [each.name for each in project(TEXT.format(groups=groups)).select(names)]


GROUPS = "groups: {default: [web, app], all: [default, api, app], one: [web-2], empty: []}"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["app"], ["app"]),
        (["web"], ["web-1", "web-2"]),
        (["web-2"], ["web-2"]),
        (["a*"], ["app", "api"]),
        (["*-1", "a?p"], ["web-1", "app"]),
        (["*"], ["app", "api", "web-1", "web-2"]),
        (["default"], ["web-1", "web-2", "app"]),
        ([], ["web-1", "web-2", "app"]),
        (["all"], ["web-1", "web-2", "app", "api"]),
        (["one", "web", "web-2"], ["web-2", "web-1"]),
    ],
)
def test_names(names: list[str], expected: list[str]) -> None:
    assert selected(*names, groups=GROUPS) == expected


@pytest.mark.parametrize(
    ("names", "message", "hint"),
    [
        (["ap"], "there is no target or group ap", "did you mean app?"),
        (["al"], "there is no target or group al", "did you mean all?"),
        (["x*"], "there is no target or group x*", "the targets are app, api, web"),
        (["base"], "the target base is abstract", "build a target that extends it"),
    ],
)
def test_unknown_names(names: list[str], message: str, hint: str) -> None:
    with pytest.raises(InvalidCommandError) as error:
        selected(*names, groups=GROUPS)
    (fault,) = error.value.diagnostics
    assert fault.message.startswith(message)
    assert fault.hint == hint


def test_all_unknown_names_are_reported() -> None:
    with pytest.raises(InvalidCommandError) as error:
        selected("x", "app", "y")
    assert [line(fault) for fault in error.value.diagnostics] == [
        "unknown-target there is no target or group x",
        "unknown-target there is no target or group y",
    ]


def test_without_a_default_several_targets_must_be_named() -> None:
    with pytest.raises(InvalidCommandError, match="several targets and no group default") as error:
        selected()
    assert error.value.diagnostics[0].hint == "name what to build: app, api, web"


def test_a_single_target_needs_no_name() -> None:
    text = "version: 1\nstages: {s: {from: scratch}}\ntargets: {only: {stage: s}}\n"
    assert [each.name for each in project(text).select()] == ["only"]


def test_a_target_named_default_is_the_default() -> None:
    text = "version: 1\nstages: {s: {from: scratch}}\n"
    text += "targets: {a: {stage: s}, default: {stage: s}}\n"
    assert [each.name for each in project(text).select()] == ["default"]


def test_a_file_without_targets_has_nothing_to_select() -> None:
    with pytest.raises(InvalidCommandError, match="the build file has no targets"):
        project("version: 1\nstages: {s: {from: scratch}}\n").select()


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ("groups: {g: [ap]}", ["8:13 unknown-target there is no target ap"]),
        ("groups: {g: [base]}", ["8:13 unknown-target there is no target base"]),
        (
            "groups: {app: [api]}",
            ["8:10 duplicate-name app is the name of a target and of a group"],
        ),
        (
            "groups: {g: [h], h: [i], i: [g]}",
            ["8:14 group-cycle the group g holds itself: g -> h -> i -> g"],
        ),
    ],
)
def test_faults_of_groups(groups: str, expected: list[str]) -> None:
    found = faults(TEXT.format(groups=groups))
    assert len(found) == len(expected)
    assert all(e.split(" ", 1)[1] in f for e, f in zip(expected, found, strict=True))


def test_a_group_may_hold_globs() -> None:
    text = "version: 1\nstages: {s: {from: scratch}}\n"
    text += "targets: {app: {stage: s}, api: {stage: s}, web: {stage: s}}\n"
    text += "groups: {default: ['a*'], all: ['*']}\n"
    made = project(text)
    assert [each.name for each in made.select()] == ["app", "api"]
    assert [each.name for each in made.select(["all"])] == ["app", "api", "web"]


def test_a_glob_of_a_group_must_match_something() -> None:
    text = "version: 1\nstages: {s: {from: scratch}}\ntargets: {app: {stage: s}}\n"
    assert faults(text + "groups: {g: ['x*']}\n") == ["4:14 unknown-target there is no target x*"]
