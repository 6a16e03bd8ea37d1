"""An open daemon to build on, and what a run does there: plan for it, and carry the plan out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from buildfile.connect import DaemonChoice, connected
from buildfile.loopback import Loopback

if TYPE_CHECKING:
    from buildfile.display import Display
    from buildfile.draft import Draft
    from buildfile.plan import Job, Plan
    from buildfile.results import BuildResult
    from buildfile.solve import Steer
    from daemon_shim.client import Daemon
    from daemon_shim.registry.client import RegistryClient
    from daemon_shim.session.auth import Auth
    from translator.project import Project
    from translator.target import Secret, SshAgent, Target

EPOCH = "SOURCE_DATE_EPOCH"


@dataclass(frozen=True, kw_only=True)
class Site:
    """A daemon for as long as it is open. Plans that are made for it can be carried out meanwhile.

    ``environment`` are the variables that count, ``logins`` those at registries.
    """

    daemon: Daemon
    loopback: Loopback
    environment: Mapping[str, str]
    logins: Auth

    def plan(self, project: Project, targets: Sequence[Target], *, no_cache: bool = False) -> Plan:
        """Plan a build: images resolved, everything compiled, nothing built.

        Caches in registries are looked up for a daemon that would fail without them. Raises
        InvalidFileError and BuildFailedError (an image that cannot be resolved).
        """
        from buildfile.cachesearch import forgives, searched
        from buildfile.draft import draft

        drafts = draft(project, targets, self.daemon.info(), self.environment.get(EPOCH, ""))
        made = self.planned(drafts, no_cache=no_cache)
        return made if forgives(made.info) else searched(made, self._registries())

    def planned(
        self, drafts: Sequence[Draft], *, no_cache: bool = False, unique: str | None = None
    ) -> Plan:
        """Plan jobs that are cut already. ``unique`` is as for ``compile_instances``."""
        from buildfile.draft import needed_images
        from buildfile.images import resolve_images
        from buildfile.plan import plan

        images = resolve_images(
            needed_images(drafts),
            self.daemon,
            services=[self.logins],
            client=self._registries(),
        )
        return plan(
            drafts,
            self.daemon.info(),
            images,
            loopback=self.loopback,
            no_cache=no_cache,
            environment=self.environment,
            unique=unique,
        )

    def build(
        self,
        plan: Plan,
        display: Display,
        secrets: Iterable[Secret],
        agents: Iterable[SshAgent],
        steer: Callable[[Job], Steer | None] = lambda job: None,
    ) -> BuildResult:
        """Carry a plan out and wait for the end. ``steer`` is as for ``Runner``.

        Raises RefusedError for what the daemon cannot do, InvalidFileError for secrets and agents
        that are not there and outputs that are in each other's way, and as ``Runner.run`` does.
        """
        from buildfile.places import check_places
        from buildfile.runner import Runner
        from buildfile.supplies import gather

        plan.require()
        supplies = gather(secrets, agents, self.logins, self.environment)
        check_places(plan.jobs, sys.stdout)
        for warning in plan.warnings:
            display.say(f"warning: {warning.message}")
        return Runner(plan, self.daemon, supplies, display, steer).run()

    def _registries(self) -> RegistryClient:
        from daemon_shim.registry.client import RegistryClient

        return RegistryClient(self.logins.login)


@contextmanager
def opened(
    choice: DaemonChoice, say: Callable[[str], None], environment: Mapping[str, str]
) -> Iterator[Site]:
    """Open the daemon of a choice. Says and raises what ``connected`` and ``read_logins`` do."""
    from buildfile.supplies import read_logins

    logins = read_logins(environment)
    with connected(choice, say) as daemon, Loopback(daemon) as loopback:
        yield Site(daemon=daemon, loopback=loopback, environment=environment, logins=logins)
