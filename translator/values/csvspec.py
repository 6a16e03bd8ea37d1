"""CSV strings such as ``type=local,dest=out``, split as buildctl splits them.

buildctl reads one record with Go's ``encoding/csv`` rules (v0.3: encoding/csv itself; since v0.15
tonistiigi/go-csvvalue, which keeps to them): a field that begins with a quote ends at the next
lone quote, a doubled quote inside stands for one, and a quote elsewhere is an error.
"""

from __future__ import annotations

import re

_QUOTED = re.compile(r'"((?:[^"]|"")*)"(?=,|$)')
_BARE = re.compile(r'[^,"]*(?=,|$)')


def fields(text: str) -> tuple[str, ...]:
    """The fields of one record. Raises ValueError with a reason for misplaced quotes."""
    found: list[str] = []
    at = 0
    while True:
        quoted = _QUOTED.match(text, at)
        match = quoted or _BARE.match(text, at)
        if not match:
            raise ValueError(_fault(text, at))
        found.append(quoted.group(1).replace('""', '"') if quoted else match.group())
        if match.end() == len(text):
            return tuple(found)
        at = match.end() + 1


def _fault(text: str, at: int) -> str:
    if text.startswith('"', at):
        return "a quoted field must end with a quote before the next comma"
    return 'a quote may only stand around a whole field, such as "name=a,b"'


def pairs(text: str) -> tuple[tuple[str, str | None], ...]:
    """Fields split at their first ``=``; keys in lower case, None where there is no ``=``.

    Raises ValueError as ``fields`` does.
    """
    return tuple(_pair(field) for field in fields(text))


def _pair(field: str) -> tuple[str, str | None]:
    key, equals, value = field.partition("=")
    return (key.strip().lower(), value) if equals else (field, None)
