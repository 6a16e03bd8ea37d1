"""How results move between daemons, by what the two have."""

from __future__ import annotations

import pytest

from buildfile.loopback import Loopback
from buildfile.route import Way, route
from daemon_shim.info import DaemonInfo
from tests.daemon_shim.infos import graphdriver, info

V03, V08, V32 = info((0, 3, 3)), info((0, 8, 3)), info((0, 32, 2))
ENGINE, OLD_ENGINE = info((0, 13, 0), engine=True), graphdriver((0, 8, 0))
REGISTRY = "registry.example.com/tmp"


class Unreachable(Loopback):
    """That of a daemon elsewhere."""

    def __init__(self) -> None:
        super().__init__(None)

    def refusal(self) -> str:
        return "it does not reach this machine"


HERE, ELSEWHERE = Loopback(None), Unreachable()


@pytest.mark.parametrize(
    ("giver", "taker", "loopback", "registry", "way"),
    [
        (V08, V32, HERE, "", Way.LAYERS),
        (V32, V08, HERE, "", Way.LAYERS),
        (V32, V32, ELSEWHERE, REGISTRY, Way.LAYERS),
        (ENGINE, V08, HERE, "", Way.LAYERS),
        (V32, OLD_ENGINE, HERE, "", Way.LAYERS),
        (V32, V08, ELSEWHERE, REGISTRY, Way.REGISTRY),
        (OLD_ENGINE, V32, ELSEWHERE, REGISTRY, Way.REGISTRY),
        (OLD_ENGINE, V32, ELSEWHERE, "", Way.TREE),
        (OLD_ENGINE, V08, HERE, "", Way.TREE),
        (V03, V32, HERE, "", Way.TREE),
        (V03, V32, HERE, REGISTRY, Way.TREE),
        (V32, V08, ELSEWHERE, "", Way.FILES),
        (OLD_ENGINE, OLD_ENGINE, ELSEWHERE, "", Way.FILES),
        (V32, V03, HERE, REGISTRY, Way.FILES),
    ],
)
def test_the_best_way_that_both_have_is_taken(
    giver: DaemonInfo, taker: DaemonInfo, loopback: Loopback, registry: str, way: Way
) -> None:
    found = route(giver, taker, loopback, registry)
    assert found.way is way and found.note.startswith(way.value)
    assert found.registry == (REGISTRY if way is Way.REGISTRY else "")


def test_a_plan_says_why_no_better_way_is_taken() -> None:
    note = route(OLD_ENGINE, V08, ELSEWHERE).note
    assert note == (
        "moves as an archive of files through this machine, because a Docker Engine without the "
        "containerd image store has no output as an OCI archive; source from an OCI layout needs "
        "BuildKit v0.11, and this is v0.8.3, and it does not reach this machine; daemons.toml "
        "names no registry for handoff"
    )


def test_a_plan_says_what_layers_do_not_hold() -> None:
    assert route(V32, V32, HERE).note == (
        "moves as layers through this machine, of extended attributes with file capabilities alone"
    )
