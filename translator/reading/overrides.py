"""``--set 'PATTERN.key[.sub]=value'``: fields of targets changed from the command line.

As in bake: the pattern is a glob over target names, a list is given with commas or by repeating the
option, and ``+=`` appends. A variant of a matrix can be named as well as its target. Values are
taken as they stand: the shell has had its turn, so ``${...}`` is not replaced.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Literal

from translator.inputs import FieldOption
from translator.reading import value_faults as faults
from translator.reading.collector import Collector
from translator.span import Position, SourceFile, Span
from translator.suggest import suggest
from translator.text.document import Entry, Items, Node, Scalar, Table
from translator.values import csvspec
from translator.values.template import escape

Shape = Literal["text", "texts", "entries", "map", "lists"]

_KEYS: Mapping[str, Shape | Mapping[str, Shape]] = MappingProxyType(
    {
        "stage": "text",
        "dockerfile": MappingProxyType(
            {
                "context": "text",
                "file": "text",
                "target": "text",
                "args": "map",
                "labels": "map",
                "network": "text",
                "no-cache": "text",
                "secrets": "texts",
                "ssh": "texts",
                "entitlements": "texts",
            }
        ),
        "platforms": "texts",
        "outputs": "entries",
        "secrets": "texts",
        "extends": "texts",
        "no-cache": "text",
        "worker": "text",
        "description": "text",
        "annotations": "map",
        "matrix": "lists",
        "cache": MappingProxyType({"import": "entries", "export": "entries"}),
        "attest": MappingProxyType({"provenance": "text", "sbom": "text"}),
    }
)
_FIELD = r"\.(?P<key>{}[^=]*?)(?P<append>\+?)=(?P<value>.*)"
_KNOWN = rf"(?P<pattern>[^=]+?){_FIELD.format('(?:' + '|'.join(_KEYS) + ')(?![^.+=])')}"
_OTHER = rf"(?P<pattern>[^.=]+){_FIELD.format('')}"


@dataclass(frozen=True, kw_only=True)
class Override:
    """One option, taken apart. ``value`` is what the field gets, or gets more of."""

    pattern: str
    path: tuple[str, ...]
    value: Node
    append: bool
    span: Span


@dataclass(frozen=True, kw_only=True)
class Overrides:
    """All of them: those for every target, those with a glob, and those that name a target."""

    everywhere: Sequence[Override] = ()
    globs: Sequence[Override] = ()
    named: Mapping[str, Sequence[Override]] = field(default_factory=dict)

    def of(self, name: str) -> list[Override]:
        """Those for one target, in the order of the command line as far as it matters."""
        globs = [each for each in self.globs if fnmatchcase(name, each.pattern)]
        return [*self.everywhere, *globs, *self.named.get(name, ())]


def parse(
    options: Iterable[str], fields: Iterable[FieldOption], folder: str, found: Collector
) -> Overrides:
    """Take options apart. Relative paths in them start from ``folder``."""
    named: dict[str, list[Override]] = {}
    globs: list[Override] = []
    for option in options:
        override = _override(option, folder, found)
        if override and re.search(r"[*?\[]", override.pattern):
            globs.append(override)
        elif override:
            named.setdefault(override.pattern, []).append(override)
    everywhere = [_for_all(each, folder, found) for each in fields]
    return Overrides(everywhere=[each for each in everywhere if each], globs=globs, named=named)


def check_names(overrides: Overrides, names: Sequence[str], found: Collector) -> None:
    """Report the patterns that no target has."""
    known = set(names)
    for name, several in overrides.named.items():
        if name not in known:
            near = suggest(name, names)
            found.extend(faults.unmatched_override(name, each.span, near) for each in several)
    for each in overrides.globs:
        if not any(fnmatchcase(name, each.pattern) for name in names):
            found.add(faults.unmatched_override(each.pattern, each.span, None))


def apply(table: Table, overrides: Iterable[Override]) -> Table:
    """A target's table with its overrides. Several for one list make one list."""
    replaced: set[tuple[str, ...]] = set()
    for override in overrides:
        append = override.append or override.path in replaced
        replaced.add(override.path)
        table = _set(table, override.path, override, append)
    return table


