"""The variables of a build file: declared under ``vars``, set from three places, typed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any, Literal

from translator.reading import name_faults
from translator.reading import value_faults as faults
from translator.reading.circles import after_uses
from translator.reading.collector import Collector
from translator.span import Span
from translator.suggest import suggest
from translator.text.document import (
    Entry,
    Items,
    Node,
    Scalar,
    Table,
    as_bool,
    as_int,
    is_null,
    kind,
)
from translator.values import csvspec
from translator.values.interpolate import expand, references
from translator.values.scope import BUILT_IN, Found, Missing, Scope
from translator.values.value import BOOLEANS, Broken, Value

VariableType = Literal["string", "int", "bool", "list", "map"]
Origin = Literal["command line", "environment", "default", "unset"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WANTED: Mapping[str, str] = MappingProxyType(
    {
        "string": "a string",
        "int": "a whole number",
        "bool": "true or false",
        "list": "a list",
        "map": "a map",
    }
)
_ORIGINS: Mapping[Origin, str] = MappingProxyType(
    {
        "command line": "the value ({})",
        "environment": "the value (from the environment)",
        "default": "the default",
    }
)


@dataclass(frozen=True, kw_only=True)
class Variable:
    """A declared variable and its value, None when ``origin`` is ``unset``.

    ``items`` is the type of a list's items or a map's values. ``span`` is the declaration.
    """

    name: str
    type: VariableType = "string"
    items: VariableType = "string"
    default: Node | None = None
    pattern: str = ""
    enum: tuple[str, ...] = ()
    required: bool = False
    description: str = ""
    value: Value | None = None
    origin: Origin = "unset"
    span: Span


class _UnfitError(ValueError):
    """A value that the variable's type has no room for; the message follows "the value ..."."""


# --- declarations ----------------------------------------------------------------------------


def declare(table: Table | None, found: Collector) -> dict[str, Variable]:
    """The variables of a ``vars`` table, without values yet."""
    entries = table.entries.values() if table else ()
    read = (_declaration(entry, found) for entry in entries if not _is_free(entry))
    return {variable.name: variable for variable in read if variable}


def _is_free(entry: Entry) -> bool:
    return entry.key.text.startswith("x-")


def _declaration(entry: Entry, found: Collector) -> Variable | None:
    name, span = entry.key.text, entry.key.span
    if name in BUILT_IN:
        found.add(faults.reserved_variable(name, span))
        return None
    if not _NAME.fullmatch(name):
        found.add(faults.bad_variable_name(name, span))
        return None
    if isinstance(entry.value, Table):
        return _long(name, span, entry.value.entries)
    return Variable(name=name, type=_type_of(entry.value), default=_given(entry.value), span=span)


def _long(name: str, span: Span, entries: Mapping[str, Entry]) -> Variable:
    def node(key: str) -> Node | None:
        return entries[key].value if key in entries else None

    def text(key: str) -> str:
        value = node(key)
        return value.text if isinstance(value, Scalar) else ""

    default, enum = node("default"), node("enum")
    options = enum.items if isinstance(enum, Items) else ()
    return Variable(
        name=name,
        type=text("type") if text("type") in _WANTED else _type_of(default),  # type: ignore[arg-type]
        items=text("items") if text("items") in _WANTED else "string",  # type: ignore[arg-type]
        default=_given(default) if default else None,
        pattern=text("pattern"),
        enum=tuple(option.text for option in options if isinstance(option, Scalar)),
        required=(required := node("required")) is not None and bool(as_bool(required)),
        description=text("description"),
        span=span,
    )


def _given(node: Node) -> Node | None:
    return None if is_null(node) else node


def _type_of(default: Node | None) -> VariableType:
    if isinstance(default, Items):
        return "list"
    return "map" if isinstance(default, Table) else "string"


# --- values ----------------------------------------------------------------------------------


