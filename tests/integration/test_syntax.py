"""The build file as a frontend, in the image that its own build file makes, on each daemon."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from daemon_shim.client import Daemon
from daemon_shim.errors import SolveFailedError
from daemon_shim.gateway import GatewayBuild
from daemon_shim.info import DaemonInfo
from daemon_shim.request import SolveRequest
from daemon_shim.results import Result
from daemon_shim.session.filesync import FileSync, LocalFolder
from daemon_shim.session.host import SessionHost
from daemon_shim.transports import transport_for
from tests.integration import exitcodes
from tests.integration.clients import DOCKERS, Buildctl, Docker, buildctls
from tests.integration.command import Workspace, run
from tests.real import bases
from tests.real.daemon import Daemon as Known
from tests.real.errors import UnavailableError
from translator.state import mkdir, scratch, write

_REPOSITORY = Path(__file__).parents[2]
_IMAGE = _REPOSITORY / "images" / "frontend"

_TEXT = """\
# syntax={syntax}
version: 1
include: [parts/base.yaml]
vars:
  WHO: {{default: world, description: who is greeted}}
  NAME: app
sources:
  web: {{local: ./web}}
  whole: {{local: ., include: [r.txt, web]}}
stages:
  app:
    from: base
    network: none
    steps:
      - copy: {{from: whole, paths: [web/a.txt, r.txt], to: /whole/}}
      - run: echo "hello $WHO" >/greeting
        env: {{WHO: "${{WHO}}"}}
    image: {{cmd: [cat, /greeting], labels: {{who: "${{WHO}}"}}}}
  files:
    from: scratch
    steps:
      - copy: {{from: web, to: /web}}
      - write: {{path: /who, text: "${{WHO}}"}}
    image: {{labels: {{who: "${{WHO}}"}}}}
  named: {{from: web}}
targets:
  app:
    description: the application
    stage: app
    outputs: [{{type: image, name: "${{NAME}}"}}]
  files:
    stage: files
    outputs: [{{type: local, dest: out}}]
    cache: {{import: [{{type: registry, ref: "{registry}/none:1"}}, {{type: local, src: .cache}}]}}
  named: {{stage: named}}
groups: {{default: [app]}}
"""
_PART = """\
vars: {BASE: none}
stages:
  base: {from: {image: "${BASE}"}}
"""


@pytest.fixture(scope="session")
def syntax_image(
    registry: str, full_daemon: Known, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """The frontend's image, made by its own build file, or a skip."""
    version, base = next(iter(bases.pythons().items()))
    try:
        python = bases.push(base, registry)
    except UnavailableError as error:
        pytest.skip(str(error))
    prepare = [str(_IMAGE / "prepare"), version]
    subprocess.run(prepare, env=os.environ | {"PYTHON": sys.executable}, check=True)
    name = f"{registry}/buildfile:1"
    values = {"BASE": python, "NAME": name, "PUSH": "true", "INSECURE": "true"}
    words = [word for key, value in values.items() for word in ("--var", f"{key}={value}")]
    place = ["-f", str(_IMAGE / "buildfile.yaml"), "--allow", f"fs.read={_REPOSITORY}"]
    work = Workspace(folder=tmp_path_factory.mktemp("syntax"), daemon=full_daemon, values={})
    with work.surroundings():
        done = run(["build", *place, "--daemon", full_daemon.address, *words])
    assert done.code == 0, done.err
    return name


@pytest.fixture
def tree(work: Workspace, syntax_image: str) -> Workspace:
    """A workspace on each daemon, with a build file that names its frontend."""
    return _filled(work, syntax_image)


@pytest.fixture
def full_tree(full: Workspace, syntax_image: str) -> Workspace:
    """The same on one daemon."""
    return _filled(full, syntax_image)


def _filled(work: Workspace, image: str) -> Workspace:
    text = _TEXT.format(syntax=image, registry=work.values["REGISTRY"])
    work.write("buildfile.yaml", text)
    work.write("parts/base.yaml", _PART)
    work.write("web/a.txt", "a\n")
    work.write("web/sub/b.txt", "b\n", mode=0o600)
    work.write("web/c.log", "not wanted\n")
    work.write("web/.dockerignore", "*.log\n!/sub/b.txt\n")
    work.write("r.txt", "r\n")
    return work


class Asking:
    """Solves through the frontend in its container, with the workspace's folder as the context."""

    def __init__(self, build: GatewayBuild, image: str) -> None:
        self.build = build
        self._image = image

    def __call__(self, opts: Mapping[str, str] = {}, **more: str) -> Result:
        asked = {"source": self._image, **opts, **more}
        return self.build.solve(frontend="gateway.v0", opts=asked)


