"""File steps by the daemon and by the helper: the same trees, to the last attribute."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from buildfile import plan
from daemon_shim.info import DaemonInfo
from tests.integration.command import Workspace
from translator.compile import compile_instances
from translator.llb import chains
from translator.llb.capabilities import FEATURES

_EXPECTED = Path(__file__).parents[1] / "cases" / "helped-files.txt"
_AS_NOW = (0, 26, 0)  # from then on daemons do these steps as they do today
_KEEPS_PIPES = (0, 10, 0)
_LONG_AGO = 1_000_000_000
_YEARS = 400_000_000

_ORIGIN = r"""
cd / && mkdir -p o/dir/sub/deep o/empty o/links o/perm o/pat/a/b o/pat/c o/node_modules/x
echo one >o/dir/one; echo two >o/dir/sub/two; echo three >o/dir/sub/deep/three.txt
echo a >o/a.txt; echo b >o/b.txt; echo c >o/c.md; echo odd >"o/[odd] näme"; echo s >"o/back\\slash"
for f in pat/x.go pat/y.txt pat/a/x.go pat/a/y.txt pat/a/b/x.go pat/a/b/z.txt pat/c/x.go pat/.dot \
  node_modules/x/pkg pat/x1 pat/x2 pat/xa; do echo $f >o/$f; done
ln -s ../dir/one o/links/file; ln -s ../dir o/links/folder; ln -s /o/dir o/links/absolute
ln -s nowhere o/links/dangling; ln -s ../../../../../../o/a.txt o/links/outside
ln -s loop o/links/loop; ln -s links/folder o/chain
echo linked >o/first; ln o/first o/dir/second; ln o/first o/empty/third
echo x >o/perm/suid; chmod 4755 o/perm/suid; echo x >o/perm/none; chmod 0 o/perm/none
mkdir -m 1777 o/perm/sticky; mkdir -m 2750 o/perm/setgid; echo x >o/perm/setgid/file
chown 1:2 o/perm/suid o/dir/one; chmod 4755 o/perm/suid; chown 1000:1000 o/dir o/dir/sub/two
chown -h 5:6 o/links/file; mkfifo -m 640 o/fifo; mknod o/char c 1 3; mknod o/block b 7 0
chmod 600 o/block; find o -exec touch -hd "2001-09-09 01:46:40" {} +
"""

_STEPS = r"""
- copy: {from: o, paths: [/o/a.txt], to: /c01}
- copy: {from: o, paths: [/o/a.txt], to: /c02/}
- copy: {from: o, paths: [/o/dir], to: /c03}
- copy: {from: o, paths: [/o/dir], to: /c04/, contents: false}
- copy: {from: o, paths: [/o/dir], to: /c05, contents: false}
- copy: {from: o, paths: [/o/dir, /o/a.txt, /o/perm], to: /c06/}
- copy: {from: o, paths: ["/o/*"], to: /c07/}
- copy: {from: o, paths: ["/o/*.txt", "/o/*/*.txt", "/o/d?r/s[a-u]b/*"], to: /c08/}
- copy: {from: o, paths: ["/o/[^a-c]*"], to: /c09/, contents: false}
- copy: {from: o, paths: ['/o/\[odd\] *', '/o/back\\slash*'], to: /c10/}
- copy: {from: o, paths: [/o/links], to: /c11}
- copy: {from: o, paths: [/o/links/file, /o/links/folder, /o/links/dangling], to: /c12/}
- copy: {from: o, paths: [/o/links/file], to: /c13, follow-symlinks: true}
- copy: {from: o, paths: [/o/links/folder], to: /c14, follow-symlinks: true}
- copy: {from: o, paths: [/o/links/outside, /o/links/absolute], to: /c15/, follow-symlinks: true}
- copy: {from: o, paths: [/o/chain], to: /c16/, follow-symlinks: true, contents: false}
- copy: {from: o, paths: [/o/chain/sub], to: /c17}
- copy: {from: o, paths: ["/o/chain/*"], to: /c18/, follow-symlinks: true}
- copy: {from: o, paths: [/o/dir], to: /c19, chown: "7:8"}
- copy: {from: o, paths: [/o/dir], to: /c20/new/er/, chown: worker}
- copy: {from: o, paths: [/o/dir], to: /c21/new/er/, chown: "worker:staff"}
- copy: {from: o, paths: [/o/a.txt], to: /c22/new/er/, chown: "9"}
- copy: {from: o, paths: [/o/a.txt], to: /c23/new/er/, chown: "nobody-such:none-such"}
- copy: {from: o, paths: [/o/perm], to: /c24/new/er, chmod: "0640"}
- copy: {from: o, paths: [/o/perm/suid], to: /c25/new/, chmod: "6711"}
- copy: {from: o, paths: [/o/perm, /o/links/file], to: /c26/, chmod: "u+X,go-rwx"}
- copy: {from: o, paths: [/o/perm], to: /c27, chmod: "a=rX,u+w,g+s"}
- copy: {from: o, paths: [/o/perm], to: /c28, chmod: "go-x,u=rw,o-r", chown: "3"}

