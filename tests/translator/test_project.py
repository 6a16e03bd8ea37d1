from __future__ import annotations

import pytest

from tests.translator.loading import AMD64, ROOT, faults, inputs, line, project
from translator.diagnostic import InvalidCommandError, InvalidFileError
from translator.project import GitFacts, load
from translator.stage import Run

HEAD = "version: 1\nstages: {s: {from: scratch}}\n"


def test_what_a_project_holds() -> None:
    made = project(
        """version: 1
name: "shop-${V}"
vars: {V: {default: x, description: what}}
secrets: {a: {env: A}, b: {file: f, optional: true}}
ssh: {default: {agent: "${SSH_AUTH_SOCK:-}"}, keys: {keys: [~/.ssh/id]}, sock: {agent: ./s}}
sources: {src: {local: .}, x-free: 1}
stages: {s: {from: src}}
targets: {t: {stage: s, description: d, secrets: [a], attest: {provenance: max, sbom: true}}}
groups: {g: [t]}
x-anything: {y: [1]}
""",
        environment={"HOME": "/h"},
    )
    assert made.name == "shop-x"
    assert made.variables["V"].description == "what"
    assert (made.secrets["a"].env, made.secrets["b"].file) == ("A", f"{ROOT}/f")
    assert made.secrets["b"].optional
    assert made.ssh["default"].agent == ""
    assert made.ssh["keys"].keys == ("/h/.ssh/id",)
    assert made.ssh["sock"].agent == f"{ROOT}/s"
    assert (made.stages, made.sources) == (("s",), ("src",))
    assert made.groups == {"g": ("t",)}
    (target,) = made.targets["t"]
    assert (target.secrets, target.provenance, target.sbom) == (("a",), "max", True)
    assert target.description == "d"


def test_the_name_is_the_folders_unless_the_file_says_one() -> None:
    assert project(HEAD).name == "project"


def test_secrets_show_no_value() -> None:
    made = project(HEAD + "secrets: {a: {env: A}}\n", environment={"A": "hush"})
    assert "hush" not in repr(made)


def test_extending_targets() -> None:
    made = project(
        HEAD
        + """targets:
  a: {abstract: true, platforms: [linux/amd64], annotations: {x: "1", y: "1"}, no-cache: true}
  b: {abstract: true, stage: s, annotations: {y: "2", z: "2"}, outputs: ["type=none"]}
  c: {extends: [a, b], annotations: {z: "3"}, no-cache: false}
  d: {extends: [c], description: d}
"""
    )
    assert list(made.targets) == ["c", "d"]
    (target,) = made.targets["d"]
    assert target.annotations == {"x": "1", "y": "2", "z": "3"}
    assert (target.no_cache, target.stage, len(target.outputs)) == (False, "s", 1)
    assert [str(each) for each in target.platforms] == ["linux/amd64"]


def test_a_long_chain_of_extends_needs_no_recursion() -> None:
    chain = "\n".join(f"  t{i}: {{extends: [t{i - 1}]}}" for i in range(1, 3000))
    made = project(f"{HEAD}targets:\n  t0: {{stage: s}}\n{chain}\n")
    assert made.targets["t2999"][0].stage == "s"


def test_git_is_asked_once_and_only_if_used() -> None:
    asked = []

    def git() -> GitFacts:
        asked.append(1)
        return GitFacts(commit="abc", branch="main", tag="v1", dirty=False)

    project(HEAD, git=git)
    assert not asked
    text = HEAD + 'vars: {A: "${git.commit}", B: "${git.tag}-${git.dirty}"}\n'
    assert project(text, git=git).variables["B"].value == "v1-false"
    assert len(asked) == 1


def test_outside_of_git_a_default_helps() -> None:
    def git() -> GitFacts:
        raise LookupError("no work tree")

    text = HEAD + 'vars: {A: "${git.commit:-none}"}\n'
    assert project(text, git=git).variables["A"].value == "none"
    assert faults(text.replace(":-none", ""), git=git) == [
        "3:12 no-git ${git.commit} has no value: no work tree"
    ]


