"""The reference pages of the build file and of daemons.toml, made from their JSON schemas.

``python -m schemas.reference`` writes them anew; with ``--check`` it only says whether they are
current.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from schemas import buildfile_schema_text, daemons_schema_text

_FOLDER = Path(__file__).parents[1] / "docs" / "reference"
PAGE = _FOLDER / "buildfile.md"
DAEMONS_PAGE = _FOLDER / "daemons.md"
Schema = Mapping[str, Any]

_INTRODUCTION = """\
# The build file

Every key of `buildfile.yaml`, made from the [JSON schema](../../schemas/buildfile.schema.json)
by `python -m schemas.reference`. An editor with a YAML language server completes and checks a
build file that begins with this line, beside the output of `buildfile schema`:

```yaml
# yaml-language-server: $schema=./buildfile.schema.json
```

- Unknown keys are errors; keys that begin with `x-` are free, in every map with fixed keys.
- Relative paths are relative to the file that they stand in.
- Anchors, aliases and merge keys (`<<`) work. A key that stands twice in one map is an error.
- Where a text is wanted, a value without quotes stays as it is written: `no`, `1.20` and `0755`
  are texts there. Only `true` and `false` are booleans.
- `${NAME}`, `${NAME:-default}`, `${NAME:?message}` work in every text but the script of `run`;
  `$$` is a dollar. A text that is one `${NAME}` alone takes the variable's typed value, so that
  a list may come from a variable.
"""
_DAEMONS = """\
# daemons.toml

Every key of `daemons.toml`, made from the [JSON schema](../../schemas/daemons.schema.json) by
`python -m schemas.reference`. The file names daemons, so that `--daemon NAME` can:

```toml
[daemons.local]
address = "unix:///run/buildkit/buildkitd.sock"

[daemons.ci]
address = "tcp://ci.example.com:1234"
tls = { ca = "certs/ca.pem", cert = "certs/cert.pem", key = "certs/key.pem" }
max-parallel = 4

[daemons.arm]
address = "ssh://build@arm.example.com"
labels = { pool = "native" }
```

[Daemons](../daemons.md) explains the kinds of addresses.

A project's file stands beside its build file, a user's in `~/.config/buildfile` (or
`$XDG_CONFIG_HOME/buildfile`); `--daemons FILE` stands in for both. Where both name a daemon, it is
the project's.

