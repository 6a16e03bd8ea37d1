"""Stages to vertices: what each step becomes."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.pb import ops_pb2 as pb
from tests.translator.stages import (
    AMD64,
    ARM64,
    HERE,
    SCRATCH,
    changes,
    compiled,
    copy,
    image,
    inline,
    instance,
    line,
    local,
    names,
    operations,
    processes,
    run,
    sources,
    stage,
)
from translator.compile import compile_instances, images_needed
from translator.compiled import ImageNeed, ResolvedImage
from translator.diagnostic import InvalidFileError
from translator.platform import Platform
from translator.stage import (
    BindMount,
    CacheMount,
    Device,
    GitSource,
    HttpSource,
    Mkdir,
    Mount,
    OciLayoutSource,
    Remove,
    Resources,
    Run,
    SecretMount,
    SetEnv,
    SetShell,
    SetUser,
    SetWorkdir,
    SshMount,
    Symlink,
    TmpfsMount,
    Ulimit,
    Write,
)

DIGEST = "sha256:" + "ab" * 32
TEXT = inline(("a", "x"))


def process(step: Run, **of_stage: Any) -> pb.ExecOp:
    (op,) = processes(compiled(stage("a", SCRATCH, step, **of_stage)))
    return op


def mounts(*given: Mount) -> list[pb.Mount]:
    return list(process(run(mounts=given)).mounts)


def change(step: Any, **of_stage: Any) -> pb.FileAction:
    *_, last = changes(compiled(stage("a", SCRATCH, step, **of_stage)))
    return last


def fault(*steps: Any, origin: Any = SCRATCH) -> str:
    with pytest.raises(InvalidFileError) as caught:
        compiled(stage("a", origin, *steps))
    (diagnostic,) = caught.value.diagnostics
    return diagnostic.code


def needs(*steps: Any, origin: Any = SCRATCH) -> set[str]:
    return {need.capability for need in compiled(stage("a", origin, *steps)).needs}


# --- run -------------------------------------------------------------------------------------


def test_a_script_goes_through_the_shell_unchanged() -> None:
    script = 'echo "${HOME}" $$\nexit 0\n'
    assert list(process(run(script)).meta.args) == ["/bin/sh", "-c", script]
    shelled = process(run(script), shell=("/bin/bash", "-euc"))
    assert list(shelled.meta.args) == ["/bin/bash", "-euc", script]


def test_arguments_stand_as_they_are() -> None:
    step = Run(argv=("go", "build", "a b"), span=HERE)
    assert list(process(step, shell=("/bin/bash",)).meta.args) == ["go", "build", "a b"]


def test_the_environment_is_image_then_stage_then_steps_then_own() -> None:
    need = ImageNeed(ref="docker.io/library/alpine:latest", platform=AMD64, span=HERE)
    config = ResolvedImage(digest="", config=b'{"config": {"Env": ["PATH=/bin", "A=image"]}}')
    first = stage(
        "a",
        image(),
        SetEnv(env=(("B", "step"),), span=HERE),
        run(env=(("C", "own"), ("A", "own"))),
        run(),
        env=(("A", "stage"), ("B", "stage")),
    )
    one, two = processes(compiled(first, images={need: config}))
    assert list(one.meta.env) == ["PATH=/bin", "A=own", "B=step", "C=own"]
    assert list(two.meta.env) == ["PATH=/bin", "A=stage", "B=step"]


def test_folder_and_user_come_from_the_step_or_the_stage() -> None:
    plain = process(run(), workdir="/srv", user="me").meta
    own = process(run(workdir="sub/../x", user="you"), workdir="/srv", user="me").meta
    assert (plain.cwd, plain.user) == ("/srv", "me")
    assert (own.cwd, own.user) == ("/srv/x", "you")
    assert process(run()).meta.cwd == "/"


def test_user_and_shell_steps_hold_for_those_below() -> None:
    steps = [run(), SetUser(user="u", span=HERE), SetShell(argv=("/x",), span=HERE), run()]
    before, after = processes(compiled(stage("a", SCRATCH, *steps)))
    assert (before.meta.user, before.meta.args[0]) == ("", "/bin/sh")
    assert (after.meta.user, after.meta.args[0]) == ("u", "/x")


def test_network_and_security_ask_for_entitlements() -> None:
    quiet = compiled(stage("a", SCRATCH, run(network="none")))
    assert processes(quiet)[0].network == pb.NONE and quiet.entitlements == ()
    loud = compiled(
        stage("a", SCRATCH, run(security="insecure"), run(network="sandbox"), network="host")
    )
    first, second = processes(loud)
    assert (first.network, first.security) == (pb.HOST, pb.INSECURE)
    assert (second.network, second.security) == (pb.UNSET, pb.SANDBOX)
    assert loud.entitlements == ("network.host", "security.insecure")


def test_the_small_settings_of_a_process() -> None:
    step = run(
        hosts=(("db", "10.0.0.1"),),
        hostname="box",
        ulimits=(Ulimit(name="nofile", soft=1, hard=2),),
        valid_exit_codes=(0, 3),
        devices=(Device(name="vendor.com/gpu=all", optional=True),),
    )
    op = process(step)
    assert [(each.Host, each.IP) for each in op.meta.extraHosts] == [("db", "10.0.0.1")]
    assert op.meta.hostname == "box"
    assert [(each.Name, each.Soft, each.Hard) for each in op.meta.ulimit] == [("nofile", 1, 2)]
    assert list(op.meta.validExitCodes) == [0, 3]
    assert [(each.name, each.optional) for each in op.cdiDevices] == [("vendor.com/gpu=all", True)]
    assert needs(step) >= {
        "exec.meta.ulimit",
        "exec.validexitcode",
        "exec.meta.cdi",
        "source.git.httpauth",  # in place of a capability for host names
    }


def test_no_proxy_setting_leaks() -> None:
    assert not process(run()).meta.HasField("proxy_env")


def test_the_root_is_input_and_first_output() -> None:
    (op,) = processes(compiled(stage("a", image(), run())))
    (root,) = op.mounts
    assert (root.dest, root.input, root.output, root.readonly) == ("/", 0, 0, False)
    assert process(run()).mounts[0].input == -1


def test_resources_go_with_the_step_not_into_it() -> None:
    result = compiled(stage("a", SCRATCH, run(resources=Resources(memory=1 << 20))))
    (metadata,) = (
        each
        for each in pb.Definition.FromString(result.definition).metadata.values()
        if each.description
    )
    assert metadata.linux_resources.memory == 1 << 20
    assert metadata.caps["exec.meta.linux.resources"]
    assert processes(result) == processes(compiled(stage("a", SCRATCH, run())))


# --- mounts ----------------------------------------------------------------------------------


def test_a_bind_mount_is_read_only_and_its_changes_are_lost() -> None:
    _, plain, writable = mounts(
        BindMount(target="/a", origin=TEXT, span=HERE),
        BindMount(target="/b", origin=TEXT, source="sub/", readwrite=True, span=HERE),
    )
    assert (plain.input, plain.output, plain.readonly, plain.selector) == (0, -1, True, "")
    assert (writable.input, writable.output, writable.readonly) == (0, -1, False)
    assert writable.selector == "/sub"


def test_a_download_is_mounted_as_the_file_that_it_is() -> None:
    tini = HttpSource(name="tini", url="https://example.com/v1/tini", span=HERE)
    given = [BindMount(target=target, origin=tini, span=HERE) for target in ("/a", "/b/")]
    assert [(mount.dest, mount.selector) for mount in mounts(*given)[1:]] == [
        ("/a", "/tini"),
        ("/b", ""),
    ]


def test_mounts_stand_in_the_order_of_their_targets() -> None:
    given = [TmpfsMount(target=target, span=HERE) for target in ("/b", "/a/b", "rel", "/a")]
    targets = [mount.dest for mount in process(run(mounts=tuple(given)), workdir="/w").mounts]
    assert targets == ["/", "/a", "/a/b", "/b", "/w/rel"]


def test_a_cache_mount_is_named_as_the_dockerfile_frontend_does() -> None:
    _, named, unnamed = mounts(
        CacheMount(target="/a", id="go", sharing="locked", span=HERE),
        CacheMount(target="/root/.cache/", id="", span=HERE),
    )
    assert (named.mountType, named.cacheOpt.ID) == (pb.CACHE, "/go")
    assert named.cacheOpt.sharing == pb.LOCKED
    assert (unnamed.cacheOpt.ID, unnamed.input, unnamed.output) == ("//root/.cache", -1, -1)


def test_a_cache_mount_can_be_seeded() -> None:
    _, seeded = mounts(CacheMount(target="/a", id="x", origin=TEXT, source="/s", span=HERE))
    assert (seeded.input, seeded.selector) == (0, "/s")


def test_a_tmpfs_has_a_size_only_when_one_is_given() -> None:
    _, sized, plain = mounts(
        TmpfsMount(target="/a", size=4096, span=HERE), TmpfsMount(target="/b", span=HERE)
    )
    assert (sized.mountType, sized.TmpfsOpt.size) == (pb.TMPFS, 4096)
    assert not plain.HasField("TmpfsOpt")


def test_a_secret_is_a_file_or_a_variable() -> None:
    step = run(
        mounts=(
            SecretMount(id="deep/token", span=HERE),
            SecretMount(id="key", target="/k", mode=0o440, uid=1, gid=2, optional=True, span=HERE),
            SecretMount(id="pass", env="PASS", span=HERE),
        )
    )
    op = process(step)
    _, default, own = op.mounts
    assert (default.dest, default.secretOpt.ID) == ("/run/secrets/token", "deep/token")
    secret = own.secretOpt
    assert (own.dest, secret.mode, secret.uid, secret.gid) == ("/k", 0o440, 1, 2)
    assert secret.optional and not default.secretOpt.optional
    assert [(each.ID, each.name) for each in op.secretenv] == [("pass", "PASS")]
    result = compiled(stage("a", SCRATCH, step))
    assert result.secrets == ("deep/token", "key", "pass")
    assert needs(step) >= {"exec.secretenv", "exec.mount.secret"}


def test_an_agents_socket_is_found_through_the_environment() -> None:
    step = run(mounts=(SshMount(span=HERE), SshMount(id="other", span=HERE)))
    op = process(step)
    assert [mount.dest for mount in op.mounts[1:]] == [
        "/run/buildkit/ssh_agent.0",
        "/run/buildkit/ssh_agent.1",
    ]
    assert "SSH_AUTH_SOCK=/run/buildkit/ssh_agent.0" in op.meta.env
    assert compiled(stage("a", SCRATCH, step)).ssh == ("default", "other")


def test_a_given_agent_variable_stays() -> None:
    step = run(mounts=(SshMount(target="/s", span=HERE),), env=(("SSH_AUTH_SOCK", "/mine"),))
    assert [each for each in process(step).meta.env if "SSH" in each] == ["SSH_AUTH_SOCK=/mine"]


def test_nothing_is_mounted_over_the_root() -> None:
    mount = TmpfsMount(target="/x/..", span=HERE)
    assert fault(run(mounts=(mount,))) == "mount-on-root"


# --- copy ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("to", "place"),
    [
        ("/x", "/x"),
        ("/x/", "/x/"),
        ("x", "/srv/x"),
        (".", "/srv/"),
        ("./", "/srv/"),
        ("", "/srv/"),
        ("/", "/"),
        ("//x//y/", "/x/y/"),
        ("../..", "/"),
        ("x/.", "/srv/x/."),
    ],
)
def test_the_place_of_a_copy(to: str, place: str) -> None:
    assert change(copy(TEXT, to), workdir="/srv").copy.dest == place


def test_a_copy_is_as_in_a_dockerfile() -> None:
    action = change(copy(TEXT, "/x")).copy
    assert (action.src, action.mode, action.timestamp) == ("/", -1, -1)
    assert action.dirCopyContents and action.createDestPath and action.allowWildcard
    assert not action.followSymlink and not action.attemptUnpackDockerCompatibility


def test_several_paths_are_actions_one_after_the_other() -> None:
    step = copy(TEXT, "/x/", paths=("a", "b/../c*"))
    *_, op = operations(compiled(stage("a", image(), step)))
    first, second = op.file.actions
    assert (first.input, first.secondaryInput, first.output) == (0, 1, -1)
    assert (second.input, second.secondaryInput, second.output) == (2, 1, 0)
    assert [action.copy.src for action in op.file.actions] == ["/a", "/c*"]


def test_several_paths_need_a_folder() -> None:
    assert fault(copy(TEXT, "/x", paths=("a", "b"))) == "copy-needs-folder"


def test_a_copy_within_a_stage_has_one_input() -> None:
    base = stage("base", image())
    *_, op = operations(compiled(base, stage("a", base.ref, copy(base.ref, "/x"))))
    (action,) = op.file.actions
    assert (len(op.inputs), action.input, action.secondaryInput) == (1, 0, 0)


def test_a_download_is_copied_as_the_file_that_it_is() -> None:
    tini = HttpSource(name="tini", url="https://example.com/v1/tini%20x?y=z", span=HERE)
    assert change(copy(tini, "/tini")).copy.src == "/tini x"
    assert change(copy(tini, "/tini", paths=("other",))).copy.src == "/other"


@pytest.mark.parametrize(
    ("text", "mode", "symbolic"),
    [("0755", 0o755, ""), ("644", 0o644, ""), ("u=rwX,go=rX", -1, "u=rwX,go=rX"), ("", -1, "")],
)
def test_modes(text: str, mode: int, symbolic: str) -> None:
    action = change(copy(TEXT, "/x", chmod=text)).copy
    assert (action.mode, action.modeStr) == (mode, symbolic)


@pytest.mark.parametrize("text", ["0999", "rwx", "u", "77777", "-1"])
def test_what_is_no_mode_is_refused(text: str) -> None:
    assert fault(copy(TEXT, "/x", chmod=text)) == "bad-mode"


def test_a_symbolic_mode_is_needed_but_never_sent_as_a_capability() -> None:
    result = compiled(stage("a", SCRATCH, copy(TEXT, "/x", chmod="a+x")))
    caps = {
        cap
        for metadata in pb.Definition.FromString(result.definition).metadata.values()
        for cap in metadata.caps
    }
    assert caps == {"file.base", "constraints", "platform"}
    (need,) = (each for each in result.needs if "mode" in each.what)
    assert need.capability == "exec.validexitcode"


def test_owners_are_numbers_or_names_of_the_stage() -> None:
    def owner(text: str) -> pb.ChownOpt:
        *_, op = operations(compiled(stage("a", image(), copy(TEXT, "/x", chown=text))))
        return op.file.actions[0].copy.owner

    assert owner("1000:0").user.byID == 1000
    assert owner("root").user.WhichOneof("user") == "byID"
    assert not owner("1000").HasField("group")
    named = owner("app:staff")
    assert (named.user.byName.name, named.user.byName.input) == ("app", 0)
    assert (named.group.byName.name, named.group.byName.input) == ("staff", 0)


@pytest.mark.parametrize("text", [":", "a:", "a:b:c"])
def test_what_is_no_owner_is_refused(text: str) -> None:
    assert fault(copy(TEXT, "/x", chown=text), origin=image()) == "bad-owner"


def test_names_mean_nothing_in_an_empty_stage() -> None:
    assert fault(copy(TEXT, "/x", chown="app")) == "owner-without-users"


def test_patterns_of_a_copy_need_their_capabilities() -> None:
    step = copy(TEXT, "/x", include=("a",), exclude=("b",), required=("c",))
    action = change(step).copy
    assert list(action.include_patterns) == ["a"]
    assert list(action.exclude_patterns) == ["b"]
    assert list(action.required_paths) == ["/c"]
    assert needs(step) == {
        "file.base",
        "file.copy.includeexcludepatterns",
        "file.copy.requiredpaths",
    }


def test_required_paths_go_with_the_source_that_they_lie_under() -> None:
    step = copy(TEXT, "/x/", paths=("a", "b"), required=("b/c",))
    first, second = (each.copy for each in changes(compiled(stage("a", SCRATCH, step)))[-2:])
    assert not first.required_paths
    assert list(second.required_paths) == ["/b/c"]
    assert list(second.include_patterns) == ["**"]


def test_a_required_path_that_is_not_copied_is_a_fault() -> None:
    assert fault(copy(TEXT, "/x/", paths=("a", "b"), required=("c",))) == "required-elsewhere"


@pytest.mark.parametrize("mode", [0o1777, 0o2755, 0o4755])
def test_special_bits_are_refused_for_no_daemon_sets_them(mode: int) -> None:
    assert fault(Mkdir(path="/a", mode=mode, span=HERE)) == "special-mode"
    assert fault(Write(path="/a", data=b"", mode=mode, span=HERE)) == "special-mode"


# --- other steps -----------------------------------------------------------------------------


def test_steps_that_change_one_path() -> None:
    made = change(Mkdir(path="d", parents=True, chown="1:2", span=HERE), workdir="/w").mkdir
    assert (made.path, made.mode, made.makeParents, made.timestamp) == ("/w/d", 0o755, True, -1)
    assert (made.owner.user.byID, made.owner.group.byID) == (1, 2)
    wrote = change(Write(path="/f", data=b"\xff", mode=0o600, span=HERE)).mkfile
    assert (wrote.path, wrote.mode, wrote.data) == ("/f", 0o600, b"\xff")
    gone = change(Remove(path="/f*", missing_ok=True, wildcard=True, span=HERE)).rm
    assert (gone.path, gone.allowNotFound, gone.allowWildcard) == ("/f*", True, True)
    link = change(Symlink(target="../a", path="/l", span=HERE)).symlink
    assert (link.oldpath, link.newpath) == ("../a", "/l")


def test_newer_steps_need_their_capabilities() -> None:
    assert needs(Write(path="/f", data=b"", span=HERE)) == {"file.base"}
    assert "file.rm.nofollowsymlink" in needs(Remove(path="/f", span=HERE))
    assert "file.symlink.create" in needs(Symlink(target="a", path="/l", span=HERE))


def test_a_working_folder_is_made_once() -> None:
    first = stage("a", image(), SetWorkdir(path="x", span=HERE), run(), workdir="/w", user="1:1")
    second = stage("b", first.ref, run(), workdir="/w/x")
    result = compiled(first, second)
    made = [action.mkdir for action in changes(result)]
    assert [(each.path, each.makeParents) for each in made] == [("/w", True), ("/w/x", True)]
    assert made[0].owner.group.byID == 1
    assert [op.meta.cwd for op in processes(result)] == ["/w/x", "/w/x"]


def test_the_root_needs_no_making() -> None:
    assert changes(compiled(stage("a", image(), run(), workdir="/"))) == []


def test_a_user_by_name_owns_no_folder_of_an_empty_stage() -> None:
    (action,) = changes(compiled(stage("a", SCRATCH, workdir="/w", user="app")))
    assert not action.mkdir.HasField("owner")


# --- sources ---------------------------------------------------------------------------------


def test_an_image_is_named_in_full_and_pinned() -> None:
    base = stage("a", image("alpine:3", resolve="pull"))
    (need,) = images_needed([instance(base)])
    assert (need.ref, need.resolve) == ("docker.io/library/alpine:3", "pull")
    assert sources(compiled(base)) == {
        "docker-image://docker.io/library/alpine:3": {"image.resolvemode": "pull"}
    }
    pinned = compiled(base, images={need: ResolvedImage(digest=DIGEST, config=b"{}")})
    assert list(sources(pinned)) == [f"docker-image://docker.io/library/alpine:3@{DIGEST}"]


def test_an_images_own_platform_wins() -> None:
    base = stage("a", image(platform=ARM64))
    assert images_needed([instance(base)])[0].platform == ARM64
    assert operations(compiled(base))[0].platform.Architecture == "arm64"


def test_images_that_are_only_copied_from_need_no_config() -> None:
    assert images_needed([instance(stage("a", SCRATCH, copy(image(), "/x")))]) == ()


def test_the_same_image_is_needed_once() -> None:
    stages = [stage("a", image()), stage("b", image("docker.io/alpine:latest"))]
    assert len(images_needed([instance(*stages)])) == 1


def test_a_local_folder_says_what_to_send() -> None:
    src = local(exclude=("*.tmp",))
    step = copy(src, "/x/", paths=("b", "a"))
    result = compiled(stage("a", SCRATCH, step), unique="run-1")
    assert sources(result) == {
        "local://src": {
            "local.excludepatterns": '["*.tmp"]',
            "local.followpaths": '["a","b"]',
            "local.sharedkeyhint": "src",
            "local.unique": "run-1",
        }
    }
    (use,) = result.locals
    assert (use.path, use.follow, use.exclude) == ("/project/src", ("a", "b"), ("*.tmp",))


def test_a_local_folder_without_a_run_is_the_same_every_time() -> None:
    assert "local.unique" not in sources(compiled(stage("a", local())))["local://src"]


def test_a_git_repository() -> None:
    full = GitSource(
        name="g",
        url="https://user@example.com/r.git",
        ref="main",
        commit="a" * 40,
        subdir="/x/y/",
        keep_git_dir=True,
        submodules=False,
        auth_token="tok",
        auth_header="head",
        span=HERE,
    )
    result = compiled(stage("a", full))
    assert sources(result) == {
        "git://example.com/r.git#main:x/y": {
            "git.fullurl": "https://user@example.com/r.git",
            "git.keepgitdir": "true",
            "git.authtokensecret": "tok",
            "git.authheadersecret": "head",
            "git.checksum": "a" * 40,
            "git.skipsubmodules": "true",
        }
    }
    assert result.secrets == ("head", "tok")
    assert needs(origin=full) == {
        "source.git",
        "source.git.fullurl",
        "source.git.keepgitdir",
        "file.rm.wildcard",
        "source.git.httpauth",
        "source.git.subdir",
        "source.git.checksum",
        "source.git.skipsubmodules",
    }


def test_a_whole_commit_as_the_ref_needs_no_check() -> None:
    at_commit = GitSource(name="g", url="https://example.com/r", commit="b" * 40, span=HERE)
    identifier = "git://example.com/r#" + "b" * 40
    assert sources(compiled(stage("a", at_commit)))[identifier].keys() == {"git.fullurl"}


def test_git_over_ssh_takes_the_default_agent() -> None:
    over_ssh = GitSource(name="g", url="git@example.com:r.git", span=HERE)
    result = compiled(stage("a", over_ssh))
    assert sources(result)["git://example.com/r.git"]["git.mountsshsock"] == "default"
    assert result.ssh == ("default",)


def test_a_download() -> None:
    full = HttpSource(
        name="h",
        url="https://example.com/a/b.tgz",
        checksum=DIGEST,
        chmod=0o755,
        uid=1,
        gid=2,
        span=HERE,
    )
    assert sources(compiled(stage("a", full))) == {
        "https://example.com/a/b.tgz": {
            "http.checksum": DIGEST,
            "http.filename": "b.tgz",
            "http.perm": "0755",
            "http.uid": "1",
            "http.gid": "2",
        }
    }
    assert needs(origin=full) == {
        "source.http",
        "source.http.checksum",
        "source.http.perm",
        "soruce.http.uidgid",
    }


def test_an_oci_layout_is_read_by_digest() -> None:
    layout = OciLayoutSource(name="Base Image", path="/project/base", ref="1", span=HERE)
    base = stage("a", layout)
    (need,) = images_needed([instance(base)])
    assert (need.ref, need.path) == ("1", "/project/base")
    result = compiled(base, images={need: ResolvedImage(digest=DIGEST, config=b"{}")})
    assert sources(result) == {
        f"oci-layout://localhost/{need.store}@{DIGEST}": {"oci.store": need.store}
    }
    assert result.stores == {need.store: "/project/base"}
    assert need.store.startswith("base-image-")


def test_oci_layouts_of_different_folders_have_different_stores() -> None:
    layouts = [OciLayoutSource(name="b", path=f"/{x}", ref="1", span=HERE) for x in "ab"]
    stages = [stage("a", layouts[0]), stage("b", SCRATCH, copy(layouts[1], "/x"))]
    assert len({need.store for need in images_needed([instance(*stages)])}) == 2


def test_text_makes_its_folders_once() -> None:
    actions = changes(compiled(stage("a", inline(("d/e/f", "1"), ("/d/e/g", "2"), ("h", "3")))))
    assert [(action.WhichOneof("action")) for action in actions] == [
        "mkdir",
        "mkfile",
        "mkfile",
        "mkfile",
    ]
    assert actions[0].mkdir.makeParents
    assert [action.mkfile.path for action in actions[1:]] == ["/d/e/f", "/d/e/g", "/h"]


def test_addresses_that_are_none_are_refused() -> None:
    assert fault(origin=image("Not An Image")) == "bad-image"
    assert fault(origin=GitSource(name="g", url="ftp://x/y", span=HERE)) == "bad-git-url"
    assert fault(origin=HttpSource(name="h", url="file:///x", span=HERE)) == "bad-http-url"


def test_all_faults_are_found_in_one_go() -> None:
    bad = stage(
        "a",
        image("A"),
        copy(TEXT, "/x", chmod="9", span=line(3)),
        run(mounts=(TmpfsMount(target="/", span=line(2)),)),
    )
    with pytest.raises(InvalidFileError) as caught:
        compiled(bad)
    codes = [diagnostic.code for diagnostic in caught.value.diagnostics]
    assert codes == ["bad-image", "mount-on-root", "bad-mode"]
    with pytest.raises(InvalidFileError):
        images_needed([instance(bad)])


# --- instances -------------------------------------------------------------------------------


def test_names_count_the_steps_that_do_something() -> None:
    long = "echo " + "x" * 200
    steps = [
        run("go build ./...\necho done"),
        SetEnv(env=(), span=HERE),
        copy(TEXT, "/x", paths=("a",)),
        run(long),
        run(name="my name"),
    ]
    result = names(compiled(stage("app", image(), *steps, workdir="/w")))
    assert result == [
        "load image docker.io/library/alpine:latest",
        "[app] workdir /w",
        "[app 1/4] run go build ./... ...",
        "[sources] inline text",
        "[app 2/4] copy text:a -> /x",
        "[app 3/4] run " + long[:93] + "...",
        "[app 4/4] my name",
    ]


def test_a_single_step_has_no_number() -> None:
    assert names(compiled(stage("app", SCRATCH, run("true")))) == ["[app] run true"]


def test_names_say_the_platform_when_there_are_several() -> None:
    each = [
        instance(stage("app", image(), run(), platform=platform)) for platform in (AMD64, ARM64)
    ]
    for result in compile_instances(each):
        assert names(result) == [
            f"[{result.platform}] load image docker.io/library/alpine:latest",
            f"[{result.platform} app] run true",
        ]


def test_instances_share_stages_and_sources() -> None:
    src = local()
    base = stage("base", image(), copy(src, "/x", paths=("a",)))
    first = instance(base, stage("one", base.ref, run("one")))
    second = instance(base, stage("two", base.ref, copy(src, "/y", paths=("b",))))
    one, two = compile_instances([first, second])
    shared = one.names.keys() & two.names.keys()
    assert len(shared) == 3
    assert one.locals == two.locals
    assert one.locals[0].follow == ("a", "b")


def test_what_does_not_depend_on_the_platform_is_the_same_for_all() -> None:
    stages = [stage("a", SCRATCH, copy(TEXT, "/x"), platform=each) for each in (AMD64, ARM64)]
    amd, arm = compile_instances([instance(each) for each in stages])
    assert amd.definition != b"" and list(amd.spans) == list(arm.spans)
    assert amd.image_config != arm.image_config


def test_each_instance_gets_only_what_it_uses() -> None:
    first = instance(stage("a", SCRATCH, copy(local("one"), "/"), run(network="host")))
    second = instance(stage("b", SCRATCH, copy(local("two"), "/")))
    one, two = compile_instances([first, second])
    assert [use.name for use in one.locals] == ["one"]
    assert [use.name for use in two.locals] == ["two"]
    assert one.entitlements == ("network.host",) and two.entitlements == ()


def test_a_stage_for_another_platform_stands_in_the_same_graph() -> None:
    build = stage("build", image(), run("go build"), platform=AMD64)
    app = stage("app", SCRATCH, copy(build.ref, "/app"), run(), platform=Platform("linux", "arm64"))
    architectures = [op.platform.Architecture for op in operations(compiled(build, app))]
    assert architectures == ["amd64", "amd64", "", "arm64"]


def test_no_cache_is_for_all_or_for_stages() -> None:
    def uncached(**options: Any) -> list[str]:
        result = compiled(first, second, **options)
        metadata = pb.Definition.FromString(result.definition).metadata
        return [name for key, name in result.names.items() if metadata[key].ignore_cache]

    first = stage("a", image(), run("one"))
    second = stage("b", first.ref, run("two"), run("three", cache=False))
    assert uncached() == ["[b 2/2] run three"]
    assert uncached(no_cache=["a"]) == ["[a] run one", "[b 2/2] run three"]
    assert len(uncached(no_cache=True)) == 4


def test_an_empty_stage_is_an_empty_definition() -> None:
    result = compiled(stage("a", SCRATCH))
    assert (result.definition, result.vertices) == (b"", 0)
    assert result.needs == () and not result.spans


def test_needs_stand_where_the_user_wrote_them() -> None:
    mount = SecretMount(id="t", env="T", span=line(7))
    result = compiled(stage("a", SCRATCH, run(span=line(5)), run(mounts=(mount,), span=line(6))))
    spans = {need.capability: need.span.start.line for need in result.needs}
    assert spans["exec.meta.base"] == 5
    assert spans["exec.secretenv"] == 7
