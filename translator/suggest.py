"""Did you mean: the known name that a misspelt one is closest to."""

from __future__ import annotations

from collections.abc import Iterable


def suggest(word: str, known: Iterable[str]) -> str | None:
    """The name in ``known`` nearest to ``word``, or None when none is near.

    Near means at most a third of the word's length in edits, one at least; case and the choice of
    ``-`` or ``_`` count for nothing. The beginning of a name, or a name and more, is near it, too.
    Of equally near names the first in ``known`` wins.
    """
    best, least = None, (max(1, len(word) // 3) if len(word) > 1 else 0) + 1
    for name in known:
        if _begins(word, name):
            away = 1
        elif abs(len(name) - len(word)) < least:
            away = distance(_folded(word), _folded(name))
        else:
            continue
        if away < least:
            best, least = name, away
    return best


def distance(a: str, b: str) -> int:
    """How many letters to add, drop, change or swap with the next to turn ``a`` into ``b``."""
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        above, row = row, [i]
        for j, y in enumerate(b, 1):
            cost = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        before = above
    return row[-1]


def _begins(word: str, name: str) -> bool:
    short, long = sorted((_folded(word), _folded(name)), key=len)
    return len(short) > 2 and long.startswith(short)


def _folded(word: str) -> str:
    return word.lower().replace("_", "-")
