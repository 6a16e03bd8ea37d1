"""Stages made by Dockerfiles and by frontends in images, and what other stages make of them."""

from __future__ import annotations

import json
import uuid

import pytest

from daemon_shim.info import DaemonInfo
from tests.integration import frontends
from tests.integration.command import Workspace
from tests.integration.test_images import inspect
from tests.real.errors import UnavailableError

_HEAD = "version: 1\nvars:\n  BASE: {required: true}\n"
_DOCKERFILE = """\
ARG BASE
FROM ${BASE} AS build
ARG WORD=none
COPY greeting /in/
RUN mkdir /out && sed "s/^/${WORD} /" /in/greeting > /out/greeting
RUN ls /in > /out/seen

FROM scratch AS release
ENV GREETS=yes
COPY --from=build /out/ /
CMD ["/greet"]
"""
# What the frontends of v0.3 and v0.4 copy with is an image of the Docker Hub.
_PLAIN = """\
ARG BASE
FROM ${BASE} AS build
ARG WORD=none
RUN echo "${WORD} hello" > /greeting

FROM build
RUN echo not wanted > /greeting
"""
_AMONG_OTHERS = (0, 7, 0)
_PLACES = (0, 8, 0)
_CONTEXTS = (0, 10, 0)


def _site(work: Workspace) -> None:
    work.write("site/Dockerfile", _DOCKERFILE)
    work.write("site/greeting", "hello\n")
    work.write("site/.dockerignore", "junk\n")
    work.write("site/junk", "not sent\n")


def test_a_dockerfile_is_a_target(work: Workspace) -> None:
    work.write("site/plain", _PLAIN)
    work.build(
        _HEAD
        + """\
targets:
  site:
    dockerfile:
      context: {local: site}
      file: plain
      target: build
      args: {BASE: "${BASE}", WORD: "${target}"}
    outputs: [{type: local, dest: out}]
"""
    )
    assert (work.folder / "out" / "greeting").read_text() == "site hello\n"


_STAGES = (
    _HEAD
    + """\
sources:
  site: {local: site}
  words: {inline: {greeting: "words\\n"}}
stages:
  greeting:
    dockerfile: {context: site, args: {BASE: "${BASE}", WORD: well}}
  made:
    from: {image: "${BASE}"}
    steps:
      - run: mkdir /c && echo made > /c/greeting
  tree:
    from: scratch
    steps:
      - copy: {from: made, paths: [/c], to: /}
  again:
    dockerfile:
      context: tree
      file: {from: site}
      args: {BASE: "${BASE}", WORD: then}
  app:
    from: {image: "${BASE}"}
    steps:
      - copy: {from: greeting, paths: [greeting], to: /app/first}
      - run: cp /m/greeting /app/second
        mounts: [{type: bind, from: again, target: /m}]
  below:
    from: greeting
    steps:
      - write: {path: /more, text: more}
  both:
    merge: [greeting, words]
targets:
  app: {stage: app, outputs: [{type: local, dest: app, paths: [/app]}]}
  below: {stage: below, outputs: [{type: local, dest: below}]}
  both: {stage: both, outputs: [{type: local, dest: both}]}
groups:
  default: [app, below, both]
"""
)


def test_other_stages_use_what_a_dockerfile_makes(work: Workspace, info: DaemonInfo) -> None:
    _site(work)
    if info.release < _AMONG_OTHERS:
        done = work.build(_STAGES, code=4)
        assert "cannot build the stage greeting: stage of a frontend among others" in done.err
        assert f"needs BuildKit v0.7, and this is {info.version}" in done.err
        return
    work.build(_STAGES)
    assert (work.folder / "app" / "first").read_text() == "well hello\n"
    assert (work.folder / "app" / "second").read_text() == "then made\n"
    assert {each.name for each in (work.folder / "below").iterdir()} == {"greeting", "more", "seen"}
    assert (work.folder / "below" / "seen").read_text() == "greeting\n"
    assert (work.folder / "both" / "greeting").read_text() == "words\n"
    assert (work.folder / "both" / "seen").read_text() == "greeting\n"


def test_stages_stand_in_for_names_in_a_dockerfile(work: Workspace, info: DaemonInfo) -> None:
    text = (
        _HEAD
        + """\
stages:
  tools:
    from: {image: "${BASE}"}
    env: {TOLD: by the config}
    steps:
      - write: {path: /tool, text: "a tool\\n"}
targets:
  site:
    dockerfile:
      context: scratch
      inline: |
        FROM tools AS build
        RUN cat /tool /tool > /made && echo "${TOLD}" >> /made
        FROM scratch
        COPY --from=build /made /
        COPY --from=more:1.0 /tool /
      contexts: {tools: tools, "more:1.0": tools}
    outputs: [{type: local, dest: out}]
"""
    )
    if info.release < _CONTEXTS:
        done = work.build(text, code=4)
        assert "cannot build the stage site: " in done.err
        return
    work.build(text)
    assert (work.folder / "out" / "made").read_text() == "a tool\na tool\nby the config\n"
    assert (work.folder / "out" / "tool").read_text() == "a tool\n"


