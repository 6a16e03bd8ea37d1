"""Whether the caches that a plan imports from registries are there.

Where a cache has one name, a build leaves it to the daemon, to which a cache that is not there is
no failure. Of several names (``buildfile.cachenames``) the daemon is told those that are there: it
would show a fault for each of the others. Before v0.5 what is not there is a failure, and the
daemon is not told of what it could not use. ``plan`` wants to tell of all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

from buildfile import faults
from buildfile.cacheform import IMAGE_FORM, form_for
from buildfile.cachenames import Standing
from buildfile.caches import NOT_YET, PlannedCache, forgives, old
from buildfile.ocilayout import Descriptor
from buildfile.plan import Plan
from daemon_shim import releases
from daemon_shim.info import DaemonInfo
from daemon_shim.registry.client import (
    Found,
    NoRegistryError,
    NotThereError,
    RegistryClient,
    RegistryError,
    Repository,
)
from daemon_shim.registry.login import Login
from translator.reference import Reference

_Place: TypeAlias = tuple[str, bool]  # its ref, and whether the registry has no TLS
_AT_ONCE = 16
_SECONDS = 10.0
"""What a registry gets for an answer; after that the daemon has to find out."""


@dataclass(frozen=True, kw_only=True)
class _Answer:
    """``found`` says what is there, and ``amiss`` why the daemon cannot use it, '' for what is just
    not there yet. ``is_known`` is whether the registry could be asked.
    """

    found: str
    amiss: str = ""
    is_there: bool = False
    is_known: bool = True

    @property
    def is_usable(self) -> bool:
        """Whether the daemon can use it."""
        return self.is_there and not self.amiss


class CacheSearch:
    """What registries said in a run: they are asked for each cache once, whatever daemons want it.

    One that does not answer is asked no more.
    """

    def __init__(self, login: Callable[[str], Login]) -> None:
        self._client = RegistryClient(login, seconds=_SECONDS)
        self._asked: dict[tuple[Repository, str], Found | RegistryError] = {}
        self._manifests: dict[str, bytes] = {}
        self._silent: dict[str, RegistryError] = {}

    def answers(self, places: Iterable[_Place], info: DaemonInfo) -> Mapping[_Place, _Answer]:
        """Look for caches, side by side. Waits for the network."""
        wanted = tuple(dict.fromkeys(places))
        if not wanted:
            return {}
        with ThreadPoolExecutor(min(len(wanted), _AT_ONCE), "caches") as pool:
            return dict(zip(wanted, pool.map(partial(self._answer, info), wanted), strict=True))

    def _answer(self, info: DaemonInfo, place: _Place) -> _Answer:
        ref, insecure = place
        try:
            reference = Reference.parse(ref)
            repository = Repository(host=reference.domain, path=reference.path, insecure=insecure)
            found = self._found(repository, reference.digest or reference.tag)
            amiss = self._amiss(repository, found, info)
        except NotThereError:
            return _Answer(found=NOT_YET)
        except (RegistryError, ValueError) as error:
            words = f"cannot be looked up: {error}"
            return _Answer(found=words, amiss=words, is_known=False)
        how_old = [] if found.modified is None else [old(time.time() - found.modified)]
        words = ", ".join([f"{found.digest} is there", *how_old, *([amiss] if amiss else [])])
        return _Answer(found=words, amiss=amiss, is_there=True)

    def _found(self, repository: Repository, name: str) -> Found:
        """The manifest of a tag or digest. Raises RegistryError."""
        key = repository, name
        if key not in self._asked:
            self._asked[key] = self._ask(repository, name)
        known = self._asked[key]
        if isinstance(known, RegistryError):
            raise known
        return known

    def _ask(self, repository: Repository, name: str) -> Found | RegistryError:
        if silent := self._silent.get(repository.host):
            return silent
        try:
            return self._client.find(repository, name)
        except NoRegistryError as error:
            self._silent[repository.host] = error
            return error
        except RegistryError as error:
            return error

    def _amiss(self, repository: Repository, found: Found, info: DaemonInfo) -> str:
        """Why the daemon cannot use it, '' where it can. Raises RegistryError."""
        if info.release >= IMAGE_FORM:
            return ""
        if found.digest not in self._manifests:
            made = self._client.manifest(repository, found.digest)
            self._manifests[found.digest] = made.data
        data = self._manifests[found.digest]
        form = form_for(data, Descriptor(media_type=found.media_type, digest=found.digest), info)
        if not form.made:
            return form.reason
        return (
            f"in the form of an image, which BuildKit {releases.text(IMAGE_FORM)} reads "
            f"and {info.version} does not: export it with image-manifest=false"
        )


def searched(plan: Plan, search: CacheSearch, *, every: bool = False) -> Plan:
    """The plan with what is there of the caches from registries; all of them, or those of which
    the daemon is only to be told if they are. Waits for the network.

    What the daemon cannot use is left out, with a warning if it is not just missing.
    """
    places = (_place(cache, plan.info, every) for job in plan.jobs for cache in job.cache_imports)
    answers = search.answers(filter(None, places), plan.info)
    if not answers:
        return plan
    jobs, amiss = [], list(plan.warnings)
    for job in plan.jobs:
        found = [
            _answered(cache, answers[place], plan.info)
            if (place := _place(cache, plan.info, every))
            else cache
            for cache in job.cache_imports
        ]
        amiss += (
            faults.cache_amiss(after, job.target)
            for before, after in zip(job.cache_imports, found, strict=True)
            if after and after.warning != before.warning
        )
        jobs.append(replace(job, cache_imports=tuple(filter(None, found))))
    return replace(plan, jobs=tuple(jobs), warnings=tuple(dict.fromkeys(amiss)))


def _place(cache: PlannedCache, info: DaemonInfo, every: bool) -> _Place | None:
    """Where a cache is to be looked for, None for one that is nowhere or not wanted."""
    option = cache.option
    if cache.type != "registry" or option is None or cache.refusal:
        return None
    if not every and cache.standing is Standing.ONLY and forgives(info):
        return None
    return option.attrs.get("ref", ""), option.attrs.get("registry.insecure") == "true"


def _answered(cache: PlannedCache, answer: _Answer, info: DaemonInfo) -> PlannedCache | None:
    """The cache as it is used; None for another daemon's that is not there."""
    told = replace(cache, found=answer.found)
    if answer.is_usable or (forgives(info) and _is_sent_untold(cache.standing, answer)):
        return told
    if cache.standing is Standing.OTHER:
        return replace(told, option=None) if answer.is_there else None
    return replace(told, option=None, warning=cache.warning or answer.amiss)


def _is_sent_untold(standing: Standing, answer: _Answer) -> bool:
    """Whether the daemon is left to find out what becomes of a cache."""
    return standing is Standing.ONLY or (standing is Standing.USUAL and not answer.is_known)
