"""What a daemon must know for each feature: one row each, and the first release that has it.

Two tables. ``CAPABILITIES`` are the names that daemons list (gateway Ping), with the first
release and what each stands for in a message. ``FEATURES`` are what the graph uses: most are
called as their capability; where BuildKit has no name for something, or refuses the name it has,
the row says which capability of the same release shows that a daemon has it.

Sources: solver/pb/caps.go of each release, and the releases that added the fields.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass

from translator.compiled import Need


@dataclass(frozen=True, slots=True)
class Capability:
    """A name that daemons list. ``what`` fits into "... needs BuildKit v0.5.0"."""

    id: str
    since: str
    what: str


@dataclass(frozen=True, slots=True)
class Feature:
    """Something that a vertex can use.

    ``proof`` is the capability that shows that a daemon has it. ``sent`` says whether the vertex
    may carry it, so that a daemon without it refuses the vertex instead of ignoring a field.
    """

    id: str
    proof: str
    what: str
    since: str
    sent: bool = True


_CAPABILITIES = (
    Capability("constraints", "v0.3.0", "a choice of workers"),
    Capability("platform", "v0.3.0", "a platform"),
    Capability("meta.description", "v0.3.0", "a step's name"),
    Capability("meta.ignorecache", "v0.3.0", "a step that is never cached"),
    Capability("exec.meta.base", "v0.3.0", "running a command"),
    Capability("exec.meta.setsdefaultpath", "v0.3.0", "the default PATH"),
    Capability("exec.meta.network", "v0.3.0", "the network mode of a step"),
    Capability("exec.meta.security", "v0.5.0", "an insecure step"),
    Capability("exec.meta.ulimit", "v0.10.0", "the limits (ulimits) of a step"),
    Capability("exec.meta.cdi", "v0.20.0", "a device"),
    Capability("exec.meta.linux.resources", "v0.31.0", "memory and CPU limits of a step"),
    Capability("exec.validexitcode", "v0.17.0", "other exit codes than 0"),
    Capability("exec.secretenv", "v0.10.0", "a secret as an environment variable"),
    Capability("exec.mount.bind", "v0.3.0", "a mount"),
    Capability("exec.mount.bind.readwrite-nooutput", "v0.6.1", "a writable bind mount"),
    Capability("exec.mount.cache", "v0.3.0", "a cache mount"),
    Capability("exec.mount.cache.sharing", "v0.3.0", "the sharing of a cache mount"),
    Capability("exec.mount.cache.content", "v0.13.0", "what a mount adds to the key of a step"),
    Capability("exec.mount.secret", "v0.3.0", "a secret mount"),
    Capability("exec.mount.selector", "v0.3.0", "a mount of a part of a tree"),
    Capability("exec.mount.ssh", "v0.3.0", "an SSH mount"),
    Capability("exec.mount.tmpfs", "v0.3.0", "a tmpfs mount"),
    Capability("exec.mount.tmpfs.size", "v0.10.0", "the size of a tmpfs mount"),
    Capability("file.base", "v0.5.0", "copying and changing files"),
    Capability("file.copy.includeexcludepatterns", "v0.9.0", "include and exclude of a copy"),
    Capability("file.copy.requiredpaths", "v0.26.0", "required paths of a copy"),
    Capability("file.rm.nofollowsymlink", "v0.10.0", "removing a link and not what it leads to"),
    Capability("file.symlink.create", "v0.19.0", "a symlink step"),
    Capability("mergeop", "v0.10.0", "a merge stage"),
    Capability("diffop", "v0.10.0", "a diff stage"),
    Capability("source.image", "v0.3.0", "an image"),
    Capability("source.image.resolvemode", "v0.3.0", "the resolve mode of an image"),
    Capability("source.local", "v0.3.0", "a local folder"),
    Capability("source.local.excludepatterns", "v0.3.0", "excluded files of a local folder"),
    Capability("source.local.followpaths", "v0.3.0", "followed paths of a local folder"),
    Capability("source.local.includepatterns", "v0.3.0", "included files of a local folder"),
    Capability("source.local.sharedkeyhint", "v0.3.0", "the key of a local folder"),
    Capability("source.local.unique", "v0.3.0", "the unique key of a local folder"),
    Capability("source.git", "v0.3.0", "a git repository"),
    Capability("source.git.fullurl", "v0.3.0", "the URL of a git repository"),
    Capability("source.git.keepgitdir", "v0.3.0", "keep-git-dir of a git repository"),
    Capability("source.git.httpauth", "v0.8.0", "a token or header for a git repository"),
    Capability("source.git.mountsshsock", "v0.8.0", "the SSH agent of a git repository"),
    Capability("source.git.subdir", "v0.9.0", "a folder of a git repository"),
    Capability("source.git.checksum", "v0.22.0", "the checked commit of a git repository"),
    Capability("source.git.skipsubmodules", "v0.24.0", "a git repository without its submodules"),
    Capability("source.http", "v0.3.0", "a download"),
    Capability("source.http.checksum", "v0.3.0", "the checksum of a download"),
    Capability("source.http.perm", "v0.3.0", "the mode of a download"),
    # misspelt so in every release
    Capability("soruce.http.uidgid", "v0.3.0", "the owner of a download"),
    Capability("source.ocilayout", "v0.11.0", "an image in an OCI layout folder"),
)
# Needed by no vertex of its own: what follows no links came later, and every removal wants that.
_PROOFS = (Capability("file.rm.wildcard", "v0.7.0", "wildcards of a remove step"),)
CAPABILITIES = {row.id: row for row in (*_CAPABILITIES, *_PROOFS)}

# BuildKit has no capability for a host name nor for mounts of any number of layers, refuses the one
# it defines for symbolic modes, and up to v0.6.0 gives the history of a repository in place of its
# files (source/git/gitsource.go).
_UNNAMED = (
    Feature("exec.hostname", "source.git.httpauth", "the host name of a step", "v0.8.0", False),
    Feature("file.copy.mode", "exec.validexitcode", "a symbolic mode of a copy", "v0.17.0", False),
    Feature(
        "merge.removals",
        "exec.mount.cache.content",
        "a merge stage of what removes files",
        "v0.13.0",
        False,
    ),
    Feature(
        "exec.mount.layers", "exec.secretenv", "file steps above many layers", "v0.10.0", False
    ),
    Feature("git.history", "file.rm.wildcard", "a repository with its history", "v0.7.0", False),
)
FEATURES = {
    **{row.id: Feature(row.id, row.id, row.what, row.since) for row in _CAPABILITIES},
    **{row.id: row for row in _UNNAMED},
}


def missing(needs: Iterable[Need], caps: Container[str]) -> tuple[Need, ...]:
    """The needs that a daemon with the capabilities ``caps`` does not meet."""
    return tuple(need for need in needs if need.capability not in caps)
