"""Results on their way from one daemon to another, through a folder of this run.

A stage that one daemon (the giver) builds and another (the taker) uses becomes a job on the giver
and a source on the taker. For a runner:

    with Handoffs() as handoffs:
        handoff = handoffs.of(stage, giver, route(giver, taker, loopback_of_taker))
        draft = handoff.draft(instance, target)              # plan it on the giver, as ``job``
        cut(other_instance, {handoff.ref: handoff.stage(job)})  # to plan the taker's part
        handoff.receive(job, solved.response)                # when the job has been built
        cut(other_instance, {handoff.ref: handoff.stage(job)})  # to plan it again, and build it
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tarfile
import tempfile
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from buildfile.draft import Draft
from buildfile.exits import UsageError
from buildfile.exports import Export, export
from buildfile.filelock import EXCLUSIVE, locked
from buildfile.layoutoutput import unpack
from buildfile.ocilayout import Descriptor, Index, Layout, LayoutError
from buildfile.provenance import MAX_STATEMENT, Provenance, not_told, provenance_of
from buildfile.route import Route, Way
from daemon_shim import attributes
from daemon_shim.info import DaemonInfo
from daemon_shim.mediatypes import OCI_CONFIG, OCI_MANIFEST, OCI_TAR
from daemon_shim.request import Exporter
from daemon_shim.session.blobs import blob_path
from daemon_shim.session.ingest import Ingest, WrongBlobError
from daemon_shim.session.outputs import OutputError
from translator.cut import upto
from translator.stage import (
    Copy,
    ImageSource,
    Instance,
    LocalSource,
    OciLayoutSource,
    Origin,
    Scratch,
    Stage,
    Step,
)
from translator.target import Output, Target
from translator.target import Provenance as Level

if TYPE_CHECKING:
    from buildfile.plan import Job
    from translator.compiled import Compiled

_UNKNOWN = f"sha256:{'0' * 64}"
"""In place of a digest that is not known before the giver has built."""
_DIGEST = "containerimage.digest"
_PREFIX = "buildfile-handoff-"
_LOCK = "lock"
_ARCHIVE = "tree.tar"
_PIECE = 1 << 20
_WISHES = {"tar": "false", "compression": "uncompressed"}
"""Attributes of the exporter of layers, which daemons that do not know them can do without."""
_NO_INDEX = Index(data=None, document={}, entries=())


class Handoffs:
    """All handoffs of a run, and the folder that they pass through, as a context.

    The folder is removed in the end, and what a killed run left at the beginning of the next one.
    It lies in TMPDIR, else in /var/tmp, which is a disk where /tmp may be memory. Entering raises
    UsageError where there can be none. May be used from several threads.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        given = (os.environ if environment is None else environment).get("TMPDIR", "")
        self._beside = Path(given or "/var/tmp")  # noqa: S108 -- a new folder in it
        self._stack = ExitStack()
        self._lock = threading.Lock()
        self._known: dict[tuple[object, ...], Handoff] = {}

    def __enter__(self) -> Handoffs:
        _sweep(self._beside)
        try:
            made = Path(tempfile.mkdtemp(prefix=f".{_PREFIX}", dir=self._beside))
        except OSError as error:
            reason = error.strerror or str(error)
            raise UsageError(
                f"no folder can be made in {self._beside}: {reason}",
                hint="what moves between daemons waits there; set TMPDIR to another place",
            ) from error
        self.folder = made.with_name(made.name.removeprefix("."))
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, made, ignore_errors=True)
            held = stack.enter_context(ExitStack())
            held.enter_context(locked(str(made / _LOCK), EXCLUSIVE))
            made.rename(self.folder)  # locked: from now on others see it
            held.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self._stack = held.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the folder."""
        self._stack.close()

    def of(
        self, stage: Stage, giver: DaemonInfo, route: Route, told: Level | None = None
    ) -> Handoff:
        """What moves a stage from the daemon that builds it: one for all takers of one way.

        ``told`` is what provenance the daemon is to give, None for none. Layers alone have it.
        """
        key = (stage.ref, giver.address, route.way, route.registry, told)
        with self._lock:
            if key not in self._known:
                place = self.folder / f"{len(self._known)}"
                place.mkdir()
                kind = _KINDS[route.way]
                made = kind(stage, giver, route, told, layout=self.folder, place=place)
                self._known[key] = made
            return self._known[key]


class Handoff(ABC):
    """One stage on its way. ``provenance`` is what its daemon told, once it is received."""

    def __init__(  # noqa: PLR0913 -- what moves, how, and where
        self,
        stage: Stage,
        giver: DaemonInfo,
        route: Route,
        told: Level | None = None,
        *,
        layout: Path,
        place: Path,
    ) -> None:
        """``layout`` is an OCI layout that handoffs share; in ``place`` there is nothing else."""
        self.ref = stage.ref
        self.route = route
        self.provenance: Provenance | None = None
        self._told = told
        self._platform = stage.platform
        self._span = stage.span
        self._giver = giver
        self._layout = layout
        self._archive = place / _ARCHIVE
        self._digest = _UNKNOWN
        self._config: bytes | None = None
        self._stage: Stage | None = None

    @property
    def untold(self) -> str:
        """Why its daemon does not tell how it builds it, '' where it does or may be asked to."""
        return not_told(self._giver, self.route.way)

    def draft(self, instance: Instance, target: Target) -> Draft:
        """The job on the giver, for the stage as ``instance`` has it.

        ``target`` is one of those that need it: the job gets its cache imports and secrets.
        """
        job = replace(
            target,
            name=self.ref.name,
            platforms=(self._platform,),
            cache_exports=(),
            annotations={},
            provenance=self._told,
            sbom=False,
        )
        made = self._export(job)
        job = replace(job, outputs=(made.output,))
        return Draft(
            target=job, instances=(upto(instance, self.ref),), exports=(made,), caches_out=()
        )

    def stage(self, job: Job) -> Stage:
        """What stands for it on a taker, the same object for all. ``job`` is the draft, planned.

        Before ``receive`` it is good for a plan only.
        """
        if self._stage is None:
            part = job.parts[0]
            self._stage = Stage(
                ref=self.ref,
                platform=self._platform,
                origin=self._origin() if part.vertices else Scratch(span=self._span),
                steps=self._steps() if part.vertices else (),
                config=part.image_config if self._config is None else self._config,
                span=self._span,
            )
        return self._stage

    def receive(self, job: Job, response: Mapping[str, str]) -> None:
        """Take what the job delivered; ``response`` is the daemon's. Raises OutputError."""
        try:
            if job.parts[0].vertices:
                self._take(job.parts[0], response)
        except LayoutError as error:
            raise self._failure(error.reason) from error
        except (tarfile.TarError, WrongBlobError, ValueError, KeyError) as error:
            raise self._failure(f"the result of {self.ref.name} is damaged: {error}") from error
        except OSError as error:
            raise self._failure(error.strerror or str(error)) from error
        self._stage = None

    @abstractmethod
    def _export(self, target: Target) -> Export:
        """What the giver makes of it."""

    @abstractmethod
    def _take(self, part: Compiled, response: Mapping[str, str]) -> None:
        """Have it in the form that the taker wants."""

    @abstractmethod
    def _origin(self) -> Origin:
        """What the taker begins with."""

    def _steps(self) -> tuple[Step, ...]:
        """What the taker makes of that."""
        return ()

    def _tar(self, target: Target) -> Export:
        """An archive of all files, with owners, modes, attributes, links and devices."""
        output = Output(type="tar", dest=str(self._archive), span=self._span)
        return export(output, target, self._giver)

    def _in_layout(self) -> OciLayoutSource:
        return OciLayoutSource(
            name=self.ref.name, path=str(self._layout), digest=self._digest, span=self._span
        )

    def _failure(self, reason: str) -> OutputError:
        return OutputError(reason, dest=str(self._layout))


