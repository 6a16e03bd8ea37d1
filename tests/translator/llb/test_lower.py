from __future__ import annotations

from typing import Any

from daemon_shim import releases
from schemas.pb import ops_pb2 as pb
from tests.translator.stages import (
    HERE,
    SCRATCH,
    changes,
    compiled,
    copy,
    image,
    inline,
    instance,
    names,
    processes,
    run,
    sources,
    stage,
)
from translator.compile import compile_instances, layouts_used
from translator.compiled import Compiled
from translator.llb.capabilities import CAPABILITIES, FEATURES, missing
from translator.llb.imageconfig import DEFAULT_PATH
from translator.platform import Platform
from translator.stage import BindMount, CacheMount, GitSource, OciLayoutSource, Symlink

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


def selectors(op: pb.ExecOp) -> dict[str, str]:
    return {mount.dest: mount.selector for mount in op.mounts}


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


def test_whole_trees_are_selected_by_name_where_that_is_another_key() -> None:
    op, _ = lowered()
    assert selectors(op) == {"/": "", "/r": "", "/w": ""}
    op, _ = lowered("exec.mount.cache.content")
    assert selectors(op) == {"/": "/", "/r": "/", "/w": "/"}


def test_a_step_with_more_than_its_root_keeps_its_key_where_that_is_not_its_own() -> None:
    old = ("exec.mount.cache.content", "source.git.subdir")
    op, _ = lowered(*old)
    assert selectors(op) == {"/": "", "/r": "", "/w": ""}
    (op,) = processes(compiled(stage("a", image(), run()), caps=ALL - set(old)))
    assert selectors(op) == {"/": "/"}


def test_a_selection_stays_and_what_has_no_tree_gets_none() -> None:
    mounts = (
        BindMount(target="/r", origin=inline(("a", "b")), source="a", span=HERE),
        CacheMount(target="/c", id="c", span=HERE),
        CacheMount(target="/d", id="d", origin=inline(("a", "b")), span=HERE),
    )
    result = compiled(
        stage("a", SCRATCH, run(mounts=mounts)), caps=ALL - {"exec.mount.cache.content"}
    )
    (op,) = processes(result)
    assert selectors(op) == {"/": "", "/r": "/a", "/c": "", "/d": "/"}


LAYOUT = OciLayoutSource(name="base", path="/base", digest=f"sha256:{'0' * 64}", span=HERE)
NO_LAYOUTS = ALL - {"source.ocilayout"}


def test_a_layout_is_pulled_from_where_a_registry_serves_it() -> None:
    (store,) = layouts_used(instances := [instance(stage("a", LAYOUT))])
    name = "localhost:1/x"
    (result,) = compile_instances(instances, caps=NO_LAYOUTS, layouts={store: name})
    assert sources(result) == {f"docker-image://{name}@{LAYOUT.digest}": {}}
    assert missing(result.needs, NO_LAYOUTS) == () and not result.stores
    assert [(each.capability, each.how) for each in result.lowerings] == [
        ("source.ocilayout", "by a registry on this machine's loopback")
    ]


def test_a_layout_that_no_registry_serves_is_told_why() -> None:
    instances = [instance(stage("a", LAYOUT))]
    (result,) = compile_instances(instances, caps=NO_LAYOUTS, no_layouts="it is far away")
    (need,) = missing(result.needs, NO_LAYOUTS)
    assert (need.capability, need.note) == ("source.ocilayout", "it is far away")
    (result,) = compile_instances(instances, caps=ALL, layouts={"x": "y"})
    assert [each.partition(":")[0] for each in sources(result)] == ["oci-layout"]


def test_what_cannot_be_done_otherwise_is_told_by_name() -> None:
    step = run(security="insecure")
    caps = ALL - {"exec.meta.security"}
    result = compiled(stage("a", SCRATCH, step), caps=caps)
    (need,) = missing(result.needs, caps)
    assert (need.capability, need.what, need.span) == (
        "exec.meta.security",
        "an insecure step",
        HERE,
    )
    assert missing(result.needs, ALL) == ()


def test_a_helper_that_does_not_run_on_the_daemon_is_no_help() -> None:
    step = Symlink(target="a", path="/b", span=HERE)
    caps = ALL - {"file.symlink.create"}
    result = compiled(stage("a", SCRATCH, step), caps=caps, native=Platform("linux", "riscv64"))
    (need,) = missing(result.needs, caps)
    assert need.what == "a symlink step"
    assert need.note == (
        "the helper program for it is for linux/amd64 and linux/arm64, and not for linux/riscv64"
    )
    assert not result.lowerings and not result.programs


def test_every_feature_is_proven_by_a_capability_of_its_release() -> None:
    for feature in FEATURES.values():
        assert CAPABILITIES[feature.proof].since == feature.since
        assert feature.what


def test_nothing_is_sent_that_daemons_do_not_know() -> None:
    sent = {feature.proof for feature in FEATURES.values() if feature.sent}
    assert set(CAPABILITIES) - sent == {"file.rm.wildcard"}  # it proves another feature
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


def git(**more: Any) -> Compiled:
    source = GitSource(name="a", url="https://example.org/a.git", span=HERE, **more)
    app = stage("s", SCRATCH, run(mounts=(BindMount(target="/m", origin=source, span=HERE),)))
    return compiled(app, caps=ALL - {"source.git.subdir"})


def test_a_folder_of_a_repository_is_copied_out_of_the_whole() -> None:
    result = git(ref="v1", subdir="x/y", keep_git_dir=True, ssh="work")
    assert sources(result) == {
        "git://example.org/a.git#v1": {
            "git.fullurl": "https://example.org/a.git",
            "git.mountsshsock": "work",
        }
    }
    (change,) = changes(result)
    assert (change.copy.src, change.copy.dest) == ("/x/y", "/")
    assert (change.input, change.secondaryInput, change.output) == (-1, 0, 0)
    assert change.copy.dirCopyContents
    assert names(result) == [
        "[sources] git example.org/a.git#v1",
        "[sources] git example.org/a.git#v1:x/y",
        "[s] run true",
    ]
    assert [mount.input for mount in processes(result)[0].mounts] == [-1, 0]
    needs = {need.capability for need in result.needs}
    assert "file.base" in needs
    assert not needs & {"source.git.subdir", "source.git.keepgitdir", "file.rm.wildcard"}


def test_a_folder_of_the_default_branch_is_that_of_head() -> None:
    assert set(sources(git(subdir="x"))) == {"git://example.org/a.git#HEAD"}


def test_a_folder_that_looks_like_a_pattern_is_left_to_newer_daemons() -> None:
    result = git(subdir="x*")
    assert not changes(result)
    assert {need.capability for need in result.needs} >= {"source.git.subdir"}
