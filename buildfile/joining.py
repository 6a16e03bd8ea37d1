"""Where the provenance of several daemons is joined: in an archive, and in a registry.

The index and what leads from it to the statements is made anew (``buildfile.provenance``). What the
target's daemon wrote in their place stays, and nothing leads to it.
"""

from __future__ import annotations

import base64
import copy
import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO

from buildfile.exports import Export
from buildfile.ocilayout import (
    MAX_JSON,
    BrokenLayoutError,
    Descriptor,
    Documents,
    LayoutError,
    checked,
    parse_index,
)
from buildfile.provenance import Provenance, joined
from buildfile.registryimages import RegistryImage
from daemon_shim.registry.client import NoRegistryError, RegistryClient, RegistryError, Repository
from daemon_shim.registry.served import Document
from daemon_shim.session.blobs import blob_path
from daemon_shim.session.outputs import FileOutput, Output, OutputError
from translator.platform import Platform
from translator.reference import Reference

_INDEX = "index.json"
_DIGEST, _DESCRIPTOR = "containerimage.digest", "containerimage.descriptor"


def join_archives(
    response: Mapping[str, str], outputs: Iterable[tuple[Export, Output | None]]
) -> Mapping[str, str]:
    """Join it in archives of OCI layouts, before they are in place; the answer thereafter.

    ``response`` is the daemon's. Raises OutputError.
    """
    for export, output in outputs:
        if export.provenance and isinstance(output, FileOutput):
            response = _answered(response, _in_archive(output, export.provenance))
    return response


def join_pushed(
    response: Mapping[str, str], exports: Sequence[Export], client: RegistryClient
) -> Mapping[str, str]:
    """The same in the registries that images were pushed to."""
    # Of several images, the answer has the digest of one.
    alone = sum(each.is_image for each in exports) == 1
    digest = response.get(_DIGEST, "") if alone else ""
    for each in exports:
        if each.provenance and each.exporter and each.exporter.type == "image":
            for name in each.exporter.attrs["name"].split(","):
                response = _answered(response, _in_registry(name, digest, each, client))
    return response


def no_answer(names: str, insecure: bool, client: RegistryClient) -> str:
    """Why nothing can be joined in the registries of some images, '' where it can.

    What is refused to this side may only not be there yet.
    """
    for name in filter(None, names.split(",")):
        reference = Reference.parse(name)
        try:
            client.find(_repository(reference, insecure), reference.tag)
        except NoRegistryError as error:
            return f"{reference.domain} does not answer this machine: {error}"
        except RegistryError:
            pass
    return ""


def _in_archive(output: FileOutput, known: Mapping[Platform, Provenance]) -> Document:
    with (
        _failing(output.dest),
        output.partial.open("r+b") as file,
        tarfile.open(fileobj=file, mode="r:") as files,
    ):
        image = _Archive(output.dest, files)
        made = joined(image, image.top, known)
        image.end_anew(file, made.index, (*made.blobs, *made.manifests, made.index))
    return made.index


def _in_registry(name: str, digest: str, export: Export, client: RegistryClient) -> Document:
    reference, attrs = Reference.parse(name), export.output.attrs
    repository = _repository(reference, attrs.get("registry.insecure") == "true")
    with _failing(name):
        pushed = client.manifest(repository, digest or reference.tag)
        image = RegistryImage(name, client, repository, pushed)
        made = joined(image, image.top, export.provenance)
        for blob in made.blobs:
            client.put_blob(repository, blob.data)
        for manifest in made.manifests:
            client.put_manifest(repository, manifest.digest, manifest.media_type, manifest.data)
        tag = made.index.digest if attrs.get("push-by-digest") == "true" else reference.tag
        client.put_manifest(repository, tag, made.index.media_type, made.index.data)
    return made.index


def _repository(reference: Reference, insecure: bool) -> Repository:
    return Repository(host=reference.domain, path=reference.path, insecure=insecure)


def _answered(response: Mapping[str, str], index: Document) -> dict[str, str]:
    """A daemon's answer, as if it had made the index."""
    told = {**response, _DIGEST: index.digest}
    if _DESCRIPTOR in response:
        descriptor = json.loads(base64.b64decode(response[_DESCRIPTOR]))
        descriptor |= {"digest": index.digest, "size": len(index.data)}
        told[_DESCRIPTOR] = base64.b64encode(json.dumps(descriptor).encode()).decode()
    return told


@contextmanager
def _failing(dest: str) -> Iterator[None]:
    try:
        yield
    except LayoutError as error:
        raise OutputError(error.reason, dest=dest) from error
    except RegistryError as error:
        reason = f"its provenance cannot be put there: {error}"
        raise OutputError(reason, dest=dest) from error
    except tarfile.TarError as error:
        raise OutputError(f"the daemon's archive is damaged: {error}", dest=dest) from error
    except OSError as error:
        raise OutputError(error.strerror or str(error), dest=dest) from error


class _Archive(Documents):
    """The documents in an archive of one image, which is as daemons write it (v0.11 to v0.32): what
    comes after its blobs is small. Raises TarError and OSError, too.
    """

    def __init__(self, path: str, files: tarfile.TarFile) -> None:
        super().__init__(path)
        self._files = files
        self._members = {each.name: each for each in files}
        self._index = self._small(_INDEX)
        self._entries = parse_index(path, self._index).entries
        if len({each.digest for each in self._entries}) != 1:
            raise BrokenLayoutError(path, "the daemon's archive has not one image")
        self.top = self._entries[0]

    def blob(self, entry: Descriptor) -> bytes:
        """The bytes of a manifest, an index or a config, checked against its digest."""
        return checked(self.path, entry, self._open(blob_path(entry.digest)))

    def end_anew(self, file: IO[bytes], top: Document, blobs: Iterable[Document]) -> None:
        """Add blobs to the archive in ``file``, and have its index.json lead to ``top``."""
        new = {"digest": top.digest, "size": len(top.data)}
        lines = [{**each.as_data(), **new} for each in self._entries]
        index = json.dumps({**json.loads(self._index), "manifests": lines}).encode()
        start = self._members[_INDEX].offset
        rest = [name for name, each in self._members.items() if each.offset > start]
        end = {_INDEX: index, **{name: self._small(name) for name in rest}}
        blob = self._members[blob_path(self.top.digest)]
        file.truncate(start)
        file.seek(start)
        with tarfile.open(fileobj=file, mode="w:") as added:
            for each in blobs:
                if blob_path(each.digest) not in self._members:
                    _add(added, blob, blob_path(each.digest), each.data)
            for name, data in end.items():
                _add(added, self._members[name], name, data)

    def _small(self, name: str) -> bytes:
        data = self._open(name).read(MAX_JSON + 1)
        if len(data) > MAX_JSON:
            raise BrokenLayoutError(self.path, f"{name} in the daemon's archive is too large")
        return data

    def _open(self, name: str) -> IO[bytes]:
        member = self._members.get(name)
        file = self._files.extractfile(member) if member and member.isreg() else None
        if not file:
            raise BrokenLayoutError(self.path, f"there is no file {name} in the daemon's archive")
        return file


def _add(archive: tarfile.TarFile, like: tarfile.TarInfo, name: str, data: bytes) -> None:
    member = copy.copy(like)
    member.name, member.size = name, len(data)
    archive.addfile(member, io.BytesIO(data))
