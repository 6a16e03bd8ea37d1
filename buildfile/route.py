"""The way of a result from the daemon that builds it, the giver, to one that uses it, the taker."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum

from buildfile.loopback import Loopback
from daemon_shim import support
from daemon_shim.info import DaemonInfo
from daemon_shim.releases import Release

_ATTRIBUTES: Release = (0, 4, 0)
"""The first release whose layers have extended attributes by their usual name, as those it writes
so those it reads (containerd's archive/tar.go; seen on v0.3.3).
"""


class Way(Enum):
    """How a result moves; the values are words for a plan.

    ``LAYERS`` keeps what an image can hold, and of layers only those move that the other side
    lacks. ``REGISTRY`` is the same by way of a registry that both reach. Where the giver can give
    no layers, ``TREE`` makes one of all files; where the taker can have none, ``FILES`` has it
    unpack an archive of them. Both keep all but the owner and mode of the root folder.
    """

    LAYERS = "moves as layers through this machine"
    REGISTRY = "moves as layers through the registry"
    TREE = "moves as a file tree through this machine"
    FILES = "moves as an archive of files through this machine"


@dataclass(frozen=True, kw_only=True)
class Route:
    """The way from one daemon to another. ``note`` says it in words, with reasons.

    ``registry`` is the place in a registry for the way of that name, such as
    ``registry.example.com/tmp``.
    """

    way: Way
    note: str
    registry: str = ""


@dataclass(frozen=True, kw_only=True)
class _Pair:
    giver: DaemonInfo
    taker: DaemonInfo
    loopback: Loopback
    registry: str

    def no_layers(self) -> str:
        """Why the giver cannot give layers that hold all, '' if it can."""
        return support.reason(self.giver, "exporter", "oci") or _loses(self.giver)

    def no_layout(self) -> str:
        """Why the taker cannot have layers of this side, '' if it can."""
        if lost := _loses(self.taker):
            return lost
        lack = support.reason(self.taker, "source", "oci-layout")
        refusal = self.loopback.refusal() if lack else ""
        return f"{lack}, and {refusal}" if refusal else ""

    def no_registry(self) -> str:
        """Why no registry is used, '' if one is."""
        if not self.registry:
            return "daemons.toml names no registry for handoff"
        return _loses(self.giver) or _loses(self.taker)


def _loses(info: DaemonInfo) -> str:
    if info.release >= _ATTRIBUTES:
        return ""
    return f"{info.version} loses the file capabilities in layers"


# The ways with what each needs, the best first. Files alone need nothing that a daemon may lack.
_WAYS: tuple[tuple[Way, tuple[Callable[[_Pair], str], ...]], ...] = (
    (Way.LAYERS, (_Pair.no_layers, _Pair.no_layout)),
    (Way.REGISTRY, (_Pair.no_registry,)),
    (Way.TREE, (_Pair.no_layout,)),
)
_AS_LAYERS = (Way.LAYERS, Way.REGISTRY)


def route(giver: DaemonInfo, taker: DaemonInfo, loopback: Loopback, registry: str = "") -> Route:
    """Choose the way from ``giver`` to ``taker``.

    ``loopback`` is the taker's, which is asked only if it has no store for layers. ``registry`` is
    the one that daemons.toml names for it, '' for none. Raises DaemonError where the taker is lost.
    """
    pair = _Pair(giver=giver, taker=taker, loopback=loopback, registry=registry)
    passed: dict[str, None] = {}
    for way, needs in _WAYS:
        reasons = dict.fromkeys(why for need in needs if (why := need(pair)))
        if not reasons:
            return _route(way, pair, passed)
        passed |= reasons
    return _route(Way.FILES, pair, passed)


def _route(way: Way, pair: _Pair, passed: Iterable[str]) -> Route:
    registry = pair.registry if way is Way.REGISTRY else ""
    through = f" {registry}" if registry else ""
    kept = ", of extended attributes with file capabilities alone" if way in _AS_LAYERS else ""
    why = "; ".join(passed)
    note = f"{way.value}{through}{kept}{f', because {why}' if why else ''}"
    return Route(way=way, note=note, registry=registry)
