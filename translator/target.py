"""The nouns around a build: targets, outputs, caches, secrets, with every value interpolated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from translator.platform import Platform
from translator.selector import Selector
from translator.span import Span

Provenance = Literal["min", "max", "false"]

STDOUT = "-"
"""The place of an output that goes to standard output."""


@dataclass(frozen=True, kw_only=True)
class CacheEntry:
    """One cache import or export: ``{type: registry, ref: ...}``.

    ``attrs`` excludes the type and the folder of a local cache, which is ``folder``: an absolute
    path, '' for other types. They may hold tokens, so that nothing prints them as they are.
    ``free`` is one whose type was written with ``x-``: all of it is the daemon's affair.
    ``by_daemon`` is whether it has a name for each daemon of a run that may use several.
    """

    type: str
    attrs: Mapping[str, str] = field(repr=False)
    folder: str = ""
    free: bool = False
    by_daemon: bool = True
    span: Span | None = None


@dataclass(frozen=True, kw_only=True)
class Output:
    """One output of a target.

    ``dest`` is an absolute path or ``STDOUT``, '' where none is given; the types
    that the daemon keeps have none. ``paths`` limits what is exported, empty for all. ``attrs``
    are the exporter's own, without ``type``, ``dest`` and ``paths``.
    """

    type: str
    dest: str = ""
    paths: tuple[str, ...] = ()
    attrs: Mapping[str, str] = field(default_factory=dict)
    span: Span | None = None


@dataclass(frozen=True, kw_only=True)
class Secret:
    """Where a secret's value comes from: ``env`` (a variable's name) or ``file`` (absolute)."""

    id: str
    env: str = ""
    file: str = ""
    optional: bool = False
    span: Span | None = None


@dataclass(frozen=True, kw_only=True)
class SshAgent:
    """An agent to forward: a socket's path, or key files, which the client then serves itself."""

    id: str
    agent: str = ""
    keys: tuple[str, ...] = ()
    optional: bool = False
    span: Span | None = None


@dataclass(frozen=True, kw_only=True)
class Target:
    """One thing to build: a declared target with its matrix values applied.

    ``name`` is unique (``app``, or ``app-1-24`` for a matrix variant of ``declared`` app).
    ``platforms`` is empty where the file names none: then the daemon's own is meant. ``worker``
    says where it is built.
    """

    name: str
    declared: str
    stage: str
    matrix: Mapping[str, str] = field(default_factory=dict)
    platforms: tuple[Platform, ...] = ()
    outputs: tuple[Output, ...] = ()
    cache_imports: tuple[CacheEntry, ...] = ()
    cache_exports: tuple[CacheEntry, ...] = ()
    secrets: tuple[str, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    provenance: Provenance | None = None
    sbom: bool = False
    no_cache: bool = False
    worker: Selector | None = None
    description: str = ""
    span: Span

    def pushing(self) -> Target:
        """The same with all images pushed that it makes as outputs of type image."""
        outputs = (
            replace(each, attrs={**each.attrs, "push": "true"}) if each.type == "image" else each
            for each in self.outputs
        )
        return replace(self, outputs=tuple(outputs))
