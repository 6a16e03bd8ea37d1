"""What is asked of a daemon, free of dialect. ``daemon_shim.dialects`` spells it for the wire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Exporter:
    """One exporter: ``image``, ``local``, ``tar``, ``oci``, ``docker`` or ``moby``."""

    type: str
    attrs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class CacheOption:
    """One cache to import or export. Its attributes may hold tokens, and are not to be printed."""

    type: str
    attrs: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, kw_only=True)
class SolveRequest:
    """One job. With neither ``definition`` nor ``frontend`` it is a gateway build.

    ``ref`` must be new on the daemon (control/control.go: "job ID exists"). ``definition`` is a
    serialised ``pb.Definition``. ``entitlements`` must be names that the daemon knows. An
    ``internal`` build stays out of the daemon's build history (v0.11 and later).
    """

    ref: str
    session: str
    definition: bytes | None = None
    frontend: str = ""
    frontend_attrs: Mapping[str, str] = field(default_factory=dict)
    exporters: tuple[Exporter, ...] = ()
    cache_exports: tuple[CacheOption, ...] = ()
    cache_imports: tuple[CacheOption, ...] = ()
    entitlements: tuple[str, ...] = ()
    internal: bool = False