- copy: {from: o, paths: [/o/pat], to: /c30, include: ["**/*.go"]}
- copy: {from: o, paths: [/o/pat], to: /c31, include: ["a/**", "!a/b"], exclude: ["**/y.txt"]}
- copy: {from: o, paths: [/o/pat], to: /c32, include: ["*/b", "x?", "x[12]", ".dot"]}
- copy: {from: o, paths: [/o/pat], to: /c33, exclude: ["a", "!a/b/z.txt", "c/"]}
- copy: {from: o, paths: [/o/pat], to: /c34, exclude: ["**"], include: ["a"]}
- copy: {from: o, paths: [/o], to: /c35, exclude: ["**/node_modules", "links", "*.md", "fifo"]}
- copy: {from: o, paths: [/o], to: /c36, include: ["dir/sub/**"], contents: false}
- copy: {from: o, paths: [/o/pat, /o/dir], to: /c37/, include: ["x.go", "sub"]}
- copy: {from: o, paths: ["/o/pat/*"], to: /c38/, include: ["b", "x*"]}
- copy: {from: o, paths: [/o/pat], to: /c39, include: ["**/z.txt"], chmod: "0700", chown: "4:4"}
- copy: {from: o, paths: [/o/pat], to: /c40, required: [/o/pat/a/y.txt]}
- copy: {from: o, paths: [/o/pat], to: /c41, include: ["a/b"], required: [/o/pat/a]}

- mkdir: {path: /m1/a/b, parents: true, mode: "0711", chown: "10:11"}
- mkdir: {path: /m1/a, mode: "0700", chown: "12"}
- mkdir: {path: /m2, mode: "0777"}
- mkdir: {path: /m3, chown: worker}
- symlink: {target: /m1/a, path: /m2/in}
- symlink: {target: ../../../m2, path: /m1/up}
- symlink: {target: --nothing, path: /m2/odd, chown: "13:14"}
- mkdir: {path: /m2/in/side/deep, parents: true}
- write: {path: /m2/in/written, text: "x"}
- write: {path: /m1/up/written, text: "y", mode: "0604", chown: "worker:staff"}
- copy: {from: o, paths: [/o/dir], to: /m1/up/in/copied}
- write: {path: /w1, base64: AAEC/w==, mode: "0777"}
- write: {path: /w1, text: "", mode: "0600"}
- write: {path: /w2, text: "first and longer", mode: "0600", chown: "1:1"}
- write: {path: /w2, text: second}
- copy: {from: o, paths: [/o/dir], to: /x1}
- copy: {from: o, paths: [/o/perm], to: /x1/sub, chmod: "0751"}
- copy: {from: o, paths: [/o/perm/suid], to: /x1/one}
- copy: {from: o, paths: [/o/links/folder], to: /x1/}
- copy: {from: o, paths: [/o/a.txt], to: /x1/folder/}
- copy: {from: o, paths: [/o/first, /o/dir/second, /o/empty], to: /x2/}
- copy: {from: o, paths: [/o], to: /x3, include: [first, dir/second, empty/third]}
- copy: {from: o, paths: [/o/fifo, /o/char, /o/block], to: /x4/}
- copy: {from: o, paths: [/o/fifo], to: /x4/char, chown: "1:2", chmod: "0600"}

