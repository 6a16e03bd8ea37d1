"""Outputs of the build file to exporters of a daemon, and to files on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from daemon_shim import attributes, support
from daemon_shim.info import DaemonInfo, ImageStore
from daemon_shim.request import Exporter
from translator.reference import Reference
from translator.target import STDOUT, Output, Target

if TYPE_CHECKING:
    from buildfile.provenance import Provenance
    from translator.platform import Platform

_IMAGES = frozenset(("image", "docker", "oci"))
_EPOCH = "exporter.sourcedateepoch"


@dataclass(frozen=True, kw_only=True)
class Export:
    """One output as one daemon can make it.

    ``exporter`` is None for an output of type none. ``dest`` is where this machine writes it: an
    absolute path, ``-`` for standard output, '' for what stays with the daemon. ``push`` are the
    image names that the engine has to push after the build, where its exporter cannot.
    ``names`` are those that this side gives to an image in a layout. ``provenance`` is what other
    daemons told of platforms that they built, and has to be joined with it. ``refusal`` says why
    the daemon can't do it at all, and ``note`` what is done another way; both are empty when all
    is plain.
    """

    output: Output
    exporter: Exporter | None
    dest: str = ""
    push: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    provenance: Mapping[Platform, Provenance] = field(default_factory=dict)
    refusal: str = ""
    note: str = ""

    @property
    def is_image(self) -> bool:
        """Whether it holds an image, with a config and layers."""
        return self.output.type in _IMAGES

    @property
    def archived(self) -> bool:
        """Whether a tar archive is made on this side, of the files that a local exporter sends."""
        made = self.exporter.type if self.exporter else ""
        return (self.output.type, made) == ("tar", "local")

    @property
    def stored(self) -> bool:
        """Whether the daemon itself writes blobs into the layout ``dest`` (v0.11 and later)."""
        return self.exporter is not None and self.exporter.attrs.get("tar") == "false"

    @property
    def by_engine(self) -> bool:
        """Whether an engine without the containerd image store makes it."""
        return self.exporter is not None and self.exporter.type == "moby"


def export(output: Output, target: Target, info: DaemonInfo, epoch: str = "") -> Export:
    """Plan one output. ``epoch`` is SOURCE_DATE_EPOCH, '' when not set."""
    if output.type == "none":
        return Export(output=output, exporter=None)
    attrs = _named(output.attrs)
    if output.type in _IMAGES:
        attrs |= {f"annotation.{key}": value for key, value in target.annotations.items()}
    if _belongs_to_engine(output, info):
        if info.store is ImageStore.GRAPHDRIVER:
            return _by_engine(output, attrs, target, info)
        if output.type == "docker":
            return _loaded(output, attrs, info, epoch)
    # A folder is made like the result on this side, by any daemon (FolderOutput).
    attrs.pop("mode", None)
    if output.type == "tar" and support.reason(info, "exporter", "tar"):
        return _archived(output, attrs, target, info)
    if is_layout(output):
        attrs = _of_archive(output, attrs, info)
    return _plain(
        output, Exporter(type=output.type, attrs=_dated(attrs, info, epoch)), info, target
    )


def _of_archive(output: Output, attrs: Mapping[str, str], info: DaemonInfo) -> dict[str, str]:
    """What the daemon is told of an archive that is unpacked here: no name that it refuses."""
    named = attributes.reason(info, "exporter", output.type, {"name": attrs.get("name", "")})
    return {k: v for k, v in attrs.items() if k != "tar" and not (k == "name" and named)}


def _named(attrs: Mapping[str, str]) -> dict[str, str]:
    """Write image names in full: an engine with the containerd store keeps them as they come, and
    then does not find ``app:1``. A push by digest takes no tag.
    """
    names = [Reference.parse(name) for name in attrs.get("name", "").split(",") if name]
    if not names or attrs.get("push-by-digest") == "true":
        return dict(attrs)
    return {**attrs, "name": ",".join(map(str, names))}


def _names(attrs: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(name for name in attrs.get("name", "").split(",") if name)


def _belongs_to_engine(output: Output, info: DaemonInfo) -> bool:
    """Whether an image goes to the engine's own store, as ``docker build`` does it."""
    return info.engine and (output.type == "image" or (output.type == "docker" and not output.dest))


