from __future__ import annotations

import pytest

from tests.translator.loading import AMD64, ROOT, faults, project, source_file
from translator.stage import LocalSource

TAIL = "stages: {s: {from: scratch}}\ntargets: {t: {stage: s}}\n"


def test_included_files_are_merged_before_the_file() -> None:
    files = {
        f"{ROOT}/a.yaml": "version: 1\ninclude: [sub/b.yaml]\nvars: {A: a, B: a}\n",
        f"{ROOT}/sub/b.yaml": "version: 1\nvars: {A: b, B: b, C: b}\n",
    }
    made = project(f"version: 1\ninclude: [a.yaml]\nvars: {{A: main}}\n{TAIL}", files)
    assert {name: each.value for name, each in made.variables.items()} == {
        "A": "main",
        "B": "a",
        "C": "b",
    }
    assert [file.name for file in made.files] == ["buildfile.yaml", "b.yaml", "a.yaml"]
    assert made.root == ROOT


def test_a_file_that_several_include_counts_once() -> None:
    files = {
        f"{ROOT}/a.yaml": "include: common.yaml\nvars: {X: a}\n",
        f"{ROOT}/b.yaml": "include: common.yaml\n",
        f"{ROOT}/common.yaml": "vars: {X: common}\n",
    }
    made = project(f"version: 1\ninclude: [a.yaml, b.yaml]\n{TAIL}", files)
    assert made.variables["X"].value == "a"


def test_include_knows_the_environment() -> None:
    files = {"/home/me/x-1.yaml": "vars: {X: found}\n"}
    environment = {"HOME": "/home/me", "N": "1"}
    text = f'version: 1\ninclude: "~/x-${{env.N}}.yaml"\n{TAIL}'
    assert project(text, files, environment=environment).variables["X"].value == "found"


def test_several_files_are_merged_from_left_to_right() -> None:
    also = (
        source_file(f"version: 1\nvars: {{A: one}}\ngroups: {{default: [t]}}\n{TAIL}"),
        source_file("vars: {A: two}\ngroups: {default: [u]}\ntargets: {u: {stage: s}}\n", "b.yaml"),
        source_file("targets: {t: {platforms: [linux/arm64]}}\n", "c.yaml", "/elsewhere"),
    )
    made = project("", also=also)
    assert made.variables["A"].value == "two"
    assert [each.name for each in made.select()] == ["t", "u"]
    assert str(made.targets["t"][0].platforms[0]) == "linux/arm64"
    assert made.root == ROOT


def test_paths_start_from_the_file_that_they_stand_in() -> None:
    files = {
        f"{ROOT}/lib/x.yaml": """sources: {lib: {local: src}}
secrets: {here: {file: s.txt}, home: {file: ~/s.txt}}
targets: {base: {abstract: true, outputs: [{type: local, dest: out}]}}
"""
    }
    text = """version: 1
include: [lib/x.yaml]
sources: {main: {local: src}}
stages: {s: {from: lib, steps: [{copy: {from: main, to: /}}]}}
targets: {t: {extends: [base], stage: s}}
"""
    made = project(text, files, environment={"HOME": "/home/me"})
    assert made.targets["t"][0].outputs[0].dest == f"{ROOT}/lib/out"
    assert {name: each.file for name, each in made.secrets.items()} == {
        "here": f"{ROOT}/lib/s.txt",
        "home": "/home/me/s.txt",
    }
    (chosen,) = made.select()
    instance = made.instantiate(chosen, AMD64, AMD64)
    origin = instance.stages[instance.root].origin
    assert isinstance(origin, LocalSource)
    assert origin.path == f"{ROOT}/lib/src"


@pytest.mark.parametrize(
    ("include", "files", "expected"),
    [
        ("[a.yaml]", {}, ["2:11 unreadable-include cannot read a.yaml: No such file or directory"]),
        ("['${V}']", {}, ["2:12 out-of-scope the variable V is not known yet"]),
        ("['${W}']", {}, ["2:12 unknown-variable there is no variable W"]),
        ("['${env.W}']", {}, ["2:12 unset-environment"]),
        (
            "[a.yaml]",
            {"a.yaml": "include: [b.yaml]\n", "b.yaml": "include: a.yaml\n"},
            ["b.yaml:1:10 include-cycle a.yaml includes itself"],
        ),
        (
            "[buildfile.yaml]",
            {"buildfile.yaml": ""},
            ["2:11 include-cycle buildfile.yaml includes itself"],
        ),
        ("[a.yaml]", {"a.yaml": "stages: [\n"}, ["a.yaml:"]),
        ("[a.yaml]", {"a.yaml": "stagess: {}\n"}, ["a.yaml:1:1 unknown-key"]),
    ],
)
def test_faults(include: str, files: dict[str, str], expected: list[str]) -> None:
    text = f"version: 1\ninclude: {include}\nvars: {{V: a}}\n{TAIL}"
    found = faults(text, {f"{ROOT}/{name}": each for name, each in files.items()})
    assert len(found) == len(expected)
    assert all(fault.startswith(start) for start, fault in zip(expected, found, strict=True))


def test_files_that_include_each_other_without_end() -> None:
    files = {f"{ROOT}/{i}.yaml": f"include: {i + 1}.yaml\n" for i in range(60)}
    (fault,) = faults(f"version: 1\ninclude: 0.yaml\n{TAIL}", files)
    assert fault == "48.yaml:1:10 too-deep files include each other more than 50 deep"


def test_faults_of_all_files_come_in_one_run() -> None:
    files = {f"{ROOT}/a.yaml": "nonsense: 1\nvars: {A: '${B}'}\n"}
    text = "version: 1\ninclude: [a.yaml]\n"
    text += "stages: {s: {from: t, sources: 1}}\ntargets: {t: {stage: x}}\n"
    assert [fault.split(" ")[:2] for fault in faults(text, files)] == [
        ["a.yaml:1:1", "unknown-key"],
        ["a.yaml:2:12", "unknown-variable"],
        ["3:20", "unknown-origin"],
        ["3:23", "unknown-key"],
        ["4:22", "unknown-stage"],
    ]
