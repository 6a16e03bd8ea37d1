from __future__ import annotations

import pytest

from tests.translator.loading import AMD64, ARM64, ROOT, build, faults, project
from translator.stage import (
    Dockerfile,
    Frontend,
    ImageSource,
    InlineSource,
    LocalSource,
    Scratch,
    Stage,
    StageRef,
)

HEAD = """version: 1
vars: {TAG: dev, GO: {type: list, items: string, default: ["1", "2"]}}
secrets: {token: {env: T}}
ssh: {default: {agent: /a}}
sources: {src: {local: src}, words: {inline: {a: b}}}
"""


def made(text: str) -> Stage:
    """The stage s of a file."""
    instance = build(
        f"{HEAD}stages:\n  b: {{from: scratch}}\n  s: {text}\ntargets: {{t: {{stage: s}}}}"
    )
    return instance.stages[instance.root]


def dockerfile(text: str) -> Dockerfile:
    origin = made(f"{{dockerfile: {text}}}").origin
    assert isinstance(origin, Dockerfile)
    return origin


def test_all_of_a_dockerfile_is_read() -> None:
    found = dockerfile(
        "{context: b, file: {from: src, path: d/Dockerfile}, target: x, args: [A=1, 'B=${TAG}'], "
        "contexts: {base: b, alpine: {image: 'alpine:3'}}, labels: {l: m}, network: none, "
        "no-cache: true, secrets: [token], ssh: [default], entitlements: [security.insecure]}"
    )
    assert isinstance(found.context, StageRef)
    assert isinstance(found.place, LocalSource)
    assert (found.file, found.target, found.network) == ("d/Dockerfile", "x", "none")
    assert found.args == (("A", "1"), ("B", "dev"))
    assert [name for name, _ in found.contexts] == ["base", "alpine"]
    assert isinstance(found.contexts[1][1], ImageSource)
    assert (found.labels, found.no_cache) == ((("l", "m"),), True)
    assert (found.secrets, found.ssh) == (("token",), ("default",))
    assert found.entitlements == ("security.insecure",)
    assert len(found.origins) == 4


def test_the_context_is_the_folder_of_the_file_unless_it_is_said() -> None:
    found = dockerfile("{}")
    assert isinstance(found.context, LocalSource)
    assert (found.context.path, found.file, found.place) == (ROOT, "Dockerfile", None)
    assert isinstance(dockerfile("{context: scratch}").context, Scratch)
    assert isinstance(dockerfile("{context: words}").context, InlineSource)


def test_a_dockerfile_of_the_file_is_not_interpolated() -> None:
    found = dockerfile('{inline: "FROM ${TAG}\\nRUN echo $$HOME", args: {A: "${TAG}"}}')
    assert found.inline == "FROM ${TAG}\nRUN echo $$HOME"
    assert found.args == (("A", "dev"),)


def test_all_of_a_frontend_is_read() -> None:
    origin = made(
        "{frontend: {image: front, opts: {a: '${TAG}'}, inputs: {x: b, y: src}, secrets: [token]}}"
    ).origin
    assert isinstance(origin, Frontend)
    assert origin.image == "docker.io/library/front:latest"
    assert (origin.opts, origin.secrets) == ((("a", "dev"),), ("token",))
    assert [name for name, _ in origin.inputs] == ["x", "y"]


def test_what_is_given_is_for_the_platform_of_the_stage() -> None:
    text = f"""{HEAD}stages:
  b: {{from: scratch}}
  here: {{dockerfile: {{context: b}}, platform: build}}
  there: {{dockerfile: {{context: b}}}}
  s:
    from: here
    steps: [{{copy: {{from: there, to: /}}}}]
targets: {{t: {{stage: s}}}}
"""
    instance = build(text, platform=ARM64)
    found = {(ref.name, str(each.platform)) for ref, each in instance.stages.items()}
    assert found == {
        ("b", "linux/amd64"),
        ("b", "linux/arm64"),
        ("here", "linux/amd64"),
        ("there", "linux/arm64"),
        ("s", "linux/amd64"),
    }


def test_a_target_with_a_dockerfile_is_a_stage_of_its_name() -> None:
    found = project(
        f"""{HEAD}targets:
  common: {{abstract: true, dockerfile: {{context: src, args: {{A: "1"}}}}}}
  t:
    extends: [common]
    matrix: {{go: "${{GO}}"}}
    dockerfile: {{args: {{GO: "${{matrix.go}}", T: "${{target}}"}}}}
""",
        overrides=["t.dockerfile.args.A=2", "t-2.dockerfile.target=x"],
    )
    read = []
    for target in found.select(["t"]):
        instance = found.instantiate(target, AMD64, AMD64)
        origin = instance.stages[instance.root].origin
        assert isinstance(origin, Dockerfile)
        read.append((instance.root.name, origin.target, dict(origin.args)))
    assert read == [
        ("t", "", {"A": "2", "GO": "1", "T": "t-1"}),
        ("t-2", "x", {"A": "2", "GO": "2", "T": "t-2"}),
    ]


def test_the_stage_of_a_target_is_used_by_others() -> None:
    instance = build(
        f"{HEAD}stages: {{s: {{from: d}}}}\ntargets:\n  t: {{stage: s}}\n"
        "  d: {dockerfile: {context: src}}\n"
    )
    assert [ref.name for ref in instance.stages] == ["d", "s"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "targets: {t: {dockerfile: {args: {A: '${platform}'}}}}\n",
            [],
        ),
        (
            "targets: {t: {dockerfile: {args: {A: '${NO}'}}}}\n",
            ["6:39 unknown-variable there is no variable NO"],
        ),
        (
            "targets: {t: {dockerfile: {contexts: {a: none}}}}\n",
            ["6:42 unknown-origin there is no stage or source none"],
        ),
        (
            "stages: {s: {dockerfile: {context: src}, merge: [src, src]}}\n",
            ["6:42 exactly-one-of exactly one of from, merge, diff, dockerfile, frontend"],
        ),
    ],
)
def test_faults(text: str, expected: list[str]) -> None:
    found = faults(HEAD + text)
    assert len(found) == len(expected), found
    assert all(each.startswith(start) for each, start in zip(found, expected, strict=True)), found
