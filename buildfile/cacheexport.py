"""A local cache while a job writes it: its blobs as they come, and then its line in the index."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager

from buildfile.cachefolder import CacheFolder
from buildfile.caches import SERVED_TAG, PlannedCache
from buildfile.ocilayout import Descriptor, LayoutError
from daemon_shim.mediatypes import kind_of
from daemon_shim.session.blobs import open_blob
from daemon_shim.session.ingest import Ingest
from daemon_shim.session.outputs import OutputError

_DESCRIPTOR = "cache.manifest"
"""Where a solve's response has the manifest's descriptor (cache/remotecache/export.go, v0.4)."""
_MAX_MANIFEST = 4 << 20
_COARSE = 0.1
"""Seconds that a file's time of change may be behind the clock."""


class CacheError(OutputError):
    """A local cache could not be written. ``dest`` is its folder."""


class CacheExport:
    """One local cache that a job exports. The daemon writes into ``ingest``."""

    def __init__(self, planned: PlannedCache) -> None:
        self.planned = planned
        served = planned.served
        self.ingest = (served.ingest if served else None) or Ingest(planned.folder)
        self._folder = CacheFolder(planned.folder)
        self._began = time.time() - _COARSE
        self._written = False

    @property
    def error(self) -> CacheError | None:
        """Why the daemon could not write it."""
        error = self.ingest.error
        return self._failure(error.strerror or str(error)) if error else None

    def held(self) -> AbstractContextManager[None]:
        """Hold the folder, from before the daemon writes until after ``finish``.

        Entering makes the folder, and raises LayoutError where it cannot be written.
        """
        return self._folder.exporting()

    def finish(self, response: Mapping[str, str]) -> None:
        """Put the cache into the index, after the solve whose response this is.

        Without a manifest in it there is nothing that could be cached. Raises CacheError.
        """
        try:
            manifest = self._pushed() if self.planned.served else self._told(response)
            if manifest is not None:
                self._folder.put(self.planned.tag, manifest)
                self._written = True
        except LayoutError as error:
            raise self._failure(error.reason) from error
        except OSError as error:
            raise self._failure(error.strerror or str(error)) from error

    def settle(self) -> Iterator[str]:
        """Do what is left after a build that did not fail; say what went amiss.

        Not within ``held``. For ``reset``, the blobs that no cache in the folder needs are removed,
        which takes the folder alone; as in buildctl, a failure is no failure of the build (client/
        solve.go, v0.31). What came since this export began stays, for it may be another's: also one
        of BuildKit's own clients, which hold nothing.
        """
        if self.error:
            yield f"a cache could not be written: {self.error}"
        elif not self._written:
            yield f"no cache was written to {self.planned.folder}: the daemon sent none"
        if self.planned.resets:
            from buildfile.cacheprune import Policy, prune

            try:
                prune(self._folder, Policy(min_age=time.time() - self._began))
            except LayoutError as error:
                yield f"the cache in {self.planned.folder} was not reset: {error.reason}"

    def _pushed(self) -> Descriptor | None:
        """The manifest that came as to a registry, None where none was written."""
        pushed = self.planned.served and self.planned.served.pushed(SERVED_TAG)
        if not pushed:
            return None
        return Descriptor(media_type=pushed.media_type, digest=pushed.digest, size=pushed.size)

    def _told(self, response: Mapping[str, str]) -> Descriptor | None:
        """The manifest that the response speaks of, None where none was written.

        The response has one only, whatever was exported beside it (solver/llbsolver/solver.go,
        v0.11 to v0.32: the last one wins), so another's is made from what was written here last.
        """
        if _DESCRIPTOR not in response:
            return None
        digest = self.ingest.newest
        try:
            descriptor = Descriptor.parse(json.loads(response[_DESCRIPTOR]))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise self._failure("the daemon's description of it cannot be read") from error
        if descriptor.digest == digest or not digest:
            return descriptor if digest else None
        with os.fdopen(open_blob(self.ingest.folder, digest), "rb") as file:
            data = file.read(_MAX_MANIFEST)
        if not (media_type := kind_of(data)):
            return None
        return Descriptor(media_type=media_type, digest=digest, size=len(data))

    def _failure(self, reason: str) -> CacheError:
        return CacheError(reason, dest=self.planned.folder)