- A run uses the daemon of `--daemon`, else of `BUILDKIT_HOST`, else all in the files: each target
  is [placed](../workers.md#several-daemons) on one of them. If none answers, the exit code is 4.
- What the command line says of TLS and the API is stronger than the file.
- Unknown keys are errors; keys that begin with `x-` are free.
"""
_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "object": "map",
        "array": "list",
        "string": "text",
        "integer": "whole number",
        "number": "number",
        "boolean": "`true` or `false`",
        "null": "nothing",
    }
)
_VALUES: Mapping[str, str] = MappingProxyType(
    {
        "name": "name",
        "target-name": "target pattern",
        "string": "text",
        "text": "text",
        "flag": "`true` or `false`",
        "number": "whole number",
        "id": "whole number",
        "limit": "whole number",
        "size": "size",
        "duration": "time",
        "mode": "octal mode",
        "chmod": "permissions",
        "chown": "owner",
        "user": "user",
        "platform": "platform",
        "strings": "list of texts",
        "platforms": "list of platforms",
        "names": "list of names",
        "exit-codes": "list of whole numbers",
        "command": "list of texts",
        "command-or-line": "list of texts, or text",
        "pairs": "map of texts",
        "network": "one of `sandbox`, `host`, `none`",
        "entitlements": "list of texts",
        "origins": "map of stages and sources",
        "environment": "map of texts, or list of `NAME=VALUE`",
    }
)
# How the keys of a definition are reached from the top.
_WHERE: Mapping[str, str] = MappingProxyType(
    {
        "variable": "vars.NAME",
        "secret": "secrets.NAME",
        "ssh": "ssh.NAME",
        "selector": "workers.NAME",
        "source": "sources.NAME",
        "stage": "stages.NAME",
        "diff": "stages.NAME.diff",
        "dockerfile": "dockerfile",
        "place": "dockerfile.file",
        "frontend": "stages.NAME.frontend",
        "step": "stages.NAME.steps[]",
        "copy": "copy",
        "mkdir": "mkdir",
        "write": "write",
        "remove": "remove",
        "symlink": "symlink",
        "mount": "mounts[]",
        "resources": "resources",
        "device": "devices[]",
        "image": "stages.NAME.image",
        "healthcheck": "image.healthcheck",
        "target": "targets.NAME",
        "matrix": "targets.NAME.matrix",
        "output": "targets.NAME.outputs[]",
        "attest": "targets.NAME.attest",
        "cache": "cache",
        "cache-import": "cache.import[]",
        "cache-export": "cache.export[]",
        "daemon": "daemons.NAME",
        "tls": "daemons.NAME.tls",
    }
)


@dataclass(frozen=True, kw_only=True)
class _Language:
    """How the examples of a page are written."""

    name: str
    write: Callable[[str, str, Any], str]


def page() -> str:
    """The text of the page about the build file."""
    schema = json.loads(buildfile_schema_text())
    language = _Language(name="yaml", write=lambda _, key, example: _yaml(key, example))
    parts = [_INTRODUCTION, *_sections(schema, language)]
    return "\n".join([*parts, "## Values\n", *_values(schema["$defs"])])


def daemons_page() -> str:
    """The text of the page about daemons.toml."""
    schema = json.loads(daemons_schema_text())
    return "\n".join([_DAEMONS, *_sections(schema, _Language(name="toml", write=_toml))])


def _sections(schema: Schema, language: _Language) -> Iterator[str]:
    definitions = schema["$defs"]
    yield from _section("At the top", "", schema, definitions, language)
    for name, where in _WHERE.items():
        if name in definitions:
            yield from _section(_title(where), where, definitions[name], definitions, language)


def _title(where: str) -> str:
    return f"Keys of `{where}`"


# --- sections ----------------------------------------------------------------------------------


def _section(
    title: str, where: str, schema: Schema, definitions: Schema, language: _Language
) -> Iterator[str]:
    yield f"## {title}\n"
    yield f"{schema['description']}\n"
    for key, value in schema["properties"].items():
        yield from _key(f"{where}.{key}" if where else key, key, value, schema, definitions)
        written = (language.write(where, key, example) for example in value["examples"])
        yield f"```{language.name}\n{chr(10).join(_apart(written))}\n```\n"


def _apart(examples: Iterator[str]) -> Iterator[str]:
    """The examples of one key with a word between them."""
    for number, example in enumerate(examples):
        yield from ("# or", example) if number else (example,)


def _key(path: str, key: str, value: Schema, owner: Schema, definitions: Schema) -> Iterator[str]:
    meaning, default = _split(value["description"])
    facts = [_type(value, definitions), *_demands(key, owner)]
    if default:
        facts.append(f"default: {default}")
    yield f"### `{path}`\n"
    yield f"Type: {' · '.join(facts)}\n"
    yield f"{meaning}\n"


def _split(description: str) -> tuple[str, str]:
    """A description without its sentence about the default, and the default."""
    match = re.search(r" ?Default: (.+?)\.(?=\s|$)", description)
    if not match:
        return description, ""
    return (description[: match.start()] + description[match.end() :]).strip(), match[1]


def _demands(key: str, owner: Schema) -> Iterator[str]:
    if key in owner.get("required", ()):
        yield "required"
    rules = [*owner.get("allOf", ()), owner]
    rules = [rule for rule in rules if "if" in rule and isinstance(rule.get("then"), Mapping)]
    beside, required = [], []
    for rule in rules:
        labels = [label for label in _labels(rule["if"]) if label != key]
        beside += labels if _permits(rule["then"], key) and not _permits(rule, key) else []
        required += labels if key in rule["then"].get("required", ()) else []
    if beside and key != "type":
        yield "of " + ", ".join(f"`{label}`" for label in beside)
    if required and key not in owner.get("required", ()):
        yield "required for " + ", ".join(f"`{label}`" for label in required)


def _permits(rule: Schema, key: str) -> bool:
    """Whether the rule's ``propertyNames`` (or those of its ``else``) name the key."""
    names = rule.get("else", rule).get("propertyNames", {}).get("pattern")
    return bool(names and re.search(names, key))


def _labels(condition: Schema) -> list[str]:
    kinds = condition.get("properties", {}).get("type", {})
    values = [kinds["const"]] if "const" in kinds else kinds.get("enum", ())
    return [f"type: {value}" for value in values] or list(condition.get("required", ()))


def _values(definitions: Schema) -> Iterator[str]:
    for name, definition in definitions.items():
        if name in _VALUES and name not in ("string", "text", "limit", "id", "number", "flag"):
            yield f"- **{_VALUES[name]}**: {definition['description']}"
    yield ""


# --- types -------------------------------------------------------------------------------------


def _type(schema: Schema, definitions: Schema) -> str:
    reference = schema.get("$ref", "").removeprefix("#/$defs/")
    if reference in _VALUES:
        return _VALUES[reference]
    if reference in _WHERE:
        kinds = _kinds(definitions[reference])
        texts = reference != "variable" and "string" in kinds
        link = f"[map](#{_anchor(_title(_WHERE[reference]))})"
        return f"{link}, or text" if texts else link
    if reference:
        return _type(definitions[reference], definitions)
    return _plain_type(schema, definitions)


def _plain_type(schema: Schema, definitions: Schema) -> str:
    if "anyOf" in schema:
        return _type(schema["anyOf"][0], definitions)
    if "enum" in schema:
        words = [f"`{json.dumps(each).strip(chr(34))}`" for each in schema["enum"]]
        return f"one of {', '.join(words)}" if len(words) > 1 else words[0]
    kinds = _kinds(schema)
    return ", or ".join(dict.fromkeys(_inner(kind, schema, definitions) for kind in kinds))


def _kinds(schema: Schema) -> list[str]:
    """The types of a schema; that a ``${...}`` may stand for them goes without saying."""
    names = [schema["type"]] if isinstance(schema["type"], str) else list(schema["type"])
    if len(names) > 1 and "pattern" in schema and "patternErrorMessage" not in schema:
        names.remove("string")
    return names


def _inner(name: str, schema: Schema, definitions: Schema) -> str:
    """A list or map with what is in it."""
    within = {"array": schema.get("items"), "object": schema.get("additionalProperties")}.get(name)
    if not isinstance(within, Mapping):
        return _TYPES[name]
    words = _type(within, definitions)
    plural = {"text": "texts", "whole number": "whole numbers"}.get(words, f"{words}")
    joint = "of" if name == "array" or plural == "texts" else "from name to"
    return f"{_TYPES[name]} {joint} {plural}"


def _anchor(where: str) -> str:
    """What a Markdown renderer makes of a heading."""
    return re.sub(r"[^a-z0-9 _-]", "", where.lower()).replace(" ", "-")


# --- examples ----------------------------------------------------------------------------------


def _yaml(key: str, example: Any) -> str:
    """An example as one would write it: ``key: value``, in one line where it fits."""
    line = f"{_scalar(key)}: {_flow(example)}"
    if (isinstance(example, str) and "\n" not in example) or len(line) <= 88:
        return line
    if isinstance(example, Mapping):
        inner = "\n".join(_yaml(name, value) for name, value in example.items())
        return f"{_scalar(key)}:\n" + re.sub("^", "  ", inner, flags=re.MULTILINE)
    return f"{_scalar(key)}:\n" + "\n".join(f"  - {_flow(item)}" for item in example)


def _toml(where: str, key: str, example: Any) -> str:
    """An example under the header of its table; a map of maps is tables of their own."""
    if not where and not isinstance(example, Mapping):
        return f"{key} = {_toml_value(example)}"
    if not where:
        return "\n".join(
            _toml(f"{key}.{name}", *pair)
            for name, inner in example.items()
            for pair in inner.items()
        )
    return f"[{where.replace('NAME', 'ci')}]\n{key} = {_toml_value(example)}"


def _toml_value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{k} = {_toml_value(v)}" for k, v in value.items()) + " }"
    return json.dumps(value)


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_scalar(k)}: {_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    if not isinstance(value, str):
        return json.dumps(value)
    plain = re.fullmatch(r"[A-Za-z./~][A-Za-z0-9_./@=+ -]*(:[A-Za-z0-9/.]+)*", value)
    if plain and value not in ("true", "false", "null", "~") and not value.endswith(" "):
        return value
    return json.dumps(value, ensure_ascii=False)


# --- the page on the disk ----------------------------------------------------------------------


def main(arguments: list[str]) -> int:
    """Write the pages, or with ``--check`` give 1 if one is not current."""
    old = 0
    for path, text in ((PAGE, page()), (DAEMONS_PAGE, daemons_page())):
        if "--check" not in arguments:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            print(f"{path.name} is not current: run python -m schemas.reference", file=sys.stderr)
            old = 1
    return old


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
