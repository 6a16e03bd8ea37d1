"""Builders by name, as commands import them."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildfile import cli
from buildfile.exits import Exit


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("text", "code", "told"),
    [
        ("def build(client)\n", Exit.FAILED, "cannot be imported: SyntaxError: expected ':'"),
        ("import no_such_module_x\n", Exit.FAILED, "ModuleNotFoundError: No module named"),
        ("def f():\n    raise OSError('mine')\nf()\n", Exit.FAILED, "line 2, in f"),
        ("raise SystemExit\n", Exit.FAILED, "cannot be imported: SystemExit"),
        ("x = 1\n", Exit.USAGE, "has no function build"),
    ],
)
def test_a_module_that_is_broken_is_its_authors_fault(
    folder: Path, capsys: pytest.CaptureFixture[str], text: str, code: Exit, told: str
) -> None:
    module = f"broken_{folder.name}"  # one that no other case has imported
    (folder / f"{module}.py").write_text(text)
    assert cli.main(["run-builder", f"{module}:build", "--daemon", "unix:///no.sock"]) == code
    seen = capsys.readouterr().err
    assert told in seen and "importlib" not in seen
