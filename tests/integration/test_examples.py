"""The examples, built as their READMEs say, on each daemon."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from daemon_shim import support
from daemon_shim.info import DaemonInfo
from tests.integration.command import Workspace, run
from tests.integration.test_images import inspect
from tests.integration.tree import archive, files
from tests.real import bases
from tests.real.errors import UnavailableError

_EXAMPLES = Path(__file__).parents[2] / "examples"


def _copy(work: Workspace, name: str) -> None:
    """Lay an example into the workspace, without what was built or prepared in it."""
    ignored = {
        line.strip("/") for line in (_EXAMPLES / name / ".gitignore").read_text().splitlines()
    }

    def leave_out(folder: str, names: list[str]) -> set[str]:
        return ignored & set(names)

    shutil.copytree(_EXAMPLES / name, work.folder, dirs_exist_ok=True, ignore=leave_out)


def _prepare(work: Workspace) -> None:
    environment = os.environ | {"PYTHON": sys.executable}
    subprocess.run([work.folder / "prepare"], check=True, env=environment)


def test_every_example_is_explained_and_tested() -> None:
    tested = {"hello", "c-program", "python-app", "image", "layers", "monorepo"}
    assert {path.parent.name for path in _EXAMPLES.glob("*/buildfile.yaml")} == tested
    for name in tested:
        assert (_EXAMPLES / name / "README.md").exists()
        first, *_ = (_EXAMPLES / name / "buildfile.yaml").read_text().splitlines()
        assert first.startswith("# yaml-language-server: $schema=")


def test_hello(work: Workspace) -> None:
    _copy(work, "hello")
    _prepare(work)
    done = work.build()
    greeting = (work.folder / "out/hello.txt").read_text()
    assert greeting.startswith("Hello, world. This is a step on Linux")
    assert done.logged(greeting.strip()) == 1
    work.build(None, "--var", "WHO=you")
    assert (work.folder / "out/hello.txt").read_text().startswith("Hello, you.")


_MAKES = """
version: 1
vars:
  BASE: none
stages:
  made:
    from: {image: "${BASE}"}
    steps: [{run: 'printf "all:; mkdir /made" | make -f -'}]
