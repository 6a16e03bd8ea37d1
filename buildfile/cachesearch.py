"""Whether the caches that a plan imports from registries are there. Only ``plan`` wants to know.

A build does not ask: its daemon finds out, and a cache that is not there is no failure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeAlias

from buildfile.caches import PlannedCache
from buildfile.plan import Job, Plan
from daemon_shim import releases
from daemon_shim.info import DaemonInfo
from daemon_shim.registry.client import (
    MANIFESTS,
    Found,
    NotThereError,
    RegistryClient,
    RegistryError,
    Repository,
)
from translator.reference import Reference

_Place: TypeAlias = tuple[str, bool]  # its ref, and whether the registry has no TLS
_AT_ONCE = 8
_CACHE = "application/vnd.buildkit.cacheconfig.v0"
_AS_IMAGES: releases.Release = (0, 12, 0)
"""What reads a cache whose manifest is that of an image (cache/remotecache/import.go)."""


def searched(plan: Plan, client: RegistryClient) -> Plan:
    """The plan with ``found`` of all caches from registries. Waits for the network."""
    wanted = {place for job in plan.jobs for cache in job.cache_imports if (place := _place(cache))}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answers = {each: pool.submit(_find, *each, plan.info, client) for each in wanted}
    found = {each: answer.result() for each, answer in answers.items()}
    return replace(plan, jobs=tuple(_told(job, found) for job in plan.jobs))


def _told(job: Job, found: Mapping[_Place, str]) -> Job:
    imports = (
        replace(cache, found=found[place]) if (place := _place(cache)) else cache
        for cache in job.cache_imports
    )
    return replace(job, cache_imports=tuple(imports))


def _place(cache: PlannedCache) -> _Place | None:
    """Where a cache is to be looked for, None for one that is nowhere or not wanted."""
    option = cache.option
    if cache.type != "registry" or option is None or cache.refusal:
        return None
    return option.attrs.get("ref", ""), option.attrs.get("registry.insecure") == "true"


def _find(ref: str, insecure: bool, info: DaemonInfo, client: RegistryClient) -> str:
    try:
        reference = Reference.parse(ref)
        repository = Repository(host=reference.domain, path=reference.path, insecure=insecure)
        found = client.find(repository, reference.digest or reference.tag)
        foreign = info.release < _AS_IMAGES and _is_image_form(client, repository, found)
    except NotThereError:
        return "not there yet"
    except (RegistryError, ValueError) as error:
        return f"cannot be looked up: {error}"
    there = f"{found.digest} is there"
    if foreign:
        return (
            f"{there}, in the form of an image, which BuildKit {releases.text(_AS_IMAGES)} reads "
            f"and {info.version} does not: export it with image-manifest=false"
        )
    return there


def _is_image_form(client: RegistryClient, repository: Repository, found: Found) -> bool:
    """Whether it is a cache written as an image; an image with an inline cache is none."""
    if found.media_type not in MANIFESTS:
        return False
    manifest = json.loads(client.manifest(repository, found.digest).data)
    config = manifest.get("config") if isinstance(manifest, dict) else None
    return isinstance(config, dict) and config.get("mediaType") == _CACHE
