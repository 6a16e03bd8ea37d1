"""What a daemon is and can do, feature by feature, from the same rows that plans are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from buildfile.loopback import HOW
from daemon_shim import releases, support
from daemon_shim.info import DaemonInfo, ImageStore
from translator.llb.capabilities import FEATURES, Feature
from translator.llb.lower import ways
from translator.platform import Platform


class State(Enum):
    """How a daemon comes to a feature."""

    NATIVE = "native"
    LOWERED = "lowered"
    REFUSED = "refused"


@dataclass(frozen=True, kw_only=True)
class Ability:
    """One feature on one daemon.

    ``kind`` and ``name`` tell features apart, ``what`` is for people. ``since`` is the release that
    has it by itself. ``how`` says what is done in its place, ``reason`` why it is refused; each is
    '' but for its state.
    """

    kind: str
    name: str
    what: str
    state: State
    since: str
    how: str = ""
    reason: str = ""


def abilities(info: DaemonInfo) -> tuple[Ability, ...]:
    """All features that depend on the daemon: around a build, and of its graph."""
    return (*_around(info), *_of_graph(info))


# What plans do where a daemon lacks it: buildfile/draft.py, buildfile/plan.py, buildfile/exports.py
# and buildfile/caches.py.
_AROUND: Mapping[tuple[str, str], str] = {
    ("exporter", "tar"): "an archive made here of a local output, for one platform",
    ("several", "exporters"): "each in a build of its own, with shared steps",
    ("several", "cache-exports"): "each in a build of its own, with shared steps",
    ("cache-export", "local"): HOW,
    ("cache-import", "local"): HOW,
    ("source", "oci-layout"): HOW,
}
_BY_ENGINE = "the engine's own exporter stores it, and the engine pushes it"


def _around(info: DaemonInfo) -> Iterator[Ability]:
    for (kind, name), row in support.ROWS.items():
        if name == "moby":
            continue  # no user asks for it: it is how such an engine makes an image
        reason = support.reason(info, kind, name)
        how = _AROUND.get((kind, name), "")
        if how == HOW and kind != "source" and support.reason(info, kind, "registry"):
            how = ""
        if name == "image" and info.store is ImageStore.GRAPHDRIVER:
            how = _BY_ENGINE
        yield _ability(kind, name, row.label, releases.text(row.since), how=how, reason=reason)


def _of_graph(info: DaemonInfo) -> Iterator[Ability]:
    elsewhere = {row.capability for row in support.ROWS.values()}
    others = ways(Platform.parse(info.default_platform) if info.default_platform else None)
    for feature in FEATURES.values():
        if feature.proof not in elsewhere:
            reason = _lack(info, feature)
            how = others.get(feature.id, "")
            yield _ability("llb", feature.id, feature.what, feature.since, how=how, reason=reason)


def _lack(info: DaemonInfo, feature: Feature) -> str:
    if feature.proof in info.llb_caps:
        return ""
    if told := info.disabled.get(feature.proof):
        return f"{feature.what} is switched off: {told}"
    since = releases.shortened(feature.since)
    return f"{feature.what} needs BuildKit {since}, and this is {info.version}"


def _ability(  # noqa: PLR0913 -- a row, by name
    kind: str, name: str, what: str, since: str, *, how: str, reason: str
) -> Ability:
    state = State.NATIVE if not reason else State.LOWERED if how else State.REFUSED
    return Ability(
        kind=kind,
        name=name,
        what=what,
        state=state,
        since=releases.shortened(since),
        how=how if state is State.LOWERED else "",
        reason=reason if state is State.REFUSED else "",
    )
