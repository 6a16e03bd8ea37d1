"""What progress shows for each step: ``[app 2/3] run go build ./...``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from translator.stage import (
    Copy,
    Diff,
    Instance,
    Merge,
    Mkdir,
    Origin,
    Remove,
    Run,
    Scratch,
    SetWorkdir,
    Stage,
    Step,
    Symlink,
    Write,
)

_WIDTH = 100


def needs_prefix(instances: Iterable[Instance]) -> bool:
    """Whether titles name the platform: when the stages of a run are for several."""
    platforms = {stage.platform for instance in instances for stage in instance.stages.values()}
    return len(platforms) > 1


def origin_title(origin: Origin) -> str:
    """A stage's or source's name."""
    return "scratch" if isinstance(origin, Scratch) else origin.name


def merge_title(merge: Merge) -> str:
    """What is laid over one another, the lowest first."""
    return f"merge {', '.join(map(origin_title, merge.inputs))}"


def diff_title(diff: Diff) -> str:
    """What is compared."""
    return f"diff {origin_title(diff.lower)} -> {origin_title(diff.upper)}"


class Titles:
    """Numbers the steps of one stage. Steps without a vertex do not count."""

    def __init__(self, stage: Stage, *, prefix: bool) -> None:
        platform = f"{stage.platform} " if prefix else ""
        self._stage = platform + stage.ref.name
        self._total = sum(type(step) in _TITLES for step in stage.steps)
        self._number = 0

    def of(self, step: Step) -> str:
        """The title of the next step."""
        self._number += 1
        name = getattr(step, "name", "")
        text = name or _TITLES[type(step)](step)
        count = f" {self._number}/{self._total}" if self._total > 1 else ""
        return f"[{self._stage}{count}] {_clip(text)}"

    def of_frontend(self, name: str) -> str:
        """A frontend's own title, ``[build 2/3] RUN make``, with the stage's name before it."""
        return f"[{self._stage} {name[1:]}" if name.startswith("[") else self.unnumbered(name)

    def unnumbered(self, text: str) -> str:
        """The title of something that is no step."""
        return f"[{self._stage}] {_clip(text)}"


def _clip(text: str) -> str:
    lines = text.strip().splitlines() or [""]
    line = lines[0].rstrip()
    if len(line) > _WIDTH:
        return line[: _WIDTH - 3] + "..."
    return line + " ..." if len(lines) > 1 else line


def _run(step: Run) -> str:
    return "run " + (" ".join(step.argv) if step.script is None else step.script.strip())


def _copy(step: Copy) -> str:
    origin = origin_title(step.origin)
    paths = "" if step.paths == (".",) else ":" + " ".join(step.paths)
    return f"copy {origin}{paths} -> {step.to}"


_TITLES: Mapping[type, Callable[[Any], str]] = {
    Run: _run,
    Copy: _copy,
    Mkdir: lambda step: f"mkdir {step.path}",
    Write: lambda step: f"write {step.path}",
    Remove: lambda step: f"remove {step.path}",
    Symlink: lambda step: f"symlink {step.path} -> {step.target}",
    SetWorkdir: lambda step: f"workdir {step.path}",
}
