"""Which release brought which capability, to tell a daemon's age and what it would need.

Read from solver/pb/caps.go and frontend/gateway/pb/caps.go of every tag from v0.3.0 to v0.32.2; a
row's tag is the first with the capability. LLB and gateway capabilities share no names. Daemons
before v0.11 have no Info call, and a Docker Engine's versions say nothing, so for those the newest
capability gives a lower bound.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeAlias

Release: TypeAlias = tuple[int, int, int]

FIRST: Release = (0, 3, 0)
"""The oldest release that is known to this package."""

LAST: Release = (0, 32, 2)
"""The newest one."""

_ROWS: dict[Release, tuple[str, ...]] = {
    (0, 3, 0): (
        "constraints",
        "exec.cgroup",
        "exec.meta.base",
        "exec.meta.network",
        "exec.meta.proxyenv",
        "exec.meta.setsdefaultpath",
        "exec.mount.bind",
        "exec.mount.cache",
        "exec.mount.cache.sharing",
        "exec.mount.secret",
        "exec.mount.selector",
        "exec.mount.ssh",
        "exec.mount.tmpfs",
        "meta.description",
        "meta.exportcache",
        "meta.ignorecache",
        "platform",
        "readdir",
        "readfile",
        "resolveimage",
        "resolveimage.resolvemode",
        "return",
        "returnmap",
        "solve.base",
        "solve.inlinereturn",
        "soruce.http.uidgid",
        "source.buildop.llbfilename",
        "source.git",
        "source.git.fullurl",
        "source.git.keepgitdir",
        "source.http",
        "source.http.checksum",
        "source.http.perm",
        "source.image",
        "source.image.resolvemode",
        "source.local",
        "source.local.excludepatterns",
        "source.local.followpaths",
        "source.local.includepatterns",
        "source.local.sessionid",
        "source.local.sharedkeyhint",
        "source.local.unique",
        "statfile",
    ),
    (0, 4, 0): ("importcaches",),
    (0, 5, 0): (
        "exec.meta.security",
        "file.base",
    ),
    (0, 6, 1): ("exec.mount.bind.readwrite-nooutput",),
    (0, 7, 0): (
        "exec.meta.security.devices.v1",
        "file.rm.wildcard",
        "frontend.inputs",
        "proto.refarray",
        "reference.output",
    ),
    (0, 7, 2): ("gateway.solve.metadata",),
    (0, 8, 0): (
        "frontend.caps",
        "gateway.exec",
        "gateway.solve.evaluate",
        "source.git.httpauth",
        "source.git.knownsshhosts",
        "source.git.mountsshsock",
    ),
    (0, 9, 0): (
        "cache.gha",
        "file.copy.includeexcludepatterns",
        "source.git.subdir",
        "source.local.differ",
    ),
    (0, 10, 0): (
        "diffop",
        "exec.meta.cgroup.parent",
        "exec.meta.ulimit",
        "exec.mount.tmpfs.size",
        "exec.secretenv",
        "file.rm.nofollowsymlink",
        "gateway.exec.extrahosts",
        "gateway.exec.signals",
        "gateway.warnings",
        "mergeop",
    ),
    (0, 11, 0): (
        "cache.azblob",
        "cache.s3",
        "exporter.image.annotations",
        "exporter.image.attestations",
        "exporter.sourcedateepoch",
        "gateway.evaluate",
        "reference.attestations",
        "source.image.layerlimit",
        "source.ocilayout",
        "source.policy",
    ),
    (0, 12, 0): ("gateway.exec.secretenv",),
    (0, 13, 0): (
        "exec.mount.cache.content",
        "exporter.multiple",
        "source.metaresolver",
    ),
    (0, 14, 0): ("file.copy.alwaysreplaceexistingdestpaths",),
    (0, 17, 0): (
        "exec.validexitcode",
        "gc.freespacefilter",
    ),
    (0, 19, 0): ("file.symlink.create",),
    (0, 20, 0): (
        "exec.meta.cdi",
        "history.filter",
    ),
    (0, 21, 0): (
        "exporter.session",
        "source.http.auth",
        "source.http.header",
        "source.local.metadatatransfer",
    ),
    (0, 22, 0): ("source.git.checksum",),
    (0, 24, 0): ("source.git.skipsubmodules",),
    (0, 25, 0): ("source.image.checksum",),
    (0, 26, 0): (
        "file.copy.requiredpaths",
        "source.git.signatureverify",
        "source.policy.session",
    ),
    (0, 27, 0): ("gateway.exec.filesystem",),
    (0, 28, 0): (
        "source.http.signatureverify",
        "source.imageblob",
        "source.metaresolver.http.checksumrequest",
        "source.metaresolver.image.attestations",
    ),
    (0, 29, 0): ("source.git.mtime",),
    (0, 30, 0): (
        "source.git.bundle",
        "source.git.checkoutbundle",
        "source.git.fetchbycommit",
    ),
    (0, 31, 0): (
        "exec.meta.linux.resources",
        "exec.meta.network.proxy",
        "passthroughop",
    ),
}
_SINCE = {name: release for release, names in _ROWS.items() for name in names}
_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")


def since(capability: str) -> Release | None:
    """The first release with a capability; None for one that is not in the table."""
    return _SINCE.get(capability)


def known_to(release: Release) -> frozenset[str]:
    """All capabilities of a release."""
    return frozenset(name for name, first in _SINCE.items() if first <= release)


def at_least(capabilities: Iterable[str]) -> Release:
    """The newest release that these capabilities prove; the oldest of all if they prove none."""
    return max((_SINCE.get(name, FIRST) for name in capabilities), default=FIRST)


def parse(version: str) -> Release | None:
    """Read a version as a daemon gives it; None when it says nothing, as ``v0.0.0+unknown``."""
    match = _VERSION.match(version)
    release = (int(match[1]), int(match[2]), int(match[3])) if match else (0, 0, 0)
    return release if any(release) else None


def text(release: Release) -> str:
    """A release as people write it: ``v0.13`` for the first of a series, else ``v0.6.1``."""
    major, minor, patch = release
    return f"v{major}.{minor}.{patch}" if patch else f"v{major}.{minor}"


def shortened(version: str) -> str:
    """A version as ``text`` writes it; what is none stays as it is."""
    release = parse(version)
    return text(release) if release else version


def exact(release: Release) -> str:
    """A release in full: ``v0.13.0``."""
    return "v" + ".".join(map(str, release))