def evaluate(
    declared: Mapping[str, Variable],
    settings: Mapping[str, str],
    setting_span: Callable[[str], Span],
    scope: Scope,
    found: Collector,
) -> dict[str, Variable]:
    """``declared`` with their values: ``settings`` (--var) before the environment, then defaults.

    ``setting_span`` says where a setting stands for messages. ``scope`` offers what defaults may
    refer to besides the variables themselves.
    """
    _check_settings(declared, settings, setting_span, found)
    values: dict[str, Variable] = {}
    known: dict[str, Found] = {name: _STAND_INS[it.type] for name, it in declared.items()}
    inner = replace(scope, variables=known)
    for name in _in_order(declared, found):
        values[name] = _Evaluation(
            variable=declared[name],
            settings=settings,
            setting_span=setting_span,
            scope=inner,
            found=found,
        ).run()
        known[name] = as_found(values[name])
    return {name: values[name] for name in declared if name in values}


def as_found(variable: Variable) -> Found:
    """The variable as a scope finds it."""
    if variable.value is not None:
        return variable.value
    name, span = variable.name, variable.span
    return Missing(lambda place: faults.unset_variable(name, place, span))


def _check_settings(
    declared: Mapping[str, Variable],
    settings: Mapping[str, str],
    setting_span: Callable[[str], Span],
    found: Collector,
) -> None:
    for name in settings:
        if name not in declared and name.removesuffix("_JSON") not in declared:
            nearest = suggest(name, declared)
            found.add(faults.undeclared_setting(name, setting_span(name), nearest))


def _in_order(declared: Mapping[str, Variable], found: Collector) -> list[str]:
    """Every variable after those that its default refers to. Circles are faults."""

    def uses(name: str) -> list[str]:
        default = declared[name].default
        used = references(default) if default else ()
        return sorted(name for name in used if name in declared)

    def circle(names: Sequence[str]) -> None:
        found.add(name_faults.variable_cycle(names, [declared[name].span for name in names]))

    return after_uses(declared, uses, circle)


@dataclass(frozen=True, kw_only=True)
class _Evaluation:
    """One variable's way to its value."""

    variable: Variable
    settings: Mapping[str, str]
    setting_span: Callable[[str], Span]
    scope: Scope
    found: Collector

    def run(self) -> Variable:
        variable = self.variable
        for name, convert in self._names():
            if name in self.settings:
                make = partial(convert, variable, self.settings[name])
                return self._checked("command line", self.setting_span(name), make)
        for name, convert in self._names():
            if name in self.scope.environment:
                make = partial(convert, variable, self.scope.environment[name])
                return self._checked("environment", variable.span, make)
        if variable.default:
            return self._from_default(variable.default)
        if variable.required:
            self.found.add(faults.missing_value(variable.name, variable.span))
        return variable

    def _names(self) -> Iterator[tuple[str, Callable[[Variable, str], Value]]]:
        if self.variable.type in ("list", "map"):
            yield f"{self.variable.name}_JSON", _from_json
        yield self.variable.name, _from_text

    def _from_default(self, default: Node) -> Variable:
        variable = self.variable
        node = expand(default, self.scope, self.found)
        if _is_broken(node):
            return replace(variable, value=_STAND_INS[variable.type], origin="default")
        make = partial(_from_node, variable.type, variable, node)
        return self._checked("default", default.span, make)

    def _checked(self, origin: Origin, span: Span, make: Callable[[], Value]) -> Variable:
        """The variable with its value; a stand-in of its type after a fault, to find more."""
        variable = self.variable
        try:
            value = make()
            _check(variable, value, self.found)
        except _UnfitError as unfit:
            fault = faults.bad_value(
                variable.name, _ORIGINS[origin].format(span.file.name), str(unfit), span
            )
            self.found.add(fault)
            value = _STAND_INS[variable.type]
        return replace(variable, value=value, origin=origin)


_STAND_INS: Mapping[str, Value] = MappingProxyType(
    {"string": "", "int": 0, "bool": False, "list": (), "map": MappingProxyType({})}
)


def _is_broken(node: Node) -> bool:
    if isinstance(node, Items):
        return any(map(_is_broken, node.items))
    if isinstance(node, Table):
        return any(_is_broken(entry.value) for entry in node.entries.values())
    return isinstance(node, Broken)


# --- from text: the command line and the environment ------------------------------------------


