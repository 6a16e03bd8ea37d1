"""``buildfile plan``: options that stand in for what the build file says, as in ``build``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from buildfile.cli import main
from buildfile.exits import Exit

_FILE = """version: 1
stages: {a: {from: scratch, steps: [{write: {path: /x, text: x}}]}}
targets:
  a:
    stage: a
    outputs: [{type: local, dest: out}]
    cache: {export: [{type: local, dest: c}]}
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "buildfile.yaml").write_text(_FILE)
    monkeypatch.chdir(tmp_path)


def _job(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main(["plan", "--api", "v0.13", "--format", "json", *words]) == Exit.DONE
    (job,) = json.loads(capsys.readouterr().out)["jobs"]
    return dict(job)


def test_outputs_caches_and_platforms_of_the_command_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["--output", "type=image,name=example.com/a", "--push", "--platform", "linux/arm64"]
    job = _job(capsys, *words, "--export-cache", "type=inline")
    (output,) = job["outputs"]
    assert output["attrs"] == {"name": "example.com/a:latest", "push": "true"}
    assert [each["type"] for each in job["cache-exports"]] == ["inline"]
    assert [each["platform"] for each in job["platforms"]] == ["linux/arm64"]


def test_without_them_it_is_as_the_file_says(capsys: pytest.CaptureFixture[str]) -> None:
    job = _job(capsys)
    assert [each["type"] for each in job["outputs"]] == ["local"]
    assert [each["type"] for each in job["cache-exports"]] == ["local"]


def test_nothing_to_push_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--api", "v0.13", "--push"]) == Exit.USAGE
    assert "there is nothing to push" in capsys.readouterr().err
