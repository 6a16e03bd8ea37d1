"""Stages read for a target and a platform, once for all that they are the same for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

from translator.diagnostic import Diagnostic
from translator.platform import Platform
from translator.reading import name_faults
from translator.reading.circles import after_uses
from translator.reading.collector import Collector
from translator.reading.links import BUILD, Links
from translator.reading.read_source import source
from translator.reading.read_stage import stage
from translator.reading.reader import Reading
from translator.span import Span
from translator.stage import Instance, Origin, Source, Stage, StageRef
from translator.suggest import suggest
from translator.text.document import Entry, Items, Node, Scalar, Table
from translator.values.interpolate import expand
from translator.values.scope import Scope, platform_names
from translator.values.template import escape
from translator.values.value import Standing

_OFFERS = ("target", "platform", "matrix")


@dataclass(frozen=True, kw_only=True, eq=False)
class Setting:
    """What stages are read for: a target's names, its platform, and that of the daemon."""

    scope: Scope
    platform: Platform
    build_platform: Platform


@dataclass(frozen=True, slots=True)
class _Read:
    """A stage, what it uses, and what is wrong with it (then ``stage`` may be None)."""

    stage: Stage | None
    uses: tuple[StageRef, ...]
    faults: tuple[Diagnostic, ...]


class Stages:
    """All stages of a project, read when they are asked for."""

    def __init__(
        self,
        stages: Mapping[str, Table],
        sources: Mapping[str, Node],
        scope: Scope,
        reading: Callable[[Collector, str, Callable[[Scalar], Origin | None]], Reading],
        misshapen: tuple[Span, ...] = (),
    ) -> None:
        """``reading`` makes what a stage's readers need, from their collector, owner and names.

        ``misshapen`` are the places that the schema has found fault with.
        """
        self._misshapen = misshapen
        self._stages = {name: shield_scripts(table) for name, table in stages.items()}
        self._sources = sources
        self._scope = scope
        self._reading = reading
        self._links = Links(self._stages, sources, scope)
        self._plain: dict[tuple[str, Platform], StageRef] = {}
        self._asked: dict[StageRef, tuple[Platform, Setting]] = {}
        self._read: dict[StageRef, _Read] = {}
        self._found_sources: dict[tuple[str, ...], tuple[Source | None, Collector]] = {}
        self._closures: dict[StageRef, Mapping[StageRef, Stage]] = {}

    def setting(
        self, names: Mapping[str, str], platform: Platform, build_platform: Platform
    ) -> Setting:
        """A setting for a target with the built-in ``names``."""
        local = {**platform_names(platform), **names}
        scope = self._scope.within("a stage", _OFFERS, local)
        return Setting(scope=scope, platform=platform, build_platform=build_platform)

    def instance(self, name: str, setting: Setting) -> tuple[Instance, tuple[Diagnostic, ...]]:
        """The stage ``name`` with all that it uses, and all that is wrong there."""
        return self._instance(self._ref(name, setting.platform, setting), setting.platform)

    def elsewhere(
        self, ref: StageRef, build_platform: Platform
    ) -> tuple[Instance, tuple[Diagnostic, ...]]:
        """The stage ``ref`` as it is on a daemon of another platform, with all that it uses."""
        platform, setting = self._asked[ref]
        setting = replace(setting, build_platform=build_platform)
        root = self._ref(ref.name, platform, setting)
        return self._instance(root, self._asked[root][0])

    def _instance(
        self, root: StageRef, platform: Platform
    ) -> tuple[Instance, tuple[Diagnostic, ...]]:
        found = Collector()
        if root not in self._closures:
            order = self.check([root], set(), found)
            read = {ref: self._read[ref].stage for ref in order}
            whole = {ref: made for ref, made in read.items() if made is not None}
            if not len(found):
                self._closures[root] = MappingProxyType(whole)
        stages = self._closures.get(root, {})
        return Instance(root=root, platform=platform, stages=stages), found.faults

    def root(self, name: str, setting: Setting) -> StageRef:
        """The reference by which the stage ``name`` is known in ``setting``."""
        return self._ref(name, setting.platform, setting)

    def check(
        self, roots: Sequence[StageRef], done: set[StageRef], found: Collector
    ) -> list[StageRef]:
        """Read ``roots`` and what they use but for what is ``done``; give it in building order."""

        def circle(refs: Sequence[StageRef]) -> None:
            names = [ref.name for ref in refs]
            following = (*names[1:], names[0])
            spans = [self._links.reference(*each) for each in zip(names, following, strict=True)]
            found.add(name_faults.stage_cycle(names, spans))

        order = after_uses(roots, lambda ref: self._of(ref).uses, circle, done)
        for ref in order:
            found.extend(self._read[ref].faults)
        return order

    def check_sources(self, setting: Setting, found: Collector) -> None:
        """Read every source, used or not."""
        for name in self._sources:
            self._source(name, setting, found)

    # --- references ------------------------------------------------------------------------------

    def _ref(self, name: str, requested: Platform, setting: Setting) -> StageRef:
        reads = self._links.reads(name)
        plain = not reads and self._links.anchor(name) is None
        if plain and (name, requested) in self._plain:
            return self._plain[name, requested]
        platform = self._platform(name, requested, setting)
        ref = StageRef(name, _variant(platform, reads, setting))
        self._asked.setdefault(ref, (platform, setting))
        if plain:
            self._plain[name, requested] = ref
        return ref

    def _platform(self, name: str, requested: Platform, setting: Setting) -> Platform:
        """What a stage is built for: what its chain of bases says, else what is asked for."""
        passed: set[str] = set()
        anchor = self._links.anchor(name)
        while anchor is not None and anchor not in passed:
            passed.add(anchor)
            said = self._stages[anchor].entries.get("platform")
            if said:
                return _said(expand(said.value, setting.scope, Collector()), setting) or requested
            base = self._links.base[anchor]
            node = expand(base.node, setting.scope, Collector()) if base else None
            known = isinstance(node, Scalar) and node.text in self._stages
            anchor = self._links.anchor(node.text) if known and isinstance(node, Scalar) else None
        return requested

    # --- reading ---------------------------------------------------------------------------------

    def _of(self, ref: StageRef) -> _Read:
        read = self._read.get(ref)
        if read is None:
            read = self._read[ref] = self._make(ref)
        return read

    def _make(self, ref: StageRef) -> _Read:
        platform, setting = self._asked[ref]
        found, uses = Collector(self._misshapen), dict[StageRef, None]()
        node = expand(self._stages[ref.name], setting.scope, found)
        resolve = partial(self._origin, setting, found, uses)
        below = self._reading(found, ref.name, partial(resolve, platform))
        reading = self._reading(found, ref.name, partial(resolve, setting.platform))
        if not isinstance(node, Table):
            return _Read(None, (), found.faults)
        said = node.entries.get("platform")
        if said and _said(said.value, setting) is None and isinstance(said.value, Scalar):
            fault = name_faults.bad_stage_platform(said.value.text, said.value.span)
            found.at(said.value, fault)
        made = stage(node, ref, platform, below, reading)
        return _Read(made, tuple(uses), found.faults)

    def _origin(
        self,
        setting: Setting,
        found: Collector,
        uses: dict[StageRef, None],
        platform: Platform,
        node: Scalar,
    ) -> Origin | None:
        name = node.text
        if name in self._stages:
            ref = self._ref(name, platform, setting)
            uses[ref] = None
            return ref
        if name in self._sources:
            return self._source(name, setting, found)
        nearest = suggest(name, (*self._stages, *self._sources))
        found.at(node, name_faults.unknown_origin(name, node.span, nearest))
        return None

    def _source(self, name: str, setting: Setting, found: Collector) -> Source | None:
        reads = sorted(self._links.source_reads(name))
        local = setting.scope.local
        key = (name, *(f"{read}={local[read]}" for read in reads if read in local))
        if key not in self._found_sources:
            own = Collector(self._misshapen)
            node = expand(self._sources[name], setting.scope, own)
            self._found_sources[key] = (source(node, self._reading(own, name, _nothing)), own)
        made, own = self._found_sources[key]
        found.extend(own.faults)
        return made


