"""Every kind of source, by what it puts on the disk."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from daemon_shim.info import DaemonInfo
from tests.integration.command import Workspace
from tests.integration.tree import files, tree

_COPY = """
stages:
  all:
    from: scratch
    steps:
      - copy: {from: src, to: /}
targets:
  all: {stage: all, outputs: [{type: local, dest: out}]}
"""


def _fill(work: Workspace, *names: str) -> None:
    for name in names:
        work.write(name, name)


def test_local_source_sends_what_is_included(work: Workspace) -> None:
    _fill(work, "src/a.c", "src/a.h", "src/deep/b.c", "src/deep/er/c.c", "src/gen/d.c", "other/e.c")
    local = 'sources: {src: {local: src, include: ["**/*.c"], exclude: [gen]}}'
    work.build(f"version: 1\n{local}{_COPY}")
    assert set(files(work.folder / "out")) == {"a.c", "deep/b.c", "deep/er/c.c"}


def test_ignore_file_is_honoured_unless_told_otherwise(work: Workspace) -> None:
    _fill(work, "src/keep", "src/drop.o", "src/important.o", "src/dir/drop.o")
    work.write("src/.dockerignore", "# objects\n**/*.o\n!important.o\n.dockerignore\n")
    work.build(f"version: 1\nsources: {{src: {{local: src}}}}{_COPY}")
    assert set(files(work.folder / "out")) == {"keep", "important.o"}
    work.build(
        f"version: 1\nsources: {{src: {{local: src, ignore-file: none}}}}{_COPY}", "-o", "all"
    )
    everything = {".dockerignore", "keep", "drop.o", "important.o", "dir/drop.o"}
    assert set(files(work.folder / "all")) == everything


def test_local_source_keeps_modes_links_and_strange_names(work: Workspace) -> None:
    _fill(work, "src/plain", "src/with space", "src/ünï", "src/[a]*?", "src/dir/below")
    work.write("src/tool", "tool", mode=0o755)
    work.write("src/empty")
    (work.folder / "src/link").symlink_to("dir/below")
    (work.folder / "src/dangling").symlink_to("/nowhere")
    (work.folder / "src/folder").mkdir(mode=0o700)
    os.link(work.folder / "src/plain", work.folder / "src/same")
    work.build(f"version: 1\nsources: {{src: {{local: src}}}}{_COPY}")
    assert tree(work.folder / "out") == tree(work.folder / "src")
    assert (work.folder / "out/tool").stat().st_mode & 0o777 == 0o755
    assert (work.folder / "out/folder").stat().st_mode & 0o777 == 0o700
    assert (work.folder / "out/plain").samefile(work.folder / "out/same")


def test_follow_takes_a_link_and_what_it_leads_to(work: Workspace) -> None:
    _fill(work, "src/real/file", "src/unused")
    (work.folder / "src/current").symlink_to("real")
    work.build(f"version: 1\nsources: {{src: {{local: src, follow: [current/file]}}}}{_COPY}")
    assert files(work.folder / "out") == {"current": "-> real", "real/file": "src/real/file"}


def test_changes_of_a_local_source_arrive(work: Workspace) -> None:
    _fill(work, "src/changed", "src/removed", "src/turned/folder")
    work.build(f"version: 1\nsources: {{src: {{local: src}}}}{_COPY}")
    work.write("src/changed", "anew")
    (work.folder / "src/removed").unlink()
    (work.folder / "src/turned/folder").unlink()
    (work.folder / "src/turned").rmdir()
    _fill(work, "src/turned")
    work.build(None, "-o", "second")
    assert tree(work.folder / "second") == tree(work.folder / "src")


def test_two_sources_of_one_folder_do_not_mix(work: Workspace) -> None:
    _fill(work, "src/a", "src/b")
    work.build("""
version: 1
sources:
  one: {local: src, include: [a]}
  two: {local: src, include: [b]}
stages:
  all:
    from: scratch
    steps:
      - copy: {from: one, to: /one/}
      - copy: {from: two, to: /two/}
