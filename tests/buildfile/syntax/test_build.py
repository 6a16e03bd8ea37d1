"""Targets that requests name, answers to subrequests, and how faults are told."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest

from buildfile.syntax import answers
from buildfile.syntax.build import choose
from buildfile.syntax.contexts import ROOT
from buildfile.syntax.request import Request
from buildfile.syntax.telling import told
from daemon_shim import failure
from translator.diagnostic import Diagnostic, InvalidCommandError
from translator.inputs import Inputs
from translator.platform import Platform
from translator.project import Project, load
from translator.span import Position, SourceFile, Span
from translator.text import document

_REPOSITORY = Path(__file__).parents[3]
_AMD64 = Platform("linux", "amd64")
_TEXT = """\
version: 1
vars:
  WHO: {default: world, description: who is greeted}
  FLAG: {type: bool, default: true}
secrets: {token: {env: TOKEN}, maybe: {env: MAYBE, optional: true}}
ssh: {default: {agent: /nowhere}}
stages:
  app:
    from: {image: alpine}
    steps:
      - run: make
        mounts:
          - {type: secret, id: token, target: /t}
          - {type: secret, id: maybe, target: /m}
          - {type: ssh, id: default}
          - {type: cache, target: /c, id: things}
  bare: {from: scratch}
targets:
  app: {stage: app, description: all of it, platforms: [linux/amd64, linux/arm64]}
  many: {stage: app, matrix: {k: [a, b]}}
groups: {default: [app], both: [app, many]}
"""


def project(text: str = _TEXT) -> Project:
    def read(path: str) -> SourceFile:
        raise FileNotFoundError(path)

    file = document.read("buildfile.yaml", ROOT, text.encode())
    return load(Inputs(files=(file,), read=read, folder=ROOT))


@pytest.mark.parametrize(
    ("name", "chosen"), [("", "app"), ("app", "app"), ("many-a", "many-a"), ("bare", "bare")]
)
def test_a_target_a_variant_or_a_stage(name: str, chosen: str) -> None:
    assert choose(project(), Request(target=name)).name == chosen


@pytest.mark.parametrize(
    ("name", "said", "hint"),
    [
        ("both", "both means several targets", "app, many-a, many-b"),
        ("many", "many means several targets", "many-a, many-b"),
        ("bar", "there is no target or stage bar", "did you mean bare?"),
    ],
)
def test_what_is_no_single_target(name: str, said: str, hint: str) -> None:
    with pytest.raises(InvalidCommandError) as caught:
        choose(project(), Request(target=name))
    (fault,) = caught.value.diagnostics
    assert said in fault.message
    assert hint in (fault.hint or "")


def test_a_default_of_several_targets_is_listed() -> None:
    with pytest.raises(InvalidCommandError, match="the default is several targets"):
        choose(project(_TEXT.replace("default: [app]", "default: [both]")), Request())


# --- answers ---------------------------------------------------------------------------------


def test_the_requests_are_listed() -> None:
    made = answers.describe().metadata
    listed = json.loads(made["result.json"])
    assert [each["name"] for each in listed] == [answers.OUTLINE, answers.TARGETS, answers.DESCRIBE]
    assert made["result.txt"].decode().splitlines()[0] == "NAME                 VERSION DESCRIPTION"
    assert made["version"] == b"1.0.0"


def test_targets_are_listed_with_their_places() -> None:
    made = answers.targets(project()).metadata
    listed = json.loads(made["result.json"])
    app = listed["targets"][0]
    assert app["name"] == "app" and app["default"] and app["description"] == "all of it"
    assert app["platform"] == "linux/amd64,linux/arm64"
    assert app["location"]["ranges"][0]["start"]["line"] == 19
    assert base64.b64decode(listed["sources"][0]).decode() == _TEXT
    assert made["result.txt"].decode() == (
        "TARGET        DESCRIPTION\napp (default) all of it\nmany-a\nmany-b\n"
    )


def test_an_outline_has_what_a_client_can_give() -> None:
    loaded = project()
    (target,) = loaded.select(["app"])
    made = answers.outline(loaded, target, [loaded.instantiate(target, _AMD64, _AMD64)]).metadata
    data = json.loads(made["result.json"])
    assert [(each["name"], each["value"]) for each in data["args"]] == [
        ("WHO", "world"),
        ("FLAG", "true"),
    ]
    assert [(each["name"], each.get("required", False)) for each in data["secrets"]] == [
        ("token", True),
        ("maybe", False),
    ]
    assert data["ssh"][0]["name"] == "default"
    assert data["cache"][0]["ID"].endswith("things")
    assert made["result.txt"].decode().splitlines() == [
        "TARGET:      app",
        "DESCRIPTION: all of it",
        "",
        "BUILD ARG   VALUE   DESCRIPTION",
        "WHO         world   who is greeted",
        "FLAG        true",
        "",
        "SECRET   REQUIRED",
        "token    true",
        "maybe",
        "",
        "SSH       REQUIRED",
        "default   true",
        "",
    ]


# --- faults ----------------------------------------------------------------------------------


def test_faults_are_told_as_text_and_with_their_places() -> None:
    file = SourceFile(name="buildfile.yaml", folder=ROOT, text="a: 1\nb: é2\n")
    faults = [
        Diagnostic(code="one", message="first", span=Span(file, Position(1, 1), Position(1, 2))),
        Diagnostic(code="two", message="second", span=Span(file, Position(2, 4), Position(2, 6))),
        Diagnostic(code="three", message="third"),
    ]
    error = told(faults)
    assert str(error) == (
        "buildfile.yaml:1:1: error: first [one]\n  1 | a: 1\n    | ^\n\n"
        "buildfile.yaml:2:4: error: second [two]\n  2 | b: é2\n    |    ^^\n\n"
        "error: third [three]"
    )
    # The way back: what this project's own client reads of it.
    read = failure.to_error(failure.of_status("UNKNOWN", str(error), error.status), address="x")
    ranges = getattr(read, "ranges", ())
    assert [(each.start_line, each.start_character) for each in ranges] == [(2, 3), (1, 0)]


# --- what the image needs --------------------------------------------------------------------


def test_it_loads_no_more_than_its_image_has() -> None:
    script = (
        "import sys, daemon_shim.frontend, buildfile.syntax.build, buildfile.syntax.caches\n"
        "print(*{'click', 'grpc', 'rich', 'cryptography', 'tomli'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=_REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []
