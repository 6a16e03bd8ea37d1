"""Outputs: what lands where, and what is there after a failure."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon_shim import attributes, support
from daemon_shim.info import DaemonInfo
from tests.integration import exitcodes
from tests.integration.command import Done, Workspace
from tests.integration.test_images import inspect
from tests.integration.tree import archive, files, tree

_FILE = """
version: 1
vars:
  REGISTRY: none
  NAME: none
stages:
  app:
    from: scratch
    steps:
      - mkdir: {path: /sub}
      - write: {path: /top, text: top}
      - write: {path: /sub/tool, text: tool, mode: "0755"}
targets:
  app:
    stage: app
    outputs: %s
"""
_TREE = {"top": "top", "sub": "/", "sub/tool": "tool"}
_LOCAL = "[{type: local, dest: out}]"


def _build(work: Workspace, outputs: str, *words: str, code: int = 0) -> Done:
    return work.build(_FILE % outputs, *words, code=code)


def test_local_output_makes_its_folders(work: Workspace) -> None:
    done = _build(work, "[{type: local, dest: a/new/out}]")
    assert tree(work.folder / "a/new/out") == _TREE
    assert (work.folder / "a/new/out/sub/tool").stat().st_mode & 0o777 == 0o755
    assert (work.folder / "a/new/out/top").stat().st_uid == os.getuid()
    assert done.out == f"{work.folder / 'a/new/out'}\n"


def test_local_output_joins_what_is_there(work: Workspace) -> None:
    work.write("out/kept", "kept")
    work.write("out/top", "old")
    work.write("out/sub/mine", "mine")
    _build(work, _LOCAL)
    assert tree(work.folder / "out") == {**_TREE, "kept": "kept", "sub/mine": "mine"}


def test_local_output_that_deletes_leaves_nothing_else(work: Workspace) -> None:
    work.write("out/old", "old")
    work.write("out/sub/mine", "mine")
    _build(work, "[{type: local, dest: out, mode: delete}]")
    assert tree(work.folder / "out") == _TREE


def test_local_output_never_writes_through_links(work: Workspace) -> None:
    work.write("elsewhere/tool", "untouched")
    (work.folder / "out").mkdir()
    (work.folder / "out/sub").symlink_to(work.folder / "elsewhere")
    work.write("outside", "untouched")
    (work.folder / "out/top").symlink_to(work.folder / "outside")
    _build(work, _LOCAL)
    assert tree(work.folder / "out") == _TREE
    assert (work.folder / "elsewhere/tool").read_text() == "untouched"
    assert (work.folder / "outside").read_text() == "untouched"


def test_paths_of_an_output(work: Workspace) -> None:
    _build(
        work, "[{type: local, dest: out, paths: [/sub]}, {type: tar, dest: x.tar, paths: [top]}]"
    )
    assert tree(work.folder / "out") == {"tool": "tool"}
    assert archive((work.folder / "x.tar").read_bytes()) == {"top": "top"}


def test_tar_to_a_file_and_to_standard_output(work: Workspace) -> None:
    _build(work, "[{type: tar, dest: new/app.tar}]")
    assert archive((work.folder / "new/app.tar").read_bytes()) == _TREE
    assert [path.name for path in (work.folder / "new").iterdir()] == ["app.tar"]
    assert archive(_build(work, "[{type: tar}]").data) == _TREE
    assert archive(_build(work, "[]", "-o", "-").data) == _TREE


def test_a_tar_archive_has_owners_modes_links_and_times(work: Workspace) -> None:
    work.build("""
version: 1
vars:
  BASE: none
stages:
  app:
    from: {image: "${BASE}"}
    steps:
      - run: |
          mkdir -p /t/dir && cd /t
          echo text > a && chmod 4755 a && ln a hard && ln -s a soft && : > empty
          touch -d '2020-01-02 03:04:05' a dir
targets:
  app: {stage: app, outputs: ["type=tar,dest=a.tar"]}
""")
    with tarfile.open(work.folder / "a.tar") as tar:
        found = {each.name: each for each in tar if each.name.startswith("t/")}
    assert {name: (each.type, each.linkname) for name, each in found.items()} == {
        "t/a": (tarfile.REGTYPE, ""),
        "t/dir": (tarfile.DIRTYPE, ""),
        "t/empty": (tarfile.REGTYPE, ""),
        "t/hard": (tarfile.LNKTYPE, "t/a"),
        "t/soft": (tarfile.SYMTYPE, "a"),
    }
    assert (found["t/a"].mode, found["t/a"].size, found["t/a"].uid) == (0o4755, 5, 0)
    assert found["t/a"].mtime == found["t/dir"].mtime


def test_oci_and_docker_archives(work: Workspace, info: DaemonInfo) -> None:
    for kind, transport in {"oci": "oci-archive", "docker": "docker-archive"}.items():
        name = {"name": "example.org/app:1"}
        refused = support.reason(info, "exporter", kind) or attributes.reason(
            info, "exporter", kind, name
        )
        outputs = f"[{{type: {kind}, dest: app.tar, name: 'example.org/app:1'}}]"
        done = _build(work, outputs, code=4 if refused else 0)
        if refused:
            assert f"cannot make this {kind} output" in done.err
            assert not (work.folder / "app.tar").exists()
            continue
        manifest = inspect(f"{transport}:{work.folder / 'app.tar'}")
        assert manifest["schemaVersion"] == 2
        assert len(inspect(f"{transport}:{work.folder / 'app.tar'}", "--config")["rootfs"]) == 2
        (work.folder / "app.tar").unlink()


def test_several_outputs_at_once_hold_the_same(work: Workspace, registry: str) -> None:
    name = f"several/{uuid.uuid4().hex}"
    image = '{type: image, name: "${REGISTRY}/${NAME}", push: true}'
    outputs = f"[{{type: local, dest: out}}, {{type: tar, dest: app.tar}}, {image}, {{type: none}}]"
    done = _build(work, outputs, "--var", f"NAME={name}", "--metadata-file", "meta.json")
    assert tree(work.folder / "out") == _TREE
    assert archive((work.folder / "app.tar").read_bytes()) == _TREE
    assert inspect(f"docker://{registry}/{name}")["schemaVersion"] == 2
    meta = json.loads((work.folder / "meta.json").read_text())
    digest = meta["app"]["containerimage.digest"]
    assert f"{registry}/{name}" in done.out
    assert digest.startswith("sha256:") and digest in done.out


def test_an_output_of_the_command_line_replaces_those_of_the_file(work: Workspace) -> None:
    _build(work, "[{type: tar, dest: never.tar}]", "-o", "type=local,dest=given")
    assert tree(work.folder / "given") == _TREE
    assert not (work.folder / "never.tar").exists()


def test_an_output_of_none_leaves_nothing(work: Workspace) -> None:
    done = _build(work, "[{type: none}]")
    assert done.out == "" and set(tree(work.folder)) == {"buildfile.yaml"}


def test_an_image_without_push_stays_on_the_engine(work: Workspace, registry: str) -> None:
    name = f"kept/{uuid.uuid4().hex}"
    _build(work, '[{type: image, name: "${REGISTRY}/${NAME}"}]', "--var", f"NAME={name}")
    with pytest.raises(subprocess.CalledProcessError):
        inspect(f"docker://{registry}/{name}")


# --- places that cannot be written to -----------------------------------------------------------


@pytest.mark.parametrize("kind", ["local", "tar"])
def test_a_file_in_the_way_is_told_before_the_build(full: Workspace, kind: str) -> None:
    full.write("file", "mine")
    done = _build(full, f"[{{type: {kind}, dest: file/below}}]", code=1)
    assert "could not be written" in done.err
    assert "#1 " not in done.err
    assert (full.folder / "file").read_text() == "mine"


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A folder with room for a quarter of a megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("cannot mount")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("kind", ["local", "tar"])
def test_a_full_disk_leaves_what_was_there(work: Workspace, small: Path, kind: str) -> None:
    work.write("data/big", os.urandom(1_000_000))
    dest = small / "out"
    if kind == "local":
        work.write("small/out/old", "old")
    else:
        dest.write_text("old")
    done = work.build(
        f"""
