"""``--api``: a dialect that is asked for, or an age in place of a daemon."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.daemon_shim.registry.scripted import scripted, serve
from tests.fakes.ages import AgedControl, current, legacy, only
from tests.integration.command import run
from tests.translator.wire import numbers

FILE = """version: 1
stages:
  s: {from: {image: "localhost:1/base:1"}, steps: [{run: "true"}]}
targets:
  t:
    stage: s
    outputs: [{type: none}]
    cache: {import: ["type=registry,ref=localhost:1/c"]}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("BUILDKIT_HOST", "DOCKER_HOST"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "buildfile.yaml").write_text(FILE)
    return tmp_path


@pytest.mark.parametrize(
    ("release", "code", "lines"),
    [
        (
            "v0.3",
            0,
            ["BuildKit v0.3.0 (buildkitd of its own), legacy API", "stages  s (linux/amd64)"],
        ),
        ("v0.10.6", 0, ["BuildKit v0.10.6", "transitional API"]),
        ("v0.32.2", 0, ["current API", "cache from  type=registry,ref=localhost:1/c"]),
    ],
)
def test_a_plan_for_an_age_asks_no_daemon(release: str, code: int, lines: list[str]) -> None:
    done = run(["plan", "--api", release])
    assert done.code == code
    assert all(line in done.out for line in lines)
    assert "localhost:1/base:1 is not resolved: Connection refused" in done.err


def test_a_plan_for_an_age_says_which_selectors_it_cannot_look_at(folder: Path) -> None:
    (folder / "buildfile.yaml").write_text(
        """version: 1
stages:
  near: {from: scratch, worker: {platform: linux/amd64}}
  fast: {from: near, worker: {platform: linux/amd64, labels: {pool: fast}}}
  far: {from: fast, worker: {platform: linux/arm64, require: false}}
targets: {t: {stage: far, worker: {daemon: office}}, u: {stage: far}}
groups: {default: [t, u]}
"""
    )
    done = run(["plan", "--api", "v0.32"])
    assert done.code == 0
    told = [line for line in done.err.splitlines() if "warning:" in line]
    known = "of a plain buildkitd only the platform is known, linux/amd64 [no-daemon]"
    assert [line.split("the selector ")[1] for line in told] == [
        f"daemon office of the target t is not looked at (daemon office): {known}",
        "platform linux/amd64, label pool=fast of the stage fast is not looked at "
        f"(label pool=fast): {known}",
        f"platform linux/arm64 of the stage far is not looked at (platform linux/arm64): {known}",
    ]
    assert done.err.count("^") and "stages" in done.out


def test_a_plan_for_an_age_refuses_what_the_age_lacks(folder: Path) -> None:
    text = FILE.replace("run: ", "security: insecure, run: ")
    (folder / "buildfile.yaml").write_text(text)
    assert run(["plan", "--api", "v0.4"]).code == 4
    assert "an insecure step needs BuildKit v0.5.0" in run(["plan", "--api", "v0.4"]).err
    assert run(["plan", "--api", "v0.5"]).code == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["plan", "--api", "v0.2"], "nothing is known of BuildKit v0.2, only of v0.3 to v0.32.2"),
        (["plan", "--api", "v0.33"], "nothing is known of BuildKit v0.33"),
        (["plan", "--api", "old"], "'old' is neither auto, legacy, current nor a release"),
        (["build", "--api", "v0.8"], "--api v0.8 is a release, and this needs a daemon"),
        (["workers", "--api", "v0.8"], "--api v0.8 is a release, and this needs a daemon"),
    ],
)
def test_what_cannot_be_asked_for(words: list[str], told: str) -> None:
    done = run(words)
    assert (done.code, told in done.err) == (2, True)


def test_doctor_tells_of_an_age() -> None:
    data: dict[str, Any] = json.loads(run(["doctor", "--api", "v0.8", "--format", "json"]).out)
    assert data["daemon"]["version"] == "v0.8.0" and data["daemon"]["imagined"]
    assert "  API           transitional" in run(["doctor", "--api", "v0.8"]).out


def test_doctor_asks_a_daemon(tmp_path: Path) -> None:
    with current(tmp_path) as aged:
        done = run(["doctor", "--daemon", aged.fake.address, "--api", "legacy"])
    assert done.code == 0
    assert "  version       BuildKit v0.32.2" in done.out
    assert "  API           legacy, as asked for" in done.out
    assert "  no            inline cache: inline cache has no place" in done.out


@pytest.mark.parametrize(
    ("make", "api", "code", "cache"),
    [
        (legacy, "auto", 0, {2}),
        (legacy, "legacy", 0, {2}),
        (legacy, "current", 4, set()),
        (current, "auto", 0, {5}),
        (current, "legacy", 0, {2}),
        (current, "current", 0, {5}),
    ],
)
def test_a_build_speaks_the_dialect_that_is_asked_for(
    folder: Path, make: Callable[[Path], AgedControl], api: str, code: int, cache: set[int]
) -> None:
    text = FILE.replace('{image: "localhost:1/base:1"}', "scratch")
    with make(folder) as aged, scripted() as server:
        serve(server, "c", "latest", json.dumps({"manifests": []}).encode())
        (folder / "buildfile.yaml").write_text(text.replace("localhost:1", server.host))
        daemon = ["--daemon", aged.fake.address, "--api", api]
        done = run(["build", "--progress", "plain", *daemon])
        solves = aged.solves()
    assert done.code == code, done.err
    if code:
        assert "in the current API needs BuildKit v0.4, and this is v0.3 or later" in done.err
        assert solves == []
    else:
        (body,) = solves
        assert set(numbers(only(body, 8))) == cache