def shield_scripts(table: Table) -> Table:
    """A stage whose ``run`` scripts and inline Dockerfile pass interpolation unchanged."""
    if "dockerfile" in table.entries:
        return _with_shielded(table, "dockerfile", "inline")
    entry = table.entries.get("steps")
    if entry is None or not isinstance(entry.value, Items):
        return table
    steps = [_shielded(step) for step in entry.value.items]
    if all(map(_is, steps, entry.value.items)):
        return table
    shielded = Entry(entry.key, Items(tuple(steps), entry.value.span))
    return Table({**table.entries, "steps": shielded}, table.span)


def _with_shielded(table: Table, *path: str) -> Table:
    """The table with the text at ``path`` shielded, or the same one where there is no such text."""
    entry = table.entries.get(path[0])
    if entry is None:
        return table
    value = entry.value
    if len(path) > 1:
        inner = _with_shielded(value, *path[1:]) if isinstance(value, Table) else value
    else:
        inner = _shielded_text(value)
    if inner is value:
        return table
    return Table({**table.entries, path[0]: Entry(entry.key, inner)}, table.span)


def _shielded(step: Node) -> Node:
    return _with_shielded(step, "run") if isinstance(step, Table) else step


def _shielded_text(node: Node) -> Node:
    if not isinstance(node, Scalar) or "$" not in node.text:
        return node
    return Standing(escape(node.text), False, node)


def _is(a: Node, b: Node) -> bool:
    return a is b


def _nothing(_node: Scalar) -> None:
    return None


def _said(node: Node, setting: Setting) -> Platform | None:
    if not isinstance(node, Scalar):
        return None
    if node.text == BUILD:
        return setting.build_platform
    try:
        return Platform.parse(node.text)
    except ValueError:
        return None


def _variant(platform: Platform, reads: frozenset[str], setting: Setting) -> str:
    """What tells a stage apart from the same stage for others: only what it depends on."""
    parts = [platform.slug]
    for name in sorted(reads):
        if name == BUILD:
            if setting.build_platform != platform:
                parts.append(f"build={setting.build_platform.slug}")
        elif name.startswith("platform"):
            if setting.platform != platform:
                parts.append(f"for={setting.platform.slug}")
        elif name in setting.scope.local:
            parts.append(f"{name}={setting.scope.local[name]}")
    return ",".join(dict.fromkeys(parts))