targets: {made: {stage: made, outputs: [{type: none}]}}
"""
_REFUSES_CLONE3, _KNOWS_CLONE3 = (0, 8, 0), (0, 9, 1)


def _skip_where_make_starts_nothing(work: Workspace, info: DaemonInfo, words: list[str]) -> None:
    """Some daemons answer clone3 with an error after which a C library of today does not go on."""
    if not _REFUSES_CLONE3 <= info.release < _KNOWS_CLONE3:
        return
    work.write("buildfile.yaml", _MAKES)
    with work.surroundings():
        done = run(work.arguments(*words))
    if "mkdir: Operation not permitted" in done.err:
        pytest.skip(f"the seccomp profile of BuildKit {info.version} refuses clone3: make fails")
    assert done.code == 0, done.err


def test_c_program(work: Workspace, info: DaemonInfo, toolchain_image: str) -> None:
    base = ["--var", f"BASE={toolchain_image}"]
    _skip_where_make_starts_nothing(work, info, base)
    _copy(work, "c-program")
    words = (*base, "--var", "VERSION=1.2")
    done = work.build(None, *words)
    assert done.logged("ok     a thousand words survive growing") <= 1  # 0 where it was cached
    program = work.folder / "out/wordfreq"
    said = subprocess.run([program, "2"], input=b"b a b c a b", capture_output=True, check=True)
    assert said.stdout == b"      3 b\n      2 a\n"
    assert (
        b"wordfreq 1.2" in subprocess.run([program, "-h"], capture_output=True, check=True).stdout
    )

    changed = (work.folder / "src/main.c").read_text().replace("usage:", "Usage:")
    work.write("src/main.c", changed)
    done = work.build(None, "bin", *words)
    assert "src/main.c" in done.err and "-o build/words.o" not in done.err

    refused = support.reason(info, "exporter", "docker")
    done = work.build(None, "image", *words, code=4 if refused else 0)
    if refused:
        assert f"cannot make this docker output: {refused}" in done.err
        return
    image = inspect(f"docker-archive:{work.folder / 'out-image.tar'}", "--config")
    assert (image["config"]["Entrypoint"], image["config"]["User"]) == (["/wordfreq"], "65532")


def test_python_app(work: Workspace, registry: str, python_image: str) -> None:
    _copy(work, "python-app")
    _prepare(work)
    versions = _pythons(registry) if work.daemon.name == "trixie" else [next(iter(bases.pythons()))]
    values = {"PREFIX": f"{registry}/python-", "SUFFIX": ":1", "PYTHONS": ",".join(versions)}
    words = [word for key, value in values.items() for word in ("--var", f"{key}={value}")]
    work.build(None, *words)
    for version in versions:
        pages = files(work.folder / "out" / version)
        assert "<table>" in pages["hello.html"]
        assert '<a href="hello.html">Hello</a>' in pages["index.html"]
    changed = (work.folder / "pages/site.py").read_text().replace("<!doctype", "<!broken")
    work.write("pages/site.py", changed.replace('"# Pages"', '"# None"'))
    work.build(None, *words, "site")
    assert "<!broken" in files(work.folder / "out" / versions[0])["index.html"]
    work.write("tests/test_site.py", "raise SystemExit('a test that fails')\n")
    done = work.build(None, *words, "test", code=1)
    assert "a test that fails" in done.err and "buildfile.yaml:" in done.err


def _pythons(registry: str) -> list[str]:
    """The versions whose images are in the registry now."""
    pushed = []
    for version, base in bases.pythons().items():
        try:
            bases.push(base, registry)
        except UnavailableError:
            continue
        pushed.append(version)
    return pushed


def test_image(work: Workspace, info: DaemonInfo, registry: str) -> None:
    _copy(work, "image")
    repository = f"{registry}/{uuid.uuid4().hex}"
    words = ("--var", f"REGISTRY={repository}", "--var", "TAG=v1")
    if refused := support.reason(info, "cache-export", "inline"):
        assert f"cannot build image: {refused}" in work.build(None, *words, code=4).err
        file = work.folder / "buildfile.yaml"
        file.write_text(file.read_text().replace("export: [{type: inline}]", "export: []"))
    done = work.build(None, *words)
    assert f"{repository}/site:v1@sha256:" in done.out
    config = inspect(f"docker://{repository}/site:v1", "--config")["config"]
    assert config["Entrypoint"] == ["httpd", "-f", "-c", "/etc/httpd.conf"]
    assert config["Healthcheck"]["Retries"] == 3
    assert config["Labels"]["org.opencontainers.image.version"] == "v1"
    assert config["User"] == "65532:65532"
    assert "PATH=/usr/bin:/bin" in config["Env"]
    work.build(None, *words, "pages")
    assert "<h1>It works</h1>" in (work.folder / "out/index.html").read_text()


def test_layers(work: Workspace) -> None:
    _copy(work, "layers")
    base = ("--var", f"BASE={work.values['BASE']}")
    work.build(None, *base)
    assert (work.folder / "out/greeting").read_text() == "Hello, reader\n"
    patch = archive((work.folder / "out/patch.tar").read_bytes())
    assert patch["var/lib/greet/words"] == "Hello\n" and "usr/bin/greet" in patch
    assert not any(name.startswith(("bin/", "srv")) for name in patch)
    work.write("pages/who", "writer\n")
    done = work.build(None, *base, "greeting")
    assert (work.folder / "out/greeting").read_text() == "Hello, writer\n"
    assert re.search(r"^#(\d+) \[installed\] run .*\n#\1 CACHED$", done.err, re.MULTILINE)


def test_monorepo(work: Workspace, registry: str, info: DaemonInfo) -> None:
    _copy(work, "monorepo")
    repository = f"{registry}/{uuid.uuid4().hex}"
    words = ("--var", f"BASE={work.values['BASE']}", "--var", f"REGISTRY={repository}")
    work.build(None, *words)
    out = files(work.folder / "out")
    assert out["usage.txt"].startswith("queue.sh put WORD | take | selftest")
    work.build(None, *words, "images", "--var", "RELEASE=true")
    for name in ("api-plain", "api-debug", "web-plain"):
        assert inspect(f"docker://{repository}/{name}:dev")["schemaVersion"] == 2
    labels = inspect(f"docker://{repository}/api-debug:dev", "--config")["config"]["Labels"]
    assert labels["org.example.flavour"] == "debug"
    assert work.build(None, *words, "images", "--set", "*.outputs=type=none").out == ""
    work.build(None, *words, "api-plain", "-o", "whole")
    assert (work.folder / "whole/srv/queue.sh").exists()
