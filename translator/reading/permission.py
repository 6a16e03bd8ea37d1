"""Which folders of the client a build file may read."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Sequence

from translator.reading.files import resolve

_GRANTS = ("fs.read=", "fs=")


class Permission:
    """A local source lies in the folder of its build file, or in the project's root, or in a folder
    that the command line allows.

    That is said as in bake: ``fs.read=PATH`` or ``fs=PATH``, with ``*`` for every folder. Symbolic
    links count as what they lead to.
    """

    def __init__(
        self, root: str, allow: Sequence[str], folder: str, real_path: Callable[[str], str]
    ) -> None:
        """``root`` is the project's; relative paths in ``allow`` start from ``folder``."""
        given = [
            text.removeprefix(grant)
            for text in allow
            for grant in _GRANTS
            if text.startswith(grant)
        ]
        self._all = "*" in given
        self._allowed = (root, *(resolve(path, folder, "") for path in given if path != "*"))
        self._resolve = real_path
        self._real: dict[str, str] = {}

    def refusal(self, path: str, folder: str) -> Sequence[str] | None:
        """None if a build file in ``folder`` may read ``path``, else the folders that it may."""
        allowed = tuple(dict.fromkeys((folder, *self._allowed)))
        real = self._real_path(path)
        if self._all or any(_within(real, self._real_path(each)) for each in allowed):
            return None
        return allowed

    def _real_path(self, path: str) -> str:
        if path not in self._real:
            self._real[path] = self._resolve(path)
        return self._real[path]


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(posixpath.join(folder, ""))
