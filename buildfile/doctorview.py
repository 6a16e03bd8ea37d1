"""What a daemon is and can, as a table, and as JSON (docs/reference/commands.md has its shape)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from buildfile.doctor import Ability, State, abilities
from buildfile.render import Palette
from daemon_shim import dialects
from daemon_shim.info import DaemonInfo, Worker

_TITLES: Mapping[str, str] = {
    "exporter": "Outputs",
    "cache-export": "Caches to export",
    "cache-import": "Caches to import",
    "several": "At once",
    "source": "Sources",
    "llb": "Steps and sources of a build",
}
_SHOWN: Mapping[State, tuple[str, str]] = {
    State.NATIVE: ("yes", "good"),
    State.LOWERED: ("lowered", "warning"),
    State.REFUSED: ("no", "error"),
}
_COLUMN = 14


def daemon_data(info: DaemonInfo) -> dict[str, Any]:
    """What a daemon is, as plain data; ``plan --format json`` has the same."""
    return {
        "address": info.address,
        "imagined": info.imagined,
        "version": info.version,
        "engine": info.engine,
        "store": info.store.value,
        "api": info.api.value,
        "dialect": dialects.dialect_for(info).name,
    }


def worker_data(worker: Worker) -> dict[str, Any]:
    """A worker as plain data; ``workers --format json`` has the same."""
    return {**asdict(worker), "labels": dict(worker.labels), "platforms": list(worker.platforms)}


def as_json(info: DaemonInfo) -> dict[str, Any]:
    """A daemon and all its features as plain data."""
    return {
        "daemon": daemon_data(info),
        "workers": [worker_data(each) for each in info.workers],
        "features": [{**asdict(each), "state": each.state.value} for each in abilities(info)],
    }


def as_text(info: DaemonInfo, palette: Palette) -> str:
    """The same as tables for people, in the colours of ``palette``."""
    return "\n".join((*_daemon(info, palette), *_workers(info.workers), *_features(info, palette)))


def daemon_line(info: DaemonInfo) -> str:
    """A daemon in one line."""
    return (
        f"{info.address}: BuildKit {info.version} ({info.store.value}), "
        f"{dialects.dialect_for(info).name} API"
    )


def _daemon(info: DaemonInfo, palette: Palette) -> Iterator[str]:
    chosen = "" if info.api.value == "auto" else ", as asked for"
    yield palette.paint("strong", info.address)
    yield _fact("version", f"BuildKit {info.version}")
    yield _fact("images", info.store.value)
    yield _fact("API", f"{dialects.dialect_for(info).name}{chosen}")


def _workers(workers: Iterable[Worker]) -> Iterator[str]:
    for number, each in enumerate(workers):
        role = "runs all steps" if number == 0 else "never used by BuildKit"
        yield _fact("worker", f"{each.id} ({role})".strip())
        yield _fact("  platforms", " ".join(each.platforms))
        yield from (
            _fact("  label", f"{key}={value}") for key, value in sorted(each.labels.items())
        )


def _fact(name: str, value: str) -> str:
    return f"  {name:<{_COLUMN}}{value}".rstrip()


def _features(info: DaemonInfo, palette: Palette) -> Iterator[str]:
    told = abilities(info)
    for kind, title in _TITLES.items():
        yield ""
        yield palette.paint("strong", title)
        yield from (_feature(each, info, palette) for each in told if each.kind == kind)


def _feature(each: Ability, info: DaemonInfo, palette: Palette) -> str:
    word, colour = _SHOWN[each.state]
    gap = " " * (_COLUMN - len(word))
    too_old = f"{each.what} needs BuildKit {each.since}, and this is {info.version}"
    detail = each.how or each.reason.replace(too_old, f"BuildKit {each.since} has it")
    return f"  {palette.paint(colour, word)}{gap}{each.what}{': ' if detail else ''}{detail}"
