"""What a run is to build."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from translator.project import Project
from translator.target import Target


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be built. ``pins`` are as for ``place``.

    ``needs`` are capabilities, of the gateway for one, that daemons should have beside those that
    steps and outputs need.
    """

    project: Project
    targets: Sequence[Target]
    no_cache: bool = False
    pins: Mapping[str, str] = field(default_factory=dict)
    needs: frozenset[str] = frozenset()
