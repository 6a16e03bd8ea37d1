"""Follow paths: paths whose symlinks are resolved, so that link and target are both sent.

What ``local.followpaths`` asks the client for (fsutil's followlinks.go, v0.3 and later).
"""

from __future__ import annotations

import posixpath
import stat
from collections.abc import Iterable

from daemon_shim.session.patterns import compile_component, escape, is_pattern, unescape
from daemon_shim.session.root import Root


def follow_links(root: Root, paths: Iterable[str]) -> tuple[str, ...]:
    """Return include patterns for ``paths`` and all that their symlinks lead to.

    Targets stay within the root: an absolute one is relative to it, and ``..`` ends at it. An
    empty result means that a path leads to the root itself, which leaves nothing out. Raises
    OSError and PatternError.
    """
    follower = _Follower(root)
    for path in paths:
        follower.follow(_relative(path))
    return () if "" in follower.found else tuple(sorted(follower.found))


class _Follower:
    def __init__(self, root: Root) -> None:
        self._root = root
        self.found: dict[str, None] = {}

    def follow(self, path: str) -> None:
        """Add ``path`` or, from its first symlink on, the link and where it leads."""
        waiting = [path]
        while waiting:
            waiting += self._step(waiting.pop())

    def _step(self, path: str) -> list[str]:
        parts = path.split("/")
        for end in range(1, len(parts) + 1):
            current, rest = "/".join(parts[:end]), parts[end:]
            targets = self._targets(current)
            if targets or not rest:
                if current in self.found:
                    return []
                self.found[current] = None
            if targets:
                return [_relative("/".join((target, *rest))) for target in targets]
        return []

    def _targets(self, path: str) -> list[str]:
        """Where the symlinks at ``path`` lead, as escaped paths; wildcards in its last part."""
        folder, _, last = path.rpartition("/")
        if is_pattern(folder):
            return []
        folder = unescape(folder)
        try:
            if not is_pattern(last):
                return self._target(posixpath.join(folder, unescape(last)))
            test = compile_component(last)
            names = sorted(name for name in self._root.names(folder) if test(name))
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [t for name in names for t in self._target(posixpath.join(folder, name))]

    def _target(self, path: str) -> list[str]:
        if not path:
            return []
        try:
            if not stat.S_ISLNK(self._root.stat(path).st_mode):
                return []
            target = self._root.readlink(path)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [escape(_relative(posixpath.join("/", posixpath.dirname(path), target)))]


def _relative(path: str) -> str:
    """Clean a path as one below the root; "" is the root."""
    return posixpath.normpath("/" + path).lstrip("/")
