"""No shape of a build file makes loading fail in any other way than with faults."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.translator.loading import AMD64, ROOT, project
from translator.diagnostic import InvalidFileError

TEXT = """version: 1
include: [a.yaml]
vars: {A: x, B: {type: list, default: [a, b]}, C: {type: map, default: {k: v}}}
secrets: {t: {env: A}}
ssh: {default: {agent: "${A}"}}
sources: {src: {local: ., include: [a]}, g: {git: u, auth-token: t}}
stages:
  a:
    from: src
    env: {X: "${A}"}
    platform: build
    steps:
      - {run: [x, "${target}"], mounts: [{type: secret, id: t}, {type: bind, target: /, from: g}]}
      - {copy: {from: g, to: /}}
  b: {from: a, image: {cmd: "${B}", labels: "${C}"}}
targets:
  c: {abstract: true, cache: {import: [x]}}
  t: {extends: [c], stage: b, matrix: {v: "${B}", exclude: [{v: a}]}, outputs: ["type=none"]}
groups: {default: [t]}
"""
PLACES = [match.span() for match in re.finditer(r"[\w./:-]+|\"[^\"]*\"|\[[^\[\]]*\]", TEXT)]
VALUES = (
    *("[]", "{}", "x", "1", "null", "''", "~", "true", "[[a]]", "[{a: b}]", "{a: {b: c}}"),
    *('"${"', '"${A}"', '"${B}"', '"${C}"', '"${NOPE}"', '"${target}"', '"${platform}"'),
    *('"${matrix.v}"', '"${matrix.w:-a}"', '"${A:?}"', "a", "b", "t", "scratch"),
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(PLACES), st.sampled_from(VALUES))
def test_any_value_anywhere_loads_or_is_a_fault(place: tuple[int, int], value: str) -> None:
    start, end = place
    text = TEXT[:start] + value + TEXT[end:]
    try:
        made = project(text, {f"{ROOT}/a.yaml": "version: 1\n"}, overrides=("t.platforms+=a/b",))
        for target in made.select([next(iter(made.targets))] if made.targets else []):
            made.instantiate(target, AMD64, AMD64)
    except InvalidFileError as error:
        assert error.diagnostics
