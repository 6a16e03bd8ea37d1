"""The caches that a build file imports, where another client serves the session."""

from __future__ import annotations

from collections.abc import Iterator

from buildfile import faults as app
from buildfile.cachenames import AS_WRITTEN
from buildfile.caches import forgives, options, plan_imports
from buildfile.loopback import Loopback
from buildfile.syntax import faults
from buildfile.syntax.telling import told
from daemon_shim.info import DaemonInfo
from daemon_shim.request import CacheOption
from translator.diagnostic import Diagnostic
from translator.target import CacheEntry, Target


def imports(
    target: Target, info: DaemonInfo
) -> tuple[tuple[CacheOption, ...], tuple[Diagnostic, ...]]:
    """What the daemon is told of a target's caches, and warnings for those that are left out.

    Keys of services on the web stay with the client, whose environment is not here. Raises
    SolveFailedError for what the daemon cannot do.
    """
    amiss = tuple(_left_out(target, info))
    kept = [each for each in target.cache_imports if not _reason(each, info)]
    names = AS_WRITTEN.imported(kept, target.name)
    planned = plan_imports(names, info, {}, Loopback(None))
    refused = [
        app.lacks_feature(each.refusal, target, info, each.entry.span)
        for each in planned
        if each.refusal
    ]
    if refused:
        raise told(refused)
    warned = tuple(app.cache_amiss(each, target) for each in planned if each.warning)
    return options(planned), amiss + warned


def _left_out(target: Target, info: DaemonInfo) -> Iterator[Diagnostic]:
    for each in target.cache_imports:
        if reason := _reason(each, info):
            yield faults.cache_of_client(each.type, each.span, reason)


def _reason(entry: CacheEntry, info: DaemonInfo) -> str:
    """Why a cache cannot be imported here, '' where it can."""
    if entry.folder:
        return "its folder is with the client, which can give it as a cache of its own"
    if not forgives(info):
        return (
            f"{info.version} fails where it is not there yet, which cannot be looked up from here"
        )
    return ""
