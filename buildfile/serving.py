"""What sessions serve of compiled graphs and to frontends: folders and OCI layouts, by name."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from daemon_shim.session.filesync import LocalFolder
from daemon_shim.session.host import SessionHost
from daemon_shim.session.memory import MemoryFolder
from translator.compiled import Compiled, FrontendNeed, LocalUse

if TYPE_CHECKING:
    from daemon_shim.client import Daemon
    from daemon_shim.session.service import Service

Folders: TypeAlias = Mapping[str, LocalFolder | MemoryFolder]


def folders(parts: Iterable[Compiled]) -> Folders:
    """The local sources of graphs."""
    found: dict[str, LocalFolder | MemoryFolder] = {}
    for part in parts:
        found |= {use.name: _folder(use) for use in part.locals}
        found |= {each.name: MemoryFolder({each.file: each.data}) for each in part.programs}
    return found


def frontend_folders(need: FrontendNeed) -> Folders:
    """The local sources that a frontend is given, but for those of its inputs."""
    texts = {name: MemoryFolder(files) for name, files in need.texts.items()}
    return {**{name: _folder(use) for name, use in need.folders.items()}, **texts}


def layouts(parts: Iterable[Compiled]) -> dict[str, Path]:
    """The OCI layouts of graphs, by the name of the store."""
    return {f"oci:{id_}": Path(path) for part in parts for id_, path in part.stores.items()}


def session(
    daemon: Daemon,
    services: Iterable[Service],
    on_lost: Callable[[Exception], None] = lambda error: None,
) -> SessionHost:
    """A session of this working folder.

    What a daemon has of its folders from earlier ones, it is not sent again.
    """
    root = Path.cwd()
    return SessionHost(
        daemon.wire.transport,
        services,
        name=root.name or "root",
        shared_key=hashlib.sha256(f"{uuid.getnode()}:{root}".encode()).hexdigest(),
        on_lost=on_lost,
    )


def _folder(use: LocalUse) -> LocalFolder:
    return LocalFolder(path=use.path, include=use.include, exclude=use.exclude, follow=use.follow)
