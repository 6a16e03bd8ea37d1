"""Mounts of a run step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from translator.reading import value_faults as faults
from translator.reading.read_source import origin, secret_id, ssh_id
from translator.reading.reader import (
    Field,
    Fields,
    Reading,
    attributes,
    choice,
    fields,
    filled,
    flag,
    integer,
    octal,
    size,
    text,
)
from translator.stage import BindMount, CacheMount, Mount, SecretMount, SshMount, TmpfsMount
from translator.suggest import suggest
from translator.text.document import Node, Scalar, Table


def _cache(**given: Any) -> CacheMount:
    """A cache without ``id`` is named after its target, as in a Dockerfile."""
    return CacheMount(**{"id": given["target"], **given})


def _secret(**given: Any) -> SecretMount:
    """A secret without a place is a file below /run/secrets, as in a Dockerfile."""
    if "env" not in given:
        given.setdefault("target", f"/run/secrets/{given['id']}")
    return SecretMount(**given)


_TARGET = Field(filled, required=True)
_OWNED = {"mode": octal, "uid": integer, "gid": integer, "optional": flag}
_KINDS: Mapping[str, tuple[Callable[..., Mount], Fields]] = MappingProxyType(
    {
        "bind": (
            BindMount,
            fields(
                target=_TARGET,
                from_=Field(origin, to="origin", required=True),
                source=text,
                readwrite=flag,
            ),
        ),
        "cache": (
            _cache,
            fields(
                target=_TARGET,
                id=text,
                sharing=choice("shared", "private", "locked"),
                from_=Field(origin, to="origin"),
                source=text,
            ),
        ),
        "tmpfs": (TmpfsMount, fields(target=_TARGET, size=size)),
        "secret": (
            _secret,
            fields(id=Field(secret_id, required=True), target=text, env=text, **_OWNED),
        ),
        "ssh": (SshMount, fields(id=ssh_id, target=text, **_OWNED)),
    }
)


def mount(node: Node, reading: Reading) -> Mount | None:
    """One mount; ``type`` says which."""
    if not isinstance(node, Table):
        reading.wrong("a map", node)
        return None
    kind = _kind(node, reading)
    if kind is None:
        return None
    make, table = _KINDS[kind]
    entries = {key: entry for key, entry in node.entries.items() if key != "type"}
    given = attributes(entries, table, node, reading)
    if given is None or not _consistent(kind, node, reading):
        return None
    made = make(**given, span=node.span)
    # What may be missing as a whole may be missing in each step.
    if isinstance(made, SecretMount | SshMount) and (kind, made.id) in reading.optional:
        return replace(made, optional=True)
    return made


def _kind(node: Table, reading: Reading) -> str | None:
    entry = node.entries.get("type")
    if not entry:
        reading.missing("type", node)
        return None
    kind = text(entry.value, reading)
    if kind is None or kind in _KINDS:
        return kind
    value = entry.value
    near = suggest(kind, _KINDS)
    reading.found.at(value, faults.unknown_choice(kind, tuple(_KINDS), value.span, near))
    return None


def _consistent(kind: str, node: Table, reading: Reading) -> bool:
    """Whether no two keys exclude each other, and an SSH agent without ``id`` is there."""
    if kind == "secret" and "target" in node.entries and "env" in node.entries:
        span = node.entries["env"].key.span
        reading.found.at(node, faults.not_together("target", "env", span))
        return False
    if kind == "ssh" and "id" not in node.entries:
        return ssh_id(Scalar("default", False, node.span), reading) is not None
    return True
