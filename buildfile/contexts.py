"""The folders of this machine that a run sends: that they are there, and their ignore files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from buildfile import faults
from daemon_shim.session.patterns import read_ignore
from translator.diagnostic import Diagnostic, InvalidFileError
from translator.stage import Instance, LocalSource
from translator.uses import sources

IGNORE_FILE = ".dockerignore"


def ignore_patterns(instances: Iterable[Instance]) -> dict[str, tuple[str, ...]]:
    """Patterns of the ignore file in each local source's folder, by the folder.

    Raises InvalidFileError for folders that are not there, or cannot be read.
    """
    used = {
        source.path: source
        for instance in instances
        for source in sources(instance)
        if isinstance(source, LocalSource)
    }
    if found := list(_faults(used.values())):
        raise InvalidFileError(found)
    return {path: _read(path) for path, source in used.items() if source.ignore_file}


def _faults(used: Iterable[LocalSource]) -> Iterator[Diagnostic]:
    for source in used:
        path = Path(source.path)
        if not path.exists():
            yield faults.no_such_folder(source)
        elif not path.is_dir():
            yield faults.not_a_folder(source)


def _read(folder: str) -> tuple[str, ...]:
    try:
        return read_ignore((Path(folder) / IGNORE_FILE).read_text(encoding="utf-8-sig"))
    except (FileNotFoundError, NotADirectoryError):
        return ()
