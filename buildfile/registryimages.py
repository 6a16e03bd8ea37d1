"""Images in registries, asked for by this side where no daemon can be asked for them."""

from __future__ import annotations

from buildfile.ocilayout import Descriptor, Documents, LayoutError, UnknownPlatformError
from daemon_shim.mediatypes import INDEXES, MANIFESTS
from daemon_shim.registry.client import Manifest, RegistryClient, RegistryError, Repository
from translator.compiled import ImageNeed, ResolvedImage
from translator.reading.value_faults import listed
from translator.reference import Reference

_NOTE = "asked for by this tool, not by the daemon"


def ask_registry(need: ImageNeed, client: RegistryClient) -> ResolvedImage:
    """Get the digest and the config of an image. Waits for the network; raises RegistryError."""
    reference = Reference.parse(need.ref)
    repository = Repository(host=reference.domain, path=reference.path)
    manifest = client.manifest(repository, reference.digest or reference.tag)
    try:
        found = RegistryImage(need.ref, client, repository, manifest)
        image = found.choose([found.top], need.ref, need.platform)
    except UnknownPlatformError as error:
        known = listed(map(str, error.known)) or "no platform at all"
        raise RegistryError(f"no match for platform {need.platform}, only for {known}") from None
    except LayoutError as error:
        raise RegistryError(f"the image cannot be read: {error.reason}") from None
    return ResolvedImage(digest=image.digest, config=image.config, note=_NOTE)


class RegistryImage(Documents):
    """An image's documents; ``manifest`` is what its name stands for. Raises RegistryError too."""

    def __init__(
        self, ref: str, client: RegistryClient, repository: Repository, manifest: Manifest
    ) -> None:
        super().__init__(ref)
        self._client = client
        self._repository = repository
        self._manifest = manifest
        self.top = Descriptor(media_type=manifest.media_type, digest=manifest.digest)

    def blob(self, entry: Descriptor) -> bytes:
        """The bytes of a manifest, an index or a config, checked against its digest."""
        if entry.digest == self._manifest.digest:
            return self._manifest.data
        if entry.media_type in (*INDEXES, *MANIFESTS):
            return self._client.manifest(self._repository, entry.digest).data
        return self._client.blob(self._repository, entry.digest)
