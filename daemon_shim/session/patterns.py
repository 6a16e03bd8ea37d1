"""Path patterns of ignore files and local sources: Docker's dialect of Go's filepath.Match.

``*``, ``?`` and ``[...]`` stay within a path component and ``\\`` escapes, as in Go's
path/filepath; ``**`` spans components, ``!`` takes back what patterns before it matched, the last
match wins, and what matches a folder matches all below it (moby/patternmatcher, which daemons and
clients of all releases use). A leading slash means nothing.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

Matched: TypeAlias = tuple[bool, ...]
"""For each pattern, whether it matched a folder or one above it."""

_SPECIAL = frozenset("*?[]\\")
_COMMENT = "#"
_BOM = "\ufeff"


class PatternError(ValueError):
    """A pattern that is not well formed; ``pattern`` is its text."""

    def __init__(self, pattern: str, reason: str) -> None:
        super().__init__(f"bad pattern {pattern!r}: {reason}")
        self.pattern = pattern


class PatternMatcher:
    """A list of patterns. Raises PatternError for one that is not well formed.

    Blank patterns, and ``.`` alone, are passed over.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        cleaned = (_clean(pattern) for pattern in patterns)
        self._patterns = [_Pattern(*pair) for pair in cleaned if pair[0] not in ("", ".")]
        self._negations = any(pattern.negated for pattern in self._patterns)

    def __bool__(self) -> bool:
        return bool(self._patterns)

    @property
    def start(self) -> Matched:
        """What to give as ``above`` for the entries of the root."""
        return (False,) * len(self._patterns)

    def matches(self, path: str) -> bool:
        """Return whether ``path`` matches, by itself or for a folder above it."""
        above, matched = self.start, False
        parts = path.split("/")
        for end in range(1, len(parts) + 1):
            matched, above = self.step("/".join(parts[:end]), above)
        return matched

    def step(self, path: str, above: Matched) -> tuple[bool, Matched]:
        """Return whether ``path`` matches, and what to give as ``above`` for what is in it."""
        matched = False
        hits = []
        for pattern, inherited in zip(self._patterns, above, strict=True):
            hit = inherited or (pattern.negated == matched and pattern.match(path))
            hits.append(hit)
            if hit:
                matched = not pattern.negated
        return matched, tuple(hits)

    def may_match_below(self, path: str) -> bool:
        """Return whether something in the folder ``path``, which did not match, may match."""
        return self._reach(path, negated=False)

    def may_escape_below(self, path: str) -> bool:
        """Return whether something in the folder ``path``, which matched, may not match."""
        return self._negations and self._reach(path, negated=True)

    def _reach(self, path: str, *, negated: bool) -> bool:
        parts = path.split("/")
        return any(p.reaches(parts) for p in self._patterns if p.negated == negated)


class _Pattern:
    def __init__(self, text: str, negated: bool) -> None:
        self.negated = negated
        self.match = _compile(text)
        self._steps = [_compile_step(part) for part in text.split("/")]

    def reaches(self, parts: Sequence[str]) -> bool:
        """Whether the pattern may match something below the folder with these components."""
        for part, step in zip(parts, self._steps, strict=False):
            if step is None:
                return True
            if not step(part):
                return False
        return len(self._steps) > len(parts)


def read_ignore(text: str) -> tuple[str, ...]:
    """Return the patterns of an ignore file's text, such as a ``.dockerignore``'s.

    Lines that begin with ``#`` are comments; blanks around a line, a byte order mark, and a
    leading slash go. (moby/patternmatcher/ignorefile)
    """
    lines = text.removeprefix(_BOM).split("\n")
    stripped = [line.strip() for line in lines if not line.startswith(_COMMENT)]
    cleaned = [_clean(line) for line in stripped if line]
    return tuple(("!" if negated else "") + pattern for pattern, negated in cleaned)


def escape(text: str) -> str:
    """Return a pattern that matches the path ``text`` and no other."""
    return re.sub(r"([*?\[\]\\])", r"\\\1", text)


def is_pattern(text: str) -> bool:
    """Return whether a path component may match other names than its own."""
    return bool(re.search(r"(?<!\\)(?:\\\\)*[*?\[]", text))


def unescape(text: str) -> str:
    """Return the name that a component without wildcards matches."""
    return re.sub(r"\\(.)", r"\1", text)


def _clean(pattern: str) -> tuple[str, bool]:
    text = pattern.strip()
    negated = text.startswith("!")
    if negated:
        text = text[1:].strip()
        if not text:
            raise PatternError(pattern, "nothing after the exclamation mark")
    text = text.lstrip("/") if text != "/" else "."
    return (posixpath.normpath(text) if text else ""), negated


def compile_component(text: str) -> Callable[[str], bool]:
    """Return a test of a name against one component of a pattern. Raises PatternError."""
    return _compile(text)


def _compile_step(part: str) -> Callable[[str], bool] | None:
    """Compile one component; None if what follows cannot be told from it."""
    if "**" in part:
        return None
    try:
        return _compile(part)
    except PatternError:  # a slash within brackets
        return None


def _compile(text: str) -> Callable[[str], bool]:
    if _SPECIAL.isdisjoint(text):
        return text.__eq__
    if text.startswith("**") and _SPECIAL.isdisjoint(text[2:]):
        return _suffix(text[2:])
    expression = re.compile(_expression(text), re.DOTALL)
    return lambda path: expression.fullmatch(path) is not None


def _suffix(suffix: str) -> Callable[[str], bool]:
    name = suffix.removeprefix("/") if suffix.startswith("/") else None
    return lambda path: path.endswith(suffix) or path == name


def _expression(text: str) -> str:
    out, at = [], 0
    while at < len(text):
        piece, at = _PIECES.get(text[at], _literal)(text, at)
        out.append(piece)
    return "".join(out)


def _literal(text: str, at: int) -> tuple[str, int]:
    return re.escape(text[at]), at + 1


def _star(text: str, at: int) -> tuple[str, int]:
    if not text.startswith("**", at):
        return "[^/]*", at + 1
    at += 2
    if text.startswith("/", at):
        at += 1
    return (".*", at) if at == len(text) else ("(?:.*/)?", at)


def _any(text: str, at: int) -> tuple[str, int]:
    return "[^/]", at + 1


def _escaped(text: str, at: int) -> tuple[str, int]:
    if at + 1 == len(text):
        raise PatternError(text, "nothing after the backslash")
    return re.escape(text[at + 1]), at + 2


def _brackets(text: str, at: int) -> tuple[str, int]:
    at += 1
    negated = text.startswith("^", at)
    at += negated
    ranges: list[str] = []
    while not (ranges and text.startswith("]", at)):
        low, at = _in_brackets(text, at)
        high = low
        if text.startswith("-", at):
            high, at = _in_brackets(text, at + 1)
        if low > high:
            raise PatternError(text, f"a range from {low!r} down to {high!r}")
        ranges.append(f"{re.escape(low)}-{re.escape(high)}")
    return f"(?!/)[{'^' if negated else ''}{''.join(ranges)}]", at + 1


def _in_brackets(text: str, at: int) -> tuple[str, int]:
    if text.startswith("\\", at):
        at += 1
    elif text.startswith(("-", "]"), at):
        raise PatternError(text, "brackets with a character missing")
    if at >= len(text):
        raise PatternError(text, "brackets that are not closed")
    return text[at], at + 1


_PIECES: dict[str, Callable[[str, int], tuple[str, int]]] = {
    "*": _star,
    "?": _any,
    "\\": _escaped,
    "[": _brackets,
}
