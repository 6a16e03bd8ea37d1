"""The live display on a terminal in memory, and for real in a pseudo-terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from buildfile.display.palette import palette
from buildfile.display.tty import TtyDisplay
from buildfile.progress import Progress
from daemon_shim.events import LogEvent, StatusEvent, VertexEvent
from tests.buildfile.display.script import script
from tests.buildfile.display.terminal import Terminal

REPOSITORY = Path(__file__).parents[3]
XTERM = {"TERM": "xterm-256color"}


class Run:
    """A display on a terminal, and steps to tell it of."""

    def __init__(self, columns: int = 80, lines: int = 24, **environment: str) -> None:
        self.terminal = Terminal(columns, lines)
        self.display = TtyDisplay(self.terminal, {**XTERM, **environment}, self.terminal.size)
        self.progress = Progress(began=0.0)
        self.now = 0.0

    def vertex(self, digest: str, started: float = 1.0, completed: float | None = None) -> None:
        self._tell(
            VertexEvent(digest=digest, name=f"step {digest}", started=started, completed=completed)
        )

    def log(self, digest: str, text: str) -> None:
        self._tell(LogEvent(vertex=digest, stream=1, data=text.encode(), timestamp=1.0))

    def layer(self, digest: str, name: str, current: int, total: int) -> None:
        self._tell(
            StatusEvent(
                id=name,
                vertex=digest,
                name="",
                current=current,
                total=total,
                started=1.0,
                timestamp=2.0,
            )
        )

    def look(self) -> list[str]:
        self.now += 1.0
        self.display.tick(self.now)
        return self.terminal.visible()

    def _tell(self, event: VertexEvent | LogEvent | StatusEvent) -> None:
        if change := self.progress.apply("app", event, self.now):
            self.display.update(change)


@pytest.mark.parametrize("lines", [1, 2, 3, 5, 10, 24, 60])
@pytest.mark.parametrize("columns", [1, 2, 10, 40, 80, 200])
def test_the_frame_is_bounded(columns: int, lines: int) -> None:
    run = Run(columns, lines)
    for number in range(20):
        run.vertex(str(number))
        run.log(str(number), "a line that is rather long 長い\n" * 20)
        run.layer(str(number), "layer", 5, 10)
    for _ in range(3):
        shown = run.look()
        assert len(shown) <= max(1, lines - 1)
        assert run.terminal.scrolled() == []


def test_more_steps_than_lines() -> None:
    run = Run(lines=8)
    for number in range(20):
        run.vertex(str(number))
    *steps, more, status = run.look()
    assert [" ".join(step.split()[1:3]) for step in steps] == [f"step {n}" for n in range(5)]
    assert more.split() == ["…", "15", "more", "running"]
    assert status.split()[0] == "Building"


@pytest.mark.parametrize(("setting", "expected"), [("", 6), ("2", 2), ("10", 10), ("x", 6)])
def test_log_lines(setting: str, expected: int) -> None:
    run = Run(BUILDKIT_TTY_LOG_LINES=setting)
    run.vertex("a")
    run.log("a", "".join(f"log {number}\n" for number in range(100)))
    shown = [line.strip() for line in run.look() if line.startswith("     log")]
    assert shown == [f"log {number}" for number in range(100 - expected, 100)]


def test_room_is_shared_between_steps_that_log() -> None:
    run = Run(lines=12)
    for digest in "abc":
        run.vertex(digest)
    run.log("a", "only one\n")
    run.log("b", "b\n" * 9)
    run.log("c", "c\n" * 9)
    shown = [line.strip() for line in run.look()]
    assert [shown.count(text) for text in ("only one", "b", "c")] == [1, 3, 3]


def test_finished_steps_scroll_away_in_order() -> None:
    run = Run(lines=6)
    for number in range(1000):
        run.vertex(str(number), completed=1.5)
        if number % 7 == 0:
            run.look()
    run.display.close(None)
    lines = [line for line in run.terminal.scrolled() + run.terminal.visible() if line]
    assert [line.split()[2] for line in lines] == [str(number) for number in range(1000)]


def test_a_step_that_runs_again_soon_is_shown_once() -> None:
    run = Run()
    run.vertex("a", completed=1.5)
    assert len(run.look()) == 2
    run.vertex("a", started=2.0)
    run.look()
    run.vertex("a", started=2.0, completed=4.0)
    run.display.close(None)
    assert [line.split() for line in run.terminal.visible()] == [["✔", "step", "a", "2.5s"]]


def test_a_smaller_window() -> None:
    run = Run(columns=80, lines=10)
    run.vertex("a", completed=1.5)
    run.vertex("b")
    run.look()
    run.terminal.screen.resize(6, 40)
    shown = run.look()
    assert len(shown) <= 5
    assert all(len(line) < 40 for line in shown)
    assert sum("step b" in line for line in shown) == 1


def test_redraws_are_few() -> None:
    run = Run()
    run.vertex("a")
    draws = []
    for tenth_of_tick in range(1000):
        run.log("a", "x\n")
        before = len(run.terminal.getvalue())
        run.display.tick(100 + tenth_of_tick / 100)
        draws.append(len(run.terminal.getvalue()) > before)
    assert sum(draws) <= 101


@pytest.mark.parametrize(
    ("environment", "colour"),
    [
        ({}, "\x1b[36m"),
        ({"BUILDKIT_COLORS": "run=magenta:error=1,2,3"}, "\x1b[35m"),
        ({"BUILDKIT_COLORS": "run=light-blue"}, "\x1b[94m"),
        ({"NO_COLOR": "1"}, None),
        ({"NO_COLOR": "1", "BUILDKIT_COLORS": "run=red"}, None),
    ],
)
def test_colours(environment: dict[str, str], colour: str | None) -> None:
    run = Run(**environment)
    run.vertex("a")
    run.log("a", "\x1b[31mred\x1b[0m\n")
    run.look()
    written = run.terminal.getvalue()
    if colour:
        assert colour in written
        assert "\x1b[2;31m" in written
    else:
        assert not any(f"\x1b[{code}m" in written for code in (31, 35, 36, "2;31"))


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("run=mauve", "BUILDKIT_COLORS: run: no colour 'mauve'"),
        ("runs=red", "BUILDKIT_COLORS: no key 'runs'; there are run, cancel, error, warning"),
        ("error=1,2", "BUILDKIT_COLORS: error: no colour '1,2'"),
        ("error=1,2,256", "BUILDKIT_COLORS: error: no colour '1,2,256'"),
    ],
)
def test_a_colour_that_does_not_exist_is_told(text: str, note: str) -> None:
    assert palette({"BUILDKIT_COLORS": text}).notes == (note,)
    run = Run(columns=100, BUILDKIT_COLORS=text)
    assert note in run.look()[0]


def test_several_colours() -> None:
    chosen = palette({"BUILDKIT_COLORS": "run=green:WARNING=Light-Red:error=255,0,7:cancel=white"})
    assert (chosen.run, chosen.warning, chosen.error, chosen.cancel, chosen.notes) == (
        "green",
        "bright_red",
        "rgb(255,0,7)",
        "white",
        (),
    )


CHILD = """
import os, sys, time
from buildfile.display import choose
from tests.buildfile.display.script import script
display = choose("auto", sys.stderr, os.environ)
try:
    script(sys.argv[1]).play(display)
    if sys.argv[2:]:
        print("ready", flush=True)
        time.sleep(60)
