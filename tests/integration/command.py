"""Runs the command line: in this process, where it starts at once, or as one of its own."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from buildfile.cli import main
from tests.real.daemon import Daemon

_DROPPED = ("BUILDKIT_HOST", "BUILDKIT_PROGRESS", "DOCKER_HOST", "SOURCE_DATE_EPOCH", "NO_COLOR")
_REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True)
class Done:
    """How a command ended. ``err`` has progress and diagnostics."""

    code: int
    data: bytes
    err: str

    @property
    def out(self) -> str:
        """Standard output as text."""
        return self.data.decode()

    def logged(self, text: str) -> int:
        """How often a line of a step's log is ``text``, in plain progress."""
        lines = (line.split(" ", 2) for line in self.err.splitlines() if line.startswith("#"))
        return sum(words[-1] == text for words in lines if len(words) == 3)


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """A folder with a build file, and the daemon that builds it.

    ``values`` are given as ``--var`` to every build whose file declares them, and ``words`` to all.
    """

    folder: Path
    daemon: Daemon
    values: Mapping[str, str]
    words: tuple[str, ...] = ()

    def write(self, name: str, text: str | bytes = "", *, mode: int = 0o644) -> Path:
        """Write a file of the folder, with the folders above it."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        path.chmod(mode)
        return path

    def build(
        self,
        text: str | None = None,
        *words: str,
        code: int = 0,
        environment: Mapping[str, str] | None = None,
    ) -> Done:
        """Build ``text`` (None: the file that is there); fail unless it ends with ``code``."""
        if text is not None:
            self.write("buildfile.yaml", text)
        with self.surroundings(environment):
            done = run(self.arguments(*words))
        assert done.code == code, f"exit code {done.code}, not {code}:\n{done.err}"
        return done

    def command(self, *words: str, code: int = 0) -> Done:
        """Run another command on the daemon; fail unless it ends with ``code``."""
        with self.surroundings():
            done = run([*words, "--daemon", self.daemon.address])
        assert done.code == code, f"exit code {done.code}, not {code}:\n{done.err}"
        return done

    def start(
        self, *words: str, before: Sequence[str] = (), stdout: int = subprocess.PIPE
    ) -> subprocess.Popen[bytes]:
        """Start a build of the file that is there as a process of its own, run by ``before``."""
        command = [*before, sys.executable, "-m", "buildfile", *self.arguments(*words)]
        with self.surroundings():
            return subprocess.Popen(
                command,
                env=os.environ | {"PYTHONPATH": str(_REPOSITORY)},
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=subprocess.PIPE,
            )

    def arguments(self, *words: str) -> list[str]:
        """The command line of a build."""
        text = (self.folder / "buildfile.yaml").read_text()
        known = {name: value for name, value in self.values.items() if f"\n  {name}: " in text}
        values = [word for name, value in known.items() for word in ("--var", f"{name}={value}")]
        chosen = [] if "--daemon" in words else ["--daemon", self.daemon.address]
        return ["build", "--progress", "plain", *chosen, *self.words, *values, *words]

    @contextlib.contextmanager
    def surroundings(self, more: Mapping[str, str] | None = None) -> Iterator[None]:
        """The folder is the working folder, and nothing of the caller's settings counts."""
        before, place = dict(os.environ), Path.cwd()
        for name in _DROPPED:
            os.environ.pop(name, None)
        os.environ |= {"DOCKER_CONFIG": str(self.folder / ".docker"), **(more or {})}
        os.chdir(self.folder)
        try:
            yield
        finally:
            os.chdir(place)
            os.environ.clear()
            os.environ.update(before)


def run(arguments: Sequence[str]) -> Done:
    """Run the command in this process."""
    out, err = io.BytesIO(), io.StringIO()
    text = io.TextIOWrapper(out, encoding="utf-8", write_through=True)
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(err):
        code = main(arguments)
    return Done(code=code, data=out.getvalue(), err=err.getvalue())
