"""Targets: what they inherit, their matrix variants, and the fields of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from translator.platform import Platform
from translator.reading import name_faults
from translator.reading import value_faults as faults
from translator.reading.matrix import Combination, combine, keys
from translator.reading.overrides import Overrides, apply
from translator.reading.read_cache import cache_export, cache_import
from translator.reading.read_output import output
from translator.reading.read_source import secret_id
from translator.reading.read_worker import worker
from translator.reading.reader import (
    Field,
    Reading,
    attributes,
    fields,
    flag,
    form,
    pairs,
    platform,
    several,
    text,
)
from translator.span import Span
from translator.suggest import suggest
from translator.target import CacheEntry, Target
from translator.text.document import Node, Scalar, Table
from translator.values.interpolate import expand
from translator.values.scope import Scope, matrix_names

_CACHE = fields(
    import_=Field(several(cache_import), to="cache_imports"),
    export=Field(several(cache_export), to="cache_exports"),
)
_PROVENANCE = form(
    "min, max or false",
    {"min": "min", "max": "max", "false": "false", "true": "min"}.get,
)
_ATTEST = fields(provenance=_PROVENANCE, sbom=flag)


def _cache(node: Node, reading: Reading) -> dict[str, tuple[CacheEntry, ...]] | None:
    if isinstance(node, Table):
        return attributes(node.entries, _CACHE, node, reading)
    reading.wrong("a map", node)
    return None


def _attest(node: Node, reading: Reading) -> dict[str, Any] | None:
    if isinstance(node, Table):
        return attributes(node.entries, _ATTEST, node, reading)
    reading.wrong("a map", node)
    return None


_TARGET = fields(
    stage=text,
    platforms=several(platform),
    outputs=several(output),
    cache=_cache,
    secrets=several(secret_id),
    annotations=pairs,
    attest=_attest,
    no_cache=flag,
    worker=worker,
    description=text,
)
_APART = ("extends", "abstract", "matrix", "dockerfile")
_BUILT = ("stage", "dockerfile")


@dataclass(frozen=True, kw_only=True)
class TargetReader:
    """Reads declared targets into their variants.

    ``scope`` has the file's variables; ``cache`` is the one at the top of the file. ``names`` fills
    with the variants' names, each with its target and where that stands, and ``dockerfiles`` with
    the stages that targets are, which have a Dockerfile.
    """

    scope: Scope
    reading: Reading
    overrides: Overrides
    stages: Mapping[str, object]
    cache: Node | None = None
    names: dict[str, tuple[str, Span]] = field(default_factory=dict)
    dockerfiles: dict[str, Table] = field(default_factory=dict)

    def combinations(self, name: str, table: Table) -> tuple[Combination, ...]:
        """The variants of a target, one without values where it has no matrix."""
        entry = table.entries.get("matrix")
        if entry is None:
            return (Combination(values={}),)
        scope = self.scope.within("a matrix", ("target",), {"target": name})
        node = expand(entry.value, scope, self.reading.found)
        if not isinstance(node, Table):
            self.reading.wrong("a map", node)
            return ()
        before = len(self.reading.found)
        made = combine(node, self.reading.found)
        if not made and len(self.reading.found) == before:
            self.reading.found.add(name_faults.empty_matrix(name, entry.key.span))
        return made

    def variants(self, name: str, table: Table) -> Iterator[Target]:
        """Every variant of the target that could be read."""
        for combination in self.combinations(name, table):
            variant = combination.name(name)
            self._check_name(variant, name, table.span)
            changed = apply(table, self.overrides.of(variant)) if variant != name else table
            target = self._variant(name, variant, combination, changed, table)
            if target and not (combination.without and not target.platforms):
                yield target

    def _check_name(self, variant: str, declared: str, span: Span) -> None:
        if variant in self.names:
            other, first = self.names[variant]
            fault = name_faults.same_variant(variant, (other, declared), span, first)
            self.reading.found.add(fault)
        self.names[variant] = (declared, span)

    def _variant(
        self, name: str, variant: str, combination: Combination, table: Table, declared: Table
    ) -> Target | None:
        local = {"target": variant, **matrix_names(combination.values)}
        scope = self.scope.within("a target", ("target", "matrix"), local)
        entries = {key: entry for key, entry in table.entries.items() if key not in _APART}
        node = expand(Table(entries, table.span), scope, self.reading.found)
        if not isinstance(node, Table):
            return None
        given = attributes(node.entries, _TARGET, node, self.reading)
        shared = self._shared_cache(scope)
        known = self._stage_exists(node) and self._says_what_is_built(table)
        if given is None or shared is None or not known:
            return None
        if "dockerfile" in table.entries:
            given["stage"] = self._dockerfile(variant if table is not declared else name, table)
        flat = {**shared, **(given.pop("cache", None) or {}), **(given.pop("attest", None) or {})}
        flat["annotations"] = MappingProxyType(dict(given.pop("annotations", ())))
        platforms = self._platforms(name, given.pop("platforms", ()), combination, table)
        return Target(
            name=variant,
            declared=name,
            matrix=MappingProxyType(dict(combination.values)),
            platforms=platforms,
            **given,
            **flat,
            span=table.span,
        )

    def _shared_cache(self, scope: Scope) -> dict[str, tuple[CacheEntry, ...]] | None:
        if self.cache is None:
            return {}
        return _cache(expand(self.cache, scope, self.reading.found), self.reading)

    def _stage_exists(self, node: Table) -> bool:
        entry = node.entries.get("stage")
        if entry is None or not isinstance(entry.value, Scalar) or entry.value.text in self.stages:
            return True
        value = entry.value
        nearest = suggest(value.text, self.stages)
        fault = name_faults.unknown_name("stage", value.text, value.span, nearest, "stages")
        self.reading.found.at(value, fault)
        return False

    def _says_what_is_built(self, table: Table) -> bool:
        said = [key for key in _BUILT if key in table.entries]
        if not said:
            self.reading.missing("stage", table)
        elif len(said) > 1:
            span = table.entries["dockerfile"].key.span
            self.reading.found.at(table, faults.not_together(*_BUILT, span))
        return len(said) == 1

    def _dockerfile(self, name: str, table: Table) -> str:
        """The stage that a target's Dockerfile is, which has the target's name."""
        self.dockerfiles[name] = Table({"dockerfile": table.entries["dockerfile"]}, table.span)
        return name

    def _platforms(
        self,
        name: str,
        platforms: tuple[Platform, ...],
        combination: Combination,
        table: Table,
    ) -> tuple[Platform, ...]:
        if combination.without and not platforms:
            dropped = ", ".join(map(str, sorted(combination.without)))
            span = table.entries["matrix"].key.span
            self.reading.found.add(name_faults.platform_not_listed(dropped, name, span))
        return tuple(each for each in dict.fromkeys(platforms) if each not in combination.without)


def matrix_keys(tables: Mapping[str, Table]) -> tuple[str, ...]:
    """The keys of all matrices together."""
    found: dict[str, None] = {}
    for table in tables.values():
        entry = table.entries.get("matrix")
        found.update(dict.fromkeys(keys(entry.value if entry else None)))
    return tuple(found)
