"""Diagnostics as annotations of GitHub Actions."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildfile.annotations import annotation
from buildfile.cli import main
from buildfile.exits import Exit
from translator.diagnostic import Diagnostic
from translator.span import Position, SourceFile, Span

_ACTIONS = {"GITHUB_ACTIONS": "true"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "a,b").mkdir()
    monkeypatch.chdir(tmp_path / "a,b")
    return tmp_path


def _fault(name: str) -> Diagnostic:
    span = Span(SourceFile(name=name, folder="", text="x"), Position(2, 3), Position(2, 5))
    return Diagnostic(code="bad", message="50% of\nit: wrong", span=span, hint="mend it")


def test_a_fault_is_told_at_its_place(folder: Path) -> None:
    Path("it:1.yaml").touch()
    assert annotation(_fault("it:1.yaml"), {**_ACTIONS, "GITHUB_WORKSPACE": str(folder)}) == (
        "::error file=a%2Cb/it%3A1.yaml,line=2,endLine=2,col=3,endColumn=5,"
        "title=buildfile%3A bad::50%25 of%0Ait: wrong. mend it"
    )
    assert annotation(_fault("it:1.yaml"), _ACTIONS).startswith("::error file=it%3A1.yaml,")


@pytest.mark.parametrize(
    ("name", "environment"), [("it", {}), ("<stdin>", _ACTIONS), ("--var", _ACTIONS)]
)
def test_elsewhere_it_is_not(folder: Path, name: str, environment: dict[str, str]) -> None:
    Path("it").touch()
    assert annotation(_fault(name), environment) == ""


def test_commands_write_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(folder))
    Path("buildfile.yaml").write_text("version: 1\nstage: {}\n")
    assert main(["check"]) == Exit.INVALID
    assert "\n::error file=a%2Cb/buildfile.yaml,line=2," in capsys.readouterr().err
    assert main(["check", "--format", "json"]) == Exit.INVALID
    assert "::" not in capsys.readouterr().out
