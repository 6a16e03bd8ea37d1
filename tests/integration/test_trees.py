"""Merge and diff stages: the same trees from every daemon, whichever way they come about."""

from __future__ import annotations

import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

from daemon_shim.info import DaemonInfo
from tests.integration.command import Workspace

CASES = Path(__file__).parents[1] / "cases" / "trees"
_KINDS = {
    tarfile.REGTYPE: "file",
    tarfile.DIRTYPE: "folder",
    tarfile.SYMTYPE: "link",
    tarfile.LNKTYPE: "same as",
    tarfile.FIFOTYPE: "fifo",
}
# The times that the steps set; others are those of the build.
_TIMES = {1577934245: "old", 1612325106: "new", 1646370367: "last"}


def _tree(archive: Path) -> str:
    """What is below /t: a line for each entry."""
    with tarfile.open(archive) as tar:
        lines = [_line(tar, each) for each in tar if each.name.startswith("t/")]
    return "".join(f"{line}\n" for line in lines)


def _line(tar: tarfile.TarFile, each: tarfile.TarInfo) -> str:
    text = tar.extractfile(each) if each.isreg() else None
    facts = (
        each.name,
        _KINDS[each.type],
        f"{stat.S_IMODE(each.mode):o}" if not each.issym() else "",
        f"{each.uid}:{each.gid}" if each.uid else "",
        _TIMES.get(int(each.mtime), ""),
        text.read().decode().strip() if text else each.linkname,
    )
    return " ".join(filter(None, facts))


def test_every_merge_and_diff_is_the_same_everywhere(
    work: Workspace, info: DaemonInfo, golden: Callable[[Path, str], None]
) -> None:
    work.write("buildfile.yaml", (CASES / "buildfile.yaml").read_text())
    names = sorted(each.stem for each in CASES.glob("*.txt"))
    # Early daemons mount a tree once for each build that wants it, which at the same time may fail.
    together = info.release >= (0, 8)
    for targets in [["tree"]] if together else [[f"tree-{name}"] for name in names]:
        work.build(None, *targets)
    archives = sorted(work.folder.glob("*.tar"))
    assert [each.stem for each in archives] == names
    for archive in archives:
        golden(CASES / f"{archive.stem}.txt", _tree(archive))


def test_the_config_of_the_first_is_that_of_the_merge(work: Workspace) -> None:
    done = work.build("""
version: 1
vars:
  BASE: none
sources:
  base: {image: "${BASE}"}
stages:
  first: {from: base, workdir: /srv, env: {WHO: first}}
  second: {from: scratch, env: {WHO: second}, steps: [{write: {path: /text, text: hello}}]}
  both: {merge: [first, second], image: {env: {MORE: "yes"}}}
  check: {from: both, steps: [{run: 'echo "$(cat /text) from $WHO in $PWD, $MORE"'}]}
targets:
  check: {stage: check, no-cache: true}
""")
    assert done.logged("hello from first in /srv, yes") == 1


def test_an_image_over_something_else_is_for_daemons_that_see_its_layers(
    work: Workspace, info: DaemonInfo
) -> None:
    done = work.build(
        """
version: 1
vars:
  BASE: none
stages:
  text: {from: scratch, steps: [{write: {path: /text, text: hello}}]}
  both: {merge: [text, {image: "${BASE}"}]}
targets:
  both: {stage: both}
""",
        code=0 if info.has("mergeop") else 4,
    )
    if not info.has("mergeop"):
        assert "a merge stage needs BuildKit v0.10" in done.err
        assert "what an image removes in its layers" in done.err
