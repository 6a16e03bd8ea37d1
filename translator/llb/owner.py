"""``chown`` and ``chmod`` as users write them."""

from __future__ import annotations

import re

from translator.diagnostic import InvalidFileError
from translator.llb import back_faults as faults
from translator.llb.graph import NONE, Owner
from translator.span import Span

_OCTAL = re.compile(r"[0-7]{1,4}")
_CLAUSE = r"[ugoa]*(?:[-+=](?:[rwxXst]*|[ugo]))+"
_SYMBOLIC = re.compile(rf"{_CLAUSE}(?:,{_CLAUSE})*")


def parse_owner(text: str, base: int, span: Span) -> Owner | None:
    """Read ``USER[:GROUP]``; names are looked up in the tree at the input ``base``.

    Raises InvalidFileError when the text is no owner, or has names and there is no tree.
    """
    if not text:
        return None
    user, colon, group = text.partition(":")
    if ":" in group or not (user or group) or (colon and not group):
        raise InvalidFileError([faults.bad_owner(text, span)])
    owner = Owner(user=_id(user), group=_id(group), input=base)
    if base == NONE and (isinstance(owner.user, str) or isinstance(owner.group, str)):
        raise InvalidFileError([faults.owner_without_users(text, span)])
    return owner


def _id(text: str) -> str | int | None:
    if text == "root":
        return 0
    return int(text) if text.isdecimal() else text or None


def parse_mode(text: str, span: Span) -> int | str | None:
    """Read ``0755`` as a number; a symbolic mode stays text. None for nothing.

    Raises InvalidFileError when the text is neither.
    """
    if _OCTAL.fullmatch(text):
        return int(text, 8)
    if text and not _SYMBOLIC.fullmatch(text):
        raise InvalidFileError([faults.bad_mode(text, span)])
    return text or None
