"""From what a schema's keyword complains about to what we say to people: one row per keyword."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from translator.diagnostic import Diagnostic
from translator.reading import value_faults
from translator.span import Position, Span
from translator.suggest import suggest
from translator.text import faults
from translator.text.acceptor import Schema
from translator.text.document import Node, Scalar, Table, is_null, kind

# What other tools call a key, where spelling alone would not lead to ours.
_ELSEWHERE: Mapping[str, str] = MappingProxyType(
    {
        "inherits": "extends",
        "depends_on": "extends",
        "environment": "env",
        "variable": "vars",
        "variables": "vars",
        "args": "vars",
        "arg": "vars",
        "working_dir": "workdir",
        "cwd": "workdir",
        "base": "from",
        "script": "run",
        "command": "run",
        "cmd": "run",
        "exec": "run",
        "add": "copy",
        "volumes": "mounts",
        "mount": "mounts",
        "config": "image",
        "tags": "outputs",
        "output": "outputs",
        "cache-from": "cache",
        "cache-to": "cache",
        "cache_from": "cache",
        "cache_to": "cache",
        "extra_hosts": "hosts",
        "platform": "platforms",
        "no_cache": "no-cache",
        "url": "git",
        "path": "local",
        "context": "local",
        "sha256": "checksum",
        "branch": "ref",
        "tag": "ref",
        "src": "from",
        "dest": "to",
        "dst": "target",
        "destination": "to",
    }
)
_YES_NO = MappingProxyType(
    {
        **dict.fromkeys(("yes", "on", "y", "true", "1"), "true"),
        **dict.fromkeys(("no", "off", "n", "false", "0"), "false"),
    }
)
_WORDS = MappingProxyType(
    {
        "object": "a map",
        "array": "a list",
        "boolean": "true or false",
        "integer": "a whole number",
        "string": "a string",
    }
)
_REFERENCE = r"\$\{"
# What a text was perhaps meant to be, where a map is wanted: by definition.
_SHORT = MappingProxyType(
    {
        "step": "write run: TEXT",
        "source": "write {image: TEXT}, or {local: TEXT} for a folder",
        "secret": "write {env: TEXT}, or {file: TEXT}",
        "ssh": "write {agent: TEXT}",
        "target": "write {stage: TEXT}",
    }
)


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """One complaint of the schema: ``keyword`` of ``schema`` is not satisfied by ``node``.

    ``key`` is the key that the node stands under, if it does; ``name`` is the key that is wrong
    where a complaint is about a key itself. ``path`` leads to the node, ``schema_path`` to the
    keyword.
    """

    keyword: str
    node: Node
    key: Scalar | None
    name: str | None
    schema: Schema
    path: tuple[str | int, ...]
    schema_path: tuple[str | int, ...]


def faults_of(mistakes: Iterable[Mistake], root: Schema) -> Iterator[Diagnostic]:
    """The faults that mistakes amount to, each once, without those that follow from another."""
    places: dict[tuple[str | int, ...], list[Mistake]] = {}
    for mistake in mistakes:
        places.setdefault(mistake.path, []).append(mistake)
    seen: dict[Diagnostic, None] = {}
    for group in places.values():
        for mistake in _telling(group, root):
            for fault in _ROWS[_row(mistake)](mistake, _Place(mistake, root)):
                seen.setdefault(fault)
    return iter(seen)


def _row(mistake: Mistake) -> str:
    return mistake.keyword if mistake.name is None else "propertyNames"


def _telling(group: list[Mistake], root: Schema) -> list[Mistake]:
    """The mistakes of one node but for echoes of another one."""
    keywords = {_row(mistake) for mistake in group}
    if "type" in keywords:
        return [mistake for mistake in group if mistake.keyword == "type"]
    echoes: set[str] = set()
    if "oneOf" in keywords and "propertyNames" in keywords:
        # Two kinds at once, each of which has no room for the other.
        echoes.add("propertyNames")
    if "additionalProperties" in keywords:
        place = _Place(next(m for m in group if m.keyword == "additionalProperties"), root)
        if any(place.meant(key) for key in place.strays()):
            # What is missing is there, misspelt.
            echoes.update(("required", "oneOf"))
    return [mistake for mistake in group if _row(mistake) not in echoes]


class _Place:
    """Where a mistake was made: its node, and the definition that the node should follow."""

    def __init__(self, mistake: Mistake, root: Schema) -> None:
        self.node = mistake.node
        self.definitions: Schema = root["$defs"]
        self.definition, self.name = self._owner(mistake, root)
        self.known: Schema = self.definition.get("properties", {})

    def _owner(self, mistake: Mistake, root: Schema) -> tuple[Schema, str]:
        at: Any = root
        owner, name = root, ""
        for step in mistake.schema_path:
            while isinstance(at, Mapping) and step not in at and "$ref" in at:
                reference = at["$ref"].removeprefix("#/$defs/")
                at = self.definitions[reference]
                if "properties" in at:
                    owner, name = at, reference
            at = at[step] if isinstance(at, Mapping) or isinstance(step, int) else at
        return owner, name

    def resolve(self, schema: Schema) -> Schema:
        """The schema, or the definition that it refers to."""
        reference = schema.get("$ref")
        return self.definitions[reference.removeprefix("#/$defs/")] if reference else schema

    def strays(self) -> list[str]:
        """The keys of the node that its definition does not have."""
        entries = self.node.entries if isinstance(self.node, Table) else {}
        patterns = self.definition.get("patternProperties", {})
        return [
            key
            for key in entries
            if self.definition.get("additionalProperties") is False
            and key not in self.known
            and not any(re.search(each, key) for each in patterns)
        ]

    def meant(self, key: str) -> str | None:
        """The known key that is meant by an unknown one."""
        elsewhere = _ELSEWHERE.get(key.lower())
        if elsewhere in self.known:
            return elsewhere
        return suggest(key, self.known)

    def inside(self, key: str) -> str | None:
        """The key beside an unknown one that has such a key inside."""
        entries = self.node.entries if isinstance(self.node, Table) else {}
        for beside in entries:
            inner = self.resolve(self.known.get(beside, {}))
            if key in inner.get("properties", {}):
                return beside
        return None

    def leader(self) -> str:
        """The key of the node that decides which others it may have."""
        entries = self.node.entries if isinstance(self.node, Table) else {}
        if "type" in self.known and "type" in entries:
            value = entries["type"].value
            return f"type: {value.text}" if isinstance(value, Scalar) else "type"
        deciding = {key for rule in self.rules() for key in rule.get("if", {}).get("required", ())}
        leading = [key for key in entries if key in deciding]
        return (leading or list(entries))[0]

    def owners(self, key: str) -> list[str]:
        """What the key may stand beside."""
        return [
            label
            for rule in self.rules()
            if re.search(rule["then"].get("propertyNames", {}).get("pattern", "^$"), key)
            for label in _labels(rule["if"])
            if label != key
        ]

    def rules(self) -> list[Schema]:
        """The definition's ``if`` rules."""
        rules = [*self.definition.get("allOf", ()), self.definition]
        return [rule for rule in rules if "if" in rule and isinstance(rule.get("then"), Mapping)]


