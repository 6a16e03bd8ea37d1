from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from buildfile.placement import SLACK, Demand, Placement, Station, Wish, place
from tests.translator.loading import AMD64, ARM64, table
from translator.platform import Platform
from translator.selector import Selector, Traits
from translator.stage import StageRef

SPAN = table("a: b").span
DAEMONS = ("one", "two", "three", "four")
TARGETS = [f"target-{number}" for number in range(200)]


def station(name: str, *more: Traits, **labels: str) -> Station:
    first = Traits(id=f"{name}-1", labels=labels, platforms=(AMD64,), daemon=name)
    return Station(name=name, address=f"unix:///{name}.sock", workers=(first, *more))


def gone(name: str) -> Station:
    return Station(name=name, address=f"unix:///{name}.sock", fault="there is no socket")


def selector(*, require: bool = True, daemon: str = "", **labels: str) -> Selector:
    return Selector(labels=tuple(sorted(labels.items())), daemon=daemon, require=require, span=SPAN)


@dataclass
class Wants:
    """Demands by the names of targets; what is missing by target and daemon."""

    demands: Mapping[str, Demand] = field(default_factory=dict)
    missing: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)

    def of(self, target: str, station: Station) -> Demand:
        return self.demands.get(target, Demand())

    def lacking(self, target: str, station: Station) -> tuple[str, ...]:
        return self.missing.get((target, station.name), ())


S = StageRef("s")


def wants(*selectors: Selector) -> Wants:
    """A target with a stage, each with a selector as far as there are some."""
    target, stage, *_ = (
        *(Wish(selector=each, owner="the target t") for each in selectors),
        None,
        None,
    )
    return Wants({"t": Demand(target=target, stages={S: stage})})


def where(placement: Placement) -> dict[str, str]:
    return {each.target: each.station for each in placement.placed}


def only(placement: Placement) -> tuple[str, str]:
    (placed,) = placement.placed
    return placed.station, placed.why


# --- one that must be --------------------------------------------------------------------------


def test_the_only_daemon_gets_everything() -> None:
    made = place(["a", "b"], [station("one")], Wants())
    assert where(made) == {"a": "one", "b": "one"}
    assert {each.why for each in made.placed} == {"the only daemon"}


def test_the_only_one_that_answers_gets_everything() -> None:
    made = place(["a", "b"], [gone("one"), station("two")], Wants())
    assert where(made) == {"a": "two", "b": "two"}
    assert {each.why for each in made.placed} == {"the only daemon that answers"}


def test_a_selector_decides() -> None:
    stations = [station("one", pool="a"), station("two", pool="b"), station("three")]
    assert only(place(["t"], stations, wants(selector(pool="b")))) == (
        "two",
        "its selector label pool=b",
    )
    assert only(place(["t"], stations, wants(selector(daemon="three"))))[0] == "three"


def test_all_selectors_must_match() -> None:
    stations = [station("one", a="1"), station("two", b="1"), station("three", a="1", b="1")]
    made = place(["t"], stations, wants(selector(a="1"), selector(b="1")))
    assert only(made) == ("three", "its selectors label a=1 and label b=1")


def test_a_daemon_that_a_selector_names_and_that_is_gone() -> None:
    made = place(["t"], [station("one"), gone("two")], wants(selector(daemon="two")))
    (unplaced,) = made.unplaced
    assert not made.placed
    assert [(each.name, why) for each, why in unplaced.findings] == [
        ("one", "no daemon two"),
        ("two", "there is no socket"),
    ]


def test_a_match_on_another_worker_is_told() -> None:
    other = Traits(id="one-2", labels={"pool": "a"})
    (unplaced,) = place(["t"], [station("one", other)], wants(selector(pool="a"))).unplaced
    ((_, finding),) = unplaced.findings
    assert finding == (
        "no label pool=a; its worker one-2 would match, but BuildKit runs steps on the first alone"
    )