@pytest.fixture
def ask(tree: Workspace, syntax_image: str) -> Iterator[Asking]:
    with _asking(tree, syntax_image) as ask:
        yield ask


@pytest.fixture
def ask_full(full_tree: Workspace, syntax_image: str) -> Iterator[Asking]:
    with _asking(full_tree, syntax_image) as ask:
        yield ask


@contextmanager
def _asking(work: Workspace, image: str) -> Iterator[Asking]:
    folder = LocalFolder(path=str(work.folder))
    names = {"context": folder, "dockerfile": folder}
    names["other"] = LocalFolder(path=str(work.folder / "web" / "sub"))
    with (
        Daemon(transport_for(work.daemon.address), timeout=60.0) as client,
        SessionHost(client.wire.transport, [FileSync(names)], name="test") as session,
        GatewayBuild(client, SolveRequest(ref=uuid.uuid4().hex, session=session.id)) as build,
    ):
        yield Asking(build, image)


# --- the same as on this side ------------------------------------------------------------------


@pytest.mark.parametrize("client", DOCKERS.values(), ids=DOCKERS)
def test_docker_builds_the_same_image(tree: Workspace, client: Docker) -> None:
    if tree.daemon.kind != "engine":
        pytest.skip("Docker's client drives an engine")
    base, tag = tree.values["BASE"], uuid.uuid4().hex[:8]
    arguments = ["--build-arg", "WHO=you", "--build-arg", f"BASE={base}"]
    try:
        said = client.run(
            tree, "build", "-f", "buildfile.yaml", *arguments, "-t", f"theirs:{tag}", "."
        )
    except UnavailableError as error:
        pytest.skip(str(error))
    assert said.code == 0, said.text
    tree.build(None, "--var", f"NAME=ours:{tag}", "--var", "WHO=you", "--var", f"BASE={base}")
    ours, theirs = (
        json.loads(client.run(tree, "image", "inspect", f"{name}:{tag}").text)[0]
        for name in ("ours", "theirs")
    )
    assert theirs["Config"]["Labels"]["who"] == "you"
    assert theirs["Config"] == ours["Config"]
    assert theirs["RootFS"] == ours["RootFS"]
    assert theirs["Id"] == ours["Id"]


@pytest.mark.parametrize("frontend", ["gateway.v0", "dockerfile.v0"])
@pytest.mark.parametrize("client", buildctls(), ids=lambda each: each.name)
def test_buildctl_builds_the_same_files(
    tree: Workspace, syntax_image: str, client: Buildctl, frontend: str
) -> None:
    if tree.daemon.kind == "engine":
        pytest.skip("buildctl drives daemons of their own")
    opts = {"filename": "buildfile.yaml", "build-arg:WHO": "you", "target": "files"}
    if frontend == "gateway.v0":
        opts["source"] = syntax_image
    said = client.build(tree, frontend, opts, {"type": "local", "dest": "theirs"})
    assert said.code == 0, said.text
    tree.build(None, "files", "--var", "WHO=you")
    ours, theirs = (_files(tree.folder / name) for name in ("out", "theirs"))
    assert theirs == ours
    assert theirs["web/sub/b.txt"] == "b\n" and theirs["who"] == "you"


def _files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_it_takes_what_the_context_has(tree: Workspace, ask: Asking) -> None:
    result = ask({"build-arg:BASE": tree.values["BASE"], "label:more": "yes"}, target="files")
    assert [each.name for each in result.ref.read_dir("/web")] == [".dockerignore", "a.txt", "sub"]
    assert result.ref.read_file("/web/sub/b.txt") == b"b\n"
    assert result.ref.stat_file("/web/sub/b.txt").mode & 0o777 == 0o600
    assert result.ref.read_file("/who") == b"world"
    if "gateway.solve.metadata" in ask.build.capabilities:
        config = json.loads(result.metadata["containerimage.config"])["config"]
        assert config["Labels"] == {"who": "world", "more": "yes"}


def test_named_contexts_and_platforms(tree: Workspace, ask: Asking) -> None:
    result = ask({"context:web": "local:other"}, target="named", platform="linux/amd64,linux/arm64")
    assert sorted(result.refs) == ["linux/amd64", "linux/arm64"]
    assert {ref.read_file("/b.txt") for ref in result.refs.values()} == {b"b\n"}
    if "gateway.solve.metadata" in ask.build.capabilities:
        listed = json.loads(result.metadata["refs.platforms"])["Platforms"]
        assert [each["ID"] for each in listed] == ["linux/amd64", "linux/arm64"]
        config = json.loads(result.metadata["containerimage.config/linux/arm64"])
        assert config["architecture"] == "arm64"


