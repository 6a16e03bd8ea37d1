"""A buildkitd's own settings, ``buildkitd.toml``: what of them matters to whoever talks to it.

All else in it is between the file and the daemon, which says what it does not understand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from translator.text.document import Node

FILE_NAME = "buildkitd.toml"


@dataclass(frozen=True, kw_only=True)
class BuildkitdSettings:
    """What a file says (cmd/buildkitd/config, all releases).

    ``addresses`` are where the daemon listens, ``labels`` and ``platforms`` those of the worker
    that becomes the default one: OCI, or containerd where OCI is switched off. ``workers`` are the
    kinds that are switched on or off by the file.
    """

    path: Path
    addresses: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    platforms: tuple[str, ...] = ()
    workers: Mapping[str, bool] = field(default_factory=dict)


def read_settings(path: Path) -> BuildkitdSettings:
    """Read a file. Raises UsageError where it can't be read, InvalidFileError if it is no TOML."""
    from buildfile.files import read_file
    from buildfile.tomltext import parse

    top = parse(read_file(str(path)))
    kinds = {kind: _get(_get(top, "worker"), kind) for kind in ("oci", "containerd")}
    switched = {kind: _text(_get(each, "enabled")) for kind, each in kinds.items()}
    workers = {kind: each == "true" for kind, each in switched.items() if each}
    default = kinds["oci" if workers.get("oci", True) else "containerd"]
    return BuildkitdSettings(
        path=path,
        addresses=_texts(_get(_get(top, "grpc"), "address")),
        labels=_pairs(_get(default, "labels")),
        platforms=_texts(_get(default, "platforms")),
        workers=workers,
    )


def own_settings(environment: Mapping[str, str]) -> Path | None:
    """The user's file for the private daemon, where there is one."""
    from buildfile.daemons import settings_folders

    files = (folder / FILE_NAME for folder in settings_folders(environment))
    return next(filter(Path.is_file, files), None)


def listening_places(environment: Mapping[str, str]) -> Iterator[str]:
    """Sockets that the buildkitd of this machine, or of this user, is told to listen on.

    They are told by the files that buildkitd reads if nothing is said (cmd/buildkitd/main.go, all
    releases). A file that can't be read tells none: it is not ours.
    """
    from buildfile.exits import UsageError
    from translator.diagnostic import InvalidFileError

    home = environment.get("HOME", "")
    config = environment.get("XDG_CONFIG_HOME") or (f"{home}/.config" if home else "")
    for folder in ("/etc/buildkit", *([f"{config}/buildkit"] if config else [])):
        file = Path(folder, FILE_NAME)
        if file.is_file():
            try:
                found = read_settings(file).addresses
            except (UsageError, InvalidFileError):
                continue
            yield from (each for each in found if each.startswith("unix:///"))


def _get(node: Node | None, key: str) -> Node | None:
    """A value of a table; None where there is no such table or key."""
    from translator.text.document import Table

    entry = node.entries.get(key) if isinstance(node, Table) else None
    return entry.value if entry else None


def _text(node: Node | None) -> str:
    from translator.text.document import Scalar

    return node.text if isinstance(node, Scalar) else ""


def _texts(node: Node | None) -> tuple[str, ...]:
    from translator.text.document import Items

    return tuple(filter(None, map(_text, node.items))) if isinstance(node, Items) else ()


def _pairs(node: Node | None) -> dict[str, str]:
    from translator.text.document import Table

    entries = node.entries if isinstance(node, Table) else {}
    return {key: _text(entry.value) for key, entry in entries.items()}