def test_the_selectors_that_nobody_matches_are_to_blame() -> None:
    first, second = selector(a="1"), selector(b="1")
    stations = [station("one", a="1"), station("two")]
    (unplaced,) = place(["t"], stations, wants(first, second)).unplaced
    assert [wish.selector for wish in unplaced.wishes] == [second]


# --- stages on several -------------------------------------------------------------------------


def parted(target: Selector | None = None, **stages: Selector | None) -> Wants:
    """A target whose stages have these selectors; each uses those before it."""
    wishes = {
        StageRef(name): Wish(selector=each, owner=f"the stage {name}") if each else None
        for name, each in stages.items()
    }
    own = Wish(selector=target, owner="the target t") if target else None
    return Wants({"t": Demand(target=own, stages=wishes)})


ONE, TWO = station("one", a="1"), station("two", b="1")
A, B = selector(a="1"), selector(b="1")


def stages_of(placement: Placement) -> dict[str, str]:
    (placed,) = placement.placed
    return {ref.name: name for ref, name in placed.stages.items()}


def test_stages_stand_apart_where_no_daemon_matches_all_selectors() -> None:
    made = place(["t"], [ONE, TWO], parted(x=A, y=A, z=B))
    assert only(made) == ("two", "its last stage is built there")
    assert stages_of(made) == {"x": "one", "y": "one", "z": "two"}


def test_a_last_stage_without_selector_is_where_most_of_the_others_are() -> None:
    made = place(["t"], [ONE, TWO], parted(v=A, x=A, y=B, z=None))
    assert only(made) == ("one", "the most of its stages are built there")
    assert stages_of(made) == {"v": "one", "x": "one", "y": "two"}


def test_a_stage_without_selector_is_built_with_who_uses_it() -> None:
    made = place(["t"], [ONE, TWO], parted(x=A, y=B, z=None))
    assert stages_of(made) == {"x": "one", "y": "two"}  # z follows the target


def test_a_target_with_a_selector_holds_the_stages_that_have_none() -> None:
    made = place(["t"], [ONE, TWO], parted(B, x=A, y=None, z=None))
    assert only(made) == ("two", "its selector label b=1")
    assert stages_of(made) == {"x": "one", "y": "two", "z": "two"}


def test_nothing_stands_apart_where_one_daemon_matches_all() -> None:
    both = station("both", a="1", b="1")
    made = place(["t"], [ONE, TWO, both], parted(x=A, y=B))
    assert only(made)[0] == "both" and stages_of(made) == {}


def test_stages_of_one_selector_are_together_whatever_target_they_are_for() -> None:
    twins = [station(f"twin-{number}", a="1") for number in range(5)]
    demand = parted(x=A, y=B, z=B).demands["t"]
    wanted = Wants(dict.fromkeys(TARGETS, demand))
    placed = place(TARGETS, [TWO, *twins], wanted).placed
    apart = {name for each in placed if each.station == "two" for name in each.stages.values()}
    assert len(apart - {"two"}) == 1


def test_a_pin_of_a_stage_stands_it_apart_from_a_target_that_is_held() -> None:
    made = place(["t"], [ONE, TWO], parted(A, x=None, y=None), pins={"x": "two"})
    assert only(made)[0] == "one" and stages_of(made) == {"x": "two", "y": "one"}
    made = place(["t"], [ONE, TWO], parted(x=None, y=None), pins={"x": "two", "t": "one"})
    assert only(made) == ("one", "pinned with --place")
    assert stages_of(made) == {"x": "two", "y": "one"}


def test_a_stage_that_no_daemon_is_for_is_to_blame() -> None:
    third = selector(c="1")
    (unplaced,) = place(["t"], [ONE, TWO], parted(A, x=B, y=third)).unplaced
    assert [wish.owner for wish in unplaced.wishes] == ["the stage y"]
    pinned = place(["t"], [ONE, TWO], parted(x=A, y=B), pins={"y": "one"})
    (unplaced,) = pinned.unplaced
    assert unplaced.pin == "one"


