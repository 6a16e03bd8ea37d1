from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, ValidationError

from schemas import buildfile_schema_text
from translator.span import SourceFile
from translator.text import schema as checker
from translator.text.acceptor import Acceptor
from translator.text.document import parse, parse_all
from translator.text.schema import check

SCHEMA: dict[str, Any] = json.loads(buildfile_schema_text())
CASES = Path(__file__).parents[2] / "cases" / "invalid"

# The example of the language's own description, but for what later versions bring.
EXAMPLE = """\
version: 1
name: shop
include: [common/go.yaml]
vars:
  REGISTRY: localhost:5000
  TAG: {type: string, default: dev, pattern: "^[a-z0-9._-]+$", description: image tag}
  GO: {type: list, items: string, default: ["1.24", "1.25"]}
  RELEASE: {type: bool, default: false}
secrets:
  token: {env: GIT_TOKEN}
  npmrc: {file: ~/.npmrc, optional: true}
ssh:
  default: {agent: "${SSH_AUTH_SOCK:-}"}
sources:
  src: {local: ., include: [go.mod, go.sum, "cmd/**"], exclude: ["**/*_test.go"]}
  tools: {git: "https://example.com/tools.git", ref: v1.2.0}
  tini: {http: "https://example.com/tini", checksum: "sha256:HEX", chmod: "0755"}
  base: {oci-layout: ./base, ref: latest}
stages:
  deps:
    from: {image: "golang:${matrix.go}-alpine"}
    workdir: /src
    steps:
      - copy: {from: src, paths: [go.mod, go.sum], to: ./}
      - run: go mod download
        mounts:
          - {type: cache, target: /go/pkg/mod, id: gomod, sharing: locked}
          - {type: secret, id: token, env: GIT_TOKEN}
  compile:
    from: deps
    env: {CGO_ENABLED: "0"}
    steps:
      - copy: {from: src, to: ./}
      - run: |
          for m in ./cmd/*; do go build -o "/out/${m##*/}" "$m"; done
        network: none
        mounts:
          - {type: cache, target: /root/.cache/go-build}
          - {type: bind, from: tools, target: /tools}
  app:
    from: scratch
    steps:
      - copy: {from: compile, paths: [/out/app], to: /app}
      - copy: {from: tini, to: /tini}
    image:
      entrypoint: [/tini, --, /app]
      user: "65532"
      labels: {org.opencontainers.image.version: "${TAG}"}
targets:
  common:
    abstract: true
    cache:
      import: [{type: registry, ref: "${REGISTRY}/cache:${target}"}, "type=registry,ref=a"]
      export: [{type: registry, ref: "${REGISTRY}/cache", mode: max}, {type: inline}]
  app:
    extends: [common]
    stage: app
    platforms: [linux/amd64, linux/arm64]
    matrix: {go: "${GO}", exclude: [{go: "1.24", platform: linux/arm64}]}
    outputs: [{type: image, name: "${REGISTRY}/app:${TAG}-go${matrix.go}", push: "${RELEASE}"}]
  bin:
    stage: compile
    outputs: [{type: local, dest: out, paths: [/out]}]
groups:
  default: [app, bin]
""".replace("HEX", "0" * 64)


TREE = yaml.safe_load(EXAMPLE)


def faults(text: str) -> list[str]:
    table = parse(SourceFile(name="buildfile.yaml", folder="/", text=text))
    return [f"{fault.code} {fault.message}" for fault in check(table)]


