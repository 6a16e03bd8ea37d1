"""Steps of a stage: one verb each."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from translator.reading import value_faults as faults
from translator.reading.read_mount import mount
from translator.reading.read_source import origin
from translator.reading.reader import (
    Field,
    Reading,
    attributes,
    choice,
    environment,
    fields,
    filled,
    flag,
    form,
    integer,
    octal,
    pairs,
    plain,
    record,
    several,
    size,
    text,
    texts,
)
from translator.stage import (
    Copy,
    Device,
    Mkdir,
    Remove,
    Resources,
    Run,
    SetEnv,
    SetShell,
    SetUser,
    SetWorkdir,
    Step,
    Symlink,
    Ulimit,
    Write,
)
from translator.text.document import Entry, Items, Node, Scalar, Table

NETWORKS = ("sandbox", "host", "none")
network = choice(*NETWORKS)


# --- run ---------------------------------------------------------------------------------------


def _command(node: Node, reading: Reading) -> dict[str, Any] | None:
    if isinstance(node, Items):
        argv = texts(node, reading)
        return None if argv is None else {"argv": argv}
    script = text(node, reading)
    return None if script is None else {"script": script}


def _ulimits(node: Node, reading: Reading) -> tuple[Ulimit, ...] | None:
    if not isinstance(node, Table):
        reading.wrong("a map", node)
        return None
    limits = [_ulimit(name, entry.value, reading) for name, entry in node.entries.items()]
    return None if None in limits else tuple(limit for limit in limits if limit)


def _ulimit(name: str, node: Node, reading: Reading) -> Ulimit | None:
    """One number for both, ``soft:hard``, or a map of the two."""
    if isinstance(node, Table):
        given = attributes(node.entries, _SOFT_HARD, node, reading)
        return None if given is None else Ulimit(name=name, **given)
    both = _limit(node, reading)
    return Ulimit(name=name, soft=both[0], hard=both[1]) if both else None


def _soft_hard(value: str) -> tuple[int, int] | None:
    match = re.fullmatch(r"(-1|[0-9]{1,18})(?::(-1|[0-9]{1,18}))?", value)
    return (int(match[1]), int(match[2] or match[1])) if match else None


_limit = form("a limit", _soft_hard, "write a number, or soft:hard")
_SOFT_HARD = fields(soft=Field(integer, required=True), hard=Field(integer, required=True))


def _device(node: Node, reading: Reading) -> Device | None:
    if isinstance(node, Table):
        return _full_device(node, reading)
    name = text(node, reading)
    return None if name is None else Device(name=name)


_full_device = plain(Device, fields(name=Field(text, required=True), optional=flag))
_resources = plain(
    Resources,
    fields(
        memory=size,
        memory_swap=size,
        cpu_shares=integer,
        cpu_period=integer,
        cpu_quota=integer,
        cpuset_cpus=text,
        cpuset_mems=text,
    ),
)
_RUN = fields(
    env=environment,
    workdir=text,
    user=text,
    mounts=several(mount),
    network=network,
    security=choice("sandbox", "insecure"),
    hosts=pairs,
    hostname=text,
    ulimits=_ulimits,
    valid_exit_codes=several(integer),
    cache=flag,
    name=text,
    resources=_resources,
    devices=several(_device),
)


def _run(node: Table, reading: Reading) -> Run | None:
    command = _command(node.entries["run"].value, reading)
    options = {key: entry for key, entry in node.entries.items() if key != "run"}
    given = attributes(options, _RUN, node, reading)
    if command is None or given is None:
        return None
    return Run(**command, **given, span=node.span)


# --- steps whose verb has a map ------------------------------------------------------------------

_COPY = fields(
    from_=Field(origin, to="origin", required=True),
    paths=texts,
    to=Field(filled, required=True),
    include=texts,
    exclude=texts,
    chown=text,
    chmod=text,
    unpack=flag,
    follow_symlinks=flag,
    contents=flag,
    required=texts,
    name=text,
)
_PATH = Field(filled, required=True)
_MKDIR = fields(path=_PATH, mode=octal, parents=flag, chown=text)
_REMOVE = fields(path=_PATH, missing_ok=flag, wildcard=flag)
_SYMLINK = fields(target=Field(filled, required=True), path=_PATH, chown=text)


def _from_base64(value: str) -> bytes | None:
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        return None


_WRITE = fields(
    path=_PATH,
    text=Field(form("a text", lambda value: value.encode("utf-8", "surrogatepass")), to="data"),
    base64=Field(form("base64", _from_base64), to="data"),
    mode=octal,
    chown=text,
)


def _write(node: Node, reading: Reading) -> Write | None:
    if isinstance(node, Table):
        keys = [key for key in ("text", "base64") if key in node.entries]
        if len(keys) != 1:
            reading.found.at(node, faults.exactly_one(("text", "base64"), keys, node.span))
            return None
    return record(Write, _WRITE)(node, reading)


# --- all -----------------------------------------------------------------------------------------


def _setting(
    make: Callable[..., Step], attribute: str, read: Callable[[Node, Reading], Any]
) -> Callable[[Node, Reading], Step | None]:
    def read_setting(node: Node, reading: Reading) -> Step | None:
        value = read(node, reading)
        return None if value is None else make(**{attribute: value}, span=node.span)

    return read_setting


def _or_path(
    make: Callable[..., Step], read: Callable[[Node, Reading], Step | None]
) -> Callable[[Node, Reading], Step | None]:
    """Read a map, or what its ``path`` would be alone."""
    alone = _setting(make, "path", text)
    return lambda node, reading: (alone if isinstance(node, Scalar) else read)(node, reading)


_VERBS: Mapping[str, Callable[[Node, Reading], Step | None]] = MappingProxyType(
    {
        "copy": record(Copy, _COPY),
        "mkdir": _or_path(Mkdir, record(Mkdir, _MKDIR)),
        "write": _write,
        "remove": _or_path(Remove, record(Remove, _REMOVE)),
        "symlink": record(Symlink, _SYMLINK),
        "env": _setting(SetEnv, "env", environment),
        "workdir": _setting(SetWorkdir, "path", text),
        "user": _setting(SetUser, "user", text),
        "shell": _setting(SetShell, "argv", texts),
    }
)
VERBS = ("run", *_VERBS)


def step(node: Node, reading: Reading) -> Step | None:
    """One step. Beside ``run`` stand its options; the other verbs have theirs inside."""
    if not isinstance(node, Table):
        reading.wrong("a map with one verb", node)
        return None
    if "run" in node.entries:
        return _run(node, reading)
    verbs = [key for key in node.entries if key in _VERBS]
    if len(verbs) != 1:
        reading.found.at(node, faults.exactly_one(VERBS, verbs, node.span))
        return None
    others = {key: entry for key, entry in node.entries.items() if key != verbs[0]}
    made = _VERBS[verbs[0]](node.entries[verbs[0]].value, reading)
    return None if _strays(others, node, reading) else made


def _strays(entries: Mapping[str, Entry], node: Node, reading: Reading) -> bool:
    return bool(entries) and attributes(entries, fields(), node, reading) is None
