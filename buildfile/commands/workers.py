"""``buildfile workers``: what a daemon's workers are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from buildfile.commands.daemon_options import daemon_choice, daemon_options
from buildfile.connect import connected
from buildfile.files import project_folder

if TYPE_CHECKING:
    from daemon_shim.info import DaemonInfo, Worker


@click.command()
@daemon_options
@click.option("--filter", "filters", multiple=True, metavar="FILTER", help="containerd filter.")
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text")
def command(filters: tuple[str, ...], format_: str, **daemon: Any) -> None:
    """List a daemon's workers: the first is the default one, which runs all steps."""
    with connected(
        daemon_choice(folder=project_folder(), **daemon), lambda text: click.echo(text, err=True)
    ) as open_:
        info, workers = open_.info(), open_.list_workers(filters)
    if format_ == "json":
        click.echo(json.dumps(_as_json(info, workers), indent=2))
    else:
        click.echo(_as_text(info, workers))


def _as_json(info: DaemonInfo, workers: tuple[Worker, ...]) -> dict[str, Any]:
    from buildfile.doctorview import worker_data

    return {
        "address": info.address,
        "version": info.version,
        "engine": info.engine,
        "workers": [worker_data(each) for each in workers],
    }


def _as_text(info: DaemonInfo, workers: tuple[Worker, ...]) -> str:
    kind = info.store.value
    lines = [f"{info.address}: BuildKit {info.version} ({kind})"]
    for number, each in enumerate(workers):
        role = "default" if number == 0 else "never used by BuildKit"
        lines += [f"{each.id or '(no id)'}  {role}", f"  platforms  {' '.join(each.platforms)}"]
        lines += [f"  label      {key}={value}" for key, value in sorted(each.labels.items())]
    return "\n".join(lines)
