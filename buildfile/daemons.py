"""The daemons that a user or a project knows: ``daemons.toml``, read into types.

The project's file stands beside the build file, the user's in the folder for settings; what both
name is the project's. Neither has to be there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from daemon_shim.info import Api
from daemon_shim.transports.base import TlsFiles
from translator.span import Span

if TYPE_CHECKING:
    from translator.diagnostic import Diagnostic
    from translator.span import SourceFile
    from translator.text.document import Table

FILE_NAME = "daemons.toml"


@dataclass(frozen=True, kw_only=True)
class DaemonEntry:
    """One daemon of a file.

    ``tls`` has absolute paths. ``labels`` count beside those of the daemon's workers.
    ``max_parallel`` is how many builds of a run it gets at once, None for any number. ``handoff``
    is the place in a registry through which results may move between daemons of the file, or ''.
    """

    name: str
    address: str
    tls: TlsFiles = field(default_factory=TlsFiles)
    labels: Mapping[str, str] = field(default_factory=dict)
    max_parallel: int | None = None
    api: Api = Api.AUTO
    handoff: str = ""
    span: Span = field(compare=False)


def find_files(
    environment: Mapping[str, str], folder: str | None, named: str | None = None
) -> tuple[Path, ...]:
    """The files that there are: ``named`` alone, else the one in ``folder``, then the user's.

    Raises UsageError where ``named`` is no file.
    """
    if named:
        from buildfile.exits import UsageError

        if not Path(named).is_file():
            raise UsageError(f"no such file: {named}", hint=f"--daemons names a {FILE_NAME}")
        return (Path(named),)
    places = [Path(folder)] if folder else []
    places += settings_folders(environment)
    return tuple(path for path in (place / FILE_NAME for place in places) if path.is_file())


def settings_folders(environment: Mapping[str, str]) -> Iterator[Path]:
    """The user's folder for settings (XDG base directories: a relative one does not count)."""
    given, home = environment.get("XDG_CONFIG_HOME", ""), environment.get("HOME", "")
    if given.startswith("/"):
        yield Path(given) / "buildfile"
    elif home:
        yield Path(home) / ".config" / "buildfile"


def read_daemons(files: Iterable[Path], environment: Mapping[str, str]) -> tuple[DaemonEntry, ...]:
    """The daemons of the files in their order; of two with one name the first counts.

    Raises InvalidFileError with every fault of all files, UsageError for one that can't be read.
    """
    from translator.diagnostic import InvalidFileError

    entries: dict[str, DaemonEntry] = {}
    found: list[Diagnostic] = []
    for path in files:
        try:
            for entry in _read(path, environment):
                entries.setdefault(entry.name, entry)
        except InvalidFileError as error:
            found += error.diagnostics
    if found:
        raise InvalidFileError(found)
    return tuple(entries.values())


def _read(path: Path, environment: Mapping[str, str]) -> tuple[DaemonEntry, ...]:
    from buildfile.files import read_file
    from buildfile.tomltext import parse
    from schemas import daemons_schema_text
    from translator.diagnostic import InvalidFileError
    from translator.text.document import Table
    from translator.text.schema import check

    file = read_file(str(path))
    top = parse(file)
    found = check(top, daemons_schema_text)
    if found:
        raise InvalidFileError(found)
    daemons = top.entries.get("daemons")
    tables = daemons.value.entries if daemons and isinstance(daemons.value, Table) else {}
    handoff = _texts(top).get("handoff", "")
    entries = tuple(
        replace(_entry(name, entry.value, file, environment), handoff=handoff)
        for name, entry in tables.items()
        if isinstance(entry.value, Table)
    )
    faults = [fault for each in entries for fault in _faults(each)]
    if faults:
        raise InvalidFileError(faults)
    return entries


def _entry(
    name: str, table: Table, file: SourceFile, environment: Mapping[str, str]
) -> DaemonEntry:
    texts = _texts(table)
    tls = _texts(_table(table, "tls"))

    def absolute(key: str) -> str:
        given = tls.get(key, "")
        if given.startswith("~/"):
            given = environment.get("HOME", "") + given[1:]
        return os.path.join(file.folder, given) if given else ""  # noqa: PTH118 -- keeps ..

    return DaemonEntry(
        name=name,
        address=texts["address"],
        tls=TlsFiles(
            ca=absolute("ca"),
            cert=absolute("cert"),
            key=absolute("key"),
            server_name=tls.get("server-name", ""),
        ),
        labels=_texts(_table(table, "labels")),
        max_parallel=int(texts["max-parallel"]) if "max-parallel" in texts else None,
        api=Api(texts.get("api", "auto")),
        span=table.entries["address"].value.span,
    )


def _texts(table: Table | None) -> dict[str, str]:
    from translator.text.document import Scalar

    entries = table.entries if table else {}
    return {
        key: entry.value.text for key, entry in entries.items() if isinstance(entry.value, Scalar)
    }


def _table(table: Table, key: str) -> Table | None:
    from translator.text.document import Table

    entry = table.entries.get(key)
    return entry.value if entry and isinstance(entry.value, Table) else None


def _faults(entry: DaemonEntry) -> Iterator[Diagnostic]:
    """What no schema can say: an address that cannot be dialled."""
    from buildfile import faults
    from daemon_shim.errors import UnreachableError
    from daemon_shim.transports import transport_for

    try:
        transport_for(entry.address, tls=entry.tls, environment={})
    except UnreachableError as error:
        yield faults.unusable_address(entry.name, error, entry.span)
