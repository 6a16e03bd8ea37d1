"""Which daemon builds which target: what each wants, what each daemon is, and who goes where.

Nothing is asked here, so that the same targets and daemons always give the same placement. In this
order, each among those that the one before left:

1. what ``--place`` pins;
2. the selectors of the target and of its stages, which the daemon's default worker must match:
   BuildKit runs all steps on that one (solver/llbsolver, all releases). Where no daemon matches
   all of them, stages stand on several: one with a selector where that is met, the others with the
   target if it has a selector, else with who uses them;
3. selectors that are not required, as far as somebody matches;
4. the platforms that steps run on, natively if possible: each platform of a target where it is; and
   then what they need of BuildKit: the fewest things lacking;
5. an order of its own for each target, which follows from the names alone, so that a target comes
   back to the daemon that has its cache, whatever else is built; unless that has far more to do.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Protocol

from translator.platform import Platform
from translator.reading.value_faults import listed
from translator.selector import Selector, Traits
from translator.stage import StageRef

_OLDER: Mapping[str, tuple[str, ...]] = MappingProxyType({"amd64": ("386",), "arm64": ("arm",)})
SLACK = 1.25
"""How many times its share a daemon may get before a target goes to the next in its order."""


@dataclass(frozen=True, kw_only=True)
class Station:
    """A daemon as targets see it.

    ``name`` is that in daemons.toml, else its address. ``workers`` are its own, the default one
    first; there is none where it cannot be used, and ``fault`` says why. ``at_once`` is how many
    jobs it gets at a time: its share of the targets goes by that.
    """

    name: str
    address: str
    workers: tuple[Traits, ...] = ()
    fault: str = ""
    at_once: int = 1

    @property
    def platform(self) -> Platform | None:
        """The one that its steps run on by themselves, None where it tells none."""
        return next((each for worker in self.workers[:1] for each in worker.platforms), None)

    def runs(self, platforms: Iterable[Platform]) -> bool:
        """Whether steps run there for all of these platforms, by themselves or emulated."""
        return frozenset(platforms) <= frozenset(self.workers[0].platforms)

    def runs_natively(self, platforms: Iterable[Platform]) -> bool:
        """The same without emulation: on the architecture that it lists first, or an older one."""
        own = self.platform.architecture if self.platform else ""
        known = (own, *_OLDER.get(own, ()))
        return self.runs(platforms) and all(each.architecture in known for each in platforms)


@dataclass(frozen=True, kw_only=True)
class Wish:
    """A selector, and who has it: ``the stage compile``."""

    selector: Selector
    owner: str


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What a target wants of a daemon: what its selectors say, and the platforms of its steps.

    ``target`` is its own wish, ``stages`` has that of each of its stages, each after all that it
    uses. ``runs`` has the platforms that steps run on, by the stage that they lead to: one for each
    platform of the target.
    """

    target: Wish | None = None
    stages: Mapping[StageRef, Wish | None] = field(default_factory=dict)
    runs: Mapping[StageRef, frozenset[Platform]] = field(default_factory=dict)

    @property
    def platforms(self) -> frozenset[Platform]:
        """All that steps run on."""
        return frozenset(each for platforms in self.runs.values() for each in platforms)

    @property
    def wishes(self) -> tuple[Wish, ...]:
        """All of them, each once."""
        return tuple(wish for wish in dict.fromkeys((self.target, *self.stages.values())) if wish)


class Demands(Protocol):
    """What targets want. It may follow from a daemon's platform what a target's stages are."""

    def of(self, target: str, station: Station) -> Demand:
        """What a target wants, if it is built on a daemon."""

    def lacking(self, target: str, station: Station) -> Sequence[str]:
        """What a target needs that a daemon has not by itself, in words."""


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A target, the name of its daemon, and why it is that one. ``passed`` could not be had.

    ``stages`` are the daemons of those stages that are not built with who uses them; nothing where
    all of it is built on one.
    """

    target: str
    station: str
    why: str
    passed: tuple[Wish, ...] = ()
    stages: Mapping[StageRef, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Unplaced:
    """A target that no daemon may build. ``wishes`` are what nobody can give, alone or together;

    ``findings`` say of each daemon what it is and why it is not the one. ``pin`` is the daemon that
    it was to be on.
    """

    target: str
    wishes: tuple[Wish, ...]
    findings: tuple[tuple[Station, str], ...]
    pin: str = ""


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where all targets go, and those that go nowhere."""

    placed: tuple[Placed, ...] = ()
    unplaced: tuple[Unplaced, ...] = ()

    def on(self, station: str) -> tuple[str, ...]:
        """The targets that a daemon gets."""
        return tuple(each.target for each in self.placed if each.station == station)