def test_what_is_wrong_with_a_dockerfile_is_shown_at_its_line(
    work: Workspace, info: DaemonInfo
) -> None:
    work.write("site/Dockerfile", "ARG BASE\nFROM ${BASE}\nRUN exit 3\n")
    work.write("site/typo", "ARG BASE\nFROM ${BASE}\n\nCPOY a b\n")
    text = (
        _HEAD
        + """\
targets:
  fails: {dockerfile: {context: {local: site}, args: {BASE: "${BASE}"}}}
  typo: {dockerfile: {context: {local: site}, file: typo, args: {BASE: "${BASE}"}}}
"""
    )
    failed = work.build(text, "fails", code=1)
    wrong = work.build(text, "typo", code=1)
    assert "CPOY" in wrong.err
    if info.release < _PLACES:
        assert "exit 3" in failed.err
        return
    assert "site/Dockerfile:3:1: error: [fails 2/2] RUN exit 3 failed: exit code 3" in failed.err
    assert "  3 | RUN exit 3\n" in failed.err
    assert "error: cannot make typo by dockerfile.v0, file typo: " in wrong.err
    # The engine 20.10 tells no place of it but in words.
    assert "site/typo:4:1: error: " in wrong.err or "parse error line 4: " in wrong.err


def test_a_dockerfiles_config_becomes_the_images(work: Workspace, info: DaemonInfo) -> None:
    name = f"stages/{uuid.uuid4().hex}"
    work.write("site/Dockerfile", 'ARG BASE\nFROM ${BASE}\nENV GREETS=yes\nCMD ["/greet"]\n')
    # BuildKit up to v0.7 calls OCI layers Docker's unless it is told.
    kind = "type: image, oci-mediatypes: true" if info.release < (0, 8) else "type: image"
    text = (
        _HEAD
        + f"""\
  REGISTRY: {{required: true}}
targets:
  site:
    dockerfile:
      context: {{local: site}}
      args: {{BASE: "${{BASE}}"}}
      labels: {{of: the-build-file}}
    outputs: [{{{kind}, name: "${{REGISTRY}}/{name}", push: true}}]
"""
    )
    work.build(text)
    found = inspect(f"docker://{work.values['REGISTRY']}/{name}", "--config")
    assert "GREETS=yes" in found["config"]["Env"]
    assert found["config"]["Cmd"] == ["/greet"]
    assert found["config"]["Labels"]["of"] == "the-build-file"
    assert any("CMD" in str(each.get("created_by")) for each in found["history"])


def test_steps_get_the_secrets_that_their_stage_names(work: Workspace, info: DaemonInfo) -> None:
    inline = """\
      context: scratch
      inline: |
        ARG BASE
        FROM ${BASE}
        ARG FOR
        RUN --mount=type=secret,id=token cat /run/secrets/token > /told || echo none > /told
      args: {BASE: "${BASE}", FOR: "${target}"}
"""
    text = (
        _HEAD
        + "secrets:\n  token: {env: TOKEN}\ntargets:\n"
        + f"  given:\n    dockerfile:\n      secrets: [token]\n{inline}"
        + "    outputs: [{type: local, dest: given, paths: [/told]}]\n"
        + f"  without:\n    dockerfile:\n{inline}"
        + "    outputs: [{type: local, dest: without, paths: [/told]}]\n"
        + "groups: {default: [given, without]}\n"
    )
    if info.release < (0, 8, 0):
        pytest.skip("its Dockerfiles know no mounts without a frontend of the Docker Hub")
    work.build(text, environment={"TOKEN": "open sesame"})
    assert (work.folder / "given" / "told").read_text() == "open sesame"
    assert (work.folder / "without" / "told").read_text() == "none\n"


@pytest.fixture(scope="session")
def frontend_image(registry: str) -> str:
    """An image whose builder is ``frontend_cases.build``, or a skip."""
    try:
        return frontends.push(registry)
    except UnavailableError as error:
        pytest.skip(str(error))


def test_a_frontend_in_an_image_makes_a_stage(
    work: Workspace, info: DaemonInfo, frontend_image: str
) -> None:
    text = (
        _HEAD
        + f"""\
stages:
  given:
    from: scratch
    steps:
      - write: {{path: /word, text: given}}
  told:
    frontend:
      image: "{frontend_image}"
      opts: {{case: take, image: "${{BASE}}"}}
      inputs: {{tree: given}}
  app:
    from: {{image: "${{BASE}}"}}
    steps:
      - copy: {{from: told, paths: [/told], to: /}}
targets:
  app: {{stage: app, outputs: [{{type: local, dest: out, paths: [/told]}}]}}
"""
    )
    if info.release < _AMONG_OTHERS:
        assert "stage of a frontend among others" in work.build(text, code=4).err
        return
    work.build(text)
    assert json.loads((work.folder / "out" / "told").read_text()) == {
        "names": ["word"],
        "word": "given",
    }