targets:
  all: {stage: all, outputs: [{type: local, dest: out}]}
""")
    assert files(work.folder / "out") == {"one/a": "src/a", "two/b": "src/b"}


def test_inline_source_is_its_files(work: Workspace) -> None:
    inline = 'sources: {src: {inline: {"a/b.txt": "ä\\n${T}\\n", empty: "", top: "$$1"}}}'
    work.build(f"version: 1\nvars: {{T: value}}\n{inline}{_COPY}")
    assert files(work.folder / "out") == {"a/b.txt": "ä\nvalue\n", "empty": "", "top": "$1"}


def test_image_source_by_tag_and_by_digest(work: Workspace, oci_base: Path) -> None:
    index = (oci_base / "index.json").read_text()
    digest = index.partition('"digest": "')[2][:71] or index.partition('"digest":"')[2][:71]
    assert digest.startswith("sha256:")
    image = """
version: 1
vars:
  BASE: none
sources:
  src: {image: "${BASE}%s"}
stages:
  all:
    from: scratch
    steps:
      - copy: {from: src, paths: [/etc/passwd, /bin/sh], to: /}
targets:
  all: {stage: all, outputs: [{type: local, dest: out}]}
"""
    for name in ("", f"@{digest}"):
        work.build(image % name)
        out = tree(work.folder / "out")
        assert out["passwd"].startswith("root:x:0:0")
        assert out["sh"] == "-> busybox"


# --- git ---------------------------------------------------------------------------------------


class Repository:
    """A repository behind ``git daemon`` on a port of its own."""

    def __init__(self, folder: Path, port: int) -> None:
        self._work = folder / "work"
        self.url = f"git://127.0.0.1:{port}/work"
        self._git("init", "-q", "-b", "main", str(self._work), cwd=folder)

    def commit(self, name: str, text: str) -> str:
        """Commit one file; returns the commit."""
        path = self._work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        self._git("add", "-A")
        self._git("commit", "-q", "-m", name)
        return self._git("rev-parse", "HEAD").strip()

    def tag(self, name: str) -> None:
        """Tag the last commit."""
        self._git("tag", "-a", "-m", name, name)

    def _git(self, *words: str, cwd: Path | None = None) -> str:
        person = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=no"]
        done = subprocess.run(
            ["git", *person, *words],
            cwd=cwd or self._work,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    folder = tmp_path / "git"
    folder.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    serve = ["git", "daemon", "--export-all", f"--base-path={folder}", "--listen=127.0.0.1"]
    process = subprocess.Popen([*serve, f"--port={port}", "--reuseaddr"], stderr=subprocess.DEVNULL)
    try:
        _wait_for(port)
        yield Repository(folder, port)
    finally:
        process.terminate()
        process.wait()


def _wait_for(port: int) -> None:
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        time.sleep(0.05)
    raise TimeoutError("git daemon does not listen")


def test_git_source_at_a_branch_a_tag_and_a_commit(
    work: Workspace, repository: Repository, info: DaemonInfo
) -> None:
    first = repository.commit("file", "first")
    repository.tag("v1")
    repository.commit("file", "second")
    repository.commit("sub/below", "below")
    both = {"file": "second", "sub/below": "below"}
    wanted = {
        "": both,
        ", ref: main": both,
        ", ref: v1": {"file": "first"},
        f", ref: {first}": {"file": "first"},
        f", commit: {first}": {"file": "first"},
        ", subdir: sub": {"below": "below"},
        ", ref: main, subdir: /sub/, keep-git-dir: true": {"below": "below"},
    }
    if info.has("source.git.checksum"):
        wanted[f", ref: v1, commit: {first}"] = {"file": "first"}
    for number, (rest, expected) in enumerate(wanted.items()):
        out = f"out{number}"
        git = f"sources: {{src: {{git: '{repository.url}'{rest}}}}}"
        work.build(f"version: 1\n{git}{_COPY}", "-o", out)
        assert files(work.folder / out) == expected, rest


def test_git_source_keeps_its_history_when_asked(
    work: Workspace, repository: Repository, info: DaemonInfo
) -> None:
    repository.commit("file", "text")
    able = info.release >= (0, 7)
    git = f"sources: {{src: {{git: '{repository.url}', keep-git-dir: true}}}}"
    done = work.build(f"version: 1\n{git}{_COPY}", code=0 if able else 4)
    if able:
        assert (work.folder / "out/.git/HEAD").exists()
        assert (work.folder / "out/file").read_text() == "text"
    else:
        assert "a repository with its history needs BuildKit v0.7" in done.err


def test_git_source_that_is_another_commit_fails(
    work: Workspace, repository: Repository, info: DaemonInfo
) -> None:
    repository.commit("file", "text")
    wrong = f", ref: main, commit: {'1' * 40}"
    done = work.build(
        f"version: 1\nsources: {{src: {{git: '{repository.url}'{wrong}}}}}{_COPY}",
        code=1 if info.has("source.git.checksum") else 4,
    )
    assert "buildfile.yaml:2" in done.err


def test_git_source_that_is_not_there_fails(work: Workspace, repository: Repository) -> None:
    done = work.build(f"version: 1\nsources: {{src: {{git: '{repository.url}x'}}}}{_COPY}", code=1)
    assert "buildfile.yaml:2" in done.err


# --- http --------------------------------------------------------------------------------------


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "site").mkdir()
    (tmp_path / "site/tool").write_text("a tool\n")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=tmp_path / "site"))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/tool"
    server.shutdown()
    server.server_close()
    thread.join()


def test_http_source_with_all_its_attributes(work: Workspace, site: str) -> None:
    digest = hashlib.sha256(b"a tool\n").hexdigest()
    rest = f'checksum: "sha256:{digest}", filename: renamed, chmod: "0750", uid: 7, gid: 8'
    work.build(f"""
