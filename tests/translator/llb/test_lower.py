from __future__ import annotations

from daemon_shim import releases
from schemas.pb import ops_pb2 as pb
from tests.translator.stages import (
    HERE,
    SCRATCH,
    compiled,
    copy,
    image,
    inline,
    processes,
    run,
    sources,
    stage,
)
from translator.llb.capabilities import CAPABILITIES, FEATURES, missing
from translator.llb.imageconfig import DEFAULT_PATH
from translator.stage import BindMount, GitSource, Symlink

ALL = frozenset(CAPABILITIES)
PATH = "exec.meta.setsdefaultpath"
WRITABLE = "exec.mount.bind.readwrite-nooutput"


def lowered(*lacking: str) -> tuple[pb.ExecOp, set[str]]:
    text = inline(("a", "b"))
    mounts = (
        BindMount(target="/r", origin=text, span=HERE),
        BindMount(target="/w", origin=text, readwrite=True, span=HERE),
    )
    result = compiled(stage("a", image(), run(mounts=mounts)), caps=ALL - set(lacking))
    (op,) = processes(result)
    return op, {need.capability for need in result.needs}


def test_nothing_changes_where_all_is_known() -> None:
    op, needs = lowered()
    assert not op.meta.env
    assert [mount.output for mount in op.mounts] == [0, -1, -1]
    assert {PATH, WRITABLE} <= needs


def test_the_default_path_is_written_out() -> None:
    op, needs = lowered(PATH)
    assert list(op.meta.env) == [f"PATH={DEFAULT_PATH}"]
    assert PATH not in needs


def test_a_path_of_the_image_stays() -> None:
    result = compiled(stage("a", SCRATCH, run(env=(("PATH", "/x"),))), caps=ALL - {PATH})
    assert list(processes(result)[0].meta.env) == ["PATH=/x"]


def test_a_writable_mount_becomes_an_output_that_nobody_uses() -> None:
    op, needs = lowered(WRITABLE)
    assert [mount.output for mount in op.mounts] == [0, -1, 1]
    assert WRITABLE not in needs


def test_what_cannot_be_done_otherwise_is_told_by_name() -> None:
    step = Symlink(target="a", path="/b", span=HERE)
    caps = ALL - {"file.symlink.create"}
    result = compiled(stage("a", SCRATCH, step), caps=caps)
    (need,) = missing(result.needs, caps)
    assert (need.capability, need.what, need.span) == (
        "file.symlink.create",
        "a symlink step",
        HERE,
    )
    assert missing(result.needs, ALL) == ()


def test_every_feature_is_proven_by_a_capability_of_its_release() -> None:
    for feature in FEATURES.values():
        assert CAPABILITIES[feature.proof].since == feature.since
        assert feature.what


def test_nothing_is_sent_that_daemons_do_not_know() -> None:
    sent = {feature.proof for feature in FEATURES.values() if feature.sent}
    assert sent == set(CAPABILITIES)
    assert not sent & {"file.copy.modestring", "exec.meta.removemountstubs.recursive"}


def test_the_releases_are_those_that_the_daemons_side_knows() -> None:
    for row in CAPABILITIES.values():
        assert "v" + ".".join(map(str, releases.since(row.id))) == row.since


def test_the_default_branch_is_asked_for_where_the_daemon_would_take_master() -> None:
    one = GitSource(name="a", url="https://example.org/a.git", span=HERE)
    two = GitSource(name="b", url="https://example.org/b.git", ref="v1", span=HERE)
    for caps, ref in ((ALL, ""), (ALL - {"source.git.subdir"}, "#HEAD")):
        result = compiled(stage("s", SCRATCH, copy(one), copy(two)), caps=caps)
        expected = {f"git://example.org/a.git{ref}", "git://example.org/b.git#v1"}
        assert set(sources(result)) == expected
