"""What is known of a daemon after asking it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from daemon_shim.releases import Release

_SNAPSHOTTER = "org.mobyproject.buildkit.worker.snapshotter"


class ImageStore(Enum):
    """Where a daemon keeps images, which decides its exporters and cache exports.

    Nothing announces it. An engine's worker has the snapshotter label only with the containerd
    image store (measured on Docker 20.10, 26.1 and 28.5; buildx driver/docker).
    """

    BUILDKIT = "buildkitd of its own"
    CONTAINERD = "Docker Engine with the containerd image store"
    GRAPHDRIVER = "Docker Engine without the containerd image store"


@dataclass(frozen=True, kw_only=True)
class Worker:
    """One worker. ``platforms`` are ``os/architecture[/variant]``, the worker's own first.

    ``version`` is the worker's BuildKit version where it tells (v0.11 and later), else empty.
    """

    id: str
    labels: Mapping[str, str] = field(default_factory=dict)
    platforms: tuple[str, ...] = ()
    version: str = ""


@dataclass(frozen=True, kw_only=True)
class DaemonInfo:
    """A daemon as it was when it was asked.

    ``version`` is for people: exact where the daemon tells, else such as ``v0.8 or later``.
    ``release`` is the same to compare with: never newer than the daemon. ``llb_caps`` and
    ``gateway_caps`` hold what is enabled; ``disabled`` says why, for what the daemon knows but
    has switched off. The first worker is the only one that runs steps.
    """

    address: str
    engine: bool
    version: str
    release: Release
    llb_caps: frozenset[str] = frozenset()
    gateway_caps: frozenset[str] = frozenset()
    disabled: Mapping[str, str] = field(default_factory=dict)
    workers: tuple[Worker, ...] = ()

    @property
    def default_platform(self) -> str:
        """The platform of the default worker; empty when the daemon lists none."""
        return next((name for worker in self.workers[:1] for name in worker.platforms), "")

    @property
    def store(self) -> ImageStore:
        """Where it keeps images."""
        if not self.engine:
            return ImageStore.BUILDKIT
        labelled = any(_SNAPSHOTTER in worker.labels for worker in self.workers[:1])
        return ImageStore.CONTAINERD if labelled else ImageStore.GRAPHDRIVER

    def has(self, capability: str) -> bool:
        """Whether an LLB or gateway capability is there and enabled."""
        return capability in self.llb_caps or capability in self.gateway_caps
