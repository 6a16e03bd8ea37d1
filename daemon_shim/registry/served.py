"""A repository that is served from an OCI layout folder, for as long as a build takes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from daemon_shim.mediatypes import INDEXES, MANIFESTS, kind_of
from daemon_shim.registry.client import MAX_DOCUMENT
from daemon_shim.session.blobs import open_blob
from daemon_shim.session.ingest import Ingest, Upload

_MOST_UPLOADS = 64


@dataclass(frozen=True, kw_only=True)
class Document:
    """A manifest, an index, or a config: its kind and its bytes."""

    media_type: str
    data: bytes

    @property
    def digest(self) -> str:
        """Its digest."""
        return f"sha256:{hashlib.sha256(self.data).hexdigest()}"


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """A manifest that was pushed under a tag; its bytes are a blob of the layout."""

    media_type: str
    digest: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What a repository has.

    All blobs of the layout in ``folder`` (None: there is none) can be read, and ``documents``
    beside them. Tags are those of ``tags``, and those that a daemon pushes if ``ingest`` is there
    to write to.
    """

    folder: Path | None = None
    ingest: Ingest | None = None
    tags: Mapping[str, Document] = field(default_factory=dict)
    documents: tuple[Document, ...] = ()


class Served:
    """One repository. ``name`` is how a daemon calls it, ``localhost:PORT/PATH``.

    May be used from several threads.
    """

    def __init__(self, name: str, offer: Offer) -> None:
        self.name = name
        self.folder = offer.folder
        self.ingest = offer.ingest
        self._tags = dict(offer.tags)
        self._documents = {each.digest: each for each in (*self._tags.values(), *offer.documents)}
        self._lock = threading.Lock()
        self._pushed: dict[str, Pushed] = {}
        self._uploads: dict[str, Upload] = {}

    def pushed(self, tag: str) -> Pushed | None:
        """What was pushed under a tag, None for nothing."""
        with self._lock:
            return self._pushed.get(tag)

    # --- reading ---------------------------------------------------------------------------------

    def tagged(self, tag: str) -> Document | None:
        """The manifest of a tag. Raises OSError."""
        pushed = self.pushed(tag)
        return self.manifest(pushed.digest) if pushed else self._tags.get(tag)

    def manifest(self, digest: str) -> Document | None:
        """The manifest or index of a digest. Raises OSError, and ValueError for no digest."""
        made = self._documents.get(digest)
        if made:
            return made if made.media_type in (*INDEXES, *MANIFESTS) else None
        opened = self.blob(digest)
        if opened is None:
            return None
        with opened as file:
            data = file.read(MAX_DOCUMENT + 1)
        media_type = kind_of(data) if len(data) <= MAX_DOCUMENT else ""
        return Document(media_type=media_type, data=data) if media_type else None

    def blob(self, digest: str) -> IO[bytes] | None:
        """A blob of the folder, opened. Raises OSError, and ValueError for no digest."""
        if self.folder is None:
            return None
        try:
            return os.fdopen(open_blob(self.folder, digest), "rb")
        except (FileNotFoundError, NotADirectoryError):
            return None

    def document(self, digest: str) -> Document | None:
        """What is served beside the blobs of the folder."""
        return self._documents.get(digest)

    # --- writing ---------------------------------------------------------------------------------

    def push(self, reference: str, document: Document, ingest: Ingest) -> None:
        """Keep a manifest as a blob, under a tag if ``reference`` is one. Raises OSError."""
        upload = ingest.begin()
        try:
            upload.write([document.data])
            upload.commit(document.digest)
        finally:
            upload.close()
        pushed = Pushed(
            media_type=document.media_type, digest=document.digest, size=len(document.data)
        )
        with self._lock:
            if ":" not in reference:
                self._pushed[reference] = pushed

    def keep(self, upload: Upload, id_: str = "") -> str:
        """Put an upload aside until its next request; returns its id, '' if there are too many."""
        with self._lock:
            if len(self._uploads) >= _MOST_UPLOADS:
                return ""
            id_ = id_ or uuid.uuid4().hex
            self._uploads[id_] = upload
            return id_

    def take(self, id_: str) -> Upload | None:
        """Take an upload back. Nobody else has it then."""
        with self._lock:
            return self._uploads.pop(id_, None)

    def close(self) -> None:
        """Drop what was not finished."""
        with self._lock, contextlib.ExitStack() as stack:
            for upload in self._uploads.values():
                stack.callback(upload.close)
            self._uploads.clear()
