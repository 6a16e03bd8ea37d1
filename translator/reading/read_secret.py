"""Secrets and SSH agents of a project: where their values come from, never the values."""

from __future__ import annotations

from translator.reading import value_faults as faults
from translator.reading.reader import Reading, attributes, fields, filled, flag, path, several
from translator.target import Secret, SshAgent
from translator.text.document import Node, Scalar, Table


def _place(node: Node, reading: Reading) -> str | None:
    """A socket's path; empty for the one that ``SSH_AUTH_SOCK`` names."""
    if isinstance(node, Scalar) and node.text == "":
        return ""
    return path(node, reading)


_SECRET = fields(env=filled, file=path, optional=flag)
_SSH = fields(agent=_place, keys=several(path), optional=flag)


def secret(node: Node, reading: Reading) -> Secret | None:
    """A secret named ``reading.owner``, of exactly one origin."""
    if not isinstance(node, Table):
        reading.wrong("a map", node)
        return None
    given = attributes(node.entries, _SECRET, node, reading)
    origins = [key for key in ("env", "file") if key in node.entries]
    if len(origins) != 1:
        reading.found.at(node, faults.exactly_one(("env", "file"), origins, node.span))
        return None
    return None if given is None else Secret(id=reading.owner, **given, span=node.span)


def ssh_agent(node: Node, reading: Reading) -> SshAgent | None:
    """An agent named ``reading.owner``: a socket, or key files, or neither for the usual socket."""
    if not isinstance(node, Table):
        reading.wrong("a map", node)
        return None
    given = attributes(node.entries, _SSH, node, reading)
    if "agent" in node.entries and "keys" in node.entries:
        span = node.entries["keys"].key.span
        reading.found.at(node, faults.not_together("agent", "keys", span))
        return None
    return None if given is None else SshAgent(id=reading.owner, **given, span=node.span)
