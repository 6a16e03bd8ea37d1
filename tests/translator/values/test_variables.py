from __future__ import annotations

from typing import Any

import pytest

from tests.translator.loading import faults, project

TAIL = "stages: {s: {from: scratch}}\ntargets: {t: {stage: s}}\n"


def variables(declared: str, **more: Any) -> dict[str, tuple[Any, str]]:
    made = project(f"version: 1\nvars:\n{declared}\n{TAIL}", **more)
    return {name: (each.value, each.origin) for name, each in made.variables.items()}


def wrong(declared: str, **more: Any) -> list[str]:
    return faults(f"version: 1\nvars:\n{declared}\n{TAIL}", **more)


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        ("  A: x", "x"),
        ("  A: 1.20", "1.20"),
        ("  A: true", "true"),
        ("  A: [a, b]", ("a", "b")),
        ("  A: {default: x}", "x"),
        ("  A: {default: [x]}", ("x",)),
        ("  A: {type: int, default: 12}", 12),
        ("  A: {type: bool, default: true}", True),
        ("  A: {type: list, items: int, default: [1, 2]}", (1, 2)),
        ("  A: {type: map, default: {k: v}}", {"k": "v"}),
        ("  A: {type: string, default: v1, pattern: '^v[0-9]+$'}", "v1"),
        ("  A: {enum: [min, max], default: min}", "min"),
        ("  B: x\n  A: '${B}-${C}'\n  C: '${env.HOME}'", "x-/home/me"),
        ("  A: {type: list, default: '${B}'}\n  B: [x, y]", ("x", "y")),
    ],
)
def test_defaults(declared: str, value: Any) -> None:
    found = variables(declared, environment={"HOME": "/home/me"})
    assert found["A"] == (value, "default")


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("string", "a,b", "a,b"),
        ("string", "", ""),
        ("int", " 12 ", 12),
        ("int", "-3", -3),
        ("bool", "true", True),
        ("bool", "1", True),
        ("bool", "YES", True),
        ("bool", "f", False),
        ("bool", "off", False),
        ("list", "a,b", ("a", "b")),
        ("list", 'a,"b,c"', ("a", "b,c")),
        ("list", "", ()),
        ("list", '["a","b"]', ("a", "b")),
        ("list, items: int", "1, 2", (1, 2)),
        ("list, items: bool", "[true, false]", (True, False)),
        ("map", "a=1,b=x=y", {"a": "1", "b": "x=y"}),
        ("map", '{"a": 1}', {"a": "1"}),
        ("map, items: int", "a=1", {"a": 1}),
    ],
)
def test_values_from_text(kind: str, text: str, value: Any) -> None:
    declared = f"  A: {{type: {kind}}}"
    assert variables(declared, environment={"A": text})["A"] == (value, "environment")
    assert variables(declared, variables={"A": text})["A"] == (value, "command line")


def test_the_command_line_is_stronger_than_the_environment_than_the_default() -> None:
    declared = "  A: file"
    environment, settings = {"A": "env"}, {"A": "var"}
    assert variables(declared, environment=environment, variables=settings)["A"][0] == "var"
    assert variables(declared, environment=environment)["A"][0] == "env"
    assert variables(declared)["A"][0] == "file"


def test_json_comes_from_a_name_of_its_own() -> None:
    declared = "  A: {type: list}\n  S: x"
    environment = {"A_JSON": '["x,y"]', "A": "z", "S_JSON": "no"}
    assert variables(declared, environment=environment) == {
        "A": (("x,y",), "environment"),
        "S": ("x", "default"),
    }
    assert variables(declared, variables={"A_JSON": "[]"})["A"] == ((), "command line")


def test_undeclared_names_of_the_environment_are_not_variables() -> None:
    text = f"version: 1\nname: '${{B:-fallback}}'\n{TAIL}"
    assert project(text, environment={"B": "from-env"}).name == "fallback"


@pytest.mark.parametrize(
    ("declared", "more", "expected"),
    [
        ("  A: {required: true}", {}, ["3:3 missing-value the variable A is required"]),
        ("  A: {type: int, default: x}", {}, ["bad-value the default of the variable A must be a"]),
        ("  A: {type: bool, default: 'true'}", {}, ["must be true or false, found a string"]),
        ("  A: {type: list, items: int, default: [x]}", {}, ["must be a whole number"]),
        (
            "  A: {type: int}",
            {"environment": {"A": "x"}},
            ["3:3 bad-value the value (from the environment) of the variable A must be a whole"],
        ),
        (
            "  A: {type: bool}",
            {"variables": {"A": "maybe"}},
            ["--var:1:1 bad-value the value (--var) of the variable A must be true or false"],
        ),
        ("  A: {type: list}", {"variables": {"A": '["a"'}}, ["must be a list as JSON"]),
        ("  A: {type: list}", {"variables": {"A": '"a'}}, ["is no comma list"]),
        ("  A: {type: map}", {"variables": {"A": "x"}}, ["must be key=value pairs or JSON"]),
        ("  A: {type: map}", {"variables": {"A_JSON": "[]"}}, ["must be a map as JSON"]),
        (
            "  A: {type: list}",
            {"variables": {"A": "[null]"}},
            ["must have items that are a string"],
        ),
        ("  A: {pattern: '^v', default: x}", {}, ["must match ^v, found 'x'"]),
        ("  A: {pattern: '^v'}", {"environment": {"A": "x"}}, ["must match ^v, found 'x'"]),
        ("  A: {enum: [a, b], default: c}", {}, ["must be one of a, b, found 'c'"]),
        ("  git: x", {}, ["3:3 reserved-name git is built in"]),
        ("  A: '${target}'", {}, ["3:7 out-of-scope ${target} has no meaning in a variable"]),
        ("  A: '${B}'", {}, ["3:7 unknown-variable there is no variable B"]),
        (
            "  LONG: x",
            {"variables": {"LONGG": "x"}},
            ["--var:1:1 unknown-variable --var sets LONGG, which the build file does not declare"],
        ),
        (
            "  A: '${B}'\n  B: '${C}'\n  C: '${A}'",
            {},
            ["3:3 variable-cycle the variable A refers to itself: A -> B -> C -> A"],
        ),
        ("  A: '${A}'", {}, ["variable-cycle the variable A refers to itself: A -> A"]),
    ],
)
def test_faults(declared: str, more: dict[str, Any], expected: list[str]) -> None:
    found = wrong(declared, **more)
    assert len(found) == len(expected)
    assert all(part in fault for part, fault in zip(expected, found, strict=True))


def test_a_variable_without_value_is_missed_only_where_it_is_used() -> None:
    assert variables("  A: {type: string}")["A"] == (None, "unset")
    text = "version: 1\nvars:\n  A: {type: string}\nname: '${A}'\n" + TAIL
    assert faults(text) == ["4:8 unset-variable the variable A has no value"]
    assert project(text, variables={"A": "x"}).name == "x"


def test_a_long_chain_of_variables_needs_no_recursion() -> None:
    chain = "\n".join(f"  V{i}: '${{V{i + 1}}}'" for i in range(3000))
    assert variables(f"{chain}\n  V3000: end")["V0"] == ("end", "default")
