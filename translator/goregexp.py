"""Regular expressions as Go reads them (RE2), made into Python's, for filters that daemons know.

Both mean the same by most signs. What they mean differently is translated piece by piece; what only
one of them has is refused, so that a filter never selects otherwise here than on a daemon.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

_CLASSES: Mapping[str, str] = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": r"\x00-\x7f",
    "blank": r"\t ",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\t\n\v\f\r ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
_PIECE = re.compile(
    r"(?P<quoted>\\Q(?P<literal>.*?)(?:\\E|\Z))"
    r"|(?P<point>\\x\{(?P<code>[0-9A-Fa-f]{1,6})\})"
    r"|(?P<escape>\\.)"
    r"|(?P<set>\[\^?\]?(?:\[:\^?[a-z]+:\]|\\.|[^\]\\])*\])"
    r"|(?P<name>\(\?P?<(?P<called>[A-Za-z_][A-Za-z0-9_]*)>)"
    r"|(?P<flags>\(\?(?P<letters>[ims]+)(?P<scope>[:)]))"
    r"|(?P<group>\((?:\?:|(?!\?)))"
    r"|(?P<repeat>(?:[*+?]|\{[0-9]+(?:,[0-9]*)?\})\??)"
    r"|(?P<other>[^\\\[(])",
    re.DOTALL,
)
_IN_SET = re.compile(r"\[:(\^?)([a-z]+):\]|(\\.)|([\[&~|])|(.)", re.DOTALL)
_SPACE = r"\t\n\f\r "
_ESCAPES: Mapping[str, str] = {
    r"\s": f"[{_SPACE}]",
    r"\S": f"[^{_SPACE}]",
    r"\z": r"\Z",
}
_KNOWN = re.compile(r"\\[dDsSwWbBAzafnrtv0]|\\x|\\[^0-9A-Za-z]")
_LITERALS: Mapping[str, str] = {"{": r"\{", "}": r"\}", "$": r"\Z"}


class RegexpError(ValueError):
    """An expression that cannot be used; ``offset`` is that of the part at fault."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


def compiled(text: str) -> re.Pattern[str]:
    """The expression as Python's; use ``search``, for it matches anywhere. Raises RegexpError."""
    parts: list[str] = []
    several_lines = text.startswith("(?") and "m" in text.partition(")")[0]
    at, repeated = 0, True
    while at < len(text):
        piece = _PIECE.match(text, at)
        kind = piece.lastgroup if piece else None
        if not piece or (kind == "repeat" and repeated):
            raise RegexpError("this part means nothing in Go's regular expressions", at)
        repeated = kind in ("repeat", "group", "name", "flags") or piece[0] == "|"
        parts.append(_MADE[str(kind)](piece, several_lines))
        at = piece.end()
    try:
        return re.compile("".join(parts), re.ASCII)
    except re.error as error:
        raise RegexpError(f"the regular expression cannot be read: {error.msg}", 0) from error


def _flags(piece: re.Match[str], _: bool) -> str:
    if piece["scope"] == ")" and piece.start():
        raise RegexpError("flags must stand at the beginning or end with a colon", piece.start())
    return piece[0]


def _escape(piece: re.Match[str], _: bool) -> str:
    if not _KNOWN.match(piece[0]):
        raise RegexpError(f"there is no {piece[0]} here", piece.start())
    return _ESCAPES.get(piece[0], piece[0])


def _set(piece: re.Match[str], _: bool) -> str:
    opening = re.match(r"\[\^?\]?", piece[0])
    start = opening.end() if opening else 1
    inner = (_member(each, piece) for each in _IN_SET.finditer(piece[0][start:-1]))
    return f"{piece[0][:start]}{''.join(inner)}]"


def _member(found: re.Match[str], piece: re.Match[str]) -> str:
    inverted, name, escape, special, other = found.groups()
    if name and (inverted or name not in _CLASSES):
        raise RegexpError(f"the class {found[0]} is not known here", piece.start())
    if escape and not _KNOWN.match(escape):
        raise RegexpError(f"there is no {escape} here", piece.start())
    if name:
        return _CLASSES[name]
    if escape:
        return _SPACE if escape == r"\s" else str(escape)
    return f"\\{special}" if special else str(other)


def _other(piece: re.Match[str], several_lines: bool) -> str:
    if piece[0] == "$" and several_lines:
        return "$"
    return _LITERALS.get(piece[0], piece[0])


_MADE: Mapping[str, Callable[[re.Match[str], bool], str]] = {
    "quoted": lambda piece, _: re.escape(piece["literal"]),
    "point": lambda piece, _: re.escape(chr(min(int(piece["code"], 16), 0x10FFFF))),
    "escape": _escape,
    "set": _set,
    "name": lambda piece, _: f"(?P<{piece['called']}>",
    "flags": _flags,
    "group": lambda piece, _: piece[0],
    "repeat": lambda piece, _: piece[0],
    "other": _other,
}
