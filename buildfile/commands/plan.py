"""``buildfile plan``: what a build would do on a daemon, without building."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import Any

import click

from buildfile.commands.cache_options import old_forms
from buildfile.commands.daemon_options import (
    age_of,
    daemon_choice,
    daemon_options,
    pins_of,
    place_option,
)
from buildfile.commands.file_options import file_options, load_options, targets_argument
from buildfile.commands.result_options import reshaped, result_options
from buildfile.exits import Exit


@click.command()
@targets_argument
@file_options
@daemon_options
@place_option
@result_options
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text")
def command(files: tuple[str, ...], targets: tuple[str, ...], format_: str, **given: Any) -> int:
    """Show, for each target, the daemon, the steps, the outputs, and what the daemon lacks.

    Images are resolved, nothing is built. Exit code 4 when the daemons cannot do all of it. With a
    release, such as --api v0.8, it is planned for a plain buildkitd of that age, and none is asked:
    of selectors of workers, only the platform can be looked at then.
    """
    from buildfile import api, planview
    from buildfile.cachesearch import CacheSearch, searched
    from buildfile.failure import print_diagnostics
    from buildfile.files import load_project
    from buildfile.sites import opened
    from buildfile.supplies import read_logins
    from daemon_shim import ages

    shaping = reshaped(load_options(given["variables"], given["overrides"], given["allow"]), given)
    project = load_project(files, shaping)
    print_diagnostics((*project.warnings, *old_forms(shaping.fields)))
    pins = pins_of(given["places"])
    options = api.BuildOptions(push=given["push"], no_cache=given["no_cache"], pins=pins)
    selected = api.selected(project, targets, options)
    age = age_of(given)
    if age:
        made = api.foresee(project, targets, ages.imagine(age), options)
        search = CacheSearch(read_logins(os.environ).login)
    else:
        choice = daemon_choice(folder=project.files[0].folder, **given)
        with opened(choice, lambda text: click.echo(text, err=True), os.environ) as sites:
            made = sites.plan(project, selected, no_cache=options.no_cache, pins=pins)
            search = sites.search
    plans = {name: searched(p, search, every=True) for name, p in made.plans.items()}
    made = replace(made, plans=plans)
    if format_ == "json":
        click.echo(json.dumps(planview.as_json(made), indent=2))
    else:
        click.echo(planview.as_text(made))
        print_diagnostics((*made.refusals, *made.warnings))
    return Exit.NO_DAEMON if made.refusals else Exit.DONE
