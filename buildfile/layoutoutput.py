"""An image as an OCI layout in a folder (``tar: false``).

BuildKit's own way is a content store of the client's, which the daemon writes to (v0.11 and later).
But the archive that every daemon sends holds the same files (v0.3 to v0.32): outputs are unpacked
here, so that one way does for all. The store is for what goes on to another daemon, of which only
the blobs that are not here should come.
"""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

from buildfile.cachecopy import copy
from buildfile.cachefolder import INDEX_LOCK, INGEST, LATEST, CacheFolder
from buildfile.ocilayout import IMAGE_NAME, TAG, Descriptor, LayoutError, parse_index
from daemon_shim.session.blobs import blob_path
from daemon_shim.session.ingest import Ingest, WrongBlobError, algorithm_of
from daemon_shim.session.outputs import FileOutput, OutputError
from translator.reference import Reference

_PIECE = 1 << 20
_MAX_INDEX = 4 << 20


class LayoutStore:
    """The layout of a run in the folder ``dest``, into which the daemon writes what it lacks.

    The exporter's response has the digest of the manifest; no index tells of it.
    """

    def __init__(self, dest: str) -> None:
        self.dest = dest
        self.ingest = Ingest(dest, lasting=False)

    @property
    def error(self) -> OutputError | None:
        """Why a blob could not be written."""
        error = self.ingest.error
        return OutputError(error.strerror or str(error), dest=self.dest) if error else None


class LayoutOutput(FileOutput):
    """A folder with an OCI layout, from the archive of the oci and docker exporters.

    A new folder appears when all of it is there. To a layout that is there already the image is
    added, at once, and all else in it stays. ``names`` are those of the image, which older daemons
    leave out of the archive (to v0.7); without any its tag is ``latest``, as buildctl has it.
    """

    def __init__(self, dest: str | os.PathLike[str], names: Iterable[str] = ()) -> None:
        super().__init__(dest)
        self._names = tuple(names)

    def check(self) -> None:
        """See whether the place is a layout or an empty folder, or can be made."""
        place = self._place
        if place.exists() and not place.is_dir():
            raise OutputError("is not a folder", dest=self.dest)
        if place.is_dir() and any(place.iterdir()) and not (place / "index.json").exists():
            raise OutputError("is a folder with files, and no OCI layout", dest=self.dest)
        self._check_beside()

    def _commit(self) -> None:
        self._close()
        try:
            with _folder_beside(self._place) as folder:
                entries = unpack(self.partial, Ingest(folder))
                CacheFolder(folder).add(named for each in entries for named in self._named(each))
                if self._place.is_dir():
                    copy(
                        CacheFolder(folder), CacheFolder(self._place), (), lambda done, total: None
                    )
                else:
                    shutil.rmtree(folder / INGEST)
                    (folder / INDEX_LOCK).unlink()
                    folder.rename(self._place)
        except LayoutError as error:
            self.fail(error.reason)
        except (tarfile.TarError, WrongBlobError, ValueError) as error:
            self.fail(f"the daemon's archive is damaged: {error}")

    def _named(self, entry: Descriptor) -> Iterator[Descriptor]:
        if entry.image or entry.tag:
            yield entry
        elif not self._names:
            yield replace(entry, annotations={**entry.annotations, TAG: LATEST})
        for name in () if entry.image else self._names:
            given = {IMAGE_NAME: name, TAG: Reference.parse(name).tag}
            yield replace(entry, annotations={**entry.annotations, **given})


def unpack(archive: Path, ingest: Ingest) -> tuple[Descriptor, ...]:
    """Put the blobs of an archive into a layout that lacks them, and return its index's entries.

    Raises LayoutError, tarfile.TarError, WrongBlobError or ValueError for a damaged one, OSError.
    """
    index = b""
    with tarfile.open(archive, "r:") as files:
        for member in files:
            content = files.extractfile(member) if member.isreg() else None
            if content and member.name == "index.json":
                index = content.read(_MAX_INDEX)
            elif content and (digest := _digest(member.name)) and not ingest.holds(digest):
                _store(ingest, digest, content)
    return parse_index(str(archive), index).entries


def _digest(name: str) -> str:
    """The digest of a file below ``blobs``, '' for others."""
    digest = ":".join(name.split("/")[1:])
    try:
        return digest if blob_path(digest) == name else ""
    except ValueError:
        return ""


def _store(ingest: Ingest, digest: str, content: IO[bytes]) -> None:
    with closing(ingest.begin(algorithm_of(digest))) as upload:
        while data := content.read(_PIECE):
            upload.write([data])
        upload.commit(digest)


@contextmanager
def _folder_beside(place: Path) -> Iterator[Path]:
    """A folder to fill, which is removed unless it is renamed."""
    with tempfile.TemporaryDirectory(
        prefix=f".{place.name[:200]}.", suffix=".partial", dir=place.parent
    ) as holder:
        folder = Path(holder) / "layout"
        folder.mkdir()
        yield folder
