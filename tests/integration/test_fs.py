"""Looking into results on each daemon."""

from __future__ import annotations

import json

import pytest

from tests.integration.command import Workspace

TEXT = """version: 1
vars: {BASE: none}
secrets: {tok: {env: TOK}}
stages:
  app:
    from: {image: "BASE_IMAGE"}
    steps:
      - run: |
          mkdir -p /app/sub; echo -n hello >/app/a; ln -s a /app/link; chmod 640 /app/a
          head -c 7000000 /dev/zero >/app/sub/big; touch "/app/$(printf 'x\\033[2Jy')"
  bad:
    from: {image: "BASE_IMAGE"}
    steps: [{run: exit 4}]
  kept:
    from: {image: "BASE_IMAGE"}
    steps: [{run: wc -c </run/t >/size, mounts: [{type: secret, id: tok, target: /run/t}]}]
targets:
  app: {stage: app, outputs: [{type: local, dest: out}]}
  bad: {stage: bad}
  kept: {stage: kept}
"""


@pytest.fixture
def built(work: Workspace) -> Workspace:
    work.write("buildfile.yaml", TEXT.replace("BASE_IMAGE", work.values["BASE"]))
    return work


def test_a_folder_is_listed_and_nothing_exported(built: Workspace) -> None:
    lines = built.command("fs", "ls", "app", "/app").out.splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        "-rw-r-----",
        "lrwxrwxrwx",
        "drwxr-xr-x",
        "-rw-r--r--",
    ]
    assert lines[1].endswith("  link -> a")
    assert lines[2].endswith("  sub/")
    assert lines[3].endswith("  x\\x1b[2Jy")
    assert [each.name for each in built.folder.iterdir()] == ["buildfile.yaml"]


def test_entries_are_data(built: Workspace) -> None:
    listed = json.loads(built.command("fs", "ls", "app", "app", "--format", "json").out)
    assert {entry["path"]: entry["type"] for entry in listed} == {
        "/app/a": "file",
        "/app/link": "link",
        "/app/sub": "folder",
        "/app/x\x1b[2Jy": "file",
    }
    entry = json.loads(built.command("fs", "stat", "app", "/app/link", "--format", "json").out)
    assert (entry["path"], entry["size"], entry["mode"]) == ("/app/link", 5, "0640")


def test_a_tree(built: Workspace) -> None:
    out = built.command("fs", "tree", "app", "/app").out
    assert out.splitlines() == ["/app", "  a", "  link -> a", "  sub/", "    big", "  x\\x1b[2Jy"]


def test_files_of_any_size_are_read(built: Workspace) -> None:
    assert built.command("fs", "cat", "app", "app/link").data == b"hello"
    assert built.command("fs", "cat", "app", "/app/sub/big").data == bytes(7_000_000)


def test_what_is_not_there(built: Workspace) -> None:
    done = built.command("fs", "cat", "app", "/app/none", code=1)
    assert "app has no /app/none" in done.err
    assert not done.data
    done = built.command("fs", "cat", "app", "/app/sub", code=1)
    assert "error: /app/sub of app is a folder [folder-to-read]" in done.err


def test_secrets_come_from_the_command_line(built: Workspace) -> None:
    secret = built.write("secret", "sesame")
    looked = built.command("fs", "cat", "kept", "/size", "--secret", f"id=tok,src={secret}")
    assert looked.out.split() == ["6"]


def test_a_step_that_fails(built: Workspace) -> None:
    assert "run exit 4 failed" in built.command("fs", "ls", "bad", code=1).err