def test_warnings_keep_nothing_from_loading() -> None:
    made = project(HEAD + 'vars: {REGISTRY: x}\nname: "${REGISTY:-y}"\n')
    assert made.name == "y"
    assert [(each.severity, each.hint) for each in made.warnings] == [
        ("warning", "did you mean REGISTRY?")
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("stages: {}\n", ["1:1 missing-key the key version is missing"]),
        (HEAD + "targets: {t: {}}\n", ["3:14 missing-key the key stage is missing"]),
        (HEAD + "targets: {t: {stage: q}}\n", ["3:22 unknown-stage there is no stage q"]),
        (
            HEAD + "targets: {t: {stage: s, extends: [u]}}\n",
            ["3:35 unknown-target there is no target u"],
        ),
        (
            HEAD + "targets: {t: {stage: s, extends: [u]}, u: {extends: [t]}}\n",
            ["3:35 extends-cycle the target t extends itself: t -> u -> t"],
        ),
        (
            HEAD + "targets: {t: {stage: s, secrets: [q]}}\n",
            ["3:35 unknown-secret there is no secret q"],
        ),
        (
            "version: 1\nsources: {s: {local: .}}\nstages: {s: {from: scratch}}\n",
            ["2:11 duplicate-name s is the name of a stage and of a source"],
        ),
        (
            "version: 1\nstages: {scratch: {from: scratch}}\n",
            ["2:10 reserved-name scratch is the empty file system"],
        ),
        (HEAD + "secrets: {a: {}}\n", ["3:1"]),
        (HEAD + "ssh: {a: {agent: x, keys: [y]}}\n", ["3:"]),
        (HEAD + 'secrets: {a: {file: "${target}"}}\n', ["3:22 out-of-scope ${target}"]),
        (
            HEAD + 'targets: {t: {stage: s, no-cache: "${X:-q}"}}\n',
            ["3:35 wrong-type expected true"],
        ),
        (
            HEAD + 'targets: {t: {stage: s, platforms: "${X:-q}"}}\n',
            ["3:36 wrong-type expected a list"],
        ),
    ],
)
def test_faults(text: str, expected: list[str]) -> None:
    found = faults(text)
    assert len(found) == len(expected)
    assert all(fault.startswith(start) for start, fault in zip(expected, found, strict=True))


def test_a_fault_is_reported_once_for_all_targets_and_platforms() -> None:
    text = """version: 1
stages: {s: {from: {image: "x"}, steps: [{copy: {from: nope, to: "${target}"}}]}}
targets:
  a: {stage: s, platforms: [linux/amd64, linux/arm64]}
  b: {stage: s}
"""
    assert faults(text) == ["2:56 unknown-origin there is no stage or source nope"]


def test_what_the_schema_says_is_not_said_again() -> None:
    text = HEAD + "targets: {t: {stage: [s], platforms: linux/amd64, no-cash: true}}\n"
    found = faults(text)
    assert [fault.split(" ")[0] for fault in found] == ["3:22", "3:38", "3:51"]


def test_faults_are_sorted_and_all_there() -> None:
    text = """version: 1
vars: {A: "${A}", B: {type: int, default: x}}
sources: {src: {local: /etc}}
stages:
  a: {from: b}
  b: {from: a}
  c: {from: "${NOPE}"}
targets: {t: {stage: d}}
groups: {g: [u]}
"""
    with pytest.raises(InvalidFileError) as error:
        load(inputs(text))
    found = [line(fault).split(" ")[1] for fault in error.value.diagnostics]
    assert found == [
        "variable-cycle",
        "bad-value",
        "outside-folders",
        "stage-cycle",
        "unknown-variable",
        "unknown-stage",
        "unknown-target",
    ]


def test_faults_of_the_command_line_alone_are_the_commands() -> None:
    with pytest.raises(InvalidCommandError):
        load(inputs(HEAD, variables={"A": "x"}))
    with pytest.raises(InvalidFileError) as error:
        load(inputs(HEAD + "targets: {t: {}}\n", variables={"A": "x"}))
    assert not isinstance(error.value, InvalidCommandError)
    assert len(error.value.diagnostics) == 2


def test_the_same_inputs_give_the_same_project() -> None:
    text = HEAD + "targets: {t: {stage: s, matrix: {a: [1, 2], b: [x]}}}\n"
    assert project(text) == project(text)


@pytest.mark.parametrize(("kind", "section"), [("secret", "secrets"), ("ssh", "ssh")])
def test_what_may_be_missing_may_be_missing_in_each_step(kind: str, section: str) -> None:
    place = "{env: X, optional: true}" if kind == "secret" else "{agent: /x, optional: true}"
    made = project(
        f"version: 1\n{section}: {{a: {place}, b: {place.replace('true', 'false')}}}\n"
        "stages:\n  s:\n    from: scratch\n    steps:\n      - run: x\n        mounts:\n"
        f"          - {{type: {kind}, id: a}}\n          - {{type: {kind}, id: b}}\n"
        "targets: {s: {stage: s}}\n"
    )
    (target,) = made.select()
    instance = made.instantiate(target, AMD64, AMD64)
    (run,) = instance.stages[instance.root].steps
    assert isinstance(run, Run)
    assert [getattr(mount, "optional", None) for mount in run.mounts] == [True, False]