class _Layers(Handoff):
    """Layers by their digests: into the layout itself (v0.11 and later), or in an archive."""

    def _export(self, target: Target) -> Export:
        attrs = {
            key: value
            for key, value in _WISHES.items()
            if not attributes.reason(self._giver, "exporter", "oci", {key: value})
        }
        made = Export(
            output=Output(type="oci", span=self._span), exporter=Exporter(type="oci", attrs=attrs)
        )
        return replace(made, dest=str(self._layout if made.stored else self._archive))

    def _take(self, part: Compiled, response: Mapping[str, str]) -> None:
        if self._archive.exists():
            (entry,) = unpack(self._archive, Ingest(self._layout, lasting=False))
            self._archive.unlink()
            self._digest = entry.digest
        else:
            self._digest = response[_DIGEST]
        layout = Layout(str(self._layout), _NO_INDEX, most=MAX_STATEMENT)
        top = Descriptor(digest=self._digest)
        image = layout.choose([top], self._digest, self._platform)
        self._config = image.config
        if self._told:
            self.provenance = provenance_of(layout, top, image.manifest)
            if not self.provenance:
                raise self._failure(f"the daemon told nothing of how it built {self.ref.name}")
        self._digest = image.manifest  # an index with provenance is another one each time

    def _origin(self) -> Origin:
        return self._in_layout()


