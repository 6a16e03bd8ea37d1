"""Whether the caches that a plan imports from registries are there. Only ``plan`` wants to know.

A build does not ask: its daemon finds out, and a cache that is not there is no failure.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeAlias

from buildfile.cacheform import IMAGE_FORM, form_for
from buildfile.caches import PlannedCache, age
from buildfile.ocilayout import Descriptor
from buildfile.plan import Job, Plan
from daemon_shim import releases
from daemon_shim.info import DaemonInfo
from daemon_shim.registry.client import (
    Found,
    NotThereError,
    RegistryClient,
    RegistryError,
    Repository,
)
from translator.reference import Reference

_Place: TypeAlias = tuple[str, bool]  # its ref, and whether the registry has no TLS
_AT_ONCE = 8


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
        amiss = _amiss(client, repository, found, info)
    except NotThereError:
        return "not there yet"
    except (RegistryError, ValueError) as error:
        return f"cannot be looked up: {error}"
    old = [] if found.modified is None else [age(time.time() - found.modified)]
    return ", ".join([f"{found.digest} is there", *old, *([amiss] if amiss else [])])


def _amiss(client: RegistryClient, repository: Repository, found: Found, info: DaemonInfo) -> str:
    """Why the daemon cannot use it, '' where it can. Raises RegistryError."""
    if info.release >= IMAGE_FORM:
        return ""
    data = client.manifest(repository, found.digest).data
    form = form_for(data, Descriptor(media_type=found.media_type, digest=found.digest), info)
    if not form.made:
        return form.reason
    return (
        f"in the form of an image, which BuildKit {releases.text(IMAGE_FORM)} reads "
        f"and {info.version} does not: export it with image-manifest=false"
    )
