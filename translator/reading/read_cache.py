"""Caches to import and export: maps, CSV strings, or a registry reference alone.

The attributes are those that some release reads (cache/remotecache/*, client/solve.go and control/
control.go, v0.3 to v0.32); whether a daemon knows one is for the daemon's side to say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from translator.reading import value_faults as faults
from translator.reading.entries import (
    ANY,
    BOOL,
    LAYERS,
    NUMBER,
    Attributes,
    Check,
    Entries,
    checked,
    kind_of,
    read_entries,
    word,
)
from translator.reading.files import resolve
from translator.reading.reader import Reading
from translator.reference import Reference
from translator.target import CacheEntry
from translator.text.document import Node


def _matches(pattern: str, wanted: str) -> Check:
    return Check(lambda value: value if re.fullmatch(pattern, value) else None, wanted)


_SOME = _matches(r"(?s).+", "a text that is not empty")
_TIME = _matches(r"0|([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+", "a time such as 30s or 1m30s")
_DIGEST = _matches(r"sha256:[0-9a-f]{64}", "a digest, sha256: and 64 hex digits")
# A list in YAML comes with commas, and daemons want semicolons (cache/remotecache/s3, v0.11).
_NAMES = Check(lambda value: value.replace(",", ";") or None, "a name, or several with ;")

_BY_DAEMON = "by-daemon"
_NAMED: Attributes = MappingProxyType({_BY_DAEMON: BOOL})
_REGISTRY: Attributes = MappingProxyType({**_NAMED, "ref": ANY, "registry.insecure": BOOL})
_PLACES = ("dest", "src", "store")
_LOCAL: Attributes = MappingProxyType({**_NAMED, **dict.fromkeys(_PLACES, _SOME), "tag": _SOME})
_GHA: Attributes = MappingProxyType(
    {
        **_NAMED,
        **dict.fromkeys(("scope", "url", "url_v2", "token", "repository", "ghtoken"), _SOME),
        "version": NUMBER,
        "timeout": _TIME,
    }
)
_STORE: Attributes = MappingProxyType(
    {
        **_NAMED,
        **dict.fromkeys(("prefix", "blobs_prefix", "manifests_prefix"), ANY),
        "name": _NAMES,
        "secret_access_key": _SOME,
    }
)
_S3: Attributes = MappingProxyType(
    {
        **_STORE,
        **dict.fromkeys(("bucket", "region", "endpoint_url", "access_key_id"), _SOME),
        "session_token": _SOME,
        "use_path_style": BOOL,
        "touch_refresh": _TIME,
        "upload_parallelism": NUMBER,
        "disable_accept_encoding": BOOL,
        "retry_mode": word("standard", "adaptive"),
        "retry_max_attempts": NUMBER,
    }
)
_AZBLOB: Attributes = MappingProxyType(
    {**_STORE, **dict.fromkeys(("account_url", "account_name", "container"), _SOME)}
)
_IMPORTS: Mapping[str, Attributes] = MappingProxyType(
    {
        "registry": _REGISTRY,
        "local": MappingProxyType({**_LOCAL, "digest": _DIGEST}),
        "gha": _GHA,
        "s3": _S3,
        "azblob": _AZBLOB,
    }
)
_EXPORTED: Attributes = MappingProxyType({"mode": word("min", "max"), "ignore-error": BOOL})
_LAYERED: Attributes = MappingProxyType({**_EXPORTED, **LAYERS, "image-manifest": BOOL})
_EXPORTS: Mapping[str, Attributes] = MappingProxyType(
    {
        "registry": MappingProxyType({**_REGISTRY, **_LAYERED}),
        "inline": MappingProxyType({}),
        "local": MappingProxyType({**_LOCAL, **_LAYERED, "reset": BOOL}),
        "gha": MappingProxyType({**_GHA, **_EXPORTED}),
        "s3": MappingProxyType({**_S3, **_EXPORTED}),
        "azblob": MappingProxyType({**_AZBLOB, **_EXPORTED}),
    }
)
# What a folder is called in each.
_KEYS: Mapping[str, str] = MappingProxyType({"cache import": "src", "cache export": "dest"})


def cache_import(node: Node, reading: Reading) -> CacheEntry | None:
    """One cache to import from."""
    return _cache(node, reading, _IMPORTS, "cache import")


def cache_export(node: Node, reading: Reading) -> CacheEntry | None:
    """One cache to export to."""
    return _cache(node, reading, _EXPORTS, "cache export")


def _bare_cache(value: str) -> dict[str, str]:
    """A registry reference alone, as buildctl took it before v0.4."""
    return {"type": "registry", "ref": value}


def _cache(
    node: Node, reading: Reading, known: Mapping[str, Attributes], noun: str
) -> CacheEntry | None:
    entries = read_entries(node, reading, _bare_cache)
    if entries is None:
        return None
    if entries.get("type").startswith("x-"):
        return CacheEntry(
            type=entries.get("type").removeprefix("x-"),
            attrs=entries.without("type"),
            free=True,
            span=node.span,
        )
    kind = _known_kind(entries, known, noun, reading)
    attrs = checked(entries, known[kind], f"{noun}s of type {kind}", reading) if kind else None
    if kind is None or attrs is None:
        return None
    if kind == "registry" and not _is_ref(attrs.get("ref", ""), entries, noun, reading):
        return None
    by_daemon = attrs.pop(_BY_DAEMON, "true") == "true"
    folder = ""
    if kind == "local":
        places = {key: attrs.pop(key) for key in _PLACES if key in attrs}
        if not (folder := _folder(places, entries, noun, reading)):
            return None
    return CacheEntry(type=kind, attrs=attrs, folder=folder, by_daemon=by_daemon, span=node.span)


def _known_kind(
    entries: Entries, known: Mapping[str, Attributes], noun: str, reading: Reading
) -> str | None:
    kind = entries.get("type")
    if kind == "inline" and kind not in known:
        node = entries.values["type"][1]
        reading.found.at(node, faults.inline_import(node.span))
        return None
    return kind_of(entries, known, "registry" if "ref" in entries.values else "", noun, reading)


def _is_ref(ref: str, entries: Entries, noun: str, reading: Reading) -> bool:
    """Whether the reference is one: a daemon would say so only when all is built."""
    if not ref:
        reading.missing("ref", entries.node)
        return False
    try:
        Reference.parse(ref)
    except ValueError as error:
        node = entries.values["ref"][1]
        reading.found.at(node, faults.bad_cache_ref(ref, str(error), _KEYS[noun], node.span))
        return False
    return True


def _folder(places: Mapping[str, str], entries: Entries, noun: str, reading: Reading) -> str:
    """The absolute folder of a local cache, '' where it is missing or unclear."""
    node = entries.node
    if not places:
        reading.found.at(node, faults.no_cache_folder(noun, _KEYS[noun], node.span))
        return ""
    found = {resolve(path, node.span.file.folder, reading.home) for path in places.values()}
    if len(found) > 1:
        reading.found.at(node, faults.two_cache_folders(tuple(places), node.span))
        return ""
    return found.pop()
