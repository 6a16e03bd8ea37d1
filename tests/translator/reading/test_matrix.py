from __future__ import annotations

from typing import Any

import pytest

from tests.translator.loading import AMD64, ARM64, faults, project, table
from translator.reading.collector import Collector
from translator.reading.matrix import combine, keys, slug


def combinations(matrix: str) -> list[dict[str, str]]:
    found = Collector()
    made = combine(table(matrix), found)
    assert not len(found)
    return [dict(each.values) for each in made]


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ("go: ['1', '2']", [{"go": "1"}, {"go": "2"}]),
        (
            "a: [1, 2]\nb: [x, y]",
            [
                {"a": "1", "b": "x"},
                {"a": "1", "b": "y"},
                {"a": "2", "b": "x"},
                {"a": "2", "b": "y"},
            ],
        ),
        ("a: [1, 2]\nb: [x]\nexclude: [{a: 1}]", [{"a": "2", "b": "x"}]),
        ("a: [1, 2]\nb: [x, y]\nexclude: [{a: 1, b: x}, {b: y}]", [{"a": "2", "b": "x"}]),
        ("a: [1.20, 1.2]", [{"a": "1.20"}, {"a": "1.2"}]),
        ("a: [1]\ninclude: [{a: 2, b: x}]", [{"a": "1"}, {"a": "2", "b": "x"}]),
        (
            "a: [1, 2]\ninclude: [{a: 2, b: x}, {c: z}]",
            [{"a": "1", "c": "z"}, {"a": "2", "b": "x", "c": "z"}],
        ),
        ("include: [{a: 1}, {b: 2}]", [{"a": "1"}, {"b": "2"}]),
    ],
)
def test_combinations(matrix: str, expected: list[dict[str, str]]) -> None:
    assert combinations(matrix) == expected


def test_keys_are_those_of_include_too() -> None:
    assert keys(table("a: [1]\nexclude: [{a: 1}]\ninclude: [{b: 2, a: 3}]\nx-note: y")) == (
        "a",
        "b",
    )


@pytest.mark.parametrize(
    ("value", "name"), [("1.24", "1-24"), ("a/b:c", "a-b-c"), ("A_b-9", "A_b-9"), ("é", "-")]
)
def test_slug(value: str, name: str) -> None:
    assert slug(value) == name


TEXT = """version: 1
vars: {{GO: ["1.24", "1.25"]}}
stages: {{s: {{from: {{image: "go:${{matrix.go:-none}}"}}}}}}
targets:
  app:
    stage: s
    platforms: [linux/amd64, linux/arm64]
    matrix: {matrix}
"""


def variants(matrix: str) -> dict[str, Any]:
    made = project(TEXT.format(matrix=matrix))
    return {each.name: each for each in made.targets["app"]}


def test_variants_of_a_target() -> None:
    made = variants("{go: '${GO}', exclude: [{go: '1.24', platform: linux/arm64}]}")
    assert list(made) == ["app-1-24", "app-1-25"]
    assert made["app-1-24"].platforms == (AMD64,)
    assert made["app-1-25"].platforms == (AMD64, ARM64)
    assert made["app-1-25"].matrix == {"go": "1.25"}
    assert {each.declared for each in made.values()} == {"app"}


def test_a_variant_without_platforms_is_dropped() -> None:
    exclude = "[{platform: linux/arm64}, {go: '1.24', platform: linux/x86_64}]"
    made = variants(f"{{go: '${{GO}}', exclude: {exclude}}}")
    assert {name: each.platforms for name, each in made.items()} == {"app-1-25": (AMD64,)}


def test_platform_may_be_a_key_of_its_own() -> None:
    made = variants("{platform: [x, y], exclude: [{platform: x}]}")
    assert list(made) == ["app-y"]


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ("{go: ['1 2', '1-2']}", "6:5 duplicate-target two variants of app are both named app-1-2"),
        ("{go: ['1'], exclude: [{g: '1'}]}", "8:36 unknown-key unknown key g"),
        ("{go: ['1'], exclude: [{go: '1'}]}", "empty-matrix the matrix of app leaves no variant"),
        ("{go: ['1'], exclude: [{platform: arm}]}", "8:46 bad-value 'arm' is not a platform"),
        ("{go: '${NONE}'}", "8:19 unknown-variable there is no variable NONE"),
    ],
)
def test_faults(matrix: str, expected: str) -> None:
    assert any(expected in fault for fault in faults(TEXT.format(matrix=matrix)))


def test_excluding_a_platform_needs_platforms() -> None:
    text = TEXT.format(matrix="{go: ['1'], exclude: [{platform: linux/arm64}]}")
    without = text.replace("    platforms: [linux/amd64, linux/arm64]\n", "")
    assert any("app lists no platforms" in fault for fault in faults(without))


def test_a_variant_with_the_name_of_a_target_is_a_fault() -> None:
    text = TEXT.format(matrix="{go: ['1']}") + "  app-1: {stage: s}\n"
    assert any("duplicate-target" in fault for fault in faults(text))
