"""Sources: where files come from, and what a ``from`` says."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from translator.reading import name_faults
from translator.reading import value_faults as faults
from translator.reading.reader import (
    Field,
    Fields,
    Reading,
    attributes,
    choice,
    fields,
    filled,
    flag,
    form,
    integer,
    octal,
    pairs,
    path,
    platform,
    text,
    texts,
)
from translator.stage import (
    GitSource,
    HttpSource,
    ImageSource,
    InlineSource,
    LocalSource,
    OciLayoutSource,
    Origin,
    Scratch,
    Source,
)
from translator.suggest import suggest
from translator.text.document import Node, Scalar, Table

SCRATCH = "scratch"


def folder(node: Node, reading: Reading) -> str | None:
    """A folder of the client that this project may read."""
    value = path(node, reading)
    if value is None:
        return None
    allowed = reading.permit(value, node.span.file.folder)
    if allowed is None:
        return value
    reading.found.at(node, name_faults.outside_folders(value, allowed, node.span))
    return None


def secret_id(node: Node, reading: Reading) -> str | None:
    """The name of a secret of this project."""
    return _known("secret", "secrets", node, reading, reading.secrets)


def ssh_id(node: Node, reading: Reading) -> str | None:
    """The name of an SSH agent of this project."""
    return _known("SSH agent", "ssh", node, reading, reading.ssh)


def _known(
    noun: str, section: str, node: Node, reading: Reading, names: frozenset[str]
) -> str | None:
    value = text(node, reading)
    if value is None or value in names:
        return value
    nearest = suggest(value, sorted(names))
    reading.found.at(node, name_faults.unknown_name(noun, value, node.span, nearest, section))
    return None


def _matching(pattern: str, value: str) -> str | None:
    return value if re.fullmatch(pattern, value) else None


_checksum = form(
    "a checksum",
    partial(_matching, r"sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}"),
    "write it as sha256: and 64 hexadecimal digits",
)
_commit = form(
    "a commit",
    partial(_matching, r"[0-9a-f]{40}|[0-9a-f]{64}"),
    "write the full commit, 40 hexadecimal digits",
)
_ignore_file = form("an ignore file", {"none": False, "default": True}.get)

_KINDS: Mapping[str, tuple[Callable[..., Source], Fields]] = MappingProxyType(
    {
        "local": (
            LocalSource,
            fields(
                local=Field(folder, to="path"),
                include=texts,
                exclude=texts,
                follow=texts,
                ignore_file=_ignore_file,
            ),
        ),
        "image": (
            ImageSource,
            fields(
                image=Field(filled, to="ref"),
                resolve=choice("default", "pull", "local"),
                platform=platform,
            ),
        ),
        "git": (
            GitSource,
            fields(
                git=Field(filled, to="url"),
                ref=text,
                commit=_commit,
                subdir=text,
                keep_git_dir=flag,
                submodules=flag,
                auth_token=secret_id,
                auth_header=secret_id,
                ssh=ssh_id,
            ),
        ),
        "http": (
            HttpSource,
            fields(
                http=Field(filled, to="url"),
                checksum=_checksum,
                filename=text,
                chmod=octal,
                uid=integer,
                gid=integer,
            ),
        ),
        "oci-layout": (
            OciLayoutSource,
            fields(
                oci_layout=Field(folder, to="path"),
                ref=text,
                digest=_checksum,
                platform=platform,
            ),
        ),
        "inline": (InlineSource, fields(inline=Field(pairs, to="files"))),
    }
)


def source(node: Node, reading: Reading) -> Source | None:
    """A source, named ``reading.owner``."""
    if not isinstance(node, Table):
        reading.wrong("a map", node)
        return None
    kinds = [kind for kind in _KINDS if kind in node.entries]
    if len(kinds) != 1:
        reading.found.at(node, faults.exactly_one(tuple(_KINDS), kinds, node.span))
        return None
    make, table = _KINDS[kinds[0]]
    given = attributes(node.entries, table, node, reading)
    if given is None or not _complete(kinds[0], node, reading):
        return None
    if make is ImageSource:
        given.setdefault("resolve", reading.resolve)
    return make(name=reading.owner, span=node.span, **given)


def origin(node: Node, reading: Reading) -> Origin | None:
    """``scratch``, the name of a stage or source, or a source written in place."""
    if isinstance(node, Table):
        return source(node, reading.in_place())
    name = text(node, reading)
    if name is None:
        return None
    if name == SCRATCH:
        return Scratch(span=node.span)
    return reading.origin(node) if isinstance(node, Scalar) else None


def _complete(kind: str, node: Table, reading: Reading) -> bool:
    if kind != "oci-layout":
        return True
    named = [key for key in ("ref", "digest") if key in node.entries]
    if len(named) != 1:
        reading.found.at(node, faults.exactly_one(("ref", "digest"), named, node.span))
    return len(named) == 1