- copy: {from: src, paths: [.], to: /l1}
- copy: {from: src, paths: [one], to: /l2/}
- copy: {from: src, paths: ["d*/t*"], to: /l3/, chown: "20:21"}
- copy: {from: src, paths: [link], to: /l4/, follow-symlinks: true}
- copy: {from: src, paths: [link], to: /l5/}
- copy: {from: src, paths: [deep], to: /l6, include: ["*/*.txt"]}
- copy: {from: src, paths: [a.tar], to: /u1/, unpack: true}
- copy: {from: src, paths: [a.tgz, a.tbz], to: /u2/new/, unpack: true, chown: "30:31"}
- copy: {from: src, paths: [plain.gz, one], to: /u3/, unpack: true}
- copy: {from: src, paths: [a.tgz], to: /u4/}
- copy: {from: src, paths: [over.tar], to: /u1/, unpack: true}
- copy: {from: o, paths: [/o], to: /r1, exclude: [block, char]}
- remove: {path: /r1/links/folder}
- remove: {path: /r1/dir}
- remove: {path: "/r1/*.txt", wildcard: true}
- remove: {path: "/r1/pat/*/x.go", wildcard: true}
- remove: {path: "/r1/none*", wildcard: true, missing-ok: true}
- remove: {path: /r1/nowhere/at/all, missing-ok: true}
- remove: {path: /r1/links/absolute, missing-ok: true}
"""


def _archive(mode: str, format_: int, *entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=mode, format=format_) as tar:  # type: ignore[call-overload]
        for entry, text in entries:
            entry.size = len(text)
            entry.mtime = entry.mtime or _LONG_AGO
            tar.addfile(entry, io.BytesIO(text))
    return data.getvalue()


def _entry(name: str, type_: bytes = tarfile.REGTYPE, text: str = "", **more: Any) -> Any:
    entry = tarfile.TarInfo(name)
    entry.type = type_
    for key, value in more.items():
        setattr(entry, key, value)
    return entry, text.encode()


def _entries() -> list[Any]:
    return [
        _entry("./", tarfile.DIRTYPE, mode=0o700),
        _entry("d/", tarfile.DIRTYPE, mode=0o2751, uid=40, gid=41, mtime=_LONG_AGO + 5),
        _entry("d/f", text="f" * 70_000, mode=0o4711, uid=42, gid=43),
        _entry("d/" + "long" * 60, text="long"),
        _entry("implied/folder/f", text="implied"),
        _entry("sym", tarfile.SYMTYPE, linkname="/etc/passwd"),
        _entry("to-d", tarfile.SYMTYPE, linkname="d"),
        _entry("to-d/through", text="through a link"),
        _entry("hard", tarfile.LNKTYPE, linkname="d/f", mode=0o640, uid=44),
        _entry("../../out", text="kept inside"),
        _entry("fifo", tarfile.FIFOTYPE, mode=0o600),
        _entry("null", tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666),
        _entry("d/f2", text="x", pax_headers={"mtime": "1000000000.5", "SCHILY.xattr.user.k": "v"}),
    ]


def _fill(work: Workspace) -> None:
    import bz2
    import gzip
    import os

    work.write("src/one", "one")
    work.write("src/dir/two", "two" * 50_000, mode=0o751)
    work.write("src/dir/three", "", mode=0o444)
    work.write("src/deep/in/side.txt", "side")
    work.write("src/deep/in/side.md", "side")
    (work.folder / "src/link").symlink_to("dir/two")
    work.write("src/a.tar", _archive("w", tarfile.PAX_FORMAT, *_entries()))
    work.write("src/a.tgz", gzip.compress(_archive("w", tarfile.GNU_FORMAT, *_entries()), mtime=1))
    parts = _archive("w", tarfile.USTAR_FORMAT, *_entries()[4:6])
    work.write("src/a.tbz", bz2.compress(parts))
    work.write("src/plain.gz", gzip.compress(b"no archive", mtime=1))
    over = _entry("d", text="was a folder"), _entry("sym/", tarfile.DIRTYPE, mode=0o755)
    work.write("src/over.tar", _archive("w", tarfile.PAX_FORMAT, *over))
    for path in sorted((work.folder / "src").rglob("*"), reverse=True):
        os.utime(path, (_LONG_AGO, _LONG_AGO), follow_symlinks=False)


def _text() -> str:
    script = "".join(f"          {line}\n" for line in _ORIGIN.strip().splitlines())
    stages, targets = "", ""
    for name, steps in _stages().items():
        stages += f"""
  {name}:
    from: scratch
    steps:
      - copy: {{from: base, paths: [/etc/passwd, /etc/group], to: /etc/}}
{steps}"""
        targets += f"  {name}: {{stage: {name}, outputs: [{{type: tar, dest: {name}.tar}}]}}\n"
    return f"""
