"""Answers to subrequests: what this frontend can tell, a target's parameters, and all targets.

Names, keys and the form of the texts are those that clients know (frontend/subrequests: the first
from v0.8 on, the others from v0.11). An answer is a result without a tree.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from daemon_shim.results import Result
from translator.project import Project
from translator.span import SourceFile, Span
from translator.stage import CacheMount, GitSource, Instance, Run, SecretMount, SshMount, Stage
from translator.target import Target
from translator.values.value import as_text

DESCRIBE = "frontend.subrequests.describe"
OUTLINE = "frontend.outline"
TARGETS = "frontend.targets"
NAMES = (DESCRIBE, OUTLINE, TARGETS)
_VERSION = "1.0.0"
_DESCRIPTIONS = {
    OUTLINE: "List all parameters that a target takes",
    TARGETS: "List all targets",
    DESCRIBE: "List the requests that this frontend answers",
}


def describe() -> Result:
    """The requests that are answered."""
    listed = [
        {
            "name": name,
            "version": _VERSION,
            "type": "rpc",
            "description": text,
            "opts": [{"name": "target", "description": "the target"}] if name == OUTLINE else [],
            "inputs": [],
            "metadata": [{"name": key, "description": ""} for key in ("result.json", "result.txt")],
            "refs": [],
        }
        for name, text in _DESCRIPTIONS.items()
    ]
    rows = [
        (name.removeprefix("frontend."), _VERSION, text) for name, text in _DESCRIPTIONS.items()
    ]
    return _answer(listed, _table(("NAME", "VERSION", "DESCRIPTION"), rows))


def targets(project: Project) -> Result:
    """All targets, with the one that is built when none is named."""
    sources = _Sources()
    default = _default(project)
    every = project.every
    listed = [
        _filled(
            name=each.name,
            default=each.name == default,
            description=each.description,
            platform=",".join(map(str, each.platforms)),
            location=sources.location(each.span),
        )
        for each in every
    ]
    rows = [
        (f"{each.name} (default)" if each.name == default else each.name, each.description)
        for each in every
    ]
    text = _table(("TARGET", "DESCRIPTION"), rows)
    return _answer({"targets": listed, "sources": sources.texts()}, text)


def _default(project: Project) -> str:
    """The one target that is built when none is named, '' where there is not one alone."""
    found = project.default
    return found[0].name if len(found) == 1 else ""


def outline(project: Project, target: Target, instances: Iterable[Instance]) -> Result:
    """What one target takes: variables, secrets, agents, and its cache mounts."""
    sources = _Sources()
    stages = {id(stage): stage for each in instances for stage in each.stages.values()}
    asked = _Asked(stages.values())
    arguments = [
        _filled(
            name=each.name,
            description=each.description,
            value=(as_text(each.value) if each.value is not None else "") or "",
            location=sources.location(each.span),
        )
        for each in project.variables.values()
    ]
    data = _filled(
        name=target.name,
        description=target.description,
        args=arguments,
        secrets=[_wanted(*each, sources) for each in asked.secrets.items()],
        ssh=[_wanted(*each, sources) for each in asked.ssh.items()],
        cache=[
            {"ID": id_, "location": sources.location(span)} for id_, span in asked.caches.items()
        ],
    )
    parts = [_table_of_target(target)]
    tables: list[tuple[tuple[str, ...], list[tuple[str, ...]]]] = [
        (
            ("BUILD ARG", "VALUE", "DESCRIPTION"),
            [(a["name"], a.get("value", ""), a.get("description", "")) for a in arguments],
        ),
        (("SECRET", "REQUIRED"), _needs(asked.secrets)),
        (("SSH", "REQUIRED"), _needs(asked.ssh)),
    ]
    parts += [_table(head, rows, gap=3) for head, rows in tables if rows]
    return _answer({**data, "sources": sources.texts()}, "".join(f"{part}\n" for part in parts))


def _needs(asked: Mapping[str, tuple[bool, Span]]) -> list[tuple[str, ...]]:
    return [(name, "true" if required else "") for name, (required, _) in asked.items()]


class _Asked:
    """What stages ask a client for, each with whether it is required and where it stands."""

    def __init__(self, stages: Iterable[Stage]) -> None:
        self.secrets: dict[str, tuple[bool, Span]] = {}
        self.ssh: dict[str, tuple[bool, Span]] = {}
        self.caches: dict[str, Span] = {}
        for stage in stages:
            for step in stage.steps:
                for mount in step.mounts if isinstance(step, Run) else ():
                    self._mount(mount)
            for source in stage.bases:
                if isinstance(source, GitSource):
                    for id_ in filter(None, (source.auth_token, source.auth_header)):
                        _note(self.secrets, id_, True, source.span)

    def _mount(self, mount: object) -> None:
        if isinstance(mount, SecretMount):
            _note(self.secrets, mount.id, not mount.optional, mount.span)
        elif isinstance(mount, SshMount):
            _note(self.ssh, mount.id, not mount.optional, mount.span)
        elif isinstance(mount, CacheMount):
            self.caches.setdefault(mount.id, mount.span)


def _note(known: dict[str, tuple[bool, Span]], id_: str, required: bool, span: Span) -> None:
    before, place = known.get(id_, (False, span))
    known[id_] = (before or required, place)


def _wanted(name: str, found: tuple[bool, Span], sources: _Sources) -> dict[str, Any]:
    required, span = found
    return _filled(name=name, required=required, location=sources.location(span))


# --- answers as clients read them ------------------------------------------------------------


class _Sources:
    """The files that locations are in, each once."""

    def __init__(self) -> None:
        self._files: dict[SourceFile, int] = {}

    def location(self, span: Span) -> dict[str, Any]:
        """A place as ``pb.Location``."""
        index = self._files.setdefault(span.file, len(self._files))
        start, end = span.start, span.end
        places = {
            "start": {"line": start.line, "character": start.column - 1},
            "end": {"line": end.line, "character": end.column - 1},
        }
        return _filled(sourceIndex=index, ranges=[places])

    def texts(self) -> list[str]:
        """The files' texts, as Go writes bytes."""
        return [base64.b64encode(file.text.encode()).decode() for file in self._files]


def _filled(**values: Any) -> dict[str, Any]:
    """An object without what is empty, which readers take for the same."""
    return {key: value for key, value in values.items() if value}


def _answer(data: object, text: str) -> Result:
    return Result(
        metadata={
            "result.json": json.dumps(data, indent=2).encode(),
            "result.txt": text.encode(),
            "version": _VERSION.encode(),
        }
    )


def _table_of_target(target: Target) -> str:
    rows = [("TARGET:", target.name)]
    rows += [("DESCRIPTION:", target.description)] if target.description else []
    return _table(rows[0], rows[1:])


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], gap: int = 1) -> str:
    """Columns as wide as they need to be, ``gap`` spaces apart."""
    lines = [head, *rows]
    widths = [max(map(len, column)) + gap for column in zip(*lines, strict=True)]
    return "".join(f"{line}\n" for line in _lines(lines, widths))


def _lines(lines: Iterable[Sequence[str]], widths: Sequence[int]) -> Iterator[str]:
    for cells in lines:
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        yield "".join(padded).rstrip()
