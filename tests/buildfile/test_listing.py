"""``buildfile list``: what a build file offers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from buildfile.cli import main
from buildfile.exits import Exit

_FILE = """version: 1
vars:
  TAG: {default: dev, description: the tag, pattern: "[a-z]+"}
  GO: {type: list, items: string, default: ["1.24", "1.25"]}
  NOTE: {type: string}
  LONG: "one\\ntwo"
stages: {app: {from: scratch, steps: [{mkdir: {path: /a}}]}}
targets:
  base: {abstract: true, stage: app}
  app: {extends: [base], description: the program, platforms: [linux/amd64, linux/arm64]}
  each: {extends: [base], matrix: {go: "${GO}"}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NOTE", "hello")
    return tmp_path


def _listed(folder: Path, capsys: pytest.CaptureFixture[str], more: str = "") -> str:
    (folder / "buildfile.yaml").write_text(_FILE + more)
    assert main(["list", "--var", "TAG=next"]) == Exit.DONE
    return capsys.readouterr().out


def test_targets_groups_and_variables_are_listed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = _listed(folder, capsys, "groups: {default: [app], all: [app, each]}\n")
    assert out.splitlines() == [
        "TARGET         PLATFORMS                DESCRIPTION",
        "app (default)  linux/amd64 linux/arm64  the program",
        "each-1-24      the daemon's",
        "each-1-25      the daemon's",
        "",
        "GROUP    TARGETS",
        "default  app",
        "all      app each",
        "",
        "VARIABLE  TYPE    VALUE             FROM          DESCRIPTION",
        "TAG       string  next              command line  the tag",
        'GO        list    ["1.24", "1.25"]  default',
        "NOTE      string  hello             environment",
        r'LONG      string  "one\ntwo"        default',
    ]


def test_without_a_default_and_without_groups_none_is_shown(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = _listed(folder, capsys)
    assert "(default)" not in out
    assert "GROUP" not in out


def test_json_has_all_of_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "buildfile.yaml").write_text(f"{_FILE}groups: {{default: [each]}}\n")
    assert main(["list", "--format", "json"]) == Exit.DONE
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in found["targets"] if each["default"]] == [
        "each-1-24",
        "each-1-25",
    ]
    assert found["targets"][0]["platforms"] == ["linux/amd64", "linux/arm64"]
    assert found["targets"][1]["matrix"] == {"go": "1.24"}
    assert found["groups"] == {"default": ["each"]}
    values = {each["name"]: each["value"] for each in found["variables"]}
    assert values == {"TAG": "dev", "GO": ["1.24", "1.25"], "NOTE": "hello", "LONG": "one\ntwo"}


def test_a_fault_is_shown_in_place_of_a_list(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "buildfile.yaml").write_text(_FILE.replace("stage: app", "stage: ap"))
    assert main(["list"]) == Exit.INVALID
    told = capsys.readouterr()
    assert told.out == ""
    assert "did you mean app?" in told.err
