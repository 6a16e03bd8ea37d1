"""Caches of the build file to caches of a daemon, and to folders of this machine.

What is in a folder is looked up here: a daemon is told a digest, and asks for the blobs (client/
solve.go, v0.4 to v0.32). A folder or a tag that is not there yet is no fault, so that a first build
is quiet; then nothing is sent. A daemon that knows caches in registries only, as v0.3 does, finds
the folder in a registry that this side serves.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeAlias

from buildfile.cachefolder import LATEST, CacheFolder
from buildfile.cacheform import form_for
from buildfile.cachenames import UNNAMED, NamedCache, Standing
from buildfile.cloudcaches import from_environment, missing
from buildfile.display.units import age
from buildfile.loopback import HOW, Loopback
from buildfile.ocilayout import Layout, LayoutError
from daemon_shim import attributes, support
from daemon_shim.info import DaemonInfo
from daemon_shim.registry.served import Document, Offer, Served
from daemon_shim.releases import Release
from daemon_shim.request import CacheOption
from daemon_shim.session.blobs import open_blob
from daemon_shim.session.ingest import Ingest
from translator.target import CacheEntry

Kind: TypeAlias = Literal["import", "export"]

_PLACES: Mapping[Kind, str] = {"import": "src", "export": "dest"}
_OURS = frozenset(("tag", "digest", "reset"))
"""Attributes of a local cache that are this side's own, as they come in the build file."""
# What tells caches of a type apart, with the daemon's defaults.
_NAMED_BY: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "registry": MappingProxyType({"ref": ""}),
        "gha": MappingProxyType({"scope": UNNAMED}),
        "s3": MappingProxyType({"bucket": "", "prefix": "", "name": UNNAMED}),
        "azblob": MappingProxyType({"container": "", "prefix": "", "name": UNNAMED}),
    }
)
_LAYOUT_ATTRS = frozenset(("dest", "src", "digest"))
SERVED_TAG = "cache"
"""The tag of a local cache in a registry of this side."""
NOT_YET = "not there yet"
"""What is found of a cache that may come with the first build, and is no fault."""
_FORGIVING: Release = (0, 5, 0)
"""The first release that builds without a cache that it cannot import (measured: v0.3.3 and v0.4.0
fail, v0.5.1 does not)."""
_REWRITTEN = "its manifest is given in a form that this daemon reads"


@dataclass(frozen=True, kw_only=True)
class PlannedCache:
    """One cache as one daemon imports or exports it, under one of its names.

    ``option`` is what the daemon is told; None where nothing is sent. ``folder`` is a local cache's
    absolute path, and ``tag`` its name there; both are '' for other types. ``refusal`` says why the
    daemon cannot do it, ``warning`` what is amiss though the build can go on, ``note`` what is done
    another way, and ``found`` what is there now; each is '' where there is nothing to say.
    ``standing`` is that of the name. ``served`` is where a daemon finds a local cache that it
    cannot ask the session for, and ``documents`` are blobs of it that the folder does not have.
    """

    entry: CacheEntry
    kind: Kind
    option: CacheOption | None
    standing: Standing = Standing.ONLY
    folder: str = ""
    tag: str = ""
    refusal: str = ""
    warning: str = ""
    note: str = ""
    found: str = ""
    served: Served | None = None
    documents: tuple[Document, ...] = ()

    @property
    def type(self) -> str:
        """The type of cache."""
        return self.entry.type

    @property
    def shown(self) -> str:
        """It as CSV, as in the build file, with all that is secret left out."""
        place = {_PLACES[self.kind]: self.folder} if self.folder else {}
        kept = {} if self.entry.by_daemon else {"by-daemon": "false"}
        attrs = sorted({**place, **kept, **self.entry.attrs}.items())
        words = (f"{key}={'***' if key in attributes.SECRET else value}" for key, value in attrs)
        return ",".join([f"type={self.type}", *words])

    @property
    def place(self) -> tuple[str, ...]:
        """What it replaces where it is exported to, () where that cannot be told."""
        if self.folder:
            return (self.type, self.folder, self.tag)
        keys = _NAMED_BY.get(self.type, {}) if self.option and not self.entry.free else {}
        attrs = self.option.attrs if self.option else {}
        return (self.type, *(attrs.get(k, usual) for k, usual in keys.items())) if keys else ()

    @property
    def store(self) -> str:
        """The name under which the daemon asks for a local cache's blobs, '' where it does not."""
        if not self.is_used_here or self.option is None or self.served:
            return ""
        return f"local:{self.option.attrs[_PLACES[self.kind]]}"

    @property
    def is_used_here(self) -> bool:
        """Whether a folder of this machine is read or written."""
        return bool(self.folder) and self.option is not None

    @property
    def resets(self) -> bool:
        """Whether blobs that no cache in the folder needs are removed after the build."""
        return self.entry.attrs.get("reset") == "true"


