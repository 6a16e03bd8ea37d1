"""What a build gives back: to the metadata file, and to callers of the Python API."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

_JSON_KEYS = ("containerimage.descriptor", "containerimage.buildinfo")


@dataclass(frozen=True, kw_only=True)
class TargetResult:
    """One target that was built, on the daemon with the address ``daemon``.

    ``digest`` is the image's (``sha256:...``), empty where no image was made; ``names`` are its
    names; ``files`` are the outputs on this machine; ``metadata`` is all that the daemon said,
    under the keys of BuildKit (``containerimage.digest``, ``containerimage.config.digest``...).
    """

    target: str
    daemon: str = ""
    digest: str = ""
    names: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def lines(self) -> Iterator[str]:
        """What was made: files, and images by a name that leads to them, or their digest alone.

        An engine without the containerd image store tells of an image's config, which no name
        takes for a digest.
        """
        yield from self.files
        by_config = self.digest == self.metadata.get("containerimage.config.digest")
        digest = f"@{self.digest}" if self.digest and not by_config else ""
        yield from (f"{name}{digest}" for name in self.names)
        if self.digest and not self.names and not self.files:
            yield self.digest


@dataclass(frozen=True, kw_only=True)
class BuildResult:
    """A whole build.

    ``daemon`` has the addresses of all that were used, with commas between. ``steps`` counts the
    vertices that ran or were cached. ``streamed`` says that an output went to standard output.
    """

    targets: Mapping[str, TargetResult]
    daemon: str
    seconds: float
    steps: int
    cached: int
    streamed: bool = False

    def lines(self) -> Iterator[str]:
        """What was made, one a line, target after target."""
        for result in self.targets.values():
            yield from result.lines()

    def metadata(self) -> dict[str, Any]:
        """The content of ``--metadata-file``: each target's metadata under its name."""
        return {name: dict(result.metadata) for name, result in self.targets.items()}


def target_result(
    target: str, responses: list[Mapping[str, str]], files: tuple[str, ...], daemon: str = ""
) -> TargetResult:
    """Put the daemon's answers for one target's outputs together; later ones add to earlier."""
    flat = {key: value for response in responses for key, value in response.items()}
    return TargetResult(
        target=target,
        daemon=daemon,
        digest=flat.get("containerimage.digest", ""),
        names=tuple(name for name in flat.get("image.name", "").split(",") if name),
        files=files,
        metadata={key: _readable(key, value) for key, value in sorted(flat.items())},
    )


def _readable(key: str, value: str) -> Any:
    """Values that are JSON in base64 on the wire become JSON, as in buildctl's metadata file."""
    if key not in _JSON_KEYS:
        return value
    try:
        return json.loads(base64.b64decode(value, validate=True))
    except (binascii.Error, ValueError):
        return value