_NONE: Mapping[str, frozenset[str]] = MappingProxyType({})
_NO_PINS: Mapping[str, str] = MappingProxyType({})


def place(  # noqa: PLR0913 -- each is a setting of its own, by name
    targets: Sequence[str],
    stations: Sequence[Station],
    demands: Demands,
    *,
    pins: Mapping[str, str] = _NO_PINS,
    avoid: Mapping[str, frozenset[str]] = _NONE,
    salt: str = "",
) -> Placement:
    """Place targets on the daemons that can be used, of which there is one at least.

    ``pins`` has names of daemons by that of a target or a stage. ``avoid`` are daemons that were
    found unable to build a target; they get it if all others are, too. ``salt`` tells apart what
    has the same names in other projects.
    """
    usable = [station for station in stations if station.workers]
    for_one = SLACK * len(targets) / (sum(station.at_once for station in usable) or 1)
    most = {station.name: math.ceil(for_one * station.at_once) for station in usable}
    load = _Load(most=most, salt=salt)
    placed: dict[str, Placed] = {}
    unplaced: dict[str, Unplaced] = {}
    for target in sorted(targets):  # in whatever order they were named
        choice = _Choice(target, stations, demands, pins)
        avoided = avoid.get(target, frozenset())
        made = choice.whole(load, avoided) or choice.parted(load, avoided)
        if made:
            load.counts[made.station] += 1
            placed[target] = made
        else:
            unplaced[target] = choice.failure()
    return Placement(
        placed=tuple(placed[each] for each in targets if each in placed),
        unplaced=tuple(unplaced[each] for each in targets if each in unplaced),
    )


@dataclass(frozen=True, kw_only=True)
class _Load:
    """How many targets each daemon has so far, of the ``most`` that it should get."""

    most: Mapping[str, int]
    salt: str
    counts: Counter[str] = field(default_factory=Counter)

    def order(self, owner: str, stations: Iterable[Station]) -> list[Station]:
        """The daemons in the order of a target or selector."""

        return sorted(stations, key=lambda station: rank(self.salt, owner, station.name))


def rank(salt: str, owner: str, daemon: str) -> bytes:
    """Where a daemon stands in the order of a target or selector: the least is the first."""
    return hashlib.sha256(f"{salt}\n{owner}\n{daemon}".encode()).digest()


