"""What steps may ask this machine for, and how progress is shown: options of all that builds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from buildfile.commands.file_options import load_options, pairs_of
from buildfile.files import LoadOptions
from translator.inputs import FieldOption
from translator.target import Secret, SshAgent

F = TypeVar("F", bound=Callable[..., Any])


def supply_options(function: F) -> F:
    """Add --secret and --ssh; the command takes them as ``secrets`` and ``agents``."""
    secrets = click.option(
        "--secret",
        "secrets",
        multiple=True,
        metavar="id=ID[,src=FILE|env=NAME]",
        help="Value of a secret, in place of the build file's if it has one.",
    )
    agents = click.option(
        "--ssh",
        "agents",
        multiple=True,
        metavar="ID[=SOCKET|KEY]",
        help="SSH agent or key file to forward, in place of the build file's if it has one.",
    )
    return secrets(agents(function))


def load_supplied(
    given: Mapping[str, Any], fields: Iterable[FieldOption] = ()
) -> tuple[LoadOptions, tuple[Secret, ...], tuple[SshAgent, ...]]:
    """Take the values of ``file_options`` and ``supply_options``; ``fields`` come from others."""
    secrets = tuple(secret(each) for each in given["secrets"])
    agents = tuple(agent(each) for each in given["agents"])
    shaping = replace(
        load_options(given["variables"], given["overrides"], given["allow"]),
        fields=tuple(fields),
        secrets=[each.id for each in secrets],
        ssh=[each.id for each in agents],
    )
    return shaping, secrets, agents


def progress_option(default: str) -> Callable[[F], F]:
    """Add --progress."""
    return click.option(
        "--progress",
        type=click.Choice(["auto", "plain", "tty", "rawjson", "quiet"]),
        default=default,
        show_default=True,
        help="How to show progress. BUILDKIT_PROGRESS says what auto means.",
    )


def secret(text: str) -> Secret:
    """Read ``id=ID[,src=FILE|env=NAME]``: without a source, the variable ID, else the file ID."""
    values = dict(pairs_of(text, "--secret"))
    id_ = values.pop("id", "")
    file = values.pop("src", "") or values.pop("source", "")
    env = values.pop("env", "")
    values.pop("type", "")
    if not id_ or values:
        raise click.BadParameter(
            f"{text!r} is not id=ID[,src=FILE|env=NAME]", param_hint="--secret"
        )
    if not file and not env:
        file, env = ("", id_) if id_ in os.environ else (id_, "")
    return Secret(id=id_, env=env, file=str(Path(file).absolute()) if file else "")


def agent(text: str) -> SshAgent:
    """Read ``ID[=SOCKET|KEY[,KEY]]``, as buildctl does; without a place SSH_AUTH_SOCK."""
    id_, _, places = text.partition("=")
    if not id_:
        raise click.BadParameter(f"{text!r} is not ID[=SOCKET|KEY]", param_hint="--ssh")
    return SshAgent(id=id_, keys=tuple(str(Path(p).absolute()) for p in places.split(",") if p))