def test_a_client_gives_graphs(tree: Workspace, syntax_image: str, ask: Asking) -> None:
    if "frontend.inputs" not in ask.build.capabilities:
        pytest.skip("this daemon gives frontends no graphs")
    file = (tree.folder / "buildfile.yaml").read_text()
    result = ask.build.solve(
        frontend="gateway.v0",
        opts={"source": syntax_image, "target": "files", "context:base": "input:dockerfile"},
        inputs={
            "context": scratch().file(mkdir("/web"), write("/web/given", "by the client")),
            "dockerfile": scratch().file(
                write("/buildfile.yaml", file), mkdir("/parts"), write("/parts/base.yaml", _PART)
            ),
        },
    )
    assert [each.name for each in result.ref.read_dir("/web")] == ["given"]
    assert result.ref.read_file("/web/given") == b"by the client"


def test_a_stage_is_a_target_too_and_steps_can_run_anew(
    full_tree: Workspace, ask_full: Asking
) -> None:
    image = f"docker-image://{full_tree.values['BASE']}"
    base = {"context:base": image, "image-resolve-mode": "local"}
    first = ask_full({**base, "target": "app"}).ref.stat_file("/greeting").modified
    assert ask_full({**base, "no-cache": "base"}).ref.stat_file("/greeting").modified == first
    assert ask_full({**base, "no-cache": "app"}).ref.stat_file("/greeting").modified > first
    assert ask_full({**base, "target": "base"}).ref.stat_file("/bin").is_folder


def test_stages_of_dockerfiles_are_made_by_the_daemon(tree: Workspace, ask: Asking) -> None:
    text = (tree.folder / "buildfile.yaml").read_text()
    made = """\
targets:
  site:
    dockerfile: {context: web, inline: "FROM scratch AS x\\nCOPY a.txt /\\n", contexts: {y: files}}
  above: {stage: above}
"""
    above = "  above: {from: site, steps: [{write: {path: /more, text: more}}]}\ntargets:\n"
    made = made.replace(", contexts: {y: files}", "") if _is_before_contexts(ask) else made
    tree.write("buildfile.yaml", text.replace("targets:\n", above + made.partition("\n")[2], 1))
    if "frontend.inputs" not in ask.build.capabilities:
        with pytest.raises(SolveFailedError, match="stage of a frontend among others"):
            ask(target="above")
        return
    ref = ask(target="above").ref
    assert [each.name for each in ref.read_dir("/")] == ["a.txt", "more"]
    assert ref.read_file("/a.txt") == b"a\n"


def _is_before_contexts(ask: Asking) -> bool:
    return "mergeop" not in ask.build.capabilities  # v0.10, too


# --- what is asked and told --------------------------------------------------------------------


def test_subrequests_are_answered(tree: Workspace, ask: Asking) -> None:
    if "gateway.solve.metadata" not in ask.build.capabilities:
        pytest.skip("this daemon hands on no metadata")
    caps = {"frontend.caps": "moby.buildkit.frontend.subrequests"}
    told = ask(caps, requestid="frontend.targets").metadata
    assert told["version"] == b"1.0.0"
    lines = told["result.txt"].decode().splitlines()
    assert lines[1:] == ["app (default) the application", "files", "named"]
    with pytest.raises(SolveFailedError, match=r"unsupported request frontend\.lint"):
        ask(requestid="frontend.lint")


def test_faults_of_the_file_come_with_their_places(tree: Workspace, ask: Asking) -> None:
    text = (tree.folder / "buildfile.yaml").read_text()
    broken = text.replace("local: ./web", "local: ../web").replace("to: /whole/", "too: /whole/")
    tree.write("buildfile.yaml", broken)
    with pytest.raises(SolveFailedError) as caught:
        ask()
    message = str(caught.value)
    assert "buildfile.yaml:8:16: error: this folder is outside of the build context" in message
    assert "  8 |   web: {local: ../web}\n    |                ^^^^^^" in message
    assert "unknown key too" in message and "did you mean to?" in message
    if caught.value.status:
        assert [each.start_line for each in caught.value.ranges] == [8, 15]


def test_a_failing_step_leads_to_its_line(tree: Workspace, info: DaemonInfo, ask: Asking) -> None:
    text = (tree.folder / "buildfile.yaml").read_text().replace(">/greeting", ">&2; exit 7")
    tree.write("buildfile.yaml", text)
    with pytest.raises(SolveFailedError, match=exitcodes.of_daemon(7, info)) as caught:
        ask({"build-arg:BASE": tree.values["BASE"]})
    told = not re.search(exitcodes.UNTOLD, str(caught.value))
    assert caught.value.exit_code == (7 if told else None)
    if caught.value.ranges:
        last = caught.value.ranges[-1]
        assert (last.file, last.start_line) == ("buildfile.yaml", 16)
