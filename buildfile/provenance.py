"""What a daemon tells of how it built a platform, in the index that another daemon makes.

BuildKit takes no provenance from its clients (exporter/attestation/unbundle.go, v0.11 to v0.32). So
of a platform that another daemon built, the one that makes the index tells only that it came. On
this side that statement gets the predicate of the daemon that built; what it is about, and other
statements such as an SBOM, stay as they are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from buildfile.ocilayout import BrokenLayoutError, Descriptor, Documents, broken
from buildfile.route import Way
from daemon_shim.info import DaemonInfo
from daemon_shim.registry.served import Document
from translator.platform import Platform
from translator.target import STDOUT, Output, Target

MAX_STATEMENT = 16 << 20
"""Bytes of a statement: far more than that of a large build, and less than daemons read (v0.32)."""
_ABOUT = "vnd.docker.reference.digest"
"""In the line of an index that leads to attestations: the manifest that they are about."""
_TYPE = "in-toto.io/predicate-type"
_SLSA = "https://slsa.dev/provenance/"
_NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """A predicate of SLSA's: v0.2 or v1, as the daemon wrote it."""

    type: str
    predicate: Any


@dataclass(frozen=True, kw_only=True)
class Joined:
    """An index with the provenance of several daemons, and what is new below it."""

    index: Document
    manifests: tuple[Document, ...]
    blobs: tuple[Document, ...]


def is_wanted(target: Target) -> bool:
    """Whether a target is to have provenance."""
    return target.provenance in ("min", "max")


def not_told(giver: DaemonInfo, way: Way) -> str:
    """Why nobody hears from a daemon how it built what moves in a way, '' where one does."""
    if not giver.has("exporter.image.attestations"):
        return f"attestations need BuildKit v0.11, and that is {giver.version}"
    return "" if way is Way.LAYERS else f"what {way.value} has no provenance"


def not_joined(output: Output) -> str:
    """Why an output has what its own daemon tells alone, '' where more can be joined with it."""
    if output.type == "oci":
        return "" if output.dest not in ("", STDOUT) else "the daemon writes to standard output"
    if output.type == "image":
        pushed = output.attrs.get("push") == "true"
        return "" if pushed else "the image is not pushed, and stays with the daemon"
    return f"type={output.type} has no index"


def provenance_of(images: Documents, top: Descriptor, manifest: str) -> Provenance | None:
    """What the index ``top`` tells of one of its manifests. Raises LayoutError."""
    for entry in images.manifests(top):
        if entry.annotations.get(_ABOUT) == manifest:
            for layer in _statements(images, entry):
                predicate = images.document(layer).get("predicate")
                return Provenance(type=layer.annotations[_TYPE], predicate=predicate)
    return None


def joined(images: Documents, top: Descriptor, known: Mapping[Platform, Provenance]) -> Joined:
    """The index ``top`` with what is known of some of its platforms. Raises LayoutError."""
    index = images.document(top)
    lines = index.get("manifests", ())
    entries = images.descriptors(lines, top)
    about = {each.digest: each.platform for each in entries if each.platform in known}
    found = {
        platform: entry
        for entry in entries
        if (platform := about.get(entry.annotations.get(_ABOUT, ""))) and _statements(images, entry)
    }
    if missing := ", ".join(str(each) for each in known if each not in found):
        raise BrokenLayoutError(images.path, f"the daemon's index has no provenance of {missing}")
    made = [_attested(images, entry, known[platform]) for platform, entry in found.items()]
    manifests = {
        entry.digest: manifest for entry, (manifest, *_) in zip(found.values(), made, strict=True)
    }
    lines = [_renamed(each, manifests) for each in lines]
    return Joined(
        index=_document({**index, "manifests": lines}, top.media_type),
        manifests=tuple(manifests.values()),
        blobs=tuple(blob for _, *blobs in made for blob in blobs),
    )


def _statements(images: Documents, entry: Descriptor) -> list[Descriptor]:
    """The statements of provenance among a manifest's attestations."""
    layers = images.descriptors(images.document(entry).get("layers", ()), entry)
    return [each for each in layers if each.annotations.get(_TYPE, "").startswith(_SLSA)]


def _attested(images: Documents, entry: Descriptor, known: Provenance) -> tuple[Document, ...]:
    """A manifest of attestations made anew, and the blobs that are new below it."""
    manifest = images.document(entry)
    statements = {
        each.digest: _document(
            {
                **images.document(each),
                "predicateType": known.type,
                "predicate": known.predicate,
            },
            each.media_type,
        )
        for each in _statements(images, entry)
    }
    (config,) = images.descriptors([manifest.get("config")], entry)
    with broken(images.path, entry.digest):
        configs = {config.digest: _config(images.document(config), statements, config.media_type)}
        made = {
            **manifest,
            "config": _renamed(manifest["config"], configs),
            "layers": [
                _renamed(line, statements, {_TYPE: known.type}) for line in manifest["layers"]
            ],
        }
    return (_document(made, entry.media_type), *statements.values(), *configs.values())


def _config(
    config: Mapping[str, Any], statements: Mapping[str, Document], media_type: str
) -> Document:
    """A config with the digests of the statements; that of an OCI artifact is empty."""
    if "rootfs" not in config:
        return _document(config, media_type)
    new = {old: each.digest for old, each in statements.items()}
    digests = [new.get(each, each) for each in config["rootfs"]["diff_ids"]]
    return _document({**config, "rootfs": {**config["rootfs"], "diff_ids": digests}}, media_type)


def _renamed(
    line: Mapping[str, Any], made: Mapping[str, Document], annotations: Mapping[str, str] = _NONE
) -> Mapping[str, Any]:
    """A descriptor, of what was made in place of what it leads to."""
    if not (new := made.get(line["digest"])):
        return line
    told = {**line.get("annotations", {}), **annotations}
    more = {"annotations": told} if told else {}
    return {**line, "digest": new.digest, "size": len(new.data), **more}


def _document(value: Mapping[str, Any], media_type: str) -> Document:
    return Document(media_type=media_type, data=json.dumps(value).encode())
