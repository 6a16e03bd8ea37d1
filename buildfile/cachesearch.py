"""Whether the caches that a plan imports from registries are there.

``plan`` wants to tell. A build leaves it to the daemon, to which a cache that is not there is no
failure; but before v0.5 it is, and the daemon is not told of what it could not use.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeAlias

from buildfile import faults
from buildfile.cacheform import IMAGE_FORM, form_for
from buildfile.caches import PlannedCache, forgives, old
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


@dataclass(frozen=True, kw_only=True)
class _Answer:
    """``found`` says what is there, ``usable`` whether the daemon can use it, and ``amiss`` why
    not: '' for what is just not there yet.
    """

    found: str
    amiss: str = ""
    usable: bool = False


def searched(plan: Plan, client: RegistryClient) -> Plan:
    """The plan with ``found`` of all caches from registries. Waits for the network.

    Those that a daemon which does not forgive it could not use are left out, with a warning for
    each that is not just missing.
    """
    wanted = {place for job in plan.jobs for cache in job.cache_imports if (place := _place(cache))}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        futures = {each: pool.submit(_find, *each, plan.info, client) for each in wanted}
    answers = {each: future.result() for each, future in futures.items()}
    jobs = tuple(_told(job, answers, plan.info) for job in plan.jobs)
    if forgives(plan.info):
        return replace(plan, jobs=jobs)
    amiss = (
        faults.cache_amiss(after, new.target)
        for old, new in zip(plan.jobs, jobs, strict=True)
        for before, after in zip(old.cache_imports, new.cache_imports, strict=True)
        if after.warning != before.warning
    )
    return replace(plan, jobs=jobs, warnings=(*plan.warnings, *dict.fromkeys(amiss)))


def _told(job: Job, answers: Mapping[_Place, _Answer], info: DaemonInfo) -> Job:
    imports = (
        _answered(cache, answers[place], info) if (place := _place(cache)) else cache
        for cache in job.cache_imports
    )
    return replace(job, cache_imports=tuple(imports))


def _answered(cache: PlannedCache, answer: _Answer, info: DaemonInfo) -> PlannedCache:
    told = replace(cache, found=answer.found)
    if answer.usable or forgives(info):
        return told
    return replace(told, option=None, warning=cache.warning or answer.amiss)


def _place(cache: PlannedCache) -> _Place | None:
    """Where a cache is to be looked for, None for one that is nowhere or not wanted."""
    option = cache.option
    if cache.type != "registry" or option is None or cache.refusal:
        return None
    return option.attrs.get("ref", ""), option.attrs.get("registry.insecure") == "true"


def _find(ref: str, insecure: bool, info: DaemonInfo, client: RegistryClient) -> _Answer:
    try:
        reference = Reference.parse(ref)
        repository = Repository(host=reference.domain, path=reference.path, insecure=insecure)
        found = client.find(repository, reference.digest or reference.tag)
        amiss = _amiss(client, repository, found, info)
    except NotThereError:
        return _Answer(found="not there yet")
    except (RegistryError, ValueError) as error:
        words = f"cannot be looked up: {error}"
        return _Answer(found=words, amiss=words)
    how_old = [] if found.modified is None else [old(time.time() - found.modified)]
    words = ", ".join([f"{found.digest} is there", *how_old, *([amiss] if amiss else [])])
    return _Answer(found=words, amiss=amiss, usable=not amiss)


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
