"""What is known of a daemon after asking it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from daemon_shim.releases import Release

TYPED_CACHES: Release = (0, 4, 0)
"""The release that gave caches types and lists (control/control.go)."""

_SNAPSHOTTER = "org.mobyproject.buildkit.worker.snapshotter"


class Api(Enum):
    """Which fields a request uses: those of the daemon's age, or always the old or the new ones."""

    AUTO = "auto"
    LEGACY = "legacy"
    CURRENT = "current"


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
    has switched off. The first worker is the only one that runs steps. ``api`` is what the user
    wants it to be spoken to in. One that is ``imagined`` was not asked: it is what a release is.
    """

    address: str
    engine: bool
    version: str
    release: Release
    llb_caps: frozenset[str] = frozenset()
    gateway_caps: frozenset[str] = frozenset()
    disabled: Mapping[str, str] = field(default_factory=dict)
    workers: tuple[Worker, ...] = ()
    api: Api = Api.AUTO
    imagined: bool = False

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

    @property
    def has_typed_caches(self) -> bool:
        """Whether it reads caches as types with attributes (v0.4), beside the refs of v0.3."""
        return self.release >= TYPED_CACHES

    @property
    def is_legacy(self) -> bool:
        """Whether requests to it use the old fields alone: those of v0.3, or as the user wants."""
        return self.api is Api.LEGACY or (self.api is Api.AUTO and not self.has_typed_caches)

    def has(self, capability: str) -> bool:
        """Whether an LLB or gateway capability is there and enabled."""
        return capability in self.llb_caps or capability in self.gateway_caps