def forgives(info: DaemonInfo) -> bool:
    """Whether a build on the daemon goes on without a cache that it cannot import.

    Older ones fail with "error on cache query".
    """
    return info.release >= _FORGIVING


def plan_imports(
    names: Iterable[NamedCache],
    info: DaemonInfo,
    environment: Mapping[str, str],
    loopback: Loopback,
) -> tuple[PlannedCache, ...]:
    """Plan the caches to import. ``environment`` has the keys of services on the web.

    A folder that has none of another daemon is not spoken of, and what is amiss with one that it
    has is no warning.
    """
    planned: list[PlannedCache] = []
    for named in names:
        made = _import(named.entry, info, environment)
        if named.standing is Standing.OTHER:
            made = replace(made, note=made.note or made.warning, warning="")
            if made.found == NOT_YET:
                continue
        planned.append(_checked(replace(made, standing=named.standing), info, loopback))
    return tuple(planned)


def plan_exports(
    entries: Iterable[CacheEntry],
    info: DaemonInfo,
    environment: Mapping[str, str],
    loopback: Loopback,
) -> tuple[PlannedCache, ...]:
    """Plan the caches that one build exports. The rest is as for ``plan_imports``."""
    planned: list[PlannedCache] = []
    for each in entries:
        if each.folder:
            same = sum(before.folder == each.folder for before in planned)
            made = _local_export(each, same)
        else:
            made = _elsewhere(each, "export", info, environment)
        planned.append(_checked(made, info, loopback))
    return tuple(planned)


def options(caches: Iterable[PlannedCache]) -> tuple[CacheOption, ...]:
    """What a daemon is told of caches."""
    return tuple(each.option for each in caches if each.option is not None)


def _import(entry: CacheEntry, info: DaemonInfo, environment: Mapping[str, str]) -> PlannedCache:
    if entry.folder:
        return _local_import(entry, info)
    return _elsewhere(entry, "import", info, environment)


# --- local caches ------------------------------------------------------------------------------


def _local_import(entry: CacheEntry, info: DaemonInfo) -> PlannedCache:
    digest = entry.attrs.get("digest", "")
    tag = "" if digest else entry.attrs.get("tag", LATEST)
    planned = PlannedCache(entry=entry, kind="import", option=None, folder=entry.folder, tag=tag)
    folder = CacheFolder(entry.folder)
    try:
        index = folder.index()
        found = folder.find(digest or tag, index)
        data = Layout(entry.folder, index).blob(found) if found else b""
    except LayoutError as error:
        return replace(planned, warning=error.reason, found="cannot be read")
    if found is None:
        warning = f"the folder has no {digest}" if digest else ""
        return replace(planned, warning=warning, found="not there" if digest else NOT_YET)
    try:
        how_old = _age(entry.folder, found.digest)
    except OSError as error:
        warning = f"the manifest {found.digest} cannot be read: {error.strerror or error}"
        return replace(planned, warning=warning, found="cannot be read")
    planned = replace(planned, found=f"{digest or tag}, {how_old}")
    form = form_for(data, found, info)
    if form.reason:
        return replace(planned, warning=form.reason)
    told = {_PLACES["import"]: entry.folder, "digest": form.document.digest}
    return replace(
        planned,
        option=CacheOption(type=entry.type, attrs={**_sent(entry), **told}),
        documents=(form.document,),
        note=_REWRITTEN if form.made else "",
    )