finally:
    display.close(None)
"""


@pytest.fixture
def pseudo() -> Iterator[tuple[int, int]]:
    """Both ends of a pseudo-terminal of 70 by 12."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 12, 70, 0, 0))
    yield ours, theirs
    os.close(ours)


def start(theirs: int, *arguments: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, **XTERM, "PYTHONPATH": str(REPOSITORY), "NO_COLOR": ""}
    environment.pop("BUILDKIT_PROGRESS", None)
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, *arguments],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=environment,
        cwd=REPOSITORY,
    )
    os.close(theirs)
    return process


def read_all(ours: int) -> str:
    """What the other side writes until it goes away."""
    data = b""
    while select.select([ours], [], [], 60)[0]:
        try:
            piece = os.read(ours, 65536)
        except OSError:
            break
        if not piece:
            break
        data += piece
    return data.decode()


def test_in_a_pseudo_terminal(pseudo: tuple[int, int]) -> None:
    ours, theirs = pseudo
    process = start(theirs, "targets")
    written = read_all(ours)
    assert process.communicate(timeout=60)[0] == b""
    assert process.returncode == 0
    terminal = Terminal(70, 12)
    terminal.write(written.replace("\r\n", "\n"))
    assert [line.split() for line in terminal.visible()] == [
        ["·", "no", "daemon", "found"],
        ["·", "starting", "a", "private", "dockerd"],
        ["✔", "docker.io/library/debian:bookworm", "0.7s"],
        ["✔", "[app", "2/3]", "run", "make", "cached"],
        ["✔", "[app", "3/3]", "copy", "/out", "0.5s"],
        ["✔", "[bin", "1/1]", "run", "strip", "0.6s"],
        ["built", "2", "targets", "in", "2.0s:", "4", "steps,", "1", "cached"],
    ]
    assert max(len(line) for line in terminal.visible()) < 70
    assert not terminal.screen.cursor.hidden


def test_ctrl_c_gives_the_cursor_back(pseudo: tuple[int, int]) -> None:
    ours, theirs = pseudo
    process = start(theirs, "interrupted-midway", "wait")
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGINT)
    written = read_all(ours)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert written.index("\x1b[?25l") < written.index("\x1b[?25h")
    assert "\x1b[?25l" not in written[written.index("\x1b[?25h") :]


def test_every_case_ends_with_the_cursor_shown() -> None:
    terminal = Terminal(40, 6)
    display = TtyDisplay(terminal, XTERM, terminal.size)
    script("logs").play(display)
    assert terminal.getvalue().count("\x1b[?25l") == terminal.getvalue().count("\x1b[?25h") == 1
