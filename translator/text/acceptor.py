"""Whether nodes satisfy the build file's schema, yes or no, and fast.

``translator.text.schema`` asks here first: nearly all files are valid, and then jsonschema (80 ms
to import, a second for 10,000 stages) need not be loaded. What is wrong with a file is for
jsonschema to say, so a keyword that is missing in ``_KEYWORDS`` is an error here, never ignored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from operator import ge, le
from types import MappingProxyType
from typing import Any, TypeAlias

from translator.text.document import Items, Node, Scalar, Table, as_bool, as_int, is_null

Schema: TypeAlias = Mapping[str, Any]
Check: TypeAlias = Callable[[Node], bool]

_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_ANNOTATIONS = frozenset(
    ("$schema", "$id", "$defs", "title", "description", "examples", "format", "patternErrorMessage")
)
# Read together with the keyword that they belong to.
_COMPANIONS = frozenset(("patternProperties", "additionalProperties", "then", "else"))


# --- what a node is ----------------------------------------------------------------------------


def is_string(node: Node) -> bool:
    """Whether the node can be a text: any scalar but null."""
    return isinstance(node, Scalar) and not is_null(node)


def is_number(node: Node) -> bool:
    """Whether the node can be a number, whole or not."""
    return isinstance(node, Scalar) and node.plain and bool(_NUMBER.fullmatch(node.text))


TYPES: Mapping[str, Check] = MappingProxyType(
    {
        "object": lambda node: isinstance(node, Table),
        "array": lambda node: isinstance(node, Items),
        "string": is_string,
        "boolean": lambda node: as_bool(node) is not None,
        "integer": lambda node: as_int(node) is not None,
        "number": lambda node: as_int(node) is not None or is_number(node),
        "null": is_null,
    }
)


def is_other(node: Node, schema: Schema) -> bool:
    """Whether the schema takes the node for something else than a text, such as a number.

    A plain ``5`` can be both; where a number is welcome, rules for texts do not hold for it.
    """
    types = schema.get("type", ())
    names = (types,) if isinstance(types, str) else types
    return any(TYPES[name](node) for name in names if name != "string")


def equals(node: Node, value: Any) -> bool:
    """Whether a scalar can be the ``value`` of an ``enum`` or ``const``."""
    if not isinstance(node, Scalar):
        return False
    if isinstance(value, bool):
        return as_bool(node) is value
    if isinstance(value, int):
        return as_int(node) == value
    return node.text == value and not is_null(node)


# --- keywords ----------------------------------------------------------------------------------


class Acceptor:
    """A schema, ready to be asked.

    Patterns are compiled by their first use, as definitions are: small files need few of them.
    """

    def __init__(self, root: Schema) -> None:
        self._definitions: Schema = root.get("$defs", {})
        self._compiled: dict[str, Check] = {}
        self.accepts: Check = self.compile(root)

    def compile(self, schema: Schema | bool) -> Check:
        """The check for one schema. Raises KeyError for a keyword that is not known here."""
        if isinstance(schema, bool):
            return lambda _: schema
        words = [word for word in schema if word not in _ANNOTATIONS]
        if "properties" not in words and _COMPANIONS.intersection(words) - {"then", "else"}:
            words.append("properties")
        checks = [_KEYWORDS[word](self, schema) for word in words if word not in _COMPANIONS]
        return checks[0] if len(checks) == 1 else _all(tuple(checks))

    def definition(self, reference: str) -> Check:
        """The check that a ``$ref`` stands for, compiled when it is first asked.

        Small files use few of the definitions, and all of them take longer than the check itself.
        """
        name = reference.removeprefix("#/$defs/")
        compiled = self._compiled

        def check(node: Node) -> bool:
            if name not in compiled:
                compiled[name] = self.compile(self._definitions[name])
            return compiled[name](node)

        return check


Keyword: TypeAlias = Callable[[Acceptor, Schema], Check]


def _all(checks: tuple[Check, ...]) -> Check:
    def check(node: Node) -> bool:
        for each in checks:  # noqa: SIM110 -- a generator costs more than the check
            if not each(node):
                return False
        return True

    return check


def _type(_: Acceptor, schema: Schema) -> Check:
    wanted = schema["type"]
    if isinstance(wanted, str):
        return TYPES[wanted]
    checks = tuple(TYPES[name] for name in wanted)
    return lambda node: any(check(node) for check in checks)


def _enum(_: Acceptor, schema: Schema) -> Check:
    values = schema["enum"]
    return lambda node: any(equals(node, value) for value in values)


def _const(_: Acceptor, schema: Schema) -> Check:
    return lambda node: equals(node, schema["const"])


def _pattern(_: Acceptor, schema: Schema) -> Check:
    pattern = schema["pattern"]
    alone = schema.get("type", "string") == "string"

    def check(node: Node) -> bool:
        if not is_string(node) or (not alone and is_other(node, schema)):
            return True
        return isinstance(node, Scalar) and re.search(pattern, node.text) is not None

    return check


def _bound(word: str, fits: Callable[[int, int], bool]) -> Keyword:
    def keyword(_: Acceptor, schema: Schema) -> Check:
        bound = schema[word]

        def check(node: Node) -> bool:
            number = as_int(node)
            return number is None or fits(number, bound)

        return check

    return keyword


def _least(word: str, size: Callable[[Node], int | None]) -> Keyword:
    def keyword(_: Acceptor, schema: Schema) -> Check:
        least = schema[word]

        def check(node: Node) -> bool:
            length = size(node)
            return length is None or length >= least

        return check

    return keyword


def _properties(acceptor: Acceptor, schema: Schema) -> Check:
    named = {key: acceptor.compile(each) for key, each in schema.get("properties", {}).items()}
    patterns = [
        (pattern, acceptor.compile(each))
        for pattern, each in schema.get("patternProperties", {}).items()
    ]
    others = acceptor.compile(schema.get("additionalProperties", True))

    def unnamed(key: str, node: Node) -> bool:
        matching = [check for pattern, check in patterns if re.search(pattern, key)]
        return all(check(node) for check in matching or (others,))

    def check(node: Node) -> bool:
        if not isinstance(node, Table):
            return True
        for key, entry in node.entries.items():
            known = named.get(key)
            if not (known(entry.value) if known else unnamed(key, entry.value)):
                return False
        return True

    return check


def _property_names(acceptor: Acceptor, schema: Schema) -> Check:
    fits = acceptor.compile(schema["propertyNames"])
    good: dict[str, bool] = {}

    def fit(key: str, node: Scalar) -> bool:
        if key not in good:
            good[key] = fits(Scalar(key, False, node.span))
        return good[key]

    def check(node: Node) -> bool:
        if not isinstance(node, Table):
            return True
        return all(fit(key, entry.key) for key, entry in node.entries.items())

    return check


def _items(acceptor: Acceptor, schema: Schema) -> Check:
    fits = acceptor.compile(schema["items"])
    return lambda node: not isinstance(node, Items) or all(map(fits, node.items))


def _required(_: Acceptor, schema: Schema) -> Check:
    wanted = tuple(schema["required"])

    def check(node: Node) -> bool:
        if not isinstance(node, Table):
            return True
        entries = node.entries
        return all(key in entries for key in wanted)

    return check


def _one_of(acceptor: Acceptor, schema: Schema) -> Check:
    checks = [acceptor.compile(each) for each in schema["oneOf"]]
    return lambda node: sum(check(node) for check in checks) == 1


def _any_of(acceptor: Acceptor, schema: Schema) -> Check:
    checks = [acceptor.compile(each) for each in schema["anyOf"]]
    return lambda node: any(check(node) for check in checks)


def _all_of(acceptor: Acceptor, schema: Schema) -> Check:
    return _all(tuple(acceptor.compile(each) for each in schema["allOf"]))


def _not(acceptor: Acceptor, schema: Schema) -> Check:
    refused = acceptor.compile(schema["not"])
    return lambda node: not refused(node)


def _if(acceptor: Acceptor, schema: Schema) -> Check:
    decides = acceptor.compile(schema["if"])
    then = acceptor.compile(schema.get("then", True))
    otherwise = acceptor.compile(schema.get("else", True))
    return lambda node: then(node) if decides(node) else otherwise(node)


def _length(kind: type[Table] | type[Items], of: Callable[[Any], int]) -> Callable[[Node], Any]:
    return lambda node: of(node) if isinstance(node, kind) else None


_KEYWORDS: Mapping[str, Keyword] = MappingProxyType(
    {
        "$ref": lambda acceptor, schema: acceptor.definition(schema["$ref"]),
        "type": _type,
        "enum": _enum,
        "const": _const,
        "pattern": _pattern,
        "minimum": _bound("minimum", ge),
        "maximum": _bound("maximum", le),
        "minLength": _least(
            "minLength",
            lambda node: len(node.text) if isinstance(node, Scalar) and is_string(node) else None,
        ),
        "minItems": _least("minItems", _length(Items, lambda node: len(node.items))),
        "minProperties": _least("minProperties", _length(Table, lambda node: len(node.entries))),
        "properties": _properties,
        "propertyNames": _property_names,
        "items": _items,
        "required": _required,
        "oneOf": _one_of,
        "anyOf": _any_of,
        "allOf": _all_of,
        "not": _not,
        "if": _if,
    }
)
