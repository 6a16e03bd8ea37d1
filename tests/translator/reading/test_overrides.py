from __future__ import annotations

from typing import Any

import pytest

from tests.translator.loading import AMD64, ARM64, faults, project
from translator.inputs import FieldOption
from translator.platform import Platform

TEXT = """version: 1
vars: {P: [linux/amd64]}
stages: {s: {from: scratch}, z: {from: scratch}}
targets:
  base: {abstract: true, platforms: [linux/amd64], annotations: {a: "1"}}
  app: {extends: [base], stage: s, outputs: ["type=local,dest=out"]}
  api: {extends: [base], stage: s, cache: {import: [x/y:cache]}}
  web.v1: {stage: s, platforms: "${P}", matrix: {go: ["1.24", "1.25"]}}
"""


def changed(*options: str, target: str = "app", **more: Any) -> Any:
    made = project(TEXT, overrides=options, **more)
    return made.select([target])[0]


def test_a_field() -> None:
    assert changed("app.stage=z").stage == "z"
    assert changed("app.no-cache=true").no_cache is True
    assert changed("app.description=a=b,c").description == "a=b,c"


def test_a_pattern_names_several_targets() -> None:
    made = project(TEXT, overrides=("a*.stage=z",))
    assert [made.targets[name][0].stage for name in ("app", "api", "web.v1")] == ["z", "z", "s"]


def test_lists_are_replaced_by_comma_lists_and_by_repeating() -> None:
    assert changed("app.platforms=linux/arm64,linux/386").platforms == (
        ARM64,
        Platform("linux", "386"),
    )
    assert changed("app.platforms=linux/arm64", "app.platforms=linux/386").platforms == (
        ARM64,
        Platform("linux", "386"),
    )
    assert changed("app.outputs=").outputs == ()


def test_lists_are_appended_to_even_when_they_are_inherited_or_variables() -> None:
    assert changed("app.platforms+=linux/arm64").platforms == (AMD64, ARM64)
    assert changed("web.v1.platforms+=linux/arm64", target="web.v1").platforms == (AMD64, ARM64)


def test_entries_are_csv_strings_relative_to_the_working_folder() -> None:
    made = changed("app.outputs=type=tar,dest=x/y.tar", folder="/work/here")
    (output,) = made.outputs
    assert (output.type, output.dest) == ("tar", "/work/here/x/y.tar")
    made = changed("app.outputs+=type=none")
    assert [output.type for output in made.outputs] == ["local", "none"]


def test_keys_below_a_key() -> None:
    made = changed("api.cache.import=a/b:c", "api.cache.export=type=inline", target="api")
    assert [each.attrs for each in made.cache_imports] == [{"ref": "a/b:c"}]
    assert [each.type for each in made.cache_exports] == ["inline"]
    assert changed("app.attest.provenance=max").provenance == "max"
    assert changed("app.annotations.org.x=y").annotations == {"a": "1", "org.x": "y"}


def test_an_override_of_an_abstract_target_reaches_what_extends_it() -> None:
    assert changed("base.platforms=linux/arm64").platforms == (ARM64,)


def test_a_matrix_and_one_variant_of_it() -> None:
    made = project(TEXT, overrides=("web.v1.matrix.go=1.25,1.26", "web.v1-1-26.stage=z"))
    assert [(each.name, each.stage) for each in made.targets["web.v1"]] == [
        ("web.v1-1-25", "s"),
        ("web.v1-1-26", "z"),
    ]


def test_values_are_not_interpolated() -> None:
    assert changed("app.description=${P} $$ $x").description == "${P} $$ $x"


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("app", "--set:1:1 bad-override --set takes TARGET.KEY=VALUE"),
        ("app=x", "--set:1:1 bad-override --set takes TARGET.KEY=VALUE"),
        ("app.output=x", "--set:1:5 unknown-key unknown key output"),
        ("app.cache.from=x", "--set:1:5 unknown-key unknown key cache.from"),
        ("app.stage.x=y", "--set:1:5 bad-override stage has no keys below it"),
        ("app.annotations=y", "--set:1:5 bad-override annotations needs a key"),
        ("app.stage+=y", "--set:1:5 bad-override stage is no list"),
        ('app.platforms="x', "--set:1:15 bad-csv a quoted field must end"),
        ("apq.stage=s", "--set:1:1 unknown-target --set names apq, and no target has that name"),
        ("q*.stage=s", "--set:1:1 unknown-target --set names q*, and no target has that name"),
        ("app.stage=nope", "--set:1:11 unknown-stage there is no stage nope"),
        ("app.no-cache=maybe", "--set:1:14 wrong-type expected true or false, found a string"),
        ("app.platforms=x", "--set:1:15 bad-value 'x' is not a platform"),
    ],
)
def test_faults_name_the_option(option: str, expected: str) -> None:
    (fault,) = faults(TEXT, overrides=(option,))
    assert fault.startswith(expected)


def test_an_option_for_a_field_stands_in_for_every_target() -> None:
    fields = (
        FieldOption(option="--platform", key="platforms", value="linux/arm64,linux/386"),
        FieldOption(option="--output", key="outputs", value="type=tar,dest=a.tar"),
        FieldOption(option="--output", key="outputs", value="type=none"),
    )
    made = project(TEXT, fields=fields, folder="/work")
    for target in (made.targets["app"][0], made.targets["api"][0]):
        assert [str(each) for each in target.platforms] == ["linux/arm64", "linux/386"]
        assert [(each.type, each.dest) for each in target.outputs] == [
            ("tar", "/work/a.tar"),
            ("none", ""),
        ]


def test_faults_of_an_option_for_a_field_are_shown_in_it() -> None:
    option = FieldOption(option="--output", key="outputs", value="type=locl")
    found = faults(TEXT, fields=(option,))
    assert [each.split(" ", 1)[0] for each in found] == ["--output:1:1"]


def test_an_option_for_a_field_needs_no_target() -> None:
    option = FieldOption(option="--platform", key="platforms", value="linux/arm64")
    assert faults("version: 1\n", fields=(option,)) == []
