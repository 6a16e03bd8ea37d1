"""What a YAML parser complains about, in plain words.

The parser's own sentences (libyaml's and the pure one's differ) are matched by a table; the first
row that fits speaks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_QUOTE = "put the value in quotes if this belongs to it"
_INDENT = "check the indentation and the quotes of this line and the one above"


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """A parser's complaint in our words.

    ``begins`` says what the broken part is, to be drawn where it begins; ``at_begin`` is true
    where that beginning is the place to look at, not the point where the parser gave up.
    """

    message: str
    hint: str | None = None
    begins: str | None = None
    at_begin: bool = False


@dataclass(frozen=True, kw_only=True)
class _Row:
    problem: str
    says: Explanation
    context: str = ""
    text: str = ""  # what the line holds from the complaint on


_ROWS = (
    _Row(
        problem="mapping values are not allowed",
        says=Explanation(
            message="a colon and a space cannot stand here",
            hint="put the value in quotes if the colon belongs to it, else check the indentation",
        ),
    ),
    _Row(
        problem="cannot start any token",
        says=Explanation(message="a value cannot begin with {char}", hint=_QUOTE),
    ),
    _Row(
        problem="','",
        text=r"\{.*\}",
        says=Explanation(
            message="a second pair of braces cannot stand here",
            hint="within [ ] and { }, put text with ${...} in quotes",
            begins="in what begins here",
        ),
    ),
    _Row(
        problem="','",
        context="sequence",
        text="$",
        says=Explanation(
            message="this list is never closed",
            hint="add the missing ]",
            begins="the list begins here",
            at_begin=True,
        ),
    ),
    _Row(
        problem="','",
        context="mapping",
        text="$",
        says=Explanation(
            message="this map is never closed",
            hint="add the missing }}",
            begins="the map begins here",
            at_begin=True,
        ),
    ),
    _Row(
        problem="','",
        context="sequence",
        says=Explanation(
            message="expected a comma or ] here, found {char}",
            hint="is a ] missing above, or are quotes around a text?",
            begins="the list begins here",
        ),
    ),
    _Row(
        problem="','",
        context="mapping",
        says=Explanation(
            message="expected a comma or }} here, found {char}",
            hint="is a }} missing above, or are quotes around a text?",
            begins="the map begins here",
        ),
    ),
    _Row(
        problem="end of stream|document (indicator|separator)",
        context="quoted|double|single",
        says=Explanation(
            message="this quoted text has no closing quote",
            begins="the text begins here",
            at_begin=True,
        ),
    ),
    _Row(
        problem="unknown escape",
        says=Explanation(
            message="the escape {escape} does not exist",
            hint="write \\\\ for a backslash, or use single quotes",
        ),
    ),
    _Row(
        problem="hex|Unicode character escape",
        says=Explanation(message="the escape needs hexadecimal digits of a character here"),
    ),
    _Row(
        problem="tag handle",
        says=Explanation(message="the tag here is not declared", hint=_QUOTE),
    ),
    _Row(problem="", context="tag", says=Explanation(message="the tag is broken", hint=_QUOTE)),
    _Row(
        problem="",
        context="anchor|alias",
        says=Explanation(message="a name is expected after & and *", hint=_QUOTE),
    ),
    _Row(
        problem="",
        context="block scalar",
        says=Explanation(
            message="expected the end of the line here",
            hint="the text of | and > begins on the next line",
        ),
    ),
    _Row(
        problem="expected ':'",
        says=Explanation(
            message="expected a colon and a space after this key",
            hint="a key and its value are written as KEY: VALUE, with a space",
            begins="the key is here",
            at_begin=True,
        ),
    ),
    _Row(
        problem="sequence entries are not allowed",
        says=Explanation(
            message="a list cannot begin on the line of its key",
            hint="put it on the next line, or in [ ]",
        ),
    ),
    _Row(
        problem="mapping keys are not allowed",
        says=Explanation(message="a key cannot begin with ? here", hint=_QUOTE),
    ),
    _Row(
        problem="node content",
        says=Explanation(message="expected a value here, found {char}", hint=_QUOTE),
    ),
    _Row(
        problem="",
        context="block (collection|sequence)",
        says=Explanation(
            message="expected another item of the list here, beginning with a dash",
            hint=_INDENT,
            begins="the list begins here",
        ),
    ),
    _Row(
        problem="",
        context="block mapping",
        says=Explanation(
            message="expected another key of the map here",
            hint=_INDENT,
            begins="the map begins here",
        ),
    ),
    _Row(
        problem="incompatible YAML",
        says=Explanation(message="this version of YAML is not known", hint="remove the %YAML line"),
    ),
    _Row(
        problem="directive|version number|duplicate",
        says=Explanation(message="this line begins with %, but is no known directive"),
    ),
    _Row(
        problem="document start",
        says=Explanation(
            message="expected the end of the file here",
            hint="what stands above is already whole; check the indentation",
        ),
    ),
)
_TAB = Explanation(
    message="a tab indents this line", hint="YAML wants spaces for indentation, never tabs"
)
_UNKNOWN = Explanation(message="this is not valid YAML")


def explain(problem: str, context: str, text: str, line: str) -> Explanation:
    """The parser's ``problem`` (and what it did, ``context``) in plain words.

    ``text`` is the rest of the line from the problem on, ``line`` the whole line.
    """
    indentation = line[: len(line) - len(line.lstrip())]
    if "\t" in indentation:
        return _TAB
    says = next((row.says for row in _ROWS if _fits(row, problem, context, text)), _UNKNOWN)
    char = text[:1] or "the end of the line"
    message = says.message.replace("{char}", char).replace("{escape}", _escape(text))
    return Explanation(
        message=message.replace("}}", "}"),
        hint=says.hint and says.hint.replace("}}", "}"),
        begins=says.begins,
        at_begin=says.at_begin,
    )


def _fits(row: _Row, problem: str, context: str, text: str) -> bool:
    return bool(
        re.search(row.problem, problem)
        and re.search(row.context, context)
        and re.match(row.text, text)
    )


def _escape(text: str) -> str:
    # libyaml points at the backslash, the pure parser at the letter behind it
    return text[:2] if text.startswith("\\") else "\\" + text[:1]
