"""Putting a received folder in its place."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class ConflictError(Exception):
    """What is in the place cannot give way."""


def merge(source: Path, dest: Path, *, delete: bool) -> None:
    """Move all that is in ``source`` into the existing folder ``dest``.

    Files and links take the place of those of the same name, each at once; folders are merged,
    and what only ``dest`` has stays, unless ``delete``. Symbolic links in ``dest`` are replaced,
    never followed. Raises ConflictError, before anything is moved, where a file would take the
    place of a folder that is not empty (unless ``delete``); and OSError. ``source`` may lie in
    ``dest``.
    """
    with _folder(source) as inner, _folder(dest) as outer:
        if not delete:
            _check(inner, outer, dest)
        _move(inner, outer, delete=delete, keep=source.name)


@contextmanager
def _folder(path: Path | str, parent: int | None = None) -> Iterator[int]:
    fd = os.open(path, _FOLDER, dir_fd=parent)
    try:
        yield fd
    finally:
        os.close(fd)


def _names(folder: int) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries]


def _mode(name: str, folder: int) -> int:
    """Return an entry's mode, 0 if there is none."""
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return 0


def _check(inner: int, outer: int, place: Path) -> None:
    for name in _names(inner):
        if not stat.S_ISDIR(_mode(name, outer)):
            continue
        with ExitStack() as stack:
            theirs = stack.enter_context(_folder(name, outer))
            if stat.S_ISDIR(_mode(name, inner)):
                _check(stack.enter_context(_folder(name, inner)), theirs, place / name)
            elif _names(theirs):
                raise ConflictError(f"{place / name} is a folder with files, and would be a file")


def _move(inner: int, outer: int, *, delete: bool, keep: str = "") -> None:
    names = _names(inner)
    if delete:
        for name in set(_names(outer)).difference(names, {keep}):
            _remove(name, outer)
    for name in names:
        ours, theirs = stat.S_ISDIR(_mode(name, inner)), _mode(name, outer)
        if ours and stat.S_ISDIR(theirs):
            with _folder(name, inner) as source, _folder(name, outer) as dest:
                _move(source, dest, delete=delete)
            os.rmdir(name, dir_fd=inner)
            continue
        if stat.S_ISDIR(theirs) and not delete:
            os.rmdir(name, dir_fd=outer)
        elif theirs and (ours or stat.S_ISDIR(theirs)):
            _remove(name, outer)
        os.replace(name, name, src_dir_fd=inner, dst_dir_fd=outer)


def _remove(name: str, folder: int) -> None:
    if stat.S_ISDIR(_mode(name, folder)):
        with _folder(name, folder) as inner:
            for one in _names(inner):
                _remove(one, inner)
        os.rmdir(name, dir_fd=folder)
    else:
        os.unlink(name, dir_fd=folder)