def _labels(condition: Schema) -> list[str]:
    kinds = condition.get("properties", {}).get("type", {})
    values = [kinds["const"]] if "const" in kinds else kinds.get("enum", ())
    return [f"type: {value}" for value in values] or list(condition.get("required", ()))


# --- spans -------------------------------------------------------------------------------------


def _head(node: Node) -> Span:
    """Where a whole map or list is pointed at: its first line."""
    span = node.span
    if span.start.line == span.end.line:
        return span
    start = span.start
    width = len(span.file.lines[start.line - 1].rstrip())
    return Span(span.file, start, Position(start.line, max(start.column, width) + 1))


def _key_span(node: Node, key: str) -> Span:
    return node.entries[key].key.span if isinstance(node, Table) else node.span


# --- one row per keyword -----------------------------------------------------------------------


def _strays(mistake: Mistake, place: _Place) -> Iterator[Diagnostic]:
    for key in place.strays():
        span = _key_span(mistake.node, key)
        inside = place.inside(key)
        yield faults.misspelt_key(key, span, place.meant(key), place.known, inside)


def _missing(mistake: Mistake, place: _Place) -> Iterator[Diagnostic]:
    entries = mistake.node.entries if isinstance(mistake.node, Table) else {}
    for key in mistake.schema["required"]:
        if key not in entries:
            yield faults.incomplete(key, _head(mistake.node), _described(place.known.get(key, {})))


def _kinds(mistake: Mistake, place: _Place) -> Iterator[Diagnostic]:
    entries = mistake.node.entries if isinstance(mistake.node, Table) else {}
    keys = [key for each in mistake.schema["oneOf"] for key in each["required"]]
    found = [key for key in entries if key in keys]
    span = _key_span(mistake.node, found[1]) if len(found) > 1 else _head(mistake.node)
    if place.name == "step":
        yield faults.one_verb(["run", *keys], found, span)
    else:
        yield value_faults.exactly_one(keys, found, span)


def _names(mistake: Mistake, place: _Place) -> Iterator[Diagnostic]:
    name = mistake.name or ""
    span = _key_span(mistake.node, name)
    wanted = mistake.schema.get("patternErrorMessage")
    if wanted:
        yield faults.bad_name(name, wanted, span)
        return
    owners = place.owners(name)
    if owners:
        yield faults.misplaced_key(name, place.leader(), owners, span)
    elif name in place.known:
        yield faults.one_verb((), [place.leader(), name], span)
    elif name not in place.strays():
        yield faults.misspelt_key(name, span, place.meant(name), place.known, None)


