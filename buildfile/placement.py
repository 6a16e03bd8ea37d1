"""Which daemon builds which target: what each wants, what each daemon is, and who goes where.

Nothing is asked here, so that the same targets and daemons always give the same placement. In this
order, each among those that the one before left:

1. what ``--place`` pins;
2. the selectors of the target and of its stages, which the daemon's default worker must match:
   BuildKit runs all steps on that one (solver/llbsolver, all releases);
3. selectors that are not required, as far as somebody matches;
4. the platforms that steps run on, and then what they need of BuildKit: the fewest things lacking;
5. an order of its own for each target, which follows from the names alone, so that a target comes
   back to the daemon that has its cache, whatever else is built; unless that has far more to do.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from translator.platform import Platform
from translator.reading.value_faults import listed
from translator.selector import Selector, Traits

SLACK = 1.25
"""How many times its even share a daemon may get before a target goes to the next in its order."""


@dataclass(frozen=True, kw_only=True)
class Station:
    """A daemon as targets see it.

    ``name`` is that in daemons.toml, else its address. ``workers`` are its own, the default one
    first; there is none where it cannot be used, and ``fault`` says why.
    """

    name: str
    address: str
    workers: tuple[Traits, ...] = ()
    fault: str = ""

    @property
    def platform(self) -> Platform | None:
        """The one that its steps run on by themselves, None where it tells none."""
        return next((each for worker in self.workers[:1] for each in worker.platforms), None)


@dataclass(frozen=True, kw_only=True)
class Wish:
    """A selector, and who has it: ``the stage compile``."""

    selector: Selector
    owner: str


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What a target wants of a daemon: what its selectors say, and the platforms of its steps.

    ``stages`` are the names of all its stages.
    """

    wishes: tuple[Wish, ...] = ()
    platforms: frozenset[Platform] = frozenset()
    stages: frozenset[str] = frozenset()