def test_a_pin_decides_for_a_target_or_its_stage() -> None:
    stations = [station(name) for name in DAEMONS]
    for owner in ("t", "s"):
        made = place(["t"], stations, wants(), pins={owner: "three"})
        assert only(made) == ("three", "pinned with --place")
    both = place(["t"], stations, wants(), pins={"s": "two", "t": "four"})
    assert only(both)[0] == "four"


def test_a_pin_is_no_way_around_a_selector() -> None:
    stations = [station("one", a="1"), station("two")]
    (unplaced,) = place(["t"], stations, wants(selector(a="1")), pins={"t": "two"}).unplaced
    assert unplaced.pin == "two" and [each.name for each, _ in unplaced.findings] == ["two"]


def test_a_pin_to_a_daemon_that_is_gone() -> None:
    (unplaced,) = place(["t"], [station("one"), gone("two")], wants(), pins={"t": "two"}).unplaced
    assert unplaced.wishes == () and unplaced.findings[0][1] == "there is no socket"


# --- one that should be ------------------------------------------------------------------------


def test_a_selector_that_is_not_required_decides_if_it_can() -> None:
    wish = selector(require=False, pool="a")
    there = place(["t"], [station("one"), station("two", pool="a")], wants(wish))
    assert only(there) == ("two", "a selector that it prefers")
    assert there.placed[0].passed == ()
    nowhere = place(["t"], [station("one")], wants(wish))
    assert [each.selector for each in nowhere.placed[0].passed] == [wish]


def test_a_platform_decides_if_it_can() -> None:
    arm = Traits(id="arm", platforms=(ARM64, AMD64))
    stations = [station("one"), Station(name="arm", address="a", workers=(arm,))]
    needy = Wants({"t": Demand(runs={S: frozenset((ARM64,))})})
    assert only(place(["t"], stations, needy)) == (
        "arm",
        "others do not run steps for its platforms natively",
    )
    assert only(place(["t"], stations[:1], needy))[0] == "one"


def machine(name: str, *platforms: Platform) -> Station:
    return Station(name=name, address=name, workers=(Traits(id=name, platforms=platforms),))


INTEL, ARM, BOTH = machine("intel", AMD64), machine("arm", ARM64), machine("both", AMD64, ARM64)
FOR_AMD, FOR_ARM = StageRef("s", "amd"), StageRef("s", "arm")


def test_a_daemon_that_emulates_is_the_second_choice() -> None:
    needy = Wants({"t": Demand(runs={S: frozenset((ARM64,))})})
    assert only(place(["t"], [BOTH, ARM], needy))[0] == "arm"
    assert only(place(["t"], [BOTH, INTEL], needy)) == (
        "both",
        "others do not run steps for its platforms",
    )


def test_each_platform_is_built_where_it_runs_natively() -> None:
    runs = {FOR_AMD: frozenset((AMD64,)), FOR_ARM: frozenset((ARM64,))}
    needy = Wants({"t": Demand(runs=runs, stages=dict.fromkeys(runs))})
    (placed,) = place(["t"], [BOTH, ARM], needy).placed
    assert (placed.station, placed.stages) == ("both", {FOR_ARM: "arm"})
    (placed,) = place(["t"], [INTEL, ARM], needy).placed
    other = {"intel": {FOR_ARM: "arm"}, "arm": {FOR_AMD: "intel"}}
    assert placed.stages == other[placed.station]
    (placed,) = place(["t"], [BOTH, INTEL], needy).placed
    assert (placed.station, placed.stages) == ("both", {})
    (placed,) = place(["t"], [BOTH, ARM], needy, pins={"t": "both"}).placed
    assert placed.stages == {}


def test_a_platform_without_steps_to_run_needs_no_machine_of_its_own() -> None:
    runs = {FOR_AMD: frozenset((AMD64,)), FOR_ARM: frozenset[Platform]()}
    needy = Wants({"t": Demand(runs=runs)})
    (placed,) = place(["t"], [INTEL, ARM], needy).placed
    assert (placed.station, placed.stages) == ("intel", {})