class _Pushed(Handoff):
    """An image in a registry, by its digest."""

    def _export(self, target: Target) -> Export:
        attrs = {"name": self._name(), "push": "true"}
        return export(Output(type="image", attrs=attrs, span=self._span), target, self._giver)

    def _take(self, part: Compiled, response: Mapping[str, str]) -> None:
        self._digest = response[_DIGEST]
        self._config = b""  # the image's own, which the taker sees

    def _origin(self) -> Origin:
        ref = f"{self.route.registry}@{self._digest}"
        return ImageSource(name=self.ref.name, ref=ref, platform=self._platform, span=self._span)

    def _name(self) -> str:
        """The same in all runs, so that nothing piles up in the registry."""
        place = f"{self._span.file.folder} {self.ref.variant}"
        mark = hashlib.sha256(place.encode()).hexdigest()[:12]
        name = _NO_TAG.sub("-", self.ref.name).strip("-")[:100]
        return f"{self.route.registry}:{name}-{mark}"


class _Tree(Handoff):
    """All files as the one layer of an image, which is made here."""

    def _export(self, target: Target) -> Export:
        return self._tar(target)

    def _take(self, part: Compiled, response: Mapping[str, str]) -> None:
        self._digest = _image_of(self._archive, self._layout, part.image_config)

    def _origin(self) -> Origin:
        return self._in_layout()


class _Files(Handoff):
    """All files in an archive, which the taker unpacks."""

    def _export(self, target: Target) -> Export:
        return self._tar(target)

    def _take(self, part: Compiled, response: Mapping[str, str]) -> None:
        """Leave it where it is."""

    def _origin(self) -> Origin:
        return Scratch(span=self._span)

    def _steps(self) -> tuple[Step, ...]:
        if _is_empty(self._archive):
            return ()  # daemons do not take it for an archive
        folder = LocalSource(
            name=f"{self.ref.name}-files",
            path=str(self._archive.parent),
            ignore_file=False,
            span=self._span,
        )
        return (Copy(origin=folder, paths=(_ARCHIVE,), to="/", unpack=True, span=self._span),)


_KINDS: Mapping[Way, type[Handoff]] = {
    Way.LAYERS: _Layers,
    Way.REGISTRY: _Pushed,
    Way.TREE: _Tree,
    Way.FILES: _Files,
}
_NO_TAG = re.compile(r"[^A-Za-z0-9_]+")


def _image_of(archive: Path, layout: Path, config: bytes) -> str:
    """Move an archive into a layout as the one layer of an image; return its manifest's digest."""
    size, digest = archive.stat().st_size, _digest_of(archive)
    ingest = Ingest(layout, lasting=False)
    with ingest.part("blobs", "sha256"):
        archive.rename(layout / blob_path(digest))
    layer = {"mediaType": OCI_TAR, "digest": digest, "size": size}
    document = {
        **json.loads(config),
        "rootfs": {"type": "layers", "diff_ids": [digest]},
        "history": [{"created_by": "moved by buildfile"}],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, **_put(ingest, document)},
        "layers": [layer],
    }
    return str(_put(ingest, manifest)["digest"])


def _digest_of(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(_PIECE):
            found.update(data)
    return f"sha256:{found.hexdigest()}"


def _put(ingest: Ingest, document: Mapping[str, object]) -> dict[str, object]:
    """Write JSON as a blob; return what a descriptor says of it."""
    data = json.dumps(document, sort_keys=True).encode()
    with closing(ingest.begin()) as upload:
        upload.write([data])
        return {"digest": upload.commit(), "size": len(data)}


def _is_empty(archive: Path) -> bool:
    """Whether there is no file in an archive: it begins with its end."""
    with suppress(FileNotFoundError), archive.open("rb") as file:
        return not any(file.read(tarfile.BLOCKSIZE))
    return False


def _sweep(beside: Path) -> None:
    """Remove the folders of runs that are gone."""
    for folder in beside.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if folder.stat().st_uid == os.getuid() and (folder / _LOCK).exists():
                with locked(str(folder / _LOCK), EXCLUSIVE):
                    shutil.rmtree(folder, ignore_errors=True)