class Demands(Protocol):
    """What targets want. It may follow from a daemon's platform what a target's stages are."""

    def of(self, target: str, station: Station) -> Demand:
        """What a target wants, if it is built on a daemon."""

    def lacking(self, target: str, station: Station) -> Sequence[str]:
        """What a target needs that a daemon has not by itself, in words."""


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A target, the name of its daemon, and why it is that one. ``passed`` could not be had."""

    target: str
    station: str
    why: str
    passed: tuple[Wish, ...] = ()


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
    most = math.ceil(SLACK * len(targets) / max(len(usable), 1))
    placed: list[Placed] = []
    unplaced: list[Unplaced] = []
    load: Counter[str] = Counter()
    for target in targets:
        choice = _Choice(target, stations, demands)
        choice.pinned(pins)
        choice.selected()
        if not choice.left:
            unplaced.append(choice.failure())
            continue
        choice.preferred()
        choice.without(avoid.get(target, frozenset()))
        choice.for_platforms()
        choice.able()
        station = choice.in_order(salt, load, most)
        load[station.name] += 1
        placed.append(
            Placed(
                target=target, station=station.name, why=choice.why, passed=choice.passed(station)
            )
        )
    return Placement(placed=tuple(placed), unplaced=tuple(unplaced))


class _Choice:
    """The daemons that are left for one target, and what left them."""

    def __init__(self, target: str, stations: Sequence[Station], demands: Demands) -> None:
        self._target = target
        self._stations = stations
        self._demands = demands
        self._pin = ""
        self.left = [station for station in stations if station.workers]
        self.why = "the only daemon" if len(stations) == 1 else "the only daemon that answers"

    # --- what must be ----------------------------------------------------------------------------

    def pinned(self, pins: Mapping[str, str]) -> None:
        """Keep the daemon that ``--place`` names for the target or one of its stages."""
        if pins:
            stages = sorted(self._demands.of(self._target, self.left[0]).stages)
            self._pin = next((pins[each] for each in (self._target, *stages) if each in pins), "")
        if self._pin:
            self._keep(lambda station: station.name == self._pin, "pinned with --place")

    def selected(self) -> None:
        """Keep the daemons whose default worker all required selectors match."""
        wishes = dict.fromkeys(
            str(wish.selector) for station in self.left for wish in self._required(station)
        )
        told = f"its selector{'s' * (len(wishes) > 1)} {' and '.join(wishes)}"
        self._keep(
            lambda station: not any(_lacking(wish, station) for wish in self._required(station)),
            told,
        )

    def failure(self) -> Unplaced:
        """Why no daemon is left."""
        among = [each for each in self._stations if not self._pin or each.name == self._pin]
        usable = [station for station in among if station.workers]
        wishes = [wish for station in usable for wish in self._required(station)]
        alone = [wish for wish in wishes if all(_lacking(wish, station) for station in usable)]
        return Unplaced(
            target=self._target,
            wishes=tuple(dict.fromkeys(alone or wishes)),
            findings=tuple((station, self._finding(station)) for station in among),
            pin=self._pin,
        )

    def _finding(self, station: Station) -> str:
        if not station.workers:
            return station.fault
        return "; ".join(
            dict.fromkeys(told for wish in self._required(station) for told in _told(wish, station))
        )

    def _required(self, station: Station) -> Iterable[Wish]:
        wishes = self._demands.of(self._target, station).wishes
        return [wish for wish in wishes if wish.selector.require]

    # --- what should be --------------------------------------------------------------------------

    def preferred(self) -> None:
        """Keep the daemons that the most of the selectors match that are not required."""
        counts = {station.name: len(self.passed(station)) for station in self.left}
        fewest = min(counts.values())
        self._keep(lambda station: counts[station.name] == fewest, "a selector that it prefers")

    def passed(self, station: Station) -> tuple[Wish, ...]:
        """The wishes that are not required, and that a daemon does not meet."""
        wishes = self._demands.of(self._target, station).wishes
        return tuple(
            wish for wish in wishes if not wish.selector.require and _lacking(wish, station)
        )

    def without(self, avoided: frozenset[str]) -> None:
        """Drop the daemons that were found unable, unless all were."""
        if any(station.name not in avoided for station in self.left):
            self._keep(lambda station: station.name not in avoided, "others cannot build all of it")

    def for_platforms(self) -> None:
        """Keep the daemons that run steps for its platforms, if there is one."""

        def runs(station: Station) -> bool:
            wanted = self._demands.of(self._target, station).platforms
            return wanted <= frozenset(station.workers[0].platforms)

        if any(map(runs, self.left)):
            self._keep(runs, "others do not run steps for its platforms")

    def able(self) -> None:
        """Keep the daemons that lack the least of what its steps need."""
        if len(self.left) < 2:
            return
        lacks = {each.name: self._demands.lacking(self._target, each) for each in self.left}
        fewest = min(map(len, lacks.values()))
        told = listed(max(lacks.values(), key=lambda each: len(tuple(each))), 3)
        self._keep(lambda station: len(lacks[station.name]) == fewest, f"others lack {told}")

    def in_order(self, salt: str, load: Mapping[str, int], most: int) -> Station:
        """The first in the target's order that has not far more to do than its share."""
        ordered = sorted(self.left, key=lambda station: _rank(salt, self._target, station.name))
        chosen = next((each for each in ordered if load[each.name] < most), None)
        chosen = chosen or min(ordered, key=lambda station: load[station.name])
        if len(ordered) > 1:
            first = f"the first in its order of {len(ordered)}"
            self.why = first if chosen is ordered[0] else f"{first} has more than its share"
        return chosen

    def _keep(self, fits: Callable[[Station], bool], why: str) -> None:
        kept = [station for station in self.left if fits(station)]
        if len(kept) < len(self.left):
            self.left, self.why = kept, why


def _lacking(wish: Wish, station: Station) -> tuple[str, ...]:
    return wish.selector.lacking(station.workers[0])


def _told(wish: Wish, station: Station) -> Iterable[str]:
    lacking = _lacking(wish, station)
    if not lacking:
        return
    yield f"no {', no '.join(lacking)}"
    for worker in station.workers[1:]:
        if not wish.selector.lacking(worker):
            yield f"its worker {worker.id} would match, but BuildKit runs steps on the first alone"


def _rank(salt: str, target: str, station: str) -> bytes:
    return hashlib.sha256(f"{salt}\n{target}\n{station}".encode()).digest()
