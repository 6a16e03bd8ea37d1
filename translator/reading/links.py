"""What stages use, known before they are read: which references a stage's outcome depends on.

A stage is read once for all targets and platforms that it is the same for. What it is read for
follows from the built-in names that it, and all that it uses, refers to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from translator.reading.circles import after_uses
from translator.reading.collector import Collector
from translator.reading.read_source import SCRATCH
from translator.span import Span
from translator.text.document import Items, Node, Scalar, Table
from translator.values.interpolate import expand, references
from translator.values.scope import Scope
from translator.values.value import Broken

_SCOPED = ("target", "platform", "matrix")
BUILD = "build"


@dataclass(frozen=True, slots=True)
class Use:
    """One reference to a stage or source. ``name`` is empty where it depends on the target."""

    name: str
    node: Scalar


class Links:
    """The references among ``stages`` and ``sources``; ``scope`` has the file's variables."""

    def __init__(
        self, stages: Mapping[str, Table], sources: Mapping[str, Node], scope: Scope
    ) -> None:
        self._stages = stages
        self._sources = sources
        self._scope = scope.within("a stage", (), {})
        self.own = {name: references(stage) for name, stage in stages.items()}
        self._of_sources = {name: _scoped(references(node)) for name, node in sources.items()}
        bases = {name: self._bases(stage) for name, stage in stages.items()}
        self.base = {name: uses[0] if uses else None for name, uses in bases.items()}
        self.beside = {name: tuple(filter(None, uses[1:])) for name, uses in bases.items()}
        self.others = {name: tuple(self._others(stage)) for name, stage in stages.items()}
        self._anchors: dict[str, str | None] = {}

    # --- which names decide ------------------------------------------------------------------

    def reads(self, name: str) -> frozenset[str]:
        """The built-in names that decide what the stage is, all that it uses included."""
        return self._reads[name]

    @cached_property
    def _reads(self) -> dict[str, frozenset[str]]:
        def uses(name: str) -> list[str]:
            return [use.name for use in self._all(name) if use.name in self._stages]

        found: dict[str, frozenset[str]] = {}
        for name in after_uses(self._stages, uses, lambda _names: None):
            found[name] = self._collected(name, found)
        return found

    def _collected(self, name: str, found: Mapping[str, frozenset[str]]) -> frozenset[str]:
        reads = _scoped(self.own[name])
        said = self._stages[name].entries.get("platform")
        if said and isinstance(said.value, Scalar) and "/" not in said.value.text:
            reads |= {BUILD}
        for use in self._all(name):
            reads |= self._through(use, found)
        for use in self.others[name]:
            if use.name in self._stages and self.anchor(use.name) is None:
                reads |= {"platform"}
        return reads

    def _through(self, use: Use, found: Mapping[str, frozenset[str]]) -> frozenset[str]:
        if not use.name:
            return self._any
        return found.get(use.name, frozenset()) | self._of_sources.get(use.name, frozenset())

    @cached_property
    def _any(self) -> frozenset[str]:
        """Every name that any stage or source depends on."""
        every: frozenset[str] = frozenset((BUILD, "platform"))
        for reads in (*self.own.values(), *self._of_sources.values()):
            every |= _scoped(reads)
        return every

    # --- which stage decides on the platform ---------------------------------------------------

    def anchor(self, name: str) -> str | None:
        """Where the chain of bases that begins with the stage ``name`` decides on the platform.

        That is its first stage that says ``platform``, or whose base depends on the target;
        None where the chain has neither.
        """
        chain: dict[str, None] = {}
        current: str | None = name
        while current is not None and current not in self._anchors:
            if current in chain:
                current = None
                break
            chain[current] = None
            if self._decides(current):
                self._anchors[current] = current
                break
            base = self.base[current]
            current = base.name if base and base.name in self._stages else None
        anchor = self._anchors[current] if current is not None else None
        self._anchors.update(dict.fromkeys(chain, anchor))
        return anchor

    def _decides(self, name: str) -> bool:
        base = self.base[name]
        return "platform" in self._stages[name].entries or bool(base and not base.name)

    def reference(self, name: str, used: str) -> Span:
        """Where the stage ``name`` refers to ``used``."""
        spans = [use.node.span for use in self._all(name) if use.name in (used, "")]
        return spans[0] if spans else self._stages[name].span

    def source_reads(self, name: str) -> frozenset[str]:
        """The built-in names that decide what the source is."""
        return self._of_sources[name]

    # --- what a stage's table refers to ----------------------------------------------------------

    def _all(self, name: str) -> Iterator[Use]:
        base = self.base[name]
        if base:
            yield base
        yield from self.beside[name]
        yield from self.others[name]

    def _bases(self, stage: Table) -> list[Use | None]:
        """What the stage begins with, in the order of ``Stage.bases``; None is no reference."""
        uses = [use for node in _beginnings(stage) for use in self._uses(node)]
        given = [use for node in _given(stage) for use in self._uses(node)]
        # What is given to a frontend does not decide on the platform of what it makes.
        uses += [None, *given] if given else []
        return [use for use in uses if use is None or use.name != SCRATCH]

    def _uses(self, node: Node) -> Sequence[Use | None]:
        """The references of a node: several, if it is one to a list."""
        if not isinstance(node, Scalar):
            return [None]
        value = expand(node, self._scope, Collector()) if "$" in node.text else node
        if isinstance(value, Items) and not _scoped(references(node)):
            return [Use(item.text, node) for item in value.items if isinstance(item, Scalar)]
        return [self._use(node)]

    def _others(self, stage: Table) -> Iterator[Use]:
        steps = stage.entries.get("steps")
        for step in _tables(steps.value if steps else None):
            copy, mounts = step.entries.get("copy"), step.entries.get("mounts")
            tables = _tables(mounts.value) if mounts else []
            if copy and isinstance(copy.value, Table):
                tables.append(copy.value)
            for table in tables:
                origin = table.entries.get("from")
                if origin and isinstance(origin.value, Scalar):
                    yield self._use(origin.value)

    def _use(self, node: Scalar) -> Use:
        if "$" not in node.text:
            return Use(node.text, node)
        if _scoped(references(node)):
            return Use("", node)
        value = expand(node, self._scope, Collector())
        known = isinstance(value, Scalar) and not isinstance(value, Broken)
        return Use(value.text if isinstance(value, Scalar) and known else "", node)


