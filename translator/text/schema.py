"""The schema check: nodes against one of the schemas in ``schemas/``, with jsonschema.

jsonschema sees plain values made of the nodes; each of its errors becomes one of our faults, drawn
at the key or value that it is about. A file without fault never gets that far: see
``translator.text.acceptor``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from operator import ge, le
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from schemas import buildfile_schema_text
from translator.diagnostic import Diagnostic
from translator.text.acceptor import TYPES, Acceptor, Schema, equals, is_other
from translator.text.document import Entry, Items, Node, Scalar, Table, as_int

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

    from translator.text.schema_fault import Mistake


Text: TypeAlias = Callable[[], str]


def check(document: Table, text: Text = buildfile_schema_text) -> tuple[Diagnostic, ...]:
    """All that is wrong with a file's shape, as written, before any interpolation.

    ``text`` gives the schema that it has to follow; it is asked once.
    """
    if _acceptor(text).accepts(document):
        return ()
    from translator.text.schema_fault import faults_of

    errors = _validator(text).iter_errors(_instance(_suspect(document, text)))
    return tuple(faults_of([_mistake(error, document) for error in errors], _schema(text)))


@lru_cache
def _schema(text: Text) -> Schema:
    schema: Schema = json.loads(text())
    return schema


@lru_cache
def _acceptor(text: Text) -> Acceptor:
    return Acceptor(_schema(text))


def _suspect(document: Table, text: Text) -> Table:
    """The document without the stages, targets... that are valid, each for itself.

    jsonschema takes half a millisecond for a stage, and a file of thousands has few faults.
    """
    entries = dict(document.entries)
    for name, section in _schema(text)["properties"].items():
        table = entries[name].value if name in entries else None
        if "propertyNames" in section and isinstance(table, Table):
            entries[name] = Entry(entries[name].key, _without_valid(table, section, text))
    return Table(entries, document.span)


def _without_valid(table: Table, section: Schema, text: Text) -> Table:
    accepts = _acceptor(text).compile(section)
    return Table(
        {
            key: entry
            for key, entry in table.entries.items()
            if not accepts(Table({key: entry}, table.span))
        },
        table.span,
    )


# --- nodes as jsonschema wants them ------------------------------------------------------------


class _Text(str):
    """A scalar's text that knows its node, and so what else the text can be."""

    __slots__ = ("node",)
    node: Scalar


def _instance(node: Node) -> Any:
    if isinstance(node, Table):
        return {key: _instance(entry.value) for key, entry in node.entries.items()}
    if isinstance(node, Items):
        return [_instance(item) for item in node.items]
    text = _Text(node.text)
    text.node = node
    return text


def _is(name: str) -> Any:
    by_class: Mapping[str, type] = {"object": dict, "array": list, "string": str}

    def is_type(_: Any, instance: Any) -> bool:
        if isinstance(instance, _Text):
            return TYPES[name](instance.node)
        return isinstance(instance, by_class.get(name, ()))

    return is_type


# --- keywords that look at what a text can be --------------------------------------------------


def _matches(name: str) -> Any:
    def keyword(validator: Any, value: Any, instance: Any, schema: Schema) -> Iterator[Any]:
        if not (isinstance(instance, _Text) and is_other(instance.node, schema)):
            yield from _standard().VALIDATORS[name](validator, value, instance, schema)

    return keyword


def _equal(values: Iterable[Any], instance: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if not (isinstance(instance, _Text) and any(equals(instance.node, each) for each in values)):
        yield ValidationError("is none of those allowed")


def _bound(fits: Callable[[int, int], bool]) -> Any:
    def keyword(_: Any, bound: int, instance: Any, __: Schema) -> Iterator[Any]:
        from jsonschema import ValidationError

        number = as_int(instance.node) if isinstance(instance, _Text) else None
        if number is not None and not fits(number, bound):
            yield ValidationError("is out of bounds")

    return keyword


@lru_cache(maxsize=1)
def _standard() -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator


@lru_cache
def _validator(text: Text) -> Validator:
    from jsonschema import TypeChecker, validators

    extend: Any = validators.extend
    made = extend(
        _standard(),
        {
            "pattern": _matches("pattern"),
            "enum": lambda _, values, instance, __: _equal(values, instance),
            "const": lambda _, value, instance, __: _equal((value,), instance),
            "minimum": _bound(ge),
            "maximum": _bound(le),
        },
        type_checker=TypeChecker({name: _is(name) for name in TYPES}),
    )
    validator: Validator = made(_schema(text))
    return validator


# --- errors ------------------------------------------------------------------------------------


def _mistake(error: Any, document: Table) -> Mistake:
    """The error with its nodes: its path leads from the document to what it is about."""
    from translator.text.schema_fault import Mistake

    node: Node = document
    key: Scalar | None = None
    for step in error.absolute_path:
        if isinstance(node, Table):
            key, node = node.entries[step].key, node.entries[step].value
        elif isinstance(node, Items):
            node = node.items[step]
            key = None
    return Mistake(
        keyword=error.validator,
        node=node,
        key=key,
        name=str(error.instance) if "propertyNames" in error.absolute_schema_path else None,
        schema=MappingProxyType(error.schema),
        path=tuple(error.absolute_path),
        schema_path=tuple(error.absolute_schema_path),
    )
