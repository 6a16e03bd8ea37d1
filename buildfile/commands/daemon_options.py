"""Options about the daemon that several commands share, and the choice they become."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from buildfile.connect import DaemonChoice
from buildfile.exits import UsageError
from daemon_shim import ages
from daemon_shim.info import Api
from daemon_shim.releases import FIRST, LAST, Release, text
from daemon_shim.transports.base import TlsFiles

F = TypeVar("F", bound=Callable[..., Any])
_LONGEST = 86_400  # seconds


def _read_api(
    _: click.Context, parameter: click.Parameter, value: str | None
) -> Api | Release | None:
    """``auto``, ``legacy`` or ``current``; or a release that something is known of."""
    if value is None or value in {each.value for each in Api}:
        return Api(value) if value else None
    release = ages.parse(value)
    if release is None:
        what = f"{value!r} is neither auto, legacy, current nor a release"
    elif not ages.is_known(release):
        what = f"nothing is known of BuildKit {value}, only of {text(FIRST)} to {text(LAST)}"
    else:
        return release
    raise click.BadParameter(what, param=parameter)


def _read_timeout(_context: click.Context, _param: click.Parameter, seconds: float) -> float:
    if not 0 < seconds <= _LONGEST:  # so is nan
        raise click.BadParameter(f"{seconds:g} is not between 0 and {_LONGEST}")
    return seconds


def daemon_options(function: F) -> F:
    """Add --daemon, --timeout, --api and the TLS options; the command takes them as keywords."""
    for option in reversed(
        (
            click.option(
                "--daemon",
                "--addr",
                "address",
                metavar="ADDR|NAME",
                help="An address, such as unix:///PATH, tcp://HOST:PORT, docker://, ssh://HOST, "
                "docker-container://NAME or kube-pod://POD; or a name in daemons.toml. Default: "
                "BUILDKIT_HOST, those of daemons.toml, a local buildkitd, a "
                "Docker Engine, or a private daemon that is started.",
            ),
            click.option(
                "--daemons",
                metavar="FILE",
                help="A daemons.toml, in place of the project's and the user's.",
            ),
            click.option("--tlscacert", default="", metavar="FILE", help="Authority to trust."),
            click.option("--tlscert", default="", metavar="FILE", help="Client certificate."),
            click.option("--tlskey", default="", metavar="FILE", help="Client key."),
            click.option(
                "--tlsdir",
                default="",
                metavar="DIR",
                help="Folder with ca.pem, cert.pem and key.pem.",
            ),
            click.option(
                "--tlsservername",
                default="",
                metavar="NAME",
                help="Name to expect in the daemon's certificate.",
            ),
            click.option(
                "--timeout",
                callback=_read_timeout,
                default=5.0,
                show_default=True,
                metavar="SECONDS",
                help="Time to connect to the daemon.",
            ),
            click.option(
                "--api",
                callback=_read_api,
                metavar="auto|legacy|current",
                help="Which fields requests use: those of the daemon's age, or always the old or "
                "the new ones. plan and doctor take a release, such as v0.8, and ask no daemon.",
            ),
        )
    ):
        function = option(function)
    return function


def place_option(function: F) -> F:
    """Add --place; the command takes it as ``places``."""
    option = click.option(
        "--place",
        "places",
        multiple=True,
        metavar="NAME=DAEMON",
        help="Build a target, or what has a stage of that name, on a daemon of daemons.toml.",
    )
    return option(function)


def pins_of(places: Iterable[str]) -> dict[str, str]:
    """Read ``NAME=DAEMON``, several times."""
    pins = dict(each.partition("=")[::2] for each in places)
    for owner, daemon in pins.items():
        if not owner or not daemon:
            raise click.BadParameter("it takes NAME=DAEMON", param_hint="--place")
    return pins


def age_of(values: Mapping[str, Any]) -> Release | None:
    """The release that ``--api`` names in place of a daemon, if it names one."""
    return values["api"] if isinstance(values["api"], tuple) else None


def daemon_choice(*, folder: str | None = None, **values: Any) -> DaemonChoice:
    """Take the values of ``daemon_options``; other keywords are left alone.

    ``folder`` is the build file's, which may have a ``daemons.toml`` beside it.
    Raises UsageError for an ``--api`` that is a release: see ``age_of``.
    """
    if age := age_of(values):
        raise UsageError(
            f"--api {text(age)} is a release, and this needs a daemon",
            hint="use auto, legacy or current here; plan and doctor take releases",
        )
    tls_folder = values["tlsdir"]
    files = _tls_folder(tls_folder) if tls_folder else {}
    return DaemonChoice(
        address=values["address"],
        timeout=values["timeout"],
        api=values["api"],
        daemons=values["daemons"],
        folder=folder,
        tls=TlsFiles(
            ca=values["tlscacert"] or files.get("ca", ""),
            cert=values["tlscert"] or files.get("cert", ""),
            key=values["tlskey"] or files.get("key", ""),
            server_name=values["tlsservername"],
        ),
    )


_TLS_NAMES = {
    "ca": ("ca.pem", "ca.crt"),
    "cert": ("cert.pem", "tls.crt"),
    "key": ("key.pem", "tls.key"),
}


def _tls_folder(folder: str) -> dict[str, str]:
    """Find the three files as buildctl names them (cmd/buildctl/common, v0.7 and later)."""
    found = {
        role: str(path)
        for role, names in _TLS_NAMES.items()
        for path in (Path(folder) / name for name in reversed(names))
        if path.is_file()
    }
    if not found:
        raise click.BadParameter(
            f"no ca.pem, cert.pem or key.pem in {folder}", param_hint="--tlsdir"
        )
    return found
