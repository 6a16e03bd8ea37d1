"""Looking into a target's result while the daemon holds it: nothing is exported.

The target is built as always, but by a builder that reads what it is to show and then returns
nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from buildfile import faults
from buildfile.exits import UsageError
from buildfile.failure import BuildFailedError

if TYPE_CHECKING:
    from buildfile.api import BuildOptions
    from buildfile.plan import Job
    from buildfile.solve import Steer
    from daemon_shim.reference import Reference
    from translator.project import Project
    from translator.target import Target

_FOLDERS = frozenset({"readdir"})
"""The capability that reading of folders needs (v0.5)."""


def look(
    project: Project, name: str, path: str, show: Callable[[Reference], None], options: BuildOptions
) -> None:
    """Build the target ``name`` and hand its tree to ``show``, which looks at ``path``.

    Of several platforms the first counts. Raises as ``api.build`` does; BuildFailedError where
    there is no such path.
    """
    from buildfile.building import carry_out
    from buildfile.display import shown
    from buildfile.sites import opened
    from buildfile.supplies import needed, supplied

    project = supplied(project, options.secrets, options.agents)
    target = bare(project, name)
    environment = options.variables()
    with (
        shown(options.progress, sys.stderr, environment) as display,
        opened(options.daemon, display.say, environment) as sites,
    ):
        plan = sites.plan(project, [target], needs=_FOLDERS)
        used = needed(project, plan.jobs)
        carry_out(plan, sites, display, *used, steer=lambda job: _steer(job, path, show))


def bare(project: Project, name: str) -> Target:
    """The target with nothing that would be made of it.

    Raises InvalidCommandError for a name that means nothing, UsageError for one of several.
    """
    selected = project.select([name])
    if len(selected) != 1:
        names = ", ".join(each.name for each in selected)
        raise UsageError(f"one target can be looked into, and this is {names}")
    (target,) = selected
    return replace(
        target,
        outputs=(),
        cache_exports=(),
        platforms=target.platforms[:1],
        provenance=None,
        sbom=False,
    )


def _steer(job: Job, path: str, show: Callable[[Reference], None]) -> Steer:
    from buildfile.solve import Steer, deliver
    from daemon_shim.builder import Client
    from daemon_shim.errors import NoSuchFileError
    from daemon_shim.results import Result

    def build(client: Client) -> Result:
        tree = deliver(job)(client).ref
        tree.evaluate()
        try:
            show(tree)
        except NoSuchFileError as error:
            raise BuildFailedError([faults.no_such_path(job.name, path)]) from error
        return Result()

    return Steer(builder=build)
