"""What a Ping says of a daemon: capabilities, and the release that they prove."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from daemon_shim import releases
from daemon_shim.info import DaemonInfo, Worker
from daemon_shim.releases import Release
from schemas.pb import apicaps_pb2, gateway_pb2

# What a daemon can do that sends no lists (frontend/gateway/grpcclient, frozen in v0.3).
_SILENT_GATEWAY = ("solve.base", "solve.inlinereturn", "resolveimage", "readfile")
_SILENT_LLB = (
    "source.image",
    "source.local",
    "source.local.unique",
    "source.local.sessionid",
    "source.local.includepatterns",
    "source.local.followpaths",
    "source.local.excludepatterns",
    "source.local.sharedkeyhint",
    "source.git",
    "source.git.keepgitdir",
    "source.git.fullurl",
    "source.http",
    "source.http.checksum",
    "source.http.perm",
    "soruce.http.uidgid",
    "source.buildop.llbfilename",
    "exec.meta.base",
    "exec.meta.proxyenv",
    "exec.mount.bind",
    "exec.mount.cache",
    "exec.mount.cache.sharing",
    "exec.mount.selector",
    "exec.mount.tmpfs",
    "exec.mount.secret",
    "constraints",
    "platform",
    "meta.ignorecache",
    "meta.description",
    "meta.exportcache",
)


def describe(
    pong: gateway_pb2.PongResponse,
    *,
    address: str,
    engine: bool,
    told: Release | None,
    workers: tuple[Worker, ...],
) -> DaemonInfo:
    """Put together what a Ping lists and what else is known; ``told`` is the release by name."""
    gateway = _enabled(pong.FrontendAPICaps, _SILENT_GATEWAY)
    llb = _enabled(pong.LLBCaps, _SILENT_LLB)
    disabled = _disabled([*pong.FrontendAPICaps, *pong.LLBCaps])
    known = releases.at_least([*gateway, *llb, *disabled])
    return DaemonInfo(
        address=address,
        engine=engine,
        version=releases.exact(told) if told else f"{releases.text(known)} or later",
        release=told or known,
        llb_caps=llb,
        gateway_caps=gateway,
        disabled=disabled,
        workers=workers,
    )


def _enabled(caps: Iterable[apicaps_pb2.APICap], silent: Iterable[str]) -> frozenset[str]:
    listed = list(caps)
    return frozenset(cap.ID for cap in listed if cap.Enabled) if listed else frozenset(silent)


def _disabled(caps: Iterable[apicaps_pb2.APICap]) -> Mapping[str, str]:
    return {
        cap.ID: cap.DisabledReasonMsg or cap.DisabledReason or "no reason given"
        for cap in caps
        if not cap.Enabled
    }
