"""File steps: copy in all its forms, mkdir, write, remove and symlink."""

from __future__ import annotations

import io
import tarfile

import pytest

from daemon_shim.info import DaemonInfo
from tests.integration.command import Workspace
from tests.integration.tree import tree

_SOURCES = """
version: 1
vars:
  BASE: none
sources:
  src: {local: src}
"""


def _fill(work: Workspace) -> None:
    for name in ("a.txt", "b.txt", "c.md", "dir/one", "dir/sub/two", "dir/sub/three.txt"):
        work.write(f"src/{name}", name)
    (work.folder / "src/link").symlink_to("dir/one")
    (work.folder / "src/folder-link").symlink_to("dir")


_CHECKS_REMOVALS = (0, 13)  # solver/llbsolver/file/backend.go


def _stage(steps: str) -> str:
    return f"""{_SOURCES}
stages:
  all:
    from: scratch
    workdir: /w
    steps:
{steps}
targets:
  all: {{stage: all, outputs: [{{type: local, dest: out}}]}}
"""


def test_copy_lays_files_where_a_dockerfile_would(work: Workspace) -> None:
    _fill(work)
    work.build(
        _stage("""
      - copy: {from: src, paths: [a.txt], to: /file/renamed}
      - copy: {from: src, paths: [a.txt], to: /folder/}
      - copy: {from: src, paths: ["*.txt", "c.*"], to: /wild/}
      - copy: {from: src, paths: [dir], to: /contents}
      - copy: {from: src, paths: [dir], to: /whole/, contents: false}
      - copy: {from: src, paths: ["dir/*"], to: /starred/}
      - copy: {from: src, paths: [a.txt], to: relative/}
      - copy: {from: src, paths: [link], to: /links/}
""")
    )
    inside = {"one": "dir/one", "sub": "/", "sub/three.txt": "dir/sub/three.txt"}
    inside |= {"sub/two": "dir/sub/two"}
    starred = {"one": "dir/one", "two": "dir/sub/two", "three.txt": "dir/sub/three.txt"}
    assert tree(work.folder / "out") == {
        **_below("file", {"renamed": "a.txt"}),
        **_below("folder", {"a.txt": "a.txt"}),
        **_below("wild", {name: name for name in ("a.txt", "b.txt", "c.md")}),
        **_below("contents", inside),
        **_below("whole", _below("dir", inside)),
        **_below("starred", starred),
        **_below("w", _below("relative", {"a.txt": "a.txt"})),
        **_below("links", {"link": "-> dir/one"}),
    }


def _below(folder: str, entries: dict[str, str]) -> dict[str, str]:
    return {folder: "/", **{f"{folder}/{name}": entry for name, entry in entries.items()}}


def test_copy_merges_into_what_is_there(work: Workspace) -> None:
    _fill(work)
    work.build(
        _stage("""
      - mkdir: {path: /all}
      - write: {path: /all/a.txt, text: old}
      - write: {path: /all/kept, text: kept}
      - copy: {from: src, paths: [a.txt, b.txt], to: /all/}
""")
    )
    expected = {"a.txt": "a.txt", "b.txt": "b.txt", "kept": "kept"}
    assert tree(work.folder / "out") == {"w": "/", **_below("all", expected)}


def test_copy_with_include_and_exclude(work: Workspace) -> None:
    _fill(work)
    work.build(
        _stage("""
      - copy: {from: src, to: /some, include: ["**/*.txt"], exclude: [b.txt]}
""")
    )
    found = {k for k, v in tree(work.folder / "out").items() if v != "/"}
    assert found == {"some/a.txt", "some/dir/sub/three.txt"}


def test_copy_sets_owner_and_mode(work: Workspace) -> None:
    _fill(work)
    work.build(f"""{_SOURCES}
stages:
  all:
    from: {{image: "${{BASE}}"}}
    steps:
      - copy: {{from: src, paths: [a.txt], to: /all/ids, chown: "12:34", chmod: "0640"}}
      - copy: {{from: src, paths: [a.txt], to: /all/user, chown: worker}}
      - copy: {{from: src, paths: [a.txt], to: /all/plain}}
      - copy: {{from: src, paths: [dir], to: /all/dir, chown: "worker:worker"}}
      - run: cd /all && stat -c '%n %u %g %a' ids user plain dir/one dir/sub/two >facts
targets:
  all: {{stage: all, outputs: [{{type: local, dest: out, paths: [/all]}}]}}
""")
    assert (work.folder / "out/facts").read_text().splitlines() == [
        "ids 12 34 640",
        "user 1000 1000 644",
        "plain 0 0 644",
        "dir/one 1000 1000 644",
        "dir/sub/two 1000 1000 644",
    ]


