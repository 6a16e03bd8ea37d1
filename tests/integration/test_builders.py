"""Builder code on each daemon, by command and by function."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import buildfile
from daemon_shim.errors import SolveFailedError
from tests.integration.command import Workspace
from tests.integration.exitcodes import UNTOLD
from tests.integration.tree import files

_EXIT = f"exit code: 5|{UNTOLD}"

CODE = """
from buildfile import Client, Result
from tests.daemon_shim.definitions import run


def build(client: Client) -> Result:
    image = client.opts["image"]
    ref = client.solve(run("mkdir /l; echo -n hey >/l/c; touch /l/d", image).definition).ref
    names = [entry.name for entry in ref.read_dir("/l")]
    said = ref.read_file("/l/c").decode()
    script = f"rm -r /[a-z]* 2>/dev/null; echo {said} {names} >/out"
    return client.solve(run(script, image).definition)


def fails(client: Client) -> Result:
    return client.solve(run("echo no; exit 5", client.opts["image"]).definition)


def raises(client: Client) -> Result:
    raise LookupError("not my day")


def forgets(client: Client) -> None:
    client.solve(run("true", client.opts["image"]).definition)
"""


@pytest.fixture
def code(work: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    work.write("mybuilder.py", CODE)
    monkeypatch.syspath_prepend(str(work.folder))
    monkeypatch.delitem(sys.modules, "mybuilder", raising=False)
    return work


def command(work: Workspace, function: str, *words: str, code: int = 0) -> str:
    image = f"image={work.values['BASE']}"
    name = f"mybuilder:{function}"
    done = work.command("run-builder", name, "--opt", image, *words, code=code)
    return done.out + done.err


def test_a_builder_solves_looks_and_solves_again(code: Workspace) -> None:
    assert "out\n" in command(code, "build", "-o", "out")
    assert (code.folder / "out" / "out").read_text() == "hey [c, d]\n"


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("fails", _EXIT),
        ("raises", "the builder mybuilder:raises raised LookupError: not my day"),
        ("forgets", "it returned NoneType, not a Result"),
    ],
)
def test_a_builder_fails_with_its_reason_and_leaves_nothing(
    code: Workspace, function: str, said: str
) -> None:
    assert re.search(said, command(code, function, "-o", "out", code=1))
    assert not (code.folder / "out").exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mybuilder", "is not MODULE:FUNCTION"),
        ("mybuilder:none", "has no function none"),
        ("nobody:build", "there is no module nobody"),
    ],
)
def test_a_builder_that_is_not_there(code: Workspace, name: str, said: str) -> None:
    assert said in code.command("run-builder", name, code=2).err


def test_run_gives_what_was_made_and_raises_what_the_builder_raises(
    code: Workspace, tmp_path: Path
) -> None:
    import mybuilder  # type: ignore[import-not-found]  # written above

    options = buildfile.RunOptions(
        opts={"image": code.values["BASE"]}, outputs=(f"type=local,dest={tmp_path}/made",)
    )
    result = buildfile.run(mybuilder.build, daemon=code.daemon.address, options=options)
    assert result.files == (f"{tmp_path}/made",)
    assert "out" in files(tmp_path / "made")
    with pytest.raises(LookupError, match="not my day"):
        buildfile.run(mybuilder.raises, daemon=code.daemon.address, options=options)
    with pytest.raises((SolveFailedError, buildfile.BuildFailedError), match=_EXIT):
        buildfile.run(mybuilder.fails, daemon=code.daemon.address, options=options)