def _set(table: Table, path: tuple[str, ...], override: Override, append: bool) -> Table:
    key, below = path[0], path[1:]
    present = table.entries.get(key)
    value = override.value
    if below:
        inner = present.value if present else None
        start = inner if isinstance(inner, Table) else Table({}, override.span)
        value = _set(start, below, override, append)
    elif append and present and isinstance(value, Items):
        before = present.value.items if isinstance(present.value, Items) else (present.value,)
        value = Items((*before, *value.items), override.span)
    entry = Entry(Scalar(key, False, override.span), value)
    return Table({**table.entries, key: entry}, table.span)


# --- one option ------------------------------------------------------------------------------


def _for_all(given: FieldOption, folder: str, found: Collector) -> Override | None:
    """An option with a name of its own, which is where its faults are shown."""
    file = SourceFile(name=given.option, folder=folder, text=given.value)
    span = _span(file, 0, len(given.value))
    path, shape = _path(given.key, span, found)
    value = _value(given.value, shape, span, found) if shape else None
    if value is None:
        return None
    return Override(pattern="*", path=path, value=value, append=False, span=span)


def _override(option: str, folder: str, found: Collector) -> Override | None:
    file = SourceFile(name="--set", folder=folder, text=option)
    match = re.fullmatch(_KNOWN, option, re.DOTALL) or re.fullmatch(_OTHER, option, re.DOTALL)
    if not match:
        found.add(faults.bad_override(_span(file, 0, len(option))))
        return None
    key_span = _span(file, *match.span("key"))
    path, shape = _path(match["key"], key_span, found)
    if shape is None:
        return None
    if match["append"] and shape in ("text", "map"):
        found.add(faults.no_list(match["key"], key_span))
        return None
    value = _value(match["value"], shape, _span(file, *match.span("value")), found)
    if value is None:
        return None
    return Override(
        pattern=match["pattern"],
        path=path,
        value=value,
        append=bool(match["append"]),
        span=_span(file, 0, len(option)),
    )


def _path(key: str, span: Span, found: Collector) -> tuple[tuple[str, ...], Shape | None]:
    head, dot, rest = key.partition(".")
    shape = _KEYS.get(head)
    if shape is None:
        found.add(faults.unknown_key(head, span, suggest(head, _KEYS), _KEYS))
    elif not isinstance(shape, Mapping):
        return _whole((head, rest) if dot else (head,), shape, span, found)
    else:
        sub, dot, rest = rest.partition(".")
        if sub in shape:
            return _whole((head, sub, rest) if dot else (head, sub), shape[sub], span, found, 2)
        known = [f"{head}.{each}" for each in shape]
        found.add(faults.unknown_key(key, span, suggest(key, known), known))
    return (), None


def _whole(
    path: tuple[str, ...], shape: Shape, span: Span, found: Collector, keys: int = 1
) -> tuple[tuple[str, ...], Shape | None]:
    """A path of ``keys`` keys, which leads into a map and not into anything else."""
    inside = len(path) > keys and bool(path[-1])
    if inside != (shape in ("map", "lists")):
        found.add(faults.bad_override_key(".".join(path[:keys]), inside, span))
        return (), None
    return path, shape


def _value(text: str, shape: Shape, span: Span, found: Collector) -> Node | None:
    if shape in ("text", "map"):
        return Scalar(escape(text), True, span)
    if shape == "entries":
        return Items((Scalar(escape(text), False, span),) if text else (), span)
    try:
        parts = csvspec.fields(text) if text else ()
    except ValueError as error:
        found.add(faults.bad_csv(str(error), span))
        return None
    return Items(tuple(Scalar(escape(part), True, span) for part in parts), span)


def _span(file: SourceFile, start: int, end: int) -> Span:
    return Span(file, Position(1, start + 1), Position(1, end + 1))
