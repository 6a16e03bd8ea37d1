"""The services of the session, asked by real daemons."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tarfile
import uuid
from pathlib import Path
from typing import Any

import grpc
import pytest

from daemon_shim.registry.config import DockerConfig
from daemon_shim.registry.login import Login
from daemon_shim.session.auth import Auth
from daemon_shim.session.filesend import FileSend
from daemon_shim.session.filesync import FileSync, LocalFolder
from daemon_shim.session.outputs import FileOutput, FolderOutput, OutputError
from daemon_shim.session.secrets import Secrets
from daemon_shim.session.ssh import Ssh
from daemon_shim.session.ssh_agent import agent_of
from tests.daemon_shim.session import guarded_registry
from tests.daemon_shim.session.guarded_registry import PASSWORD, USER
from tests.daemon_shim.session.solving import Graph, secret_mount, solve, ssh_mount
from tests.daemon_shim.session.test_file_output import small_disk
from tests.daemon_shim.session.test_ssh import keygen
from tests.real.daemon import Daemon

TREE = """
cd /out && mkdir -p a/b c empty && printf hello > a/b/f && ln a/b/f c/twin && : > none
ln -s /etc/passwd link && chmod 4751 c/twin && chmod 500 a/b && touch -d '2001-02-03 04:05:06' a
i=0; while [ $i -lt 300 ]; do printf $i > c/$i; i=$((i+1)); done
dd if=/dev/zero of=big bs=65536 count=80 2>/dev/null
"""


def solve_or_skip(
    daemon: Daemon, graph: Graph, result: str, services: list[Any], kind: str, **attrs: str
) -> dict[str, str]:
    """Solve, or skip the test where the daemon has no such exporter."""
    try:
        return solve(daemon.address, graph.finish(result), services, (kind, attrs))
    except grpc.RpcError as error:
        details: str = error.details()  # type: ignore[attr-defined]
        if "could not be found" in details or "could not find" in details:
            pytest.skip(details)
        raise


def test_local_output(daemon: Daemon, base_image: str, tmp_path: Path) -> None:
    graph = Graph()
    tree = graph.run_for(graph.image(base_image), TREE)
    output = FolderOutput(tmp_path / "out")
    solve_or_skip(daemon, graph, tree, [FileSend([output])], "local")
    assert not (tmp_path / "out").exists()
    output.commit()
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == ["a", "big", "c", "empty", "link", "none"]
    assert (out / "a/b/f").read_text() == "hello"
    assert (out / "a/b/f").samefile(out / "c/twin")
    assert (out / "c/twin").stat().st_mode & 0o7777 == 0o4751
    assert (out / "a/b").stat().st_mode & 0o7777 == 0o500
    assert int((out / "a").stat().st_mtime) == 981173106
    assert str((out / "link").readlink()) == "/etc/passwd"
    assert (out / "none").stat().st_size == 0
    assert (out / "big").stat().st_size == 80 * 65536
    assert [(out / "c" / str(number)).read_text() for number in (0, 299)] == ["0", "299"]
    assert {path.stat().st_uid for path in out.iterdir() if not path.is_symlink()} == {os.getuid()}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_tar_output(daemon: Daemon, base_image: str, tmp_path: Path) -> None:
    graph = Graph()
    tree = graph.run_for(graph.image(base_image), TREE)
    output = FileOutput(tmp_path / "out.tar")
    solve_or_skip(daemon, graph, tree, [FileSend([output])], "tar")
    output.commit()
    with tarfile.open(tmp_path / "out.tar") as tar:
        assert len(tar.getnames()) == 309
        content = tar.extractfile("a/b/f")
        assert content is not None and content.read() == b"hello"
    assert [path.name for path in tmp_path.iterdir()] == ["out.tar"]


def test_failed_build_leaves_nothing(daemon: Daemon, base_image: str, tmp_path: Path) -> None:
    graph = Graph()
    broken = graph.run_for(graph.image(base_image), "exit 3")
    output = FolderOutput(tmp_path / "out")
    with pytest.raises(grpc.RpcError):
        solve(daemon.address, graph.finish(broken), [FileSend([output])], ("local", {}))
    with pytest.raises(OutputError, match="sent nothing"):
        output.commit()
    assert list(tmp_path.iterdir()) == []


def test_full_disk_fails_the_solve(daemon: Daemon, base_image: str, tmp_path: Path) -> None:
    graph = Graph()
    tree = graph.run_for(graph.image(base_image), TREE)
    with small_disk(tmp_path) as disk:
        output = FolderOutput(disk / "out")
        with pytest.raises(grpc.RpcError):
            solve(daemon.address, graph.finish(tree), [FileSend([output])], ("local", {}))
        with pytest.raises(OutputError, match="No space left on device"):
            output.commit()
        assert list(disk.iterdir()) == []


def test_oci_output_has_metadata(daemon: Daemon, base_image: str, tmp_path: Path) -> None:
    if not daemon.can("image"):
        pytest.skip("no oci exporter")
    graph = Graph()
    changed = graph.run(graph.image(base_image), "echo new > /new")
    output = FileOutput(tmp_path / "image.tar")
    response = solve_or_skip(daemon, graph, changed, [FileSend([output])], "oci")
    output.commit()
    with tarfile.open(tmp_path / "image.tar") as tar:
        index = tar.extractfile("index.json")
        assert index is not None
        [manifest] = json.load(index)["manifests"]
    for told in (output.received, response):
        if told:
            assert told["containerimage.digest"] == manifest["digest"]


def test_secret_reaches_a_step(daemon: Daemon, base_image: str, tmp_path: Path) -> None:
    graph = Graph()
    script = "cat /token > /out/token"
    copied = graph.run_for(graph.image(base_image), script, secret_mount("token", "/token"))
    output = FolderOutput(tmp_path / "out")
    value = uuid.uuid4().bytes
    services = [FileSend([output]), Secrets({"token": lambda: value, "other": lambda: b"no"})]
    solve_or_skip(daemon, graph, copied, services, "local")
    output.commit()
    assert (tmp_path / "out/token").read_bytes() == value


def test_missing_secret_fails_the_step(daemon: Daemon, base_image: str) -> None:
    graph = Graph()
    step = graph.run_for(graph.image(base_image), "true", secret_mount("token", "/token"))
    with pytest.raises(grpc.RpcError) as caught:
        solve(daemon.address, graph.finish(step), [Secrets({"other": lambda: b"no"})])
    assert "token" in caught.value.details()  # type: ignore[attr-defined]


def test_agent_reaches_a_step(daemon: Daemon, base_image: str, tmp_path: Path) -> None:
    key = keygen(tmp_path / "key", "-t", "ed25519")
    public = tmp_path / "key.pub"
    program = LocalFolder(path=str(copied_program("ssh-add", tmp_path / "ssh")))
    graph = Graph()
    run = "/in/ld.so --library-path /in /in/ssh-add"
    script = f"export SSH_AUTH_SOCK=/agent; {run} -L > /out/keys; {run} -T /in/key.pub && {run} -D"
    (tmp_path / "ssh/key.pub").write_bytes(public.read_bytes())
    mount = ssh_mount("work", "/agent")
    step = graph.run_for(graph.image(base_image), f"{script} || :", mount, given=graph.local("ssh"))
    output = FolderOutput(tmp_path / "out")
    services = [FileSend([output]), Ssh({"work": agent_of([str(key)])})]
    solve_or_skip(daemon, graph, step, [*services, FileSync({"ssh": program})], "local")
    output.commit()
    assert (tmp_path / "out/keys").read_text().split()[:2] == public.read_text().split()[:2]


def copied_program(name: str, folder: Path) -> Path:
    """Copy a program and what it is linked with into a folder, with the loader as ``ld.so``."""
    folder.mkdir()
    program = shutil.which(name)
    if program is None:
        pytest.skip(f"needs {name}")
    shutil.copy(program, folder / name)
    linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    for path in re.findall(r"(/\S+) \(0x", linked):
        shutil.copy(path, folder / ("ld.so" if "/ld-" in path else Path(path).name))
    return folder


def test_agent_that_is_not_named_fails_the_step(daemon: Daemon, base_image: str) -> None:
    graph = Graph()
    step = graph.run_for(graph.image(base_image), "true", ssh_mount("work", "/agent"))
    with pytest.raises(grpc.RpcError):
        solve(daemon.address, graph.finish(step), [Ssh({})])


def push(daemon: Daemon, base_image: str, registry: str, config: DockerConfig) -> str:
    graph = Graph()
    changed = graph.run(graph.image(base_image), "echo new > /new")
    name = f"{registry}/pushed:{uuid.uuid4().hex}"
    solve_or_skip(daemon, graph, changed, [Auth(config)], "image", name=name, push="true")
    return name


@pytest.mark.parametrize("kind", ["by_password", "by_token"])
def test_push_with_a_login(daemon: Daemon, base_image: str, tmp_path: Path, kind: str) -> None:
    if not daemon.can("image"):
        pytest.skip("no image exporter")
    with getattr(guarded_registry, kind)(tmp_path / "registry") as registry:
        with pytest.raises(grpc.RpcError):
            push(daemon, base_image, registry.name, DockerConfig(folder=tmp_path))
        login = Login(username=USER, secret=PASSWORD)
        config = DockerConfig(folder=tmp_path, auths={registry.name: login})
        name = push(daemon, base_image, registry.name, config)
        data = tmp_path / "registry/data/docker/registry/v2/repositories/pushed/_manifests/tags"
        assert (data / name.rpartition(":")[2]).is_dir()
        if kind == "by_token":
            assert any("push" in str(fields.get("scope")) for fields in registry.asked)


def test_buildctl_writes_the_same_tree(daemon: Daemon, base_image: str, tmp_path: Path) -> None:
    """Against the reference client, where BUILDFILE_TEST_BUILDCTL names one."""
    buildctl = os.environ.get("BUILDFILE_TEST_BUILDCTL", "")
    if not buildctl or not daemon.address.startswith(("unix://", "tcp://")):
        pytest.skip("no buildctl for this daemon")
    graph = Graph()
    definition = graph.finish(graph.run_for(graph.image(base_image), TREE))
    for metadata in definition.metadata.values():
        metadata.ignore_cache = False
    output = FolderOutput(tmp_path / "ours")
    solve(daemon.address, definition, [FileSend([output])], ("local", {}))
    output.commit()
    dest = f"type=local,dest={tmp_path / 'theirs'}"
    command = [buildctl, "--addr", daemon.address, "build", "-o", dest]
    subprocess.run(command, input=definition.SerializeToString(), check=True, capture_output=True)
    assert described(tmp_path / "ours") == described(tmp_path / "theirs")


def described(root: Path) -> dict[str, tuple[int, ...]]:
    found = {}
    for path in sorted(root.rglob("*")):
        told = path.lstat()
        size = 0 if path.is_dir() else told.st_size
        times = told.st_mtime_ns
        found[str(path.relative_to(root))] = (told.st_mode, told.st_uid, told.st_nlink, size, times)
    return found