def _from_text(variable: Variable, text: str) -> Value:
    if variable.type == "list":
        return _list_from_text(variable, text)
    if variable.type == "map":
        return _map_from_text(variable, text)
    return _single(variable.type, text)


def _single(wanted: VariableType, text: str) -> Value:
    if wanted == "string":
        return text
    value: int | bool | None = BOOLEANS.get(text.strip().lower())
    if wanted == "int":
        value = int(text) if re.fullmatch(r"\s*[-+]?[0-9]{1,18}\s*", text) else None
    if value is None:
        raise _UnfitError(f"must be {_WANTED[wanted]}, found {text!r}")
    return value


def _list_from_text(variable: Variable, text: str) -> Value:
    if text.lstrip().startswith("["):
        return _from_json(variable, text)
    return tuple(_single(variable.items, item.strip()) for item in _fields(text))


def _map_from_text(variable: Variable, text: str) -> Value:
    if text.lstrip().startswith("{"):
        return _from_json(variable, text)
    pairs = [field.partition("=") for field in _fields(text)]
    if not all(equals for _, equals, _ in pairs):
        raise _UnfitError(f"must be key=value pairs or JSON, found {text!r}")
    return {key.strip(): _single(variable.items, value) for key, _, value in pairs}


def _fields(text: str) -> tuple[str, ...]:
    try:
        return csvspec.fields(text) if text.strip() else ()
    except ValueError as error:
        raise _UnfitError(f"is no comma list: {error}") from None


def _from_json(variable: Variable, text: str) -> Value:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise _UnfitError(f"must be {_WANTED[variable.type]} as JSON") from None
    if variable.type == "list" and isinstance(data, list):
        return tuple(_json_item(variable.items, item) for item in data)
    if variable.type == "map" and isinstance(data, dict):
        return {key: _json_item(variable.items, item) for key, item in data.items()}
    raise _UnfitError(f"must be {_WANTED[variable.type]} as JSON")


def _json_item(wanted: VariableType, item: Any) -> Value:
    if isinstance(item, bool):
        return _single(wanted, "true" if item else "false")
    if isinstance(item, str | int):
        return _single(wanted, str(item))
    raise _UnfitError(f"must have items that are {_WANTED[wanted]}, found {json.dumps(item)}")


# --- from nodes: defaults ----------------------------------------------------------------------


def _from_node(wanted: VariableType, variable: Variable, node: Node) -> Value:
    if wanted == "list" and isinstance(node, Items):
        return tuple(_from_node(variable.items, variable, item) for item in node.items)
    if wanted == "map" and isinstance(node, Table):
        entries = node.entries.items()
        return {key: _from_node(variable.items, variable, entry.value) for key, entry in entries}
    value = _SCALARS[wanted](node) if isinstance(node, Scalar) and wanted in _SCALARS else None
    if value is None:
        raise _UnfitError(f"must be {_WANTED[wanted]}, found {kind(node)}")
    return value


_SCALARS: Mapping[str, Callable[[Scalar], Value | None]] = MappingProxyType(
    {"string": lambda node: node.text, "int": as_int, "bool": as_bool}
)


# --- what a value must be besides ----------------------------------------------------------------


def _check(variable: Variable, value: Value, found: Collector) -> None:
    texts = _texts(value)
    if variable.enum:
        for text in texts:
            if text not in variable.enum:
                raise _UnfitError(f"must be one of {', '.join(variable.enum)}, found {text!r}")
    if variable.pattern:
        _match(variable, texts, found)


def _match(variable: Variable, texts: Iterable[str], found: Collector) -> None:
    try:
        pattern = re.compile(variable.pattern)
    except (re.error, RecursionError, OverflowError) as error:
        found.add(faults.bad_pattern(str(error), variable.span))
        return
    for text in texts:
        if not pattern.search(text):
            raise _UnfitError(f"must match {variable.pattern}, found {text!r}")


def _texts(value: Value) -> tuple[str, ...]:
    if isinstance(value, tuple):
        return tuple(text for item in value for text in _texts(item))
    if isinstance(value, Mapping):
        return tuple(text for item in value.values() for text in _texts(item))
    return (str(value).lower() if isinstance(value, bool) else str(value),)
