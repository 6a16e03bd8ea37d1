"""What a build file offers: its targets, groups and variables, in columns and as JSON
(docs/reference/commands.md has its shape).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from buildfile.columns import columns
from translator.project import Project
from translator.target import Target
from translator.values.value import Value
from translator.values.variables import Variable

_TARGETS = ("TARGET", "PLATFORMS", "DESCRIPTION")
_GROUPS = ("GROUP", "TARGETS")
_WIDEST = 60  # columns of a value
_VARIABLES = ("VARIABLE", "TYPE", "VALUE", "FROM", "DESCRIPTION")


def as_json(project: Project) -> dict[str, Any]:
    """What there is as plain data."""
    default = {each.name for each in project.default}
    return {
        "targets": [
            {
                "name": each.name,
                "declared": each.declared,
                "default": each.name in default,
                "description": each.description,
                "stage": each.stage,
                "platforms": [str(platform) for platform in each.platforms],
                "matrix": dict(each.matrix),
            }
            for each in project.every
        ],
        "groups": {name: list(members) for name, members in project.groups.items()},
        "variables": [
            {
                "name": each.name,
                "type": each.type,
                "value": None if each.value is None else _plain(each.value),
                "from": each.origin,
                "enum": list(each.enum),
                "pattern": each.pattern,
                "required": each.required,
                "description": each.description,
            }
            for each in project.variables.values()
        ],
    }


def as_text(project: Project) -> str:
    """A table each of targets, groups and variables; none of what there is nothing of."""
    default = {each.name for each in project.default}
    tables = (
        (_TARGETS, [_target_row(each, each.name in default) for each in project.every]),
        (_GROUPS, [(name, " ".join(members)) for name, members in project.groups.items()]),
        (_VARIABLES, [_variable_row(each) for each in project.variables.values()]),
    )
    told = ["\n".join(columns([head, *rows])) for head, rows in tables if rows]
    return "\n\n".join(told)


def _target_row(target: Target, is_default: bool) -> tuple[str, ...]:
    name = f"{target.name} (default)" if is_default else target.name
    return (name, " ".join(map(str, target.platforms)) or "the daemon's", target.description)


def _variable_row(variable: Variable) -> tuple[str, ...]:
    value = "" if variable.value is None else _in_line(_plain(variable.value))
    return (variable.name, variable.type, value, variable.origin, variable.description)


def _plain(value: Value) -> Any:
    """A value as JSON has it."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


def _in_line(value: Any) -> str:
    """A value as ``--var`` takes it, without what would tear the table apart."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    shown = text if text.isprintable() else json.dumps(text)
    return shown if len(shown) <= _WIDEST else f"{shown[: _WIDEST - 3]}..."
