"""A request in the words of a daemon's age. A dialect is a row; nothing is ever left out unsaid.

What changed (control/control.go): v0.4 gave caches types and lists, v0.11 took several cache
exports, v0.13 several exporters. Where a newer field stands beside an older one that means the
same, daemons read either the newer alone or both together:

- exporters: v0.13 and later read the list and ignore the old pair, older ones the pair alone, so
  both are sent;
- caches: v0.4 and later add the old fields to the lists, so only one of them is ever sent. Twice
  the same export is an error from v0.11, and twice the same import twice the work.

A user may ask for the legacy or the current dialect (``DaemonInfo.api``). Every daemon still reads
the legacy fields; v0.3 ignores the current caches. ``daemon_shim.support`` has what either way
would be lost.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from daemon_shim import releases, support
from daemon_shim.errors import UnsupportedError
from daemon_shim.info import TYPED_CACHES, Api, DaemonInfo
from daemon_shim.releases import Release
from daemon_shim.request import CacheOption, Exporter, SolveRequest
from schemas.pb import control_pb2, ops_pb2


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How releases from ``since`` on spell exporters, caches, and caches again for a frontend."""

    name: str
    since: Release
    exporters: Callable[[Sequence[Exporter]], control_pb2.SolveRequest]
    caches: Callable[[DaemonInfo, SolveRequest], control_pb2.CacheOptions]
    frontend_imports: Callable[[DaemonInfo, SolveRequest], dict[str, str]]


def spell(request: SolveRequest, info: DaemonInfo) -> control_pb2.SolveRequest:
    """The message for a daemon.

    Raises UnsupportedError, before anything is sent, for what it cannot do.
    """
    _check(request, info)
    dialect = dialect_for(info)
    attrs = dict(request.frontend_attrs)
    if request.frontend:
        attrs |= dialect.frontend_imports(info, request)
    message = control_pb2.SolveRequest(
        Ref=request.ref,
        Session=request.session,
        Definition=_definition(request),
        Frontend=request.frontend,
        FrontendAttrs=attrs,
        # Always there: v0.17.0 to v0.21.0 crash without it (control/control.go).
        Cache=dialect.caches(info, request),
        Entitlements=request.entitlements,
        Internal=request.internal,
    )
    message.MergeFrom(dialect.exporters(request.exporters))
    return message


def dialect_for(info: DaemonInfo) -> Dialect:
    """The dialect that the user asks for, else the newest that the daemon surely understands."""
    named = next((row for row in DIALECTS if row.name == info.api.value), None)
    return named or next(row for row in reversed(DIALECTS) if info.release >= row.since)


def legacy_ref(info: DaemonInfo, cache: CacheOption, *known: str) -> str:
    """The ref of a registry cache, all that v0.3 knows beside the attributes ``known``.

    Raises UnsupportedError for another type, or an attribute that would be lost.
    """
    if cache.type != "registry":
        raise _unsaid(info, f"a cache of type {cache.type}")
    if lost := sorted(set(cache.attrs) - {"ref", *known}):
        raise _unsaid(info, f"the cache attribute {lost[0]}")
    return cache.attrs.get("ref", "")


def _unsaid(info: DaemonInfo, feature: str) -> UnsupportedError:
    return UnsupportedError(
        f"{info.address} cannot do this build: the legacy API, that of BuildKit v0.3, has no "
        f"place for {feature}",
        feature=feature,
        since=releases.text(TYPED_CACHES),
        address=info.address,
    )


def _check(request: SolveRequest, info: DaemonInfo) -> None:
    for exporter in request.exporters:
        support.require(info, "exporter", exporter.type)
    for cache in request.cache_exports:
        support.require(info, "cache-export", cache.type)
    for cache in request.cache_imports:
        support.require(info, "cache-import", cache.type)
    if len(request.exporters) > 1:
        support.require(info, "several", "exporters")
    if len(request.cache_exports) > 1:
        support.require(info, "several", "cache-exports")