def _local_export(entry: CacheEntry, same: int) -> PlannedCache:
    """Plan an export; ``same`` others of the build go to the same folder.

    Only by its name can the daemon's exporters into one folder be told apart: each then has its
    own, which is a path of that folder all the same.
    """
    place = entry.folder + "/." * same
    option = CacheOption(type=entry.type, attrs={**_sent(entry), _PLACES["export"]: place})
    tag = entry.attrs.get("tag", LATEST)
    return PlannedCache(entry=entry, kind="export", option=option, folder=entry.folder, tag=tag)


def _sent(entry: CacheEntry) -> dict[str, str]:
    return {key: value for key, value in entry.attrs.items() if key not in _OURS}


def _age(folder: str, digest: str) -> str:
    """How old a cache is, by its manifest's file. Raises OSError where that is missing."""
    fd = open_blob(Path(folder), digest)
    try:
        return old(time.time() - os.fstat(fd).st_mtime)
    finally:
        os.close(fd)


def old(seconds: float) -> str:
    """How old a cache is, such as ``3 minutes old``."""
    return f"{age(seconds) or 'less than a minute'} old"


# --- other types -------------------------------------------------------------------------------


def _elsewhere(
    entry: CacheEntry, kind: Kind, info: DaemonInfo, environment: Mapping[str, str]
) -> PlannedCache:
    """Plan a cache that this machine does not hold. Without its keys nothing is sent."""
    planned = PlannedCache(entry=entry, kind=kind, option=None)
    if entry.free:
        return replace(planned, option=CacheOption(type=entry.type, attrs=entry.attrs))
    added = {
        key: value
        for key, value in from_environment(entry.type, entry.attrs, environment).items()
        if not attributes.reason(info, _row(kind), entry.type, {key: value})
    }
    if why := missing(entry.type, {**added, **entry.attrs}):
        return replace(planned, warning=why)
    note = f"{', '.join(sorted(added))} from the environment" if added else ""
    option = CacheOption(type=entry.type, attrs={**added, **entry.attrs})
    return replace(planned, option=option, note=note)


# --- what the daemon lacks ---------------------------------------------------------------------


def _checked(planned: PlannedCache, info: DaemonInfo, loopback: Loopback) -> PlannedCache:
    """The same with what the daemon lacks: that refuses it, is done another way, or is left out."""
    row, type_ = _row(planned.kind), planned.type
    if lack := support.reason(info, row, type_):
        if not planned.folder or support.reason(info, row, "registry"):
            return replace(planned, refusal=lack)
        if why := loopback.refusal():
            return replace(planned, refusal=f"{lack}; {why}")
    if planned.option is None or planned.entry.free:
        return planned
    attrs = planned.option.attrs
    if reason := attributes.reason(info, row, type_, attrs):
        return replace(planned, refusal=f"{row} of type {type_}: {reason}")
    slight = attributes.slight(info, row, type_, attrs)
    unsaid = slight.keys() | attributes.idle(info, row, type_, attrs)
    kept = {key: value for key, value in attrs.items() if key not in unsaid}
    made = replace(
        planned,
        option=CacheOption(type=type_, attrs=kept),
        warning=planned.warning or "; ".join(slight.values()),
    )
    return _served(made, loopback, lack) if lack else made


def _served(planned: PlannedCache, loopback: Loopback, lack: str) -> PlannedCache:
    """The same cache in a registry of this side."""
    folder = Path(planned.folder)
    if planned.kind == "export":
        served = loopback.serve(Offer(folder=folder, ingest=Ingest(folder)))
    else:
        (manifest,) = planned.documents
        served = loopback.serve(Offer(folder=folder, tags={SERVED_TAG: manifest}))
    attrs = planned.option.attrs if planned.option else {}
    kept = {key: value for key, value in attrs.items() if key not in _LAYOUT_ATTRS}
    option = CacheOption(type="registry", attrs={"ref": f"{served.name}:{SERVED_TAG}", **kept})
    note = "; ".join(filter(None, (f"{HOW}: {lack}", planned.note)))
    return replace(planned, option=option, served=served, note=note)


def _row(kind: Kind) -> attributes.Kind:
    return "cache-import" if kind == "import" else "cache-export"