version: 1
vars:
  BASE: none
sources:
  plain: {{http: "{site}"}}
  src: {{http: "{site}", {rest}}}
stages:
  all:
    from: {{image: "${{BASE}}"}}
    steps:
      - copy: {{from: plain, to: /all/}}
      - copy: {{from: src, to: /all/}}
      - run: cd /all && stat -c '%n %a %u %g' renamed >facts
targets:
  all: {{stage: all, outputs: [{{type: local, dest: out, paths: [/all]}}]}}
""")
    facts = {"tool": "a tool\n", "renamed": "a tool\n", "facts": "renamed 750 7 8\n"}
    assert files(work.folder / "out") == facts


def test_http_source_with_another_checksum_fails(work: Workspace, site: str) -> None:
    http = f'{{http: "{site}", checksum: "sha256:{"0" * 64}"}}'
    done = work.build(f"version: 1\nsources: {{src: {http}}}{_COPY}", code=1)
    assert "buildfile.yaml:2" in done.err
    assert "digest mismatch" in done.err
    assert not (work.folder / "out").exists()


# --- OCI layout --------------------------------------------------------------------------------


def test_oci_layout_by_tag_and_by_digest(work: Workspace, oci_base: Path) -> None:
    """On daemons without OCI layouts it goes through a registry of this side."""
    index = (oci_base / "index.json").read_text().replace(" ", "")
    digest = index.partition('"digest":"')[2][:71]
    for which in ('ref: "1"', f'digest: "{digest}"'):
        text = f"""
version: 1
sources: {{src: {{oci-layout: "{oci_base}", {which}}}}}
stages:
  all:
    from: src
    steps:
      - run: echo "$GREETING" >greeting
targets:
  all: {{stage: all, outputs: [{{type: local, dest: out, paths: [/work]}}]}}
"""
        work.build(text, "--allow", f"fs.read={oci_base}")
        assert files(work.folder / "out") == {"greeting": "hello from the base\n"}
        done = work.build(None, "--allow", f"fs.read={oci_base}")
        assert "1 cached" in done.err or "2 cached" in done.err, done.err