class _Choice:
    """The way to the daemons of one target."""

    def __init__(
        self,
        target: str,
        stations: Sequence[Station],
        demands: Demands,
        pins: Mapping[str, str],
    ) -> None:
        self._target = target
        self._stations = stations
        self._usable = [station for station in stations if station.workers]
        self._demands = demands
        self._pins = pins

    def whole(self, load: _Load, avoided: frozenset[str]) -> Placed | None:
        """All of it on one daemon; None where none matches all selectors."""
        left = _Left(self._usable, alone=len(self._stations) == 1)
        pins = self._own_pins()
        if pins:
            left.keep(lambda station: {station.name} == pins, "pinned with --place")
        selectors = [wish.selector for each in self._usable for wish in self._required(each)]
        left.keep(lambda station: not self._unmet(station), _named(selectors))
        made = self._placed(left, load, avoided)
        return made if made is None or pins else self._natively(made, load, avoided)

    def parted(self, load: _Load, avoided: frozenset[str]) -> Placed | None:
        """Its stages on several; None where there is no daemon for one of them."""
        left = _Left(self._usable, alone=len(self._stations) == 1)
        if pin := self._pins.get(self._target):
            left.keep(lambda station: station.name == pin, "pinned with --place")
        left.keep(
            lambda station: not _unmet(self._of(station).target, station),
            _named(wish.selector for each in self._usable if (wish := self._of(each).target)),
        )
        if not self._is_held():
            left.keep_some(self._ends, "its last stage is built there")
        left.keep_least(
            {each.name: len(self._unmet(each)) for each in left.stations},
            "the most of its stages are built there",
        )
        home = self._placed(left, load, avoided)
        if home is None:
            return None
        chosen = {
            ref: self._for_stage(ref, wish, home.station, load)
            for ref, wish in self._of(self._named(home.station)).stages.items()
            if self._is_bound(ref, wish)
        }
        if not all(chosen.values()):
            return None
        return replace(home, stages={ref: name for ref, name in chosen.items() if name})

    def failure(self) -> Unplaced:
        """Why there is no daemon, or not one for each stage."""
        pins = self._own_pins()
        among = [each for each in self._stations if not pins or each.name in pins]
        usable = [station for station in among if station.workers]
        wishes = [wish for station in usable for wish in self._required(station)]
        alone = [wish for wish in wishes if all(_unmet(wish, station) for station in usable)]
        return Unplaced(
            target=self._target,
            wishes=tuple(dict.fromkeys(alone or wishes)),
            findings=tuple((station, self._finding(station)) for station in among),
            pin=" and ".join(sorted(pins)),
        )

    # --- what it wants ---------------------------------------------------------------------------

    def _of(self, station: Station) -> Demand:
        return self._demands.of(self._target, station)

    def _named(self, name: str) -> Station:
        return next(station for station in self._usable if station.name == name)

    def _own_pins(self) -> set[str]:
        """The daemons that ``--place`` names for it: the target's own, else those of its stages."""
        if not self._pins:
            return set()
        owners = {
            self._target,
            *(ref.name for each in self._usable for ref in self._of(each).stages),
        }
        return {daemon for owner, daemon in self._pins.items() if owner in owners}

    def _required(self, station: Station) -> list[Wish]:
        return [wish for wish in self._of(station).wishes if wish.selector.require]

    def _unmet(self, station: Station) -> list[Wish]:
        return [wish for wish in self._required(station) if _unmet(wish, station)]

    def _passed(self, station: Station) -> tuple[Wish, ...]:
        """The wishes that are not required, and that a daemon does not meet."""
        wishes = self._of(station).wishes
        return tuple(
            wish
            for wish in wishes
            if not wish.selector.require and wish.selector.lacking(station.workers[0])
        )

    def _finding(self, station: Station) -> str:
        if not station.workers:
            return station.fault
        told = (each for wish in self._required(station) for each in _told(wish, station))
        return "; ".join(dict.fromkeys(told)) or "nothing speaks against it"

    # --- one daemon ------------------------------------------------------------------------------

    def _placed(self, left: _Left, load: _Load, avoided: frozenset[str]) -> Placed | None:
        """The best of what is left for all that no selector decides."""
        if not left.stations:
            return None
        left.keep_least(
            {each.name: len(self._passed(each)) for each in left.stations},
            "a selector that it prefers",
        )
        left.keep_some(lambda station: station.name not in avoided, "others cannot build all of it")
        left.keep_some(
            lambda station: station.runs_natively(self._of(station).platforms),
            "others do not run steps for its platforms natively",
        )
        left.keep_some(
            lambda station: station.runs(self._of(station).platforms),
            "others do not run steps for its platforms",
        )
        if len(left.stations) > 1:
            lacks = {each.name: self._demands.lacking(self._target, each) for each in left.stations}
            told = listed(max(lacks.values(), key=lambda each: len(tuple(each))), 3)
            left.keep_least(
                {name: len(each) for name, each in lacks.items()}, f"others lack {told}"
            )
        station = self._in_order(left, load)
        return Placed(
            target=self._target,
            station=station.name,
            why=left.why,
            passed=self._passed(station),
        )

    def _in_order(self, left: _Left, load: _Load) -> Station:
        """The first in the target's order that has not far more to do than its share."""
        ordered = load.order(self._target, left.stations)
        free = (each for each in ordered if load.counts[each.name] < load.most[each.name])
        chosen = next(free, None) or min(
            ordered, key=lambda each: load.counts[each.name] / each.at_once
        )
        if len(ordered) > 1:
            first = f"the first in its order of {len(ordered)}"
            left.why = first if chosen is ordered[0] else f"{first} has more than its share"
        return chosen

    # --- stages on daemons of their own ----------------------------------------------------------

    def _natively(self, made: Placed, load: _Load, avoided: frozenset[str]) -> Placed:
        """Each platform on a daemon that runs its steps natively, where there is one."""
        home = self._named(made.station)
        apart: dict[StageRef, str] = {}
        for root, platforms in self._of(home).runs.items():
            fit = [
                station
                for station in self._usable
                if station.runs_natively(platforms)
                and station.name not in avoided
                and not self._unmet(station)
            ]
            if fit and not home.runs_natively(platforms):
                apart[root] = load.order(self._target, fit)[0].name
        return replace(made, stages=apart) if apart else made

    def _is_held(self) -> bool:
        """Whether the target itself says where its stages are built."""
        own = self._of(self._usable[0]).target
        return self._target in self._pins or (own is not None and own.selector.require)

    def _is_bound(self, ref: StageRef, wish: Wish | None) -> bool:
        """Whether a stage is not simply built with who uses it."""
        own = wish is not None and wish.selector.require
        return own or self._is_held() or ref.name in self._pins

    def _ends(self, station: Station) -> bool:
        """Whether the stage that the target is made of may be built on a daemon."""
        *_, (ref, wish) = self._of(station).stages.items()
        return not _unmet(wish, station) and self._pins.get(ref.name) in (None, station.name)

    def _for_stage(self, ref: StageRef, wish: Wish | None, home: str, load: _Load) -> str | None:
        """The daemon of a stage: with the target if that will do, else by an order of its selector,
        so that stages with one selector are together, whatever target they are built for.
        """
        pin = self._pins.get(ref.name)
        fit = [
            station
            for station in self._usable
            if not _unmet(wish, station) and pin in (None, station.name)
        ]
        names = [station.name for station in fit]
        if home in names:
            return home
        ordered = load.order(str(wish.selector) if wish else "", fit)
        return ordered[0].name if ordered else None


