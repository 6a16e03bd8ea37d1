"""Results moved between the oldest and the newest daemon at hand, both ways round."""

from __future__ import annotations

import io
import tarfile
import uuid
from pathlib import Path

import pytest

from buildfile.handoff import Handoffs
from buildfile.route import Route, Way
from tests.integration.pairs import Move, Pair, load
from translator.project import Project

_CAPABILITY = "SCHILY.xattr.security.capability"
_NOTE = "SCHILY.xattr.user.note"
_FILE = """
version: 1
vars: {BASE: none, SALT: none}
sources: {src: {local: src}}
stages:
  given:
    from: {image: "${BASE}"}
    env: {WHO: "a b", SALT: "${SALT}"}
    workdir: /work
    steps:
      - copy: {from: src, paths: [t.tar], to: /, unpack: true}
      - run: 'rm -r /etc/group /root; mkdir -m 750 /root; echo $SALT >/root/new; chown 5:6 /work'
    image: {labels: {made: here}}
  more: {from: given, steps: [{write: {path: /more, text: more}}]}
  taken:
    from: given
    steps:
      - run: 'test "$WHO" = "a b" && test "$PWD" = /work && test ! -e /etc/group'
  copied: {from: scratch, steps: [{copy: {from: more, paths: [/more, /root/new], to: /}}]}
  empty: {from: scratch}
  alone: {from: empty, steps: [{write: {path: /x, text: x}}]}
targets:
  taken: {stage: taken, outputs: [{type: tar, dest: taken.tar}]}
  copied: {stage: copied, outputs: [{type: tar, dest: copied.tar}]}
  alone: {stage: alone, outputs: [{type: tar, dest: alone.tar}]}
"""


def _archive() -> bytes:
    """An archive of files with all that files may have."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as tar:

        def add(name: str, content: bytes = b"", mode: int = 0o644, **more: object) -> None:
            member = tarfile.TarInfo(f"t/{name}")
            member.mode, member.size, member.mtime = mode, len(content), 1_000_000_000
            for key, value in more.items():
                setattr(member, key, value)
            tar.addfile(member, io.BytesIO(content))

        capability = {_CAPABILITY: (b"\x01\x00\x00\x02\x00\x04" + bytes(14)).decode()}
        add("owned", b"x", 0o640, uid=1234, gid=5678)
        add("suid", b"x", 0o4755, uid=7)
        add("capable", b"x", 0o755, pax_headers=capability)
        add("noted", b"x", pax_headers={_NOTE: "kept"})
        add("first", b"linked")
        add("second", type=tarfile.LNKTYPE, linkname="t/first")
        add("link", mode=0o777, type=tarfile.SYMTYPE, linkname="first", uid=3, gid=4)
        add("empty", mode=0o1777, type=tarfile.DIRTYPE, uid=9)
        add("null", mode=0o600, type=tarfile.CHRTYPE, devmajor=1, devminor=3, uid=1)
    return data.getvalue()


def _members(data: bytes) -> dict[str, tuple[object, ...]]:
    """What an archive says of each file but for times."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {
            member.name.strip("/"): (
                member.type,
                oct(member.mode),
                member.uid,
                member.gid,
                member.linkname,
                (member.devmajor, member.devminor),
                content.read() if (content := tar.extractfile(member)) else b"",
                {key: value for key, value in member.pax_headers.items() if "xattr" in key},
            )
            for member in tar
        }


@pytest.fixture
def project(tmp_path: Path, base_image: str) -> Project:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "t.tar").write_bytes(_archive())
    (tmp_path / "buildfile.yaml").write_text(_FILE)
    return load(tmp_path, {"BASE": base_image, "SALT": uuid.uuid4().hex})


def _only(
    members: dict[str, tuple[object, ...]], xattrs: set[str]
) -> dict[str, tuple[object, ...]]:
    def chosen(entry: tuple[object, ...]) -> tuple[object, ...]:
        *rest, found = entry
        assert isinstance(found, dict)
        return (*rest, {key: value for key, value in found.items() if key in xattrs})

    return {name: chosen(entry) for name, entry in members.items()}


def _kept(pair: Pair, route: Route) -> set[str]:
    """The extended attributes that go that way; no layer of BuildKit's has others."""
    layers = route.way in (Way.LAYERS, Way.REGISTRY)
    oldest = min(site.daemon.info().release for site in (pair.giver, pair.taker))
    if layers and oldest < (0, 4, 0):
        return set()  # such a way is not chosen
    return {_CAPABILITY} if layers else {_CAPABILITY, _NOTE}


def _takes_folders(pair: Pair) -> bool:
    """Whether a step of the taker gets its working folder for its own, as on v0.5."""
    return (0, 5, 0) <= pair.taker.daemon.info().release < (0, 6, 0)


@pytest.mark.parametrize("way", [None, Way.FILES, Way.REGISTRY], ids=["best", "files", "registry"])
def test_a_result_keeps_all_that_it_has(
    pair: Pair, project: Project, tmp_path: Path, registry: str, way: Way | None
) -> None:
    route = pair.route()
    if way:
        route = Route(way=way, note="", registry=f"{registry}/handoff")
    with Handoffs() as handoffs:
        move = Move.planned(pair, handoffs, project, "taken", route)
        assert not move.taken().refusals
        move.give()
        move.take()
    assert not handoffs.folder.exists()
    sent, got = _members(_archive()), _members((tmp_path / "taken.tar").read_bytes())
    found = {name: entry for name, entry in got.items() if name.startswith("t/")}
    kept = _kept(pair, route)
    assert found == _only(sent, kept)
    assert way or _CAPABILITY in kept
    owner = (0, 0) if _takes_folders(pair) else (5, 6)
    assert got["work"][2:4] == owner and got["root"][1] == "0o750" and "root/new" in got
    assert "etc/group" not in got


def test_only_what_the_other_side_lacks_moves(pair: Pair, project: Project, tmp_path: Path) -> None:
    route = pair.route()
    if route.way is not Way.LAYERS:
        pytest.skip(route.note)
    with Handoffs() as handoffs:
        blobs = handoffs.folder / "blobs" / "sha256"
        first = Move.planned(pair, handoffs, project, "taken", route)
        first.give()
        first.take()
        before = {each.name: each.stat().st_ino for each in blobs.iterdir()}
        more = Move.planned(pair, handoffs, project, "copied", route, name="more")
        more.give()
        came = [each for each in blobs.iterdir() if before.get(each.name) != each.stat().st_ino]
        assert {each.name for each in came}.isdisjoint(before) and len(came) == 3
        for name in before:
            (blobs / name).unlink()  # the taker has them
        more.take()
    assert "more" in _members((tmp_path / "copied.tar").read_bytes())


def test_a_result_without_files(pair: Pair, project: Project, tmp_path: Path) -> None:
    with Handoffs() as handoffs:
        move = Move.planned(pair, handoffs, project, "alone", pair.route(), name="empty")
        move.give()
        move.take()
    assert set(_members((tmp_path / "alone.tar").read_bytes())) == {"x"}
