"""Projects from text, for tests of the front half."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

from translator.diagnostic import Diagnostic, InvalidFileError
from translator.platform import Platform
from translator.project import Inputs, Project, load
from translator.span import SourceFile
from translator.stage import Instance
from translator.text.document import Table, parse

ROOT = "/project"
AMD64 = Platform("linux", "amd64")
ARM64 = Platform("linux", "arm64")


def source_file(text: str, name: str = "buildfile.yaml", folder: str = ROOT) -> SourceFile:
    return SourceFile(name=name, folder=folder, text=text)


def table(text: str) -> Table:
    return parse(source_file(text))


def inputs(text: str, files: Mapping[str, str] | None = None, **more: Any) -> Inputs:
    """``files`` are those that can be included, by absolute path."""

    def read(path: str) -> SourceFile:
        if path not in (files or {}):
            raise FileNotFoundError(2, "No such file or directory", path)
        folder, name = posixpath.split(path)
        return SourceFile(name=name, folder=folder, text=(files or {})[path])

    return Inputs(files=more.pop("also", ()) or (source_file(text),), read=read, **more)


def project(text: str, files: Mapping[str, str] | None = None, **more: Any) -> Project:
    return load(inputs(text, files, **more))


def faults(text: str, files: Mapping[str, str] | None = None, **more: Any) -> list[str]:
    """Each fault as ``line:column code message``, in the order in which they are reported."""
    try:
        load(inputs(text, files, **more))
    except InvalidFileError as error:
        return [line(fault) for fault in error.diagnostics]
    return []


def line(fault: Diagnostic) -> str:
    at = fault.span
    place = f"{at.start.line}:{at.start.column} " if at else ""
    if at and at.file.name != "buildfile.yaml":
        place = f"{at.file.name}:{place}"
    return f"{place}{fault.code} {fault.message}"


def build(text: str, target: str = "t", platform: Platform = AMD64, **more: Any) -> Instance:
    """The instance of one target of a project."""
    made = project(text, **more)
    (chosen,) = made.select([target])
    return made.instantiate(chosen, platform, AMD64)