def _scoped(names: frozenset[str]) -> frozenset[str]:
    """Those that depend on the target or the platform."""
    if not names:
        return names
    return frozenset(name for name in names if name.partition(".")[0] in _SCOPED)


def _beginnings(stage: Table) -> Iterator[Node]:
    for key in ("from", "merge", "diff"):
        entry = stage.entries.get(key)
        if entry is None:
            continue
        if isinstance(entry.value, Items):
            yield from entry.value.items
        elif key == "diff" and isinstance(entry.value, Table):
            inner = entry.value.entries
            yield from (inner[name].value for name in ("upper", "lower") if name in inner)
        else:
            yield entry.value


def _given(stage: Table) -> Iterator[Node]:
    """What a stage gives to the frontend that makes it, in the order of ``Stage.bases``."""
    for path in (
        ("dockerfile", "context"),
        ("dockerfile", "file", "from"),
        ("dockerfile", "contexts", "*"),
        ("frontend", "inputs", "*"),
    ):
        nodes: list[Node] = [stage]
        for key in path:
            tables = [node for node in nodes if isinstance(node, Table)]
            nodes = [
                entry.value
                for table in tables
                for name, entry in table.entries.items()
                if key in ("*", name)
            ]
        yield from nodes


def _tables(node: Node | None) -> list[Table]:
    items = node.items if isinstance(node, Items) else ()
    return [item for item in items if isinstance(item, Table)]
