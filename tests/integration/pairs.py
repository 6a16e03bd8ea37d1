"""Two daemons, and a target of a build file one of whose stages moves from one to the other."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from buildfile.connect import DaemonChoice
from buildfile.display import shown
from buildfile.draft import draft
from buildfile.files import LoadOptions, load_project
from buildfile.handoff import Handoff, Handoffs
from buildfile.plan import Plan
from buildfile.results import BuildResult
from buildfile.route import Route, route
from buildfile.runner import Runner
from buildfile.share import Share
from buildfile.site import Site
from buildfile.sites import opened
from buildfile.supplies import gather
from translator.cut import cut
from translator.platform import Platform
from translator.project import Project
from translator.target import Target


@contextlib.contextmanager
def pair(giver: str, taker: str) -> Iterator[Pair]:
    """Open the daemons at two addresses."""
    with contextlib.ExitStack() as stack:
        sites = [
            stack.enter_context(opened(choice, lambda text: None, os.environ))
            for choice in (DaemonChoice(address=each, timeout=60.0) for each in (giver, taker))
        ]
        first, second = (site for each in sites for site in each.open_.values())
        yield Pair(giver=first, taker=second)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The daemon that builds the stage, and the one that builds the target."""

    giver: Site
    taker: Site

    def route(self, registry: str = "") -> Route:
        """How results move between the two."""
        infos = self.giver.daemon.info(), self.taker.daemon.info()
        return route(*infos, self.taker.loopback, registry)


@dataclass(frozen=True, kw_only=True)
class Move:
    """One handoff: of the stage that ``target`` needs, along ``route``."""

    pair: Pair
    project: Project
    target: Target
    handoff: Handoff
    given: Plan

    @classmethod
    def planned(
        cls,
        pair: Pair,
        handoffs: Handoffs,
        project: Project,
        target: str,
        route: Route,
        *,
        name: str = "given",
    ) -> Move:
        """Plan the giver's job, the stage ``name``."""
        (chosen,) = project.select([target])
        own = Platform.parse(pair.taker.daemon.info().default_platform)
        instance = project.instantiate(chosen, own, own)
        stage = next(each for ref, each in instance.stages.items() if ref.name == name)
        handoff = handoffs.of(stage, pair.giver.daemon.info(), route)
        drafts = [handoff.draft(instance, chosen)]
        given = pair.giver.plan(drafts, pair.giver.frontends(project))
        return cls(pair=pair, project=project, target=chosen, handoff=handoff, given=given)

    def give(self) -> None:
        """Build the stage on the giver, and have it here."""
        (job,) = self.given.jobs
        result = _built(self.pair.giver, self.given).targets[job.target.name]
        metadata = {key: value for key, value in result.metadata.items() if isinstance(value, str)}
        self.handoff.receive(job, metadata)

    def taken(self) -> Plan:
        """The taker's plan, with what stands for the stage there."""
        given = {self.handoff.ref: self.handoff.stage(self.given.jobs[0])}
        taker = self.pair.taker
        drafts = [
            replace(each, instances=tuple(cut(part, given) for part in each.instances))
            for each in draft(self.project, [self.target], taker.daemon.info())
        ]
        return taker.plan(drafts, taker.frontends(self.project))

    def take(self) -> BuildResult:
        """Build the target on the taker."""
        return _built(self.pair.taker, self.taken())


def load(folder: Path, variables: Mapping[str, str]) -> Project:
    """The build file in a folder."""
    options = LoadOptions(variables=variables, environment={})
    return load_project([str(folder / "buildfile.yaml")], options)


def _built(site: Site, plan: Plan) -> BuildResult:
    with shown("quiet", sys.stderr, {}) as display:
        plan.require()
        supplies = gather((), (), site.logins, site.environment)
        return Runner([Share(plan=plan, daemon=site.daemon)], supplies, display).run()