version: 1
sources: {{data: {{local: data}}}}
stages:
  app: {{from: scratch, steps: [{{copy: {{from: data, to: /}}}}]}}
targets:
  app: {{stage: app, outputs: [{{type: {kind}, dest: small/out}}]}}
""",
        code=1,
    )
    assert "No space left on device" in done.err
    assert "[output-failed]" in done.err
    left = files(small)
    assert left == ({"out/old": "old"} if kind == "local" else {"out": "old"})


def test_a_reader_that_goes_away_is_no_bug(full: Workspace) -> None:
    full.write("data/big", os.urandom(3_000_000))
    full.write(
        "buildfile.yaml",
        "version: 1\nsources: {data: {local: data}}\n"
        "stages: {app: {from: scratch, steps: [{copy: {from: data, to: /}}]}}\n"
        "targets: {app: {stage: app, outputs: [{type: tar}]}}\n",
    )
    building = full.start()
    assert building.stdout and building.stderr
    building.stdout.read(512)
    building.stdout.close()
    err = building.stderr.read().decode()
    building.stderr.close()
    assert building.wait() in (0, 1), err
    assert "bug" not in err and "Traceback" not in err


def test_a_terminal_gets_no_archive(full: Workspace) -> None:
    main, end = os.openpty()
    full.write("buildfile.yaml", _FILE % "[{type: tar}]")
    building = full.start(stdout=end)
    _, err = building.communicate(timeout=120)
    os.close(end)
    os.close(main)
    assert building.returncode == 2
    assert b"terminal" in err


_TWO = """
version: 1
vars:
  BASE: none
stages:
  app: {from: scratch, steps: [{write: {path: /top, text: top}}]}
  other: {from: {image: "${BASE}"}, steps: [{run: "%s"}]}
targets:
  app:
    stage: app
    outputs:
      - {type: local, dest: out}
      - {type: tar, dest: app.tar}%s
  other: {stage: other, outputs: [{type: local, dest: other}]}
"""
_HELD = ("--all-or-nothing", "--progress", "plain", "app", "other")


def test_all_outputs_or_none(work: Workspace, info: DaemonInfo) -> None:
    layout = ["layout"] if work.daemon.can("image") else []
    more = "".join(f"\n      - {{type: oci, dest: {each}, tar: false}}" for each in layout)
    # With --keep-going, so that the one target is finished for sure.
    failed = work.build(_TWO % ("exit 3", more), "--keep-going", *_HELD, code=1)
    assert re.search(exitcodes.shown(3, info), failed.err) and failed.out == ""
    assert set(tree(work.folder)) == {"buildfile.yaml"}
    done = work.build(_TWO % ("exit 0", more), *_HELD)
    places = [work.folder / name for name in ("out", "app.tar", "other", *layout)]
    assert sorted(done.out.split()) == sorted(map(str, places))
    assert files(work.folder / "out") == {"top": "top"} and archive(places[1].read_bytes()) == {
        "top": "top"
    }
    assert all((work.folder / each / "index.json").is_file() for each in layout)


def test_no_daemon_holds_images_back(full: Workspace) -> None:
    outputs = "[{type: image, name: example.com/app}, {type: local, dest: out}]"
    refused = _build(full, outputs, "--all-or-nothing", code=4)
    assert "no daemon holds an image back" in refused.err and not (full.folder / "out").exists()


def test_what_was_finished_is_told_when_another_target_failed(full: Workspace) -> None:
    words = ("--keep-going", "--metadata-file", "built.json", "app", "other")
    failed = full.build(_TWO % ("exit 3", ""), *words, code=1)
    places = [full.folder / name for name in ("out", "app.tar")]
    assert sorted(failed.out.split()) == sorted(map(str, places))
    assert list(json.loads((full.folder / "built.json").read_text())) == ["app"]
