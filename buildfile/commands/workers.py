"""``buildfile workers``: what a daemon's workers are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from buildfile.commands.daemon_options import daemon_choice, daemon_options
from buildfile.connect import connected
from buildfile.files import project_folder

if TYPE_CHECKING:
    from daemon_shim.info import DaemonInfo, Worker


@click.command()
@daemon_options
@click.option(
    "--filter",
    "filters",
    multiple=True,
    metavar="FILTER",
    help="Only workers that match, as in containerd: id==ID, labels.KEY==VALUE, != and ~=, with "
    "commas between what must all match.",
)
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text")
def command(filters: tuple[str, ...], format_: str, **daemon: Any) -> None:
    """List a daemon's workers: the default one runs all steps, whatever a build asks for."""
    from translator.reading.read_filter import given_filters
    from translator.workerfilter import any_matches

    chosen = given_filters("--filter", filters)
    with connected(
        daemon_choice(folder=project_folder(), **daemon), lambda text: click.echo(text, err=True)
    ) as open_:
        info, known = open_.info(), open_.workers()
    shown = {
        number: each
        for number, each in enumerate(known)
        if any_matches(chosen, each.id, each.labels)
    }
    if format_ == "json":
        click.echo(json.dumps(_as_json(info, shown), indent=2))
    else:
        click.echo(_as_text(info, shown))


def _as_json(info: DaemonInfo, workers: Mapping[int, Worker]) -> dict[str, Any]:
    from buildfile.doctorview import worker_data

    return {
        "address": info.address,
        "version": info.version,
        "engine": info.engine,
        "workers": [
            {**worker_data(each), "default": number == 0} for number, each in workers.items()
        ],
    }


def _as_text(info: DaemonInfo, workers: Mapping[int, Worker]) -> str:
    kind = info.store.value
    lines = [f"{info.address}: BuildKit {info.version} ({kind})"]
    for number, each in workers.items():
        role = "default" if number == 0 else "never used by BuildKit"
        lines += [f"{each.id or '(no id)'}  {role}", f"  platforms  {' '.join(each.platforms)}"]
        lines += [f"  label      {key}={value}" for key, value in sorted(each.labels.items())]
    return "\n".join(lines)