def test_an_older_architecture_runs_natively_where_it_is_listed() -> None:
    old = Platform("linux", "386")
    assert machine("m", AMD64, old).runs_natively([old])
    assert not machine("m", AMD64).runs_natively([old])
    assert not machine("m", ARM64, old).runs_natively([old])


def test_the_daemon_that_lacks_the_least_is_chosen() -> None:
    stations = [station(name) for name in DAEMONS]
    missing = {
        ("t", "one"): ("a merge stage",),
        ("t", "two"): ("a merge stage", "a device"),
        ("t", "four"): ("a device",),
    }
    assert only(place(["t"], stations, Wants(missing=missing))) == (
        "three",
        "others lack a merge stage, a device",
    )
    fewer = {**missing, ("t", "three"): ("a", "b", "c", "d", "e")}
    station_, _ = only(place(["t"], stations, Wants(missing=fewer)))
    assert station_ in ("one", "four")


def test_daemons_that_were_found_unable_are_avoided_while_there_are_others() -> None:
    stations = [station(name) for name in DAEMONS]
    avoid = {"t": frozenset(("one", "two", "four"))}
    assert only(place(["t"], stations, Wants(), avoid=avoid)) == (
        "three",
        "others cannot build all of it",
    )
    everyone = {"t": frozenset(DAEMONS)}
    assert len(place(["t"], stations, Wants(), avoid=everyone).placed) == 1


# --- all alike ---------------------------------------------------------------------------------
EIGHT = [station(f"daemon-{number}") for number in range(8)]


def test_targets_are_spread_and_nobody_gets_far_more_than_its_share() -> None:
    load = Counter(where(place(TARGETS, EIGHT, Wants())).values())
    assert len(load) == 8 and max(load.values()) <= SLACK * 200 / 8


def test_who_does_more_at_once_gets_more() -> None:
    stations = [replace(each, at_once=1 + 3 * (each.name == "daemon-0")) for each in EIGHT]
    load = Counter(where(place(TARGETS, stations, Wants())).values())
    assert all(load[each.name] <= SLACK * 200 * each.at_once / 11 + 1 for each in stations)
    alike = where(place(TARGETS, EIGHT, Wants()))
    same = sum(
        alike[name] == there for name, there in where(place(TARGETS, stations, Wants())).items()
    )
    assert same > 100  # each still tries them in its own order


@pytest.mark.parametrize("order", [EIGHT, EIGHT[::-1]])
def test_the_placement_does_not_depend_on_the_order_of_daemons(order: list[Station]) -> None:
    assert where(place(TARGETS, order, Wants())) == where(place(TARGETS, EIGHT, Wants()))


def test_the_placement_does_not_depend_on_the_order_of_targets() -> None:
    assert where(place(TARGETS[::-1], EIGHT, Wants())) == where(place(TARGETS, EIGHT, Wants()))


def test_a_target_alone_goes_where_nearly_all_go_together() -> None:
    together = where(place(TARGETS, EIGHT, Wants()))
    alone = {name: where(place([name], EIGHT, Wants()))[name] for name in TARGETS}
    same = sum(together[name] == alone[name] for name in TARGETS)
    assert same > 180


def test_without_one_daemon_the_others_keep_nearly_all_they_had() -> None:
    before = where(place(TARGETS, EIGHT, Wants()))
    after = where(place(TARGETS, [gone("daemon-0"), *EIGHT[1:]], Wants()))
    moved = [name for name in TARGETS if before[name] != after[name]]
    assert all(after[name] != "daemon-0" for name in TARGETS)
    assert sum(before[name] != "daemon-0" for name in moved) < 20


def test_other_projects_are_spread_in_another_way() -> None:
    one, other = (where(place(TARGETS, EIGHT, Wants(), salt=name)) for name in ("a", "b"))
    assert one != other
