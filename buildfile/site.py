"""An open daemon to build on, and how a run is planned for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from buildfile.cachenames import AS_WRITTEN, CacheNames
from buildfile.loopback import Loopback

if TYPE_CHECKING:
    from buildfile.cachesearch import CacheSearch
    from buildfile.draft import Draft
    from buildfile.frontendstages import FrontendStages
    from buildfile.plan import Plan
    from daemon_shim.client import Daemon
    from daemon_shim.session.auth import Auth
    from translator.compiled import ImageNeed, ResolvedImage
    from translator.project import Project

EPOCH = "SOURCE_DATE_EPOCH"


@dataclass(frozen=True, kw_only=True)
class Site:
    """A daemon for as long as it is open. Plans that are made for it can be carried out meanwhile.

    ``environment`` are the variables that count, ``logins`` those at registries. ``search`` looks
    caches up for all daemons of the run. ``handoff`` is a place in a registry that it reaches,
    through which results may come from other daemons, or ''. ``images`` are those that were
    resolved: what is planned again begins with the same.
    """

    daemon: Daemon
    loopback: Loopback
    environment: Mapping[str, str]
    logins: Auth
    search: CacheSearch
    handoff: str = ""
    images: dict[ImageNeed, ResolvedImage] = field(default_factory=dict)

    @property
    def epoch(self) -> str:
        """SOURCE_DATE_EPOCH, '' when not set."""
        return self.environment.get(EPOCH, "")

    def frontends(self, project: Project) -> FrontendStages:
        """The daemon's frontends, for the stages of a project.

        They get what their stages name of the project's secrets and agents.
        """
        from buildfile.frontendstages import FrontendStages
        from buildfile.supplies import gather, named

        return FrontendStages(
            daemon=self.daemon,
            supply=lambda secrets, agents: gather(
                *named(project, [secrets], [agents]), self.logins, self.environment
            ),
        )

    def plan(
        self,
        drafts: Sequence[Draft],
        frontends: FrontendStages,
        *,
        no_cache: bool = False,
        unique: str | None = None,
        names: CacheNames = AS_WRITTEN,
    ) -> Plan:
        """Plan jobs: images resolved, frontends asked, everything compiled, nothing built.

        Caches in registries are looked up where they may have several names, and for a daemon that
        would fail without them. ``unique`` and ``names`` are as for ``plan``. Raises
        InvalidFileError, RefusedError (a frontend that the daemon has not) and BuildFailedError
        (an image that cannot be resolved, or a frontend that fails).
        """
        from buildfile.cachesearch import searched
        from buildfile.draft import needed_images
        from buildfile.images import resolve_images
        from buildfile.plan import plan
        from daemon_shim.registry.client import RegistryClient

        images = resolve_images(
            needed_images(drafts),
            self.daemon,
            services=[self.logins],
            client=RegistryClient(self.logins.login),
            known=self.images,
        )
        self.images.update(images)
        made = plan(
            drafts,
            self.daemon.info(),
            images,
            loopback=self.loopback,
            no_cache=no_cache,
            environment=self.environment,
            unique=unique,
            names=names,
            frontends=frontends,
        )
        return searched(made, self.search)