version: 1
vars:
  BASE: none
sources:
  src: {{local: src, ignore-file: none}}
  base: {{image: "${{BASE}}"}}
stages:
  o:
    from: base
    steps:
      - run: |
{script}
{stages}
targets:
{targets}"""


def _stages() -> dict[str, str]:
    """Several, for the oldest daemons cannot mount what has more than about 60 layers.

    None is so long that its steps become one process (``translator.llb.chains``).
    """
    return {
        f"s{number}": "".join(f"      {line}\n" for line in steps.strip().splitlines())
        for number, steps in enumerate(_STEPS.split("\n\n"))
    }


# --- what came of it -------------------------------------------------------------------------


def _found(path: Path) -> dict[str, list[Any]]:
    """By name: type, mode, owner, time, and what else the type has."""
    with tarfile.open(path) as tree:
        found = {entry.name.rstrip("/"): _facts(tree, entry) for entry in tree}
    names: dict[str, list[str]] = {}  # which of them is the link is a matter of order
    for name in found:
        first = name
        while found[first][0] == "1":
            first = found[first][-1]
        if first != name:
            names.setdefault(first, [first]).append(name)
    for first, same in names.items():
        found |= {name: [*found[first], f"as {min(same)}"] for name in same}
    return dict(sorted(found.items()))


def _facts(tree: tarfile.TarFile, entry: tarfile.TarInfo) -> list[Any]:
    # Before v0.8 daemons do not keep the times of the folders that they are sent.
    kept = entry.mtime < _LONG_AGO + _YEARS and not (entry.isdir() and entry.name.startswith("l"))
    mtime: Any = entry.mtime if kept else "new"
    facts = [entry.type.decode(), f"{entry.mode & 0o7777:o}", entry.uid, entry.gid, mtime]
    facts += [sorted(k for k in entry.pax_headers if "xattr" in k)]
    if entry.isreg():
        file = tree.extractfile(entry)
        assert file
        return [*facts, entry.size, hashlib.sha256(file.read()).hexdigest()[:12]]
    if entry.ischr() or entry.isblk():
        return [*facts, entry.devmajor, entry.devminor]
    return [*facts, entry.linkname]


def _built(work: Workspace) -> str:
    """What was made, a line each."""
    work.build(_text(), *_stages())
    trees = {name: _found(work.folder / f"{name}.tar") for name in _stages()}
    lines = [
        f"{name}/{path}: {json.dumps(facts)}\n"
        for name, tree in trees.items()
        for path, facts in tree.items()
    ]
    return "".join(lines)


def _lack_file_steps(monkeypatch: pytest.MonkeyPatch, *more: str) -> None:
    """Have the daemon seem to know none of them, nor ``more`` capabilities."""

    def compiled(*instances: Any, caps: Any, **options: Any) -> Any:
        lesser = frozenset(name for name in caps if not name.startswith("file."))
        return compile_instances(*instances, caps=lesser - set(more), **options)

    monkeypatch.setattr(plan, "compile_instances", compiled)


def test_the_helper_makes_what_daemons_make(
    work: Workspace, info: DaemonInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Expected is what the newest daemon makes by itself: the test below writes it anew."""
    if info.release < _KEEPS_PIPES and "native" in info.workers[0].labels.values():
        pytest.skip("a native snapshotter of before v0.10 loses what follows a named pipe")
    _fill(work)
    _lack_file_steps(monkeypatch)
    assert _built(work).splitlines() == _EXPECTED.read_text(encoding="utf-8").splitlines()