def _dated(attrs: Mapping[str, str], info: DaemonInfo, epoch: str) -> dict[str, str]:
    dated = {"source-date-epoch": epoch} if epoch and info.has(_EPOCH) else {}
    return {**dated, **attrs}


def _plain(output: Output, exporter: Exporter, info: DaemonInfo, target: Target) -> Export:
    reasons = [
        support.reason(info, "exporter", exporter.type),
        attributes.reason(info, "exporter", exporter.type, exporter.attrs),
        *_limits(output, target),
    ]
    stays = output.type == "image"
    return Export(
        output=output,
        exporter=exporter,
        dest="" if stays else output.dest or STDOUT,
        names=_names(_named(output.attrs)) if is_layout(output) else (),
        refusal=next((reason for reason in reasons if reason), ""),
        note="the archive is unpacked on this side" if is_layout(output) else "",
    )


def _archived(output: Output, attrs: Mapping[str, str], target: Target, info: DaemonInfo) -> Export:
    """A tar archive where the daemon has no exporter for one: made here of a local output."""
    lacks = support.reason(info, "exporter", "tar")
    reasons = (
        attributes.reason(info, "exporter", "tar", attrs),
        f"several platforms in one {lacks}" if len(target.platforms) > 1 else "",
    )
    return Export(
        output=output,
        exporter=Exporter(type="local", attrs=attrs),
        dest=output.dest or STDOUT,
        refusal=next((reason for reason in reasons if reason), ""),
        note="the archive is made here, of the files that the daemon sends",
    )


def is_layout(output: Output) -> bool:
    """Whether it is an image as an OCI layout in a folder."""
    return output.attrs.get("tar") == "false"


def _limits(output: Output, target: Target) -> Iterator[str]:
    """What no daemon does."""
    if output.type == "docker" and len(target.platforms) > 1:
        yield "a Docker archive holds one platform only; type=oci takes several"


def _loaded(output: Output, attrs: Mapping[str, str], info: DaemonInfo, epoch: str) -> Export:
    """Load an image into an engine with the containerd image store, which its exporter does."""
    exporter = Exporter(type="image", attrs=_dated({"unpack": "true", **attrs}, info, epoch))
    return Export(
        output=output,
        exporter=exporter,
        refusal=attributes.reason(info, "exporter", "image", exporter.attrs),
        note="loaded into the engine",
    )


# What is done by the engine's own API, or always.
_ENGINE_DOES = frozenset(("push", "registry.insecure"))
_ENGINE_ALWAYS = frozenset((("unpack", "true"), ("unpack", "false"), ("store", "true")))


def _by_engine(
    output: Output, attrs: Mapping[str, str], target: Target, info: DaemonInfo
) -> Export:
    """Give an image to an engine without the containerd image store.

    Its only image exporter is ``moby``, which stores one platform's image under its names and
    cannot push; the engine's own API does that afterwards.
    """
    names = _names(attrs)
    push = attrs.get("push") == "true"
    kept = {
        key: value
        for key, value in attrs.items()
        if key not in _ENGINE_DOES and (key, value) not in _ENGINE_ALWAYS
    }
    reasons = (
        "an image without a name cannot be pushed" if push and not names else "",
        "it stores one platform only" if len(target.platforms) > 1 else "",
        attributes.reason(info, "exporter", "moby", kept),
    )
    insecure = push and attrs.get("registry.insecure") == "true"
    note = "the engine stores the image" + (" and pushes it" if push else "")
    return Export(
        output=output,
        exporter=Exporter(type="moby", attrs=kept),
        push=names if push else (),
        refusal=next((reason for reason in reasons if reason), ""),
        note=note + ("; insecure registries are those of its daemon.json" if insecure else ""),
    )