def test_copy_unpacks_archives(work: Workspace) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        entry = tarfile.TarInfo("in/file")
        entry.size = 4
        tar.addfile(entry, io.BytesIO(b"text"))
    work.write("src/a.tgz", data.getvalue())
    work.build(
        _stage("""
      - copy: {from: src, paths: [a.tgz], to: /unpacked/, unpack: true}
      - copy: {from: src, paths: [a.tgz], to: /whole/}
""")
    )
    assert (work.folder / "out/unpacked/in/file").read_text() == "text"
    assert (work.folder / "out/whole/a.tgz").read_bytes() == data.getvalue()


def test_copy_follows_links_when_asked(work: Workspace) -> None:
    _fill(work)
    work.build(
        _stage("""
      - copy: {from: src, paths: [link], to: /followed, follow-symlinks: true}
      - copy: {from: src, paths: [folder-link], to: /as-folder, follow-symlinks: true}
""")
    )
    out = tree(work.folder / "out")
    assert out["followed"] == "dir/one"
    assert out["as-folder/sub/two"] == "dir/sub/two"


@pytest.mark.parametrize("path", ["absent", "*.absent"])
def test_copy_of_what_is_not_there_fails_at_its_line(work: Workspace, path: str) -> None:
    _fill(work)
    done = work.build(_stage(f'      - copy: {{from: src, paths: ["{path}"], to: /x/}}'), code=1)
    assert "buildfile.yaml:13:" in done.err
    assert not (work.folder / "out").exists()


def test_copy_between_stages_and_from_an_image(work: Workspace) -> None:
    work.build(f"""{_SOURCES.replace("  src: {local: src}", "  base: {image: '${BASE}'}")}
stages:
  made:
    from: base
    steps:
      - run: mkdir /made && echo made >/made/file && ln -s file /made/link
  all:
    from: scratch
    steps:
      - copy: {{from: made, paths: [/made], to: /}}
      - copy: {{from: base, paths: [/etc/group], to: /}}
targets:
  all: {{stage: all, outputs: [{{type: local, dest: out}}]}}
""")
    out = tree(work.folder / "out")
    assert (out["file"], out["link"]) == ("made\n", "-> file")
    assert out["group"].startswith("root:")


def test_mkdir_write_remove_and_symlink(work: Workspace) -> None:
    steps = """
      - mkdir: {path: /deep/er/est, parents: true, mode: "0700"}
      - mkdir: {path: relative}
      - write: {path: text, text: "ä $$1\\n"}
      - write: {path: /bytes, base64: AAH/, mode: "0600"}
      - mkdir: {path: /gone}
      - write: {path: /gone/a.txt, text: x}
      - write: {path: /gone/b.txt, text: x}
      - write: {path: /gone/c.md, text: x}
      - remove: {path: "/gone/*.txt", wildcard: true}
      - remove: {path: /nowhere, missing-ok: true}
      - remove: {path: /deep/er/est}
      - symlink: {target: ../bytes, path: link}
"""
    work.build(_stage(steps))
    out = work.folder / "out"
    assert (out / "w/text").read_text() == "ä $1\n"
    assert (out / "bytes").read_bytes() == b"\0\1\xff"
    assert (out / "bytes").stat().st_mode & 0o777 == 0o600
    expected = {"deep", "deep/er", "gone", "gone/c.md", "bytes"}
    assert set(tree(out)) == expected | {"w", "w/relative", "w/text", "w/link"}


def test_remove_of_a_link_leaves_what_it_leads_to(work: Workspace) -> None:
    work.build(
        _stage("""\
      - mkdir: {path: /kept/inside, parents: true}
      - symlink: {target: kept, path: /link}
      - symlink: {target: kept, path: /linked}
      - remove: /link
      - remove: {path: "/linke*", wildcard: true}
""")
    )
    assert set(tree(work.folder / "out")) == {"kept", "kept/inside", "w"}


def test_remove_of_what_is_not_there_fails(work: Workspace, info: DaemonInfo) -> None:
    if (0, 10) <= info.release < _CHECKS_REMOVALS:
        pytest.skip(f"BuildKit {info.version} does not tell")
    done = work.build(_stage("      - remove: {path: /nowhere}"), code=1)
    assert "buildfile.yaml:13:" in done.err


def test_steps_of_files_need_no_image(work: Workspace) -> None:
    work.build(_stage('      - write: {path: /only, text: "x"}'))
    assert (work.folder / "out/only").read_text() == "x"