def test_one_process_makes_the_same_of_several_steps(
    work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fill(work)
    _lack_file_steps(monkeypatch, FEATURES["exec.mount.layers"].proof)
    monkeypatch.setattr(chains, "MANY", 1)
    assert _built(work).splitlines() == _EXPECTED.read_text(encoding="utf-8").splitlines()


_MANY = """
version: 1
vars:
  BASE: none
sources:
  src: {local: src}
  base: {image: "${BASE}"}
stages:
  part:
    from: scratch
    steps: [{mkdir: {path: /of}}, {write: {path: /of/part, text: part}}]
  long:
    from: scratch
    steps:
      - copy: {from: base, paths: [/etc/passwd, /etc/group], to: /etc/}
%s
      - copy: {from: src, paths: [one], to: /d1/, chown: worker}
      - copy: {from: part, paths: [/of], to: /d2/of}
      - copy: {from: src, paths: [deep/in], to: /d3/in}
      - mkdir: {path: %s}
      - remove: {path: /etc}
      - symlink: {target: d3, path: /link}
targets:
  long: {stage: long, outputs: [{type: tar, dest: long.tar}]}
"""


def _many(count: int, last: str) -> str:
    folders = (f"      - mkdir: {{path: /d{n}, mode: '0711'}}" for n in range(count))
    return _MANY % ("\n".join(folders), last)


def test_a_long_stage_is_built_where_a_process_can_mount_few_layers(work: Workspace) -> None:
    _fill(work)
    done = work.build(_many(80, "/d3/made"))
    found = _found(work.folder / "long.tar")
    assert len([name for name in found if name[:1] == "d" and "/" not in name]) == 80
    assert found["d1/one"][:2] == ["0", "644"] and found["d1/one"][2:4] != [0, 0]
    assert {"d2/of/part", "d3/in/side.txt", "d3/made", "link"} <= found.keys()
    assert "etc" not in found and "warning" not in done.err


def test_a_failing_step_of_a_long_stage_shows_its_line(work: Workspace) -> None:
    _fill(work)
    text = _many(40, "/d3/none/made")
    done = work.build(text, code=1)
    line = next(n for n, text in enumerate(text.splitlines(), 1) if "/d3/none/made" in text)
    assert f"buildfile.yaml:{line}:" in done.err and "mkdir /d3/none/made failed" in done.err
    assert "no such file or directory" in done.err


def test_the_newest_daemons_make_what_is_expected(
    work: Workspace, info: DaemonInfo, golden: Callable[[Path, str], None]
) -> None:
    if info.release < _AS_NOW:
        pytest.skip(f"BuildKit {info.version} does some of these steps in another way")
    _fill(work)
    golden(_EXPECTED, _built(work))
