"""The files of a project: those named, and those that they include, in the order of merging."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from translator.diagnostic import Diagnostic, InvalidFileError
from translator.reading import name_faults
from translator.reading.collector import Collector
from translator.span import SourceFile, Span
from translator.text.document import Items, Node, Scalar, Table, parse_all
from translator.values.interpolate import expand
from translator.values.scope import Missing, Scope
from translator.values.value import Broken

MOST_NESTED = 50


@dataclass(frozen=True, kw_only=True)
class Document:
    """A file and its nodes."""

    file: SourceFile
    table: Table


class Gathering:
    """Reads files and what they include. Each file counts once, where it is met first."""

    def __init__(self, read: Callable[[str], SourceFile], scope: Scope, found: Collector) -> None:
        """``read`` takes an absolute path and raises OSError; ``scope`` has no variables."""
        self._read = read
        self._scope = scope
        self._found = found
        self._seen: set[tuple[str, str]] = set()
        self._path: list[tuple[tuple[str, str], str, Span | None]] = []
        self.documents: list[Document] = []

    def add(self, file: SourceFile, at: Span | None = None) -> None:
        """Add ``file``, included at ``at``, after all that it includes."""
        identity = (file.folder, posixpath.basename(file.name))
        if identity in self._seen:
            return
        self._seen.add(identity)
        table = self._parsed(file)
        if table is None:
            return
        self._path.append((identity, file.name, at))
        for node in self._includes(table):
            self._include(node)
        self._path.pop()
        self.documents.append(Document(file=file, table=table))

    def _parsed(self, file: SourceFile) -> Table | None:
        table, faults_of_text = parse_all(file)
        self._found.extend(faults_of_text)
        return table

    def _includes(self, table: Table) -> list[Scalar]:
        entry = table.entries.get("include")
        if not entry:
            return []
        scope = replace(self._scope, variables=_too_early(table))
        value = expand(entry.value, scope, self._found)
        items: tuple[Node, ...] = value.items if isinstance(value, Items) else (value,)
        return [item for item in items if isinstance(item, Scalar)]

    def _include(self, node: Scalar) -> None:
        if isinstance(node, Broken):
            return
        home = self._scope.environment.get("HOME", "")
        try:
            file = self._read(absolute(node, home))
        except OSError as error:
            reason = error.strerror or str(error)
            self._found.add(name_faults.unreadable_include(node.text, reason, node.span))
        except InvalidFileError as error:
            self._found.extend(error.diagnostics)
        else:
            self._enter(file, node.span)

    def _enter(self, file: SourceFile, span: Span) -> None:
        identity = (file.folder, posixpath.basename(file.name))
        opened = [known for known, _, _ in self._path]
        if identity in opened:
            path = self._path[opened.index(identity) + 1 :]
            between = [(name, at) for _, name, at in path if at]
            self._found.add(name_faults.include_circle(file.name, span, between))
        elif len(self._path) >= MOST_NESTED:
            self._found.add(name_faults.includes_too_deep(MOST_NESTED, span))
        else:
            self.add(file, span)


def absolute(node: Scalar, home: str) -> str:
    """The path that a scalar names, from the folder of the file that it stands in."""
    return resolve(node.text, node.span.file.folder, home)


def resolve(path: str, folder: str, home: str) -> str:
    """``path`` from ``folder``; a leading ``~`` is ``home``, where there is one."""
    if home and (path == "~" or path.startswith("~/")):
        path = home + path[1:]
    return posixpath.normpath(posixpath.join(folder, path))


def _too_early(table: Table) -> Mapping[str, Missing]:
    declared = table.entries.get("vars")
    names = declared.value.entries if declared and isinstance(declared.value, Table) else ()
    return {name: Missing(_early(name), False) for name in names}


def _early(name: str) -> Callable[[Span], Diagnostic]:
    return lambda span: name_faults.variable_too_early(name, span)
