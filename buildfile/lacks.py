"""Stages that a daemon cannot make: for want of a platform, or of a frontend among other stages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from buildfile import faults
from daemon_shim import support
from daemon_shim.info import DaemonInfo
from daemon_shim.releases import Release
from translator.diagnostic import Diagnostic
from translator.platform import Platform
from translator.stage import Dockerfile, Instance, Run, Stage

_EMULATES: Release = (0, 4, 0)


def foreign_platforms(instances: Iterable[Instance], info: DaemonInfo) -> Iterator[Diagnostic]:
    """Steps can only run for the platforms that the daemon lists, its own or emulated ones.

    What an imagined daemon may emulate is unknown; v0.3 never does (cmd/buildkitd/main.go).
    """
    if info.imagined and info.release >= _EMULATES:
        return
    listed = {Platform.parse(name) for worker in info.workers[:1] for name in worker.platforms}
    for instance in instances:
        for stage in instance.stages.values():
            step = next((step for step in stage.steps if isinstance(step, Run)), None)
            if step and listed and stage.platform not in listed:
                yield faults.foreign_platform(stage.platform, step.span, info, sorted(listed))


def no_frontend(stage: Stage, info: DaemonInfo) -> str:
    """Why a daemon cannot make a stage that stands among others, '' where it can."""
    if reason := support.reason(info, "frontend", "stages"):
        return reason
    if isinstance(stage.origin, Dockerfile) and stage.origin.contexts:
        return support.reason(info, "frontend", "contexts")
    return ""
