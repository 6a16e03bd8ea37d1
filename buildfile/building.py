"""A plan carried out, from what it needs of this machine to its outputs in place."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from buildfile.course import Course
from buildfile.places import check_held, check_places
from buildfile.runner import Runner
from buildfile.supplies import gather

if TYPE_CHECKING:
    from buildfile.display import Display
    from buildfile.plan import Job
    from buildfile.results import BuildResult
    from buildfile.runplan import RunPlan
    from buildfile.sites import Sites
    from buildfile.solve import Steer
    from translator.target import Secret, SshAgent


def carry_out(  # noqa: PLR0913 -- each is a setting of its own, by name
    run: RunPlan,
    sites: Sites,
    display: Display,
    secrets: Iterable[Secret],
    agents: Iterable[SshAgent],
    *,
    steer: Callable[[Job], Steer | None] = lambda job: None,
    keep_going: bool = False,
    all_or_nothing: bool = False,
) -> BuildResult:
    """Do what is planned for the sites and wait for the end; ``steer`` and all that follows as for
    ``Runner``.

    Raises RefusedError for what the daemons cannot do, InvalidFileError for secrets and agents
    that are not there and outputs that are in each other's way, and as ``Runner.run`` does.
    """
    run.require()
    site = next(iter(sites.open_.values()))
    supplies = gather(secrets, agents, site.logins, site.environment)
    check_places(run.jobs, sys.stdout)
    if all_or_nothing:
        check_held(run.jobs)
    course = Course(sites, run, display)
    return Runner(
        course.begin(),
        supplies,
        display,
        lambda job: None if job.inner else steer(job),
        course,
        keep_going=keep_going,
        all_or_nothing=all_or_nothing,
    ).run()