def _type(mistake: Mistake, place: _Place) -> Iterator[Diagnostic]:
    wanted = _wanted(mistake.schema, place)
    yield faults.unfit(wanted, kind(mistake.node), _head(mistake.node), _how(mistake, place))


def _how(mistake: Mistake, place: _Place) -> str | None:
    """How a scalar is written where something else is wanted."""
    node, types = mistake.node, mistake.schema["type"]
    if not isinstance(node, Scalar):
        return None
    if is_null(node):
        return 'write "" for an empty text, or remove the key' if "string" in types else None
    if "boolean" in types and "number" not in types and node.text.lower() in _YES_NO:
        return f"write {_YES_NO[node.text.lower()]}, without quotes"
    if "\n" in node.text:
        return None
    shown = node.text if node.plain else json.dumps(node.text, ensure_ascii=False)
    if "array" in types and "object" not in types:
        return f"write [{shown}]"
    example = _SHORT.get(place.name, "") if "object" in types else ""
    return example.replace("TEXT", shown) or None


def _described(schema: Schema) -> str | None:
    """A key's description as a hint: what it may be, or the first sentence in plain text."""
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    sentence = schema.get("description", "").split(". ")[0]
    return sentence.replace("`", "").rstrip(".") or None


def _pattern(mistake: Mistake, place: _Place) -> Iterator[Diagnostic]:
    text = mistake.node.text if isinstance(mistake.node, Scalar) else ""
    wanted = mistake.schema.get("patternErrorMessage")
    if wanted:
        yield value_faults.bad_text(wanted, text, mistake.node.span)
    else:
        yield from _type(mistake, place)


def _choice(mistake: Mistake, place: _Place) -> Iterator[Diagnostic]:
    branches = mistake.schema.get("anyOf", (mistake.schema,))
    options = [str(value).lower() for value in branches[0]["enum"]]
    node = mistake.node
    if isinstance(node, Scalar) and place.name == "cache-import" and node.text == "inline":
        yield value_faults.inline_import(node.span)
    elif isinstance(node, Scalar) and len(options) == 1:
        wanted = mistake.schema.get("patternErrorMessage", options[0])
        yield value_faults.bad_text(wanted, node.text, node.span)
    elif not isinstance(node, Scalar) or is_null(node):
        wanted = f"one of {', '.join(options)}" if len(options) > 1 else options[0]
        yield value_faults.wrong_type(wanted, kind(node), _head(mistake.node))
    else:
        near = suggest(node.text, options)
        yield value_faults.unknown_choice(node.text, options, node.span, near)


def _empty(mistake: Mistake, _: _Place) -> Iterator[Diagnostic]:
    what = mistake.key.text if mistake.key else "this"
    yield faults.empty(what, _head(mistake.node))


def _range(mistake: Mistake, _: _Place) -> Iterator[Diagnostic]:
    low, high = mistake.schema.get("minimum"), mistake.schema.get("maximum")
    wanted = f"{low} or more" if high is None else f"between {low} and {high}"
    text = mistake.node.text if isinstance(mistake.node, Scalar) else ""
    yield faults.out_of_range(text, wanted, mistake.node.span)


def _wanted(schema: Schema, place: _Place) -> str:
    """What a schema's types are in words; a ``${...}`` goes without saying."""
    types = [schema["type"]] if isinstance(schema["type"], str) else list(schema["type"])
    if _REFERENCE in schema.get("pattern", "") and "patternErrorMessage" not in schema:
        types.remove("string")
    elif "string" in types:
        types = [name for name in types if name not in ("number", "boolean")]
    words = [_list(schema, place) if name == "array" else _WORDS.get(name) for name in types]
    return " or ".join(dict.fromkeys(word for word in words if word))


def _list(schema: Schema, place: _Place) -> str:
    types = place.resolve(schema.get("items", {})).get("type", ())
    if "object" in types or not types:
        return "a list"
    return "a list of whole numbers" if "integer" in types else "a list of strings"


_ROWS: Mapping[str, Callable[[Mistake, _Place], Iterator[Diagnostic]]] = MappingProxyType(
    {
        "additionalProperties": _strays,
        "required": _missing,
        "oneOf": _kinds,
        "propertyNames": _names,
        "type": _type,
        "pattern": _pattern,
        "enum": _choice,
        "anyOf": _choice,
        "minItems": _empty,
        "minLength": _empty,
        "minProperties": _empty,
        "minimum": _range,
        "maximum": _range,
    }
)
