"""Platforms as ``os/architecture[/variant]``, normalised as container tools write them."""

from __future__ import annotations

from dataclasses import dataclass

_ARCHITECTURES = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "i386": ("386", ""),
    "i686": ("386", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
}
_DEFAULT_VARIANTS = {("arm64", "v8"): "", ("amd64", "v1"): "", ("arm", ""): "v7"}


@dataclass(frozen=True, order=True, slots=True)
class Platform:
    """What a stage is built for, such as ``linux/arm64``."""

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Read ``linux/arm64/v8``; aliases such as ``x86_64`` become their usual names.

        Raises ValueError when the text has not two or three non-empty parts.
        """
        parts = text.strip().lower().split("/")
        if not 2 <= len(parts) <= 3 or not all(parts):
            raise ValueError(f"not a platform: {text!r}")
        architecture, implied = _ARCHITECTURES.get(parts[1], (parts[1], ""))
        variant = parts[2] if len(parts) == 3 else implied
        variant = _DEFAULT_VARIANTS.get((architecture, variant), variant)
        return cls(parts[0], architecture, variant)

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    @property
    def slug(self) -> str:
        """The platform as part of a name: ``linux-arm64``."""
        return str(self).replace("/", "-")