def subschemas(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema within ``schema``, with where it stands."""
    if isinstance(schema, dict):
        yield path, schema
        for key, inner in schema.items():
            if key != "examples":
                yield from subschemas(inner, f"{path}/{key}")
    elif isinstance(schema, list):
        for number, inner in enumerate(schema):
            yield from subschemas(inner, f"{path}/{number}")


def keys() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every key that a build file can have, with its schema."""
    for path, schema in subschemas(SCHEMA):
        if re.search(r"/properties/[^/]+$", path) and "/if/" not in path:
            yield path, schema


# --- the schema itself -------------------------------------------------------------------------


def test_the_schema_is_one_of_draft_2020_12() -> None:
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert SCHEMA["$id"]
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(("path", "schema"), list(keys()), ids=[path for path, _ in keys()])
def test_every_key_is_described_and_exemplified(path: str, schema: dict[str, Any]) -> None:
    assert schema["description"].endswith("."), path
    assert schema["examples"], path
    validator = Draft202012Validator({**schema, "$defs": SCHEMA["$defs"]})
    for example in schema["examples"]:
        assert not list(validator.iter_errors(example)), (path, example)


def test_every_definition_is_described_and_used() -> None:
    text = buildfile_schema_text()
    for name, definition in SCHEMA["$defs"].items():
        assert definition["description"].endswith("."), name
        assert f'"#/$defs/{name}"' in text, name


def test_maps_with_fixed_keys_refuse_others_but_x() -> None:
    for path, schema in subschemas(SCHEMA):
        if "properties" in schema and "/if" not in path:
            open_ended = schema.get("additionalProperties") is not False
            assert schema.get("patternProperties", {}).get("^x-") is True or open_ended, path
            assert "additionalProperties" in schema, path


# --- valid files -------------------------------------------------------------------------------


def test_the_example_of_the_language_is_valid() -> None:
    assert faults(EXAMPLE) == []


def test_an_editor_finds_no_fault_with_the_example() -> None:
    instance = yaml.safe_load(EXAMPLE)
    assert list(Draft202012Validator(SCHEMA).iter_errors(instance)) == []


@pytest.mark.parametrize(
    "text",
    [
        "x-anything: {a: [b]}\nstages: {x-note: 5, app: {x-y: z, from: scratch}}\n",
        "vars: {A: , B: 5, C: true, D: [a, 1], E: {default: {a: b}}, F: {type: map}}\n",
        "stages: {a: {from: scratch, env: [A=b, 'C=', '${D}']}}\n",
        "stages: {a: {from: scratch, env: {A: no, B: 1_000, C: 12:30, D: ''}}}\n",
        "stages: {a: {from: b, steps: [{run: 5}, {run: yes}, {run: [a, 1, true, no]}]}}\n",
        "stages: {a: {from: b, user: 1000, workdir: 5, steps: [{user: 0}]}}\n",
        "stages: {a: {from: b, steps: [{mkdir: /a}, {remove: b}, {write: {path: a, text: ''}}]}}\n",
        "stages: {a: {from: b, steps: [{mkdir: {path: a, mode: 0755}}]}}\n",
        "stages: {a: {from: b, steps: [{run: a, cache: '${C}', ulimits: {n: 1, m: '1:2'}}]}}\n",
        "stages: {a: {from: b, image: {entrypoint: [], cmd: serve -a, expose: [80, 53/udp]}}}\n",
        "stages: {a: {from: b, image: {healthcheck: none}}}\n",
        "stages: {a: {from: b, network: '${NET}', shell: '${SHELL}', platform: build}}\n",
        "targets: {a: {stage: '${S}', platforms: '${P}', outputs: [out, '${O}', type=tar]}}\n",
        "targets: {a: {stage: b, matrix: {go: 1.25, arch: [a, b], x-z: 1}}}\n",
        "targets: {a: {stage: b, attest: {provenance: false, sbom: '${SBOM}'}}}\n",
        "cache: {import: [localhost:5000/a:b, {type: x-oci, url: u}], export: ['${EXPORT}']}\n",
        "targets: {a: {stage: b, outputs: [{type: image, name: c, annotation.a: b}]}}\n",
        "targets: {a: {stage: b, outputs: [{type: oci, 'annotation-index[linux/amd64].a': b}]}}\n",
    ],
)
def test_these_are_valid(text: str) -> None:
    assert faults(text) == []


def test_jsonschema_is_not_asked_about_a_valid_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def never() -> None:
        raise AssertionError("a valid file needs no second opinion")

    monkeypatch.setattr(checker, "_validator", never)
    assert faults(EXAMPLE) == []


# --- the two judges agree ----------------------------------------------------------------------


def told(error: ValidationError) -> str:
    return f"{list(error.absolute_path)} {list(error.absolute_schema_path)}"


def agree(text: str) -> None:
    """The acceptor and jsonschema come to one verdict, and every refusal has a reason."""
    table = parse(SourceFile(name="buildfile.yaml", folder="/", text=text))
    accepted = Acceptor(SCHEMA).accepts(table)
    text = buildfile_schema_text
    errors = list(checker._validator(text).iter_errors(checker._instance(table)))
    suspects = checker._suspect(table, text)
    suspect = checker._validator(text).iter_errors(checker._instance(suspects))
    assert sorted(map(told, suspect)) == sorted(map(told, errors))
    assert accepted == (not errors)
    assert accepted == (not check(table))


@pytest.mark.parametrize("name", sorted(SCHEMA["$defs"]))
def test_every_keyword_of_the_schema_is_known_to_the_acceptor(name: str) -> None:
    Acceptor(SCHEMA).compile(SCHEMA["$defs"][name])


def test_an_unknown_keyword_is_no_keyword_to_pass_over() -> None:
    with pytest.raises(KeyError, match="multipleOf"):
        Acceptor({"multipleOf": 2})


def misshapen() -> Iterator[str]:
    """The cases whose text is fine."""
    for case in sorted(CASES.iterdir()):
        text = (case / "buildfile.yaml").read_text(errors="ignore")
        table, found = parse_all(SourceFile(name=case.name, folder="/", text=text))
        if table and not found:
            yield case.name


@pytest.mark.parametrize("case", list(misshapen()))
def test_they_agree_on_each_invalid_case(case: str) -> None:
    agree((CASES / case / "buildfile.yaml").read_text(errors="ignore"))


def mutated(draw: st.DrawFn, tree: Any) -> Any:
    """``tree`` with one of its parts replaced, dropped or added."""
    part = st.sampled_from(PARTS)
    if isinstance(tree, dict) and tree and draw(st.integers(0, 4)):
        key = draw(st.sampled_from(sorted(tree)))
        return {**tree, key: mutated(draw, tree[key])}
    if isinstance(tree, list) and tree and draw(st.integers(0, 4)):
        index = draw(st.integers(0, len(tree) - 1))
        return [*tree[:index], mutated(draw, tree[index]), *tree[index + 1 :]]
    if isinstance(tree, dict) and draw(st.booleans()):
        key = draw(st.sampled_from(WORDS))
        return {**{k: v for k, v in tree.items() if k != key}, key: draw(part)}
    return draw(part)


WORDS = sorted(
    {key for _, schema in subschemas(SCHEMA) for key in schema.get("properties", {})}
    | {"x-free", "nonsense", "a b", "", "annotation.a"}
)
PARTS: list[Any] = [
    *("text", "", "${A}", "a ${B} c", "0755", "true", "5", "yes", "linux/arm64", "x-type"),
    *("bind", "cache", "secret", "local", "image", "registry", "inline", "1m", "none", "A=b"),
    *(None, True, False, 0, -1, 300, 1.5),
    *([], ["a"], [1, None], [{}], {}, {"a": "b"}, {"a b": []}, {"x-a": 1}),
    *({"type": "cache", "target": "/c"}, {"run": "a", "copy": {}}, {"ref": "a"}),
]


@st.composite
def trees(draw: st.DrawFn) -> Any:
    tree = TREE
    for _ in range(draw(st.integers(1, 4))):
        tree = mutated(draw, tree)
        if not isinstance(tree, dict):
            tree = {"stages": tree}
    return tree


@settings(max_examples=300)
@given(trees())
def test_they_agree_on_files_with_something_changed(tree: Any) -> None:
    agree(yaml.safe_dump(tree))


@settings(max_examples=200)
@given(trees())
def test_an_editor_accepts_no_less_than_we_do(tree: Any) -> None:
    """Where types are told by quotes alone, our verdict is that of plain jsonschema.

    The one difference is wanted: an unquoted number or boolean is a text where a text is wanted.
    """
    quoted = json.loads(json.dumps(tree), parse_float=str)
    text = yaml.safe_dump(quoted)
    if not list(Draft202012Validator(SCHEMA).iter_errors(quoted)):
        assert faults(text) == []
