"""The configuration of an image: what carries over from ``from``, and what a stage says.

The rules are those of a Dockerfile. Layers and history are not kept: the daemon writes them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from translator.platform import Platform
from translator.stage import Env, Healthcheck, ImageOptions

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""What BuildKit's Dockerfile frontend and its daemons use (util/system/path.go, all releases)."""

# Triggers are for the Dockerfile that builds on the image; they are spent here.
_DROPPED = frozenset(("OnBuild",))
_TEXTS = ("WorkingDir", "User", "StopSignal")
_LISTS = ("Env", "Entrypoint", "Cmd", "Shell")
_MAPS = ("Labels", "ExposedPorts", "Volumes", "Healthcheck")
_KNOWN = frozenset((*_TEXTS, *_LISTS, *_MAPS))


@dataclass(frozen=True, kw_only=True)
class ImageConfig:
    """The state that a stage hands to the next one, and in the end to the image.

    ``other`` holds the keys of a base image's config that this tool does not know, as JSON.
    """

    env: Mapping[str, str] = field(default_factory=dict)
    workdir: str = ""
    user: str = ""
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    shell: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: frozenset[str] = frozenset()
    volumes: frozenset[str] = frozenset()
    stop_signal: str = ""
    healthcheck: Healthcheck | None = None
    author: str = ""
    other: tuple[tuple[str, str], ...] = ()

    @classmethod
    def scratch(cls, platform: Platform) -> ImageConfig:
        """What a Dockerfile begins with after ``FROM scratch``."""
        env = {} if platform.os == "windows" else {"PATH": DEFAULT_PATH}
        return cls(env=env, workdir="/")

    @classmethod
    def parse(cls, data: bytes) -> ImageConfig:
        """Read an OCI or Docker image config, all of it.

        Raises ValueError when the bytes are no such JSON.
        """
        document = json.loads(data)
        config = document.get("config") if isinstance(document, dict) else None
        if not isinstance(document, dict) or not isinstance(config, dict | None):
            raise ValueError("not an image config")
        try:
            return _read(config or {}, document.get("author"))
        except (TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"not an image config: {error}") from None

    def below(self) -> ImageConfig:
        """What carries over to a stage that begins from one with this config."""
        kept = tuple(pair for pair in self.other if pair[0] not in _DROPPED)
        return self if kept == self.other else replace(self, other=kept)

    def with_env(self, env: Env) -> ImageConfig:
        """Set variables; one that is there already keeps its place."""
        return replace(self, env={**self.env, **dict(env)}) if env else self

    def with_options(self, options: ImageOptions) -> ImageConfig:
        """Apply what a stage's ``image`` says.

        As in a Dockerfile, an entrypoint drops the command that came from below, and an empty
        list clears.
        """
        given: dict[str, Any] = {
            "workdir": options.workdir,
            "user": options.user,
            "shell": options.shell,
            "stop_signal": options.stop_signal,
            "healthcheck": options.healthcheck,
            "author": options.author,
        }
        changed = replace(
            self.with_env(options.env),
            labels={**self.labels, **dict(options.labels)},
            ports=self.ports.union(*map(_ports, options.expose)),
            volumes=self.volumes | frozenset(options.volumes),
            **_start(self, options),
            **{key: value for key, value in given.items() if value is not None},
        )
        return replace(changed, workdir=_absolute(self.workdir, changed.workdir))

    def encode(self, platform: Platform) -> bytes:
        """The OCI image config as JSON, the same bytes for the same values."""
        document: dict[str, Any] = {
            "architecture": platform.architecture,
            "os": platform.os,
            "variant": platform.variant,
            "author": self.author,
        }
        document = {key: value for key, value in document.items() if value}
        document["config"] = self._config()
        document["rootfs"] = {"type": "layers", "diff_ids": []}
        return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()

    def _config(self) -> dict[str, Any]:
        known: dict[str, Any] = {
            "Env": [f"{name}={value}" for name, value in self.env.items()],
            "WorkingDir": self.workdir,
            "User": self.user,
            "Entrypoint": list(self.entrypoint or ()),
            "Cmd": list(self.cmd or ()),
            "Shell": list(self.shell),
            "Labels": dict(self.labels),
            "ExposedPorts": {port: {} for port in self.ports},
            "Volumes": {volume: {} for volume in self.volumes},
            "StopSignal": self.stop_signal,
            "Healthcheck": _healthcheck_json(self.healthcheck) if self.healthcheck else None,
        }
        other = {key: json.loads(text) for key, text in self.other}
        return {**other, **{key: value for key, value in known.items() if value}}


def _start(config: ImageConfig, options: ImageOptions) -> dict[str, Any]:
    if options.entrypoint is None:
        return {"cmd": config.cmd if options.cmd is None else options.cmd}
    return {"entrypoint": options.entrypoint, "cmd": options.cmd}


def _absolute(below: str, path: str) -> str:
    return path if path.startswith("/") or not path else f"{below.rstrip('/')}/{path}"


def _ports(text: str) -> Iterable[str]:
    number, _, protocol = text.partition("/")
    first, dash, last = number.partition("-")
    if not dash or not (first.isdecimal() and last.isdecimal()):
        return (f"{number}/{protocol.lower() or 'tcp'}",)
    return (f"{port}/{protocol.lower() or 'tcp'}" for port in range(int(first), int(last) + 1))


# --- from JSON -------------------------------------------------------------------------------


def _read(config: dict[str, Any], author: object) -> ImageConfig:
    return ImageConfig(
        env=dict(_pair(text) for text in config.get("Env") or ()),
        workdir=str(config.get("WorkingDir") or ""),
        user=str(config.get("User") or ""),
        entrypoint=_words(config.get("Entrypoint")),
        cmd=_words(config.get("Cmd")),
        shell=_words(config.get("Shell")) or (),
        labels={str(key): str(value) for key, value in (config.get("Labels") or {}).items()},
        ports=frozenset(map(str, config.get("ExposedPorts") or ())),
        volumes=frozenset(map(str, config.get("Volumes") or ())),
        stop_signal=str(config.get("StopSignal") or ""),
        healthcheck=_healthcheck(config.get("Healthcheck")),
        author=str(author or ""),
        other=_other(config),
    )


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value


def _words(value: Iterable[object] | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(map(str, value))


def _healthcheck(value: dict[str, Any] | None) -> Healthcheck | None:
    if not value:
        return None
    return Healthcheck(
        test=_words(value.get("Test")) or (),
        **{key: int(value.get(name) or 0) for key, name in _HEALTH_NUMBERS},
    )


_HEALTH_NUMBERS = (
    ("interval", "Interval"),
    ("timeout", "Timeout"),
    ("start_period", "StartPeriod"),
    ("start_interval", "StartInterval"),
    ("retries", "Retries"),
)


def _healthcheck_json(check: Healthcheck) -> dict[str, Any]:
    numbers = ((name, getattr(check, key)) for key, name in _HEALTH_NUMBERS)
    return {"Test": list(check.test), **{name: number for name, number in numbers if number}}


def _other(config: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (key, json.dumps(value, sort_keys=True))
        for key, value in sorted(config.items())
        if key not in _KNOWN and value is not None
    )
