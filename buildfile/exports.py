"""Outputs of the build file to exporters of a daemon, and to files on this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from daemon_shim import support
from daemon_shim.info import DaemonInfo, ImageStore
from daemon_shim.request import Exporter
from translator.target import Output, Target

_IMAGES = frozenset(("image", "docker", "oci"))


@dataclass(frozen=True, kw_only=True)
class Export:
    """One output as one daemon can make it.

    ``exporter`` is None for an output of type none. ``push`` are the image names that the engine
    has to push after the build, where its exporter cannot. ``refusal`` says why the daemon can't
    do it at all, and ``note`` what is done another way; both are empty when all is plain.
    """

    output: Output
    exporter: Exporter | None
    push: tuple[str, ...] = ()
    refusal: str = ""
    note: str = ""

    @property
    def is_image(self) -> bool:
        """Whether it holds an image, with a config and layers."""
        return self.output.type in _IMAGES


def export(output: Output, target: Target, info: DaemonInfo, epoch: str = "") -> Export:
    """Plan one output. ``epoch`` is SOURCE_DATE_EPOCH, '' when not set."""
    if output.type == "none":
        return Export(output=output, exporter=None)
    attrs = dict(output.attrs)
    if output.type in _IMAGES:
        attrs |= {f"annotation.{key}": value for key, value in target.annotations.items()}
    if epoch and info.has("exporter.sourcedateepoch"):
        attrs.setdefault("source-date-epoch", epoch)
    planned = Export(output=output, exporter=Exporter(type=output.type, attrs=attrs))
    if _belongs_to_engine(output) and info.store is ImageStore.GRAPHDRIVER:
        return _by_engine(planned, attrs)
    return replace(planned, refusal=_refusal(output, attrs, info))


def _belongs_to_engine(output: Output) -> bool:
    """Whether an image goes to the engine's own store, as ``docker build`` does it."""
    return output.type == "image" or (output.type == "docker" and output.dest == "-")


# What the engine's exporter knows; it ignores the rest in silence (moby builder/builder-next).
_MOBY_ATTRS = frozenset(("name", "source-date-epoch"))


def _by_engine(planned: Export, attrs: Mapping[str, str]) -> Export:
    """Give an image to an engine without the containerd image store.

    Its only image exporter is ``moby``, which stores the image under its name and cannot push;
    the engine's own API does that afterwards.
    """
    names = tuple(name for name in attrs.get("name", "").split(",") if name)
    push = attrs.get("push") == "true"
    kept = {key: value for key, value in attrs.items() if key in _MOBY_ATTRS}
    lost = sorted(set(attrs) - _MOBY_ATTRS - {"push", "registry.insecure", "unpack", "store"})
    exporter = Exporter(type="moby", attrs=kept)
    refusal = f"this engine's image exporter does not know {', '.join(lost)}" if lost else ""
    if push and not names:
        refusal = "an image without a name cannot be pushed"
    note = "the engine stores the image" + (" and pushes it" if push else "")
    return replace(
        planned, exporter=exporter, push=names if push else (), refusal=refusal, note=note
    )


_Check = Callable[[Mapping[str, str], DaemonInfo], str]


def _needs(capability: str, what: str, prefix: str) -> _Check:
    def check(attrs: Mapping[str, str], info: DaemonInfo) -> str:
        used = any(key.startswith(prefix) for key in attrs)
        return f"{what}, and this is {info.version}" if used and not info.has(capability) else ""

    return check


def _folder_of_layout(attrs: Mapping[str, str], _: DaemonInfo) -> str:
    return "an OCI layout as a folder (tar=false) is not known yet" if "tar" in attrs else ""


_CHECKS: tuple[_Check, ...] = (
    _folder_of_layout,
    _needs("exporter.image.annotations", "annotations need BuildKit v0.11", "annotation"),
    _needs(
        "exporter.sourcedateepoch", "source-date-epoch needs BuildKit v0.11", "source-date-epoch"
    ),
)


def _refusal(output: Output, attrs: Mapping[str, str], info: DaemonInfo) -> str:
    reasons = (support.reason(info, "exporter", output.type), *(c(attrs, info) for c in _CHECKS))
    return next((reason for reason in reasons if reason), "")