class _Left:
    """The daemons that are left for something, and what left them."""

    def __init__(self, stations: Sequence[Station], *, alone: bool) -> None:
        self.stations = list(stations)
        self.why = "the only daemon" if alone else "the only daemon that answers"

    def keep(self, fits: Callable[[Station], bool], why: str) -> None:
        """Drop those that do not fit."""
        kept = [station for station in self.stations if fits(station)]
        if len(kept) < len(self.stations):
            self.stations, self.why = kept, why

    def keep_some(self, fits: Callable[[Station], bool], why: str) -> None:
        """Drop those that do not fit, unless none does."""
        if any(map(fits, self.stations)):
            self.keep(fits, why)

    def keep_least(self, counts: Mapping[str, int], why: str) -> None:
        """Drop those of which more is said."""
        least = min(counts.values(), default=0)
        self.keep(lambda station: counts[station.name] == least, why)


def _unmet(wish: Wish | None, station: Station) -> tuple[str, ...]:
    """What a daemon lacks of a wish that must be met."""
    if wish is None or not wish.selector.require:
        return ()
    return wish.selector.lacking(station.workers[0])


def _named(selectors: Iterable[Selector]) -> str:
    names = list(dict.fromkeys(map(str, (each for each in selectors if each.require))))
    return f"its selector{'s' * (len(names) > 1)} {' and '.join(names)}"


def _told(wish: Wish, station: Station) -> Iterable[str]:
    lacking = _unmet(wish, station)
    if not lacking:
        return
    yield f"no {', no '.join(lacking)}"
    for worker in station.workers[1:]:
        if not wish.selector.lacking(worker):
            yield f"its worker {worker.id} would match, but BuildKit runs steps on the first alone"
