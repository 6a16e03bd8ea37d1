"""Projects and plans from text, for tests that need no daemon."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from buildfile import planview
from buildfile.cachenames import CacheNames
from buildfile.cachesearch import CacheSearch
from buildfile.draft import draft
from buildfile.files import LoadOptions, load_project
from buildfile.loopback import Loopback
from buildfile.plan import Plan, plan
from buildfile.runplan import RunPlan
from buildfile.site import Site
from daemon_shim.info import DaemonInfo
from translator.project import Project


def project(folder: Path, text: str, options: LoadOptions | None = None) -> Project:
    """A project of one file in ``folder``."""
    (folder / "buildfile.yaml").write_text(text)
    return load_project([str(folder / "buildfile.yaml")], options or LoadOptions(environment={}))


def planned(
    folder: Path,
    text: str,
    info: DaemonInfo,
    *targets: str,
    epoch: str = "",
    no_cache: bool = False,
    environment: Mapping[str, str] | None = None,
    loopback: Loopback | None = None,
    names: CacheNames | None = None,
) -> Plan:
    """The plan of a project whose stages need no images."""
    made = project(folder, text)
    drafts = draft(made, made.select(targets), info, epoch)
    environment = {"SOURCE_DATE_EPOCH": epoch, **(environment or {})}
    return plan(
        drafts,
        info,
        {},
        loopback=loopback or Loopback(None),
        no_cache=no_cache,
        environment=environment,
        names=names or CacheNames(),
    )


def site(known: DaemonInfo) -> Site:
    """A daemon that is not there, to plan for."""
    daemon: Any = _FakeDaemon(known)
    logins: Any = _Nothing()
    return Site(
        daemon=daemon,
        loopback=Loopback(None),
        environment={},
        logins=logins,
        search=CacheSearch(logins),
    )


class _FakeDaemon:
    max_parallel: int | None = None

    def __init__(self, known: DaemonInfo) -> None:
        self.info = lambda: known
        self.address = known.address


class _Nothing:
    """A client of registries and a holder of logins that nobody may ask."""

    login = None


def as_text(made: Plan) -> str:
    """What ``buildfile plan`` shows of a run that has this plan alone."""
    return planview.as_text(RunPlan(plans={"": made}))


def as_json(made: Plan) -> dict[str, Any]:
    """The same as plain data."""
    return planview.as_json(RunPlan(plans={"": made}))
