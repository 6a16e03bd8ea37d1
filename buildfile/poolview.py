"""The daemons of a pool as a table, and as JSON (docs/reference/commands.md has its shape)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from buildfile.columns import columns
from buildfile.doctorview import daemon_data, worker_data
from buildfile.pool import Member
from daemon_shim import dialects
from daemon_shim.client import Daemon

_HEAD = ("NAME", "BUILDKIT", "API", "BUILDS", "ADDRESS", "PLATFORMS")
_UNKNOWN = "-"


def as_json(members: Sequence[Member]) -> dict[str, Any]:
    """The daemons as plain data."""
    return {"daemons": [_member_data(each) for each in members]}


def _member_data(member: Member) -> dict[str, Any]:
    chosen = member.candidate
    return {
        "name": chosen.name,
        "address": chosen.address,
        "origin": chosen.origin,
        "max-parallel": chosen.max_parallel,
        "labels": dict(chosen.labels),
        "fault": str(member.fault) if member.fault else None,
        "builds": member.load,
        "daemon": daemon_data(member.daemon.info()) if member.daemon else None,
        "workers": [
            {**worker_data(worker), "default": number == 0}
            for number, worker in enumerate(member.daemon.workers() if member.daemon else ())
        ],
    }


def as_text(members: Sequence[Member]) -> Iterator[str]:
    """A line for each daemon in columns, and below it its workers, or why there are none."""
    head, *lines = columns([_HEAD, *map(_row, members)])
    yield head
    for line, member in zip(lines, members, strict=True):
        yield line
        yield from (f"    {below}" for below in _below(member))


def _row(member: Member) -> tuple[str, ...]:
    name = member.name or f"({member.candidate.origin})"
    info = member.info
    if not info:
        return (name, *[_UNKNOWN] * 3, member.candidate.address, _UNKNOWN)
    return (
        name,
        info.version,
        dialects.dialect_for(info).name,
        _UNKNOWN if member.load is None else str(member.load),
        info.address,
        ", ".join(next((each.platforms for each in info.workers[:1]), ())),
    )


def _below(member: Member) -> Iterator[str]:
    if member.daemon:
        yield from _workers(member.daemon)
    elif member.fault:
        yield from str(member.fault).splitlines()


def _workers(daemon: Daemon) -> Iterator[str]:
    for number, worker in enumerate(daemon.workers()):
        role = "never used by BuildKit" if number else "default"
        yield f"worker {worker.id or '(no id)'} ({role})"
        for key, value in sorted(worker.labels.items()):
            added = " (daemons.toml)" if key in daemon.labels else ""
            yield f"    {key}={value}{added}"