def _definition(request: SolveRequest) -> ops_pb2.Definition | None:
    """Absent for a gateway build: an empty one solves nothing, at once (all releases)."""
    if request.definition is None:
        return None
    return ops_pb2.Definition.FromString(request.definition)


def _first_exporter(exporters: Sequence[Exporter]) -> control_pb2.SolveRequest:
    return control_pb2.SolveRequest(
        ExporterDeprecated=exporters[0].type if exporters else "",
        ExporterAttrsDeprecated=dict(exporters[0].attrs) if exporters else {},
    )


def _all_exporters(exporters: Sequence[Exporter]) -> control_pb2.SolveRequest:
    message = _first_exporter(exporters)
    message.Exporters.extend(
        control_pb2.Exporter(Type=each.type, Attrs=dict(each.attrs)) for each in exporters
    )
    return message


def _legacy_caches(info: DaemonInfo, request: SolveRequest) -> control_pb2.CacheOptions:
    """v0.3 reads ``mode`` alone of an export's attributes; later ones read them all."""
    message = control_pb2.CacheOptions(
        ImportRefsDeprecated=[legacy_ref(info, cache) for cache in request.cache_imports]
    )
    for cache in request.cache_exports:
        known = cache.attrs if info.has_typed_caches else ("mode",)
        message.ExportRefDeprecated = legacy_ref(info, cache, *known)
        message.ExportAttrsDeprecated.update(
            {key: value for key, value in cache.attrs.items() if key != "ref"}
        )
    return message


def _typed_caches(_info: DaemonInfo, request: SolveRequest) -> control_pb2.CacheOptions:
    return control_pb2.CacheOptions(
        Exports=map(_entry, request.cache_exports), Imports=map(_entry, request.cache_imports)
    )


def _entry(cache: CacheOption) -> control_pb2.CacheOptionsEntry:
    return control_pb2.CacheOptionsEntry(Type=cache.type, Attrs=dict(cache.attrs))


def _refs_for_frontend(info: DaemonInfo, request: SolveRequest) -> dict[str, str]:
    refs = [legacy_ref(info, cache) for cache in request.cache_imports]
    return {"cache-from": ",".join(refs)} if refs else {}


def _both_for_frontend(_info: DaemonInfo, request: SolveRequest) -> dict[str, str]:
    """Registry refs the old way for frontends older than the daemon, the rest as JSON."""
    plain = [cache for cache in request.cache_imports if _is_plain_ref(cache)]
    rest = [cache for cache in request.cache_imports if not _is_plain_ref(cache)]
    refs = {"cache-from": ",".join(cache.attrs["ref"] for cache in plain)} if plain else {}
    return refs | _json_for_frontend(rest)


def _is_plain_ref(cache: CacheOption) -> bool:
    return cache.type == "registry" and set(cache.attrs) == {"ref"}


def _all_for_frontend(_info: DaemonInfo, request: SolveRequest) -> dict[str, str]:
    return _json_for_frontend(request.cache_imports)


def _json_for_frontend(caches: Sequence[CacheOption]) -> dict[str, str]:
    entries = [{"Type": cache.type, "Attrs": dict(cache.attrs)} for cache in caches]
    return {"cache-imports": json.dumps(entries)} if entries else {}


DIALECTS: tuple[Dialect, ...] = (
    Dialect(
        name=Api.LEGACY.value,
        since=releases.FIRST,
        exporters=_first_exporter,
        caches=_legacy_caches,
        frontend_imports=_refs_for_frontend,
    ),
    Dialect(
        name="transitional",
        since=TYPED_CACHES,
        exporters=_all_exporters,
        caches=_typed_caches,
        frontend_imports=_both_for_frontend,
    ),
    Dialect(
        name=Api.CURRENT.value,
        since=(0, 11, 0),
        exporters=_all_exporters,
        caches=_typed_caches,
        frontend_imports=_all_for_frontend,
    ),
)
"""Oldest first."""
