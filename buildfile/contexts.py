"""The folders of this machine that a run sends: that they are there, and their ignore files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from buildfile import faults
from daemon_shim.session.patterns import read_ignore
from translator.diagnostic import Diagnostic, InvalidFileError
from translator.llb.locals import local_sources
from translator.stage import Instance, LocalSource

IGNORE_FILE = ".dockerignore"


def ignore_patterns(instances: Iterable[Instance]) -> dict[str, tuple[str, ...]]:
    """Patterns of the ignore file in each local source's folder, by the folder.

    Raises InvalidFileError for folders that are not there, or cannot be read.
    """
    used = local_sources(instances)
    if found := list(_faults(used)):
        raise InvalidFileError(found)
    return {source.path: _read(source) for source in used if source.ignore_file}


def _faults(used: Iterable[LocalSource]) -> Iterator[Diagnostic]:
    for source in used:
        path = Path(source.path)
        if not path.exists():
            yield faults.no_such_folder(source)
        elif not path.is_dir():
            yield faults.not_a_folder(source)


def _read(source: LocalSource) -> tuple[str, ...]:
    try:
        return read_ignore((Path(source.path) / IGNORE_FILE).read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        reason = f"{IGNORE_FILE}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}"
        raise InvalidFileError([faults.unreadable_folder(source, reason)]) from error
