"""Addresses that a command-line client reaches: which command runs for which.

The commands are those of buildctl (client/connhelper): from v0.5 docker-container and kube-pod,
from v0.8 podman-container, from v0.11 ssh, from v0.12 nerdctl-container. All of them run
``buildctl dial-stdio`` where the daemon is, which buildctl has from v0.5 on. What an address names
becomes one argument and never an option. Only ssh has a shell at its other end, so what is handed
to that is kept to characters that no shell reads anything into.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

_DIAL = ("buildctl", "dial-stdio")
_ENGINE_DIAL = ("docker", "system", "dial-stdio")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*(?:%[A-Za-z0-9_.-]+)?")
_PATH = re.compile(r"/[A-Za-z0-9_./@%+=:,-]+")
_CONTAINER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_KUBE = re.compile(r"[a-z0-9][a-z0-9.-]*")
_TEXT = re.compile(r"[^\x00-\x1f\x7f]+")
_PLACE = re.compile(
    r"(?:(?P<user>[^@/?#:]*)@)?(?:\[(?P<ipv6>[^\]]*)\]|(?P<name>[^@/?#:\[\]]*))(?::(?P<port>[0-9]+))?"
    r"(?P<path>/[^?#]*)?(?:\?(?P<query>[^#]*))?"
)


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command that carries a connection.

    ``needs`` says what must be at its other end. ``greets`` is whether the daemon there speaks
    first, which buildkitd does (grpc-go, all releases) and an engine does not.
    """

    arguments: tuple[str, ...]
    needs: str
    greets: bool = True

    @property
    def program(self) -> str:
        """The program that is run."""
        return self.arguments[0]


@dataclass(frozen=True, kw_only=True)
class _Place:
    """An address, taken apart as it is written: no part is decoded but the options."""

    host: str
    user: str = ""
    port: str = ""
    path: str = ""
    options: Mapping[str, str] = field(default_factory=dict)


def command_of(scheme: str, place: str) -> Command:
    """The command for an address of one of ``SCHEMES``. Raises ValueError, which says what."""
    known, make = _ROWS[scheme]
    needs = "there must be a buildctl of v0.5 or later, and its daemon"
    return Command(arguments=make(_parse(place, known)), needs=needs)


def engine_command_of(place: str) -> Command:
    """The command for a Docker Engine behind ``ssh://``, as Docker's own client has it.

    Raises ValueError, which says what.
    """
    arguments = (*_ssh_head(_parse(place, ())), *_ENGINE_DIAL)
    needs = "there must be a docker of 18.09 or later, and its engine"
    return Command(arguments=arguments, needs=needs, greets=False)


def _ssh(place: _Place) -> tuple[str, ...]:
    if place.path in ("", "/"):
        return (*_ssh_head(place), *_DIAL)
    socket = _checked("socket", place.path, _PATH)
    return (*_ssh_head(place), "buildctl", "--addr", f"unix://{socket}", "dial-stdio")


def _ssh_head(place: _Place) -> tuple[str, ...]:
    user = ("-l", _checked("user", place.user, _USER)) if place.user else ()
    port = ("-p", place.port) if place.port else ()
    return ("ssh", *user, *port, "--", _checked("host", place.host, _HOST))


def _docker(place: _Place) -> tuple[str, ...]:
    given = place.options.get("context", "")
    context = (f"--context={_checked('context', given, _TEXT)}",) if given else ()
    return ("docker", *context, "exec", "-i", _container(place), *_DIAL)


def _podman(place: _Place) -> tuple[str, ...]:
    return ("podman", "exec", "-i", _container(place), *_DIAL)


def _nerdctl(place: _Place) -> tuple[str, ...]:
    given = place.options.get("namespace", "")
    namespace = ("--namespace", _checked("namespace", given, _CONTAINER)) if given else ()
    return ("nerdctl", "exec", *namespace, "-i", _container(place), *_DIAL)


def _kube(place: _Place) -> tuple[str, ...]:
    _only_host(place)
    named = {
        key: _checked(key, value, _TEXT if key == "context" else _KUBE) if value else ""
        for key in ("context", "namespace", "container")
        for value in (place.options.get(key, ""),)
    }
    return (
        *("kubectl", f"--context={named['context']}", f"--namespace={named['namespace']}"),
        *("exec", f"--container={named['container']}", "-i"),
        *(_checked("pod", place.host, _KUBE), "--", *_DIAL),
    )


_ROWS: Mapping[str, tuple[tuple[str, ...], Callable[[_Place], tuple[str, ...]]]] = {
    "ssh": ((), _ssh),
    "docker-container": (("context",), _docker),
    "podman-container": ((), _podman),
    "nerdctl-container": (("namespace",), _nerdctl),
    "kube-pod": (("context", "namespace", "container"), _kube),
}
SCHEMES = tuple(_ROWS)
"""The schemes of these addresses."""


def _container(place: _Place) -> str:
    _only_host(place)
    return _checked("container", place.host, _CONTAINER)


def _only_host(place: _Place) -> None:
    if place.user or place.port or place.path not in ("", "/"):
        raise ValueError("it has more than a name and options")


def _checked(what: str, value: str, pattern: re.Pattern[str]) -> str:
    if not value:
        raise ValueError(f"it names no {what}")
    if not pattern.fullmatch(value):
        raise ValueError(f"{value!r} is no name of a {what}")
    return value


def _parse(place: str, known: Collection[str]) -> _Place:
    """Take an address apart; the options that it may have are ``known``."""
    match = _PLACE.fullmatch(place)
    if not match:
        raise ValueError("it cannot be taken apart")
    part = match.groupdict("")
    if part["port"] and not 0 < int(part["port"]) < 65536:
        raise ValueError(f"{part['port']} is no port")
    return _Place(
        host=part["name"] or part["ipv6"],
        user=part["user"],
        port=part["port"],
        path=part["path"],
        options=_options(part["query"], known),
    )


def _options(query: str, known: Collection[str]) -> dict[str, str]:
    options: dict[str, str] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in known:
            may = f"it may have {', '.join(known)}" if known else "it may have none"
            raise ValueError(f"there is no option {key!r}, {may}")
        if key in options:
            raise ValueError(f"the option {key} stands there twice")
        options[key] = value
    return options
