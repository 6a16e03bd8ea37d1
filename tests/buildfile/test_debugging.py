"""``buildfile debug`` where a daemon by script shows what real ones do not."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from buildfile.cli import main
from schemas.pb import gateway_pb2
from schemas.rpc import Control, LLBBridge
from tests.fakes.control import FakeControl
from tests.fakes.processes import Answer, Containers, Talk, error, say
from tests.integration.pseudoterminal import PseudoTerminal, started

TEXT = """version: 1
stages:
  app:
    from: scratch
    steps: [{write: {path: /text, text: hello}}]
targets: {app: {stage: app}, other: {stage: app}}
groups: {all: [app, other]}
"""
LLB = ("file.base", "source.local", "meta.description", "constraints", "platform")
GATEWAY = ("proto.refarray", "gateway.solve.evaluate", "gateway.exec", "gateway.evaluate")


def solved(body: bytes, context: grpc.ServicerContext) -> Any:
    return gateway_pb2.SolveResponse(result=gateway_pb2.Result(ref=gateway_pb2.Ref(id="id1")))


def ends(code: int) -> Answer:
    def answer(talk: Talk) -> Iterator[gateway_pb2.ExecMessage]:
        talk.hear()
        yield say(Started=None)
        yield say(Exit={"Code": code, "Error": error(f"exit code: {code}") if code else None})
        yield say(Done=None)

    return answer


Make = Callable[..., tuple[FakeControl, Containers]]


@pytest.fixture
def scripted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Starts a daemon whose processes are as told, in a folder with a build file."""
    fakes: list[FakeControl] = []

    def make(answer: Answer, gateway: tuple[str, ...] = GATEWAY) -> tuple[FakeControl, Containers]:
        containers = Containers(answer)
        script = {**containers.script, LLBBridge.SOLVE.path: solved}
        folder = tmp_path / str(len(fakes))
        folder.mkdir()
        fake = FakeControl(folder, llb=LLB, gateway=gateway, script=script)
        fakes.append(fake.__enter__())
        return fake, containers

    (tmp_path / "buildfile.yaml").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    yield make
    for fake in fakes:
        fake.stop()


def debug(fake: FakeControl, *words: str) -> int:
    return main(["debug", "--daemon", fake.address, "--progress", "quiet", *words])


@pytest.mark.parametrize("code", [0, 1, 42, 255])
def test_the_exit_code_is_the_commands(scripted: Make, code: int) -> None:
    fake, containers = scripted(ends(code))
    assert debug(fake, "app", "--", "make", "-k") == code
    (talk,) = containers.talks
    assert list(talk.heard[0].Init.Meta.args) == ["make", "-k"]
    assert len(fake.sent(LLBBridge.RELEASE_CONTAINER)) == 1
    (*_, end) = fake.sent(LLBBridge.RETURN)
    assert end.HasField("result")


def test_a_shell_that_is_not_there_is_a_fault(
    scripted: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    fake, containers = scripted(ends(127))
    assert debug(fake, "app") == 1
    assert "app has no shell /bin/sh that could be started" in capsys.readouterr().err
    assert [list(talk.heard[0].Init.Meta.args) for talk in containers.talks] == [
        ["/bin/sh", "-c", "exit 0"]
    ]
    assert len(fake.sent(LLBBridge.RELEASE_CONTAINER)) == 1


def test_nothing_is_opened_where_nothing_fails(
    scripted: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    fake, containers = scripted(ends(5))
    arguments = ["debug", "--daemon", fake.address, "--progress", "plain", "--on-error", "app"]
    assert main(arguments) == 0
    assert "no step of app failed" in capsys.readouterr().err
    assert not containers.talks


def test_a_failure_that_is_no_place_for_a_shell_stays_one(scripted: Make) -> None:
    def fails(body: bytes, context: grpc.ServicerContext) -> Any:
        context.abort(grpc.StatusCode.UNKNOWN, "no route to the registry")

    fake, containers = scripted(ends(5))
    fake.script[LLBBridge.SOLVE.path] = fails
    assert debug(fake, "--on-error", "app") == 1
    assert not containers.talks


@pytest.mark.parametrize("names", [("one", "two"), ("two", "one")])
def test_of_several_daemons_one_with_containers_is_chosen(
    scripted: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, str]
) -> None:
    """Whichever comes first in the target's order."""
    monkeypatch.delenv("BUILDKIT_HOST", raising=False)
    (without, _), (within, containers) = scripted(ends(0), GATEWAY[:1]), scripted(ends(42))
    tables = zip(names, (without.address, within.address), strict=True)
    text = "".join(f'[daemons.{name}]\naddress = "{address}"\n' for name, address in tables)
    (tmp_path / "daemons.toml").write_text(text)
    assert main(["debug", "--progress", "quiet", "app", "--", "make"]) == 42
    assert len(containers.talks) == 1


def test_a_daemon_without_containers_is_refused_before_anything_is_built(
    scripted: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    fake, _ = scripted(ends(0), GATEWAY[:1])
    assert debug(fake, "app") == 4
    assert "container beside steps needs BuildKit v0.8" in capsys.readouterr().err
    assert not [each for each in fake.sent(Control.SOLVE) if each.Session]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("all",), "app, other"),
        (("app", "--stage", "ap"), "there is no such stage"),
        (("ap",), "app"),
    ],
)
def test_what_is_meant_must_be_one_thing(
    scripted: Make, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    fake, _ = scripted(ends(0))
    assert debug(fake, *words) == 2
    assert said in capsys.readouterr().err


# --- in a terminal ---------------------------------------------------------------------------


def echoes(talk: Talk) -> Iterator[gateway_pb2.ExecMessage]:
    """A terminal that says what it hears, until q."""
    begin = talk.hear()
    yield say(Started=None)
    if begin and begin.Init.Meta.args[1:]:
        yield say(Exit=None)
        yield say(Done=None)
        return
    while (message := talk.hear()) is not None and message.File.Data != b"q":
        told = f"{message.WhichOneof('Input')} {message.Resize.Rows} {message.File.Data!r}\r\n"
        yield say(File={"Fd": 1, "Data": told.encode()})
    yield say(Exit={"Code": 7, "Error": error("exit code: 7")})
    yield say(Done=None)


@pytest.fixture
def terminal(scripted: Make, tmp_path: Path) -> Iterator[PseudoTerminal]:
    fake, _ = scripted(echoes)
    command = [sys.executable, "-m", "buildfile", "debug", "--daemon", fake.address, "app"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with started(command, tmp_path, environment) as terminal:
        yield terminal


def test_keys_go_to_the_process_as_they_are(terminal: PseudoTerminal) -> None:
    before = terminal.settings()
    terminal.until("Resize 24")
    assert terminal.settings() != before
    for key, shown in (("\x03", r"b'\x03'"), ("\x1a", r"b'\x1a'"), ("\r", r"b'\r'"), ("a", "b'a'")):
        terminal.type(key)
        terminal.until(f"File 0 {shown}")
    terminal.resize(50, 100)
    terminal.until("Resize 50")
    terminal.type("q")
    assert (terminal.end(), terminal.settings()) == (7, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_what_ends_it_leaves_the_terminal_as_it_was(
    terminal: PseudoTerminal, number: signal.Signals
) -> None:
    before = terminal.settings()
    terminal.until("Resize 24")
    terminal.send(number)
    assert (terminal.end(), terminal.settings()) == (130, before)
