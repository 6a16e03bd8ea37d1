"""Builders on every real daemon at hand: what they read, what they are told, how they end."""

from __future__ import annotations

import stat
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from daemon_shim.builder import Client
from daemon_shim.client import Daemon
from daemon_shim.errors import (
    CancelledError,
    NoSuchFileError,
    SolveFailedError,
    UnsupportedError,
)
from daemon_shim.gateway import BuilderRun, GatewayBuild
from daemon_shim.reference import PIECE, SCRATCH, Reference
from daemon_shim.request import SolveRequest
from daemon_shim.results import Result
from daemon_shim.transports import transport_for
from tests.daemon_shim.definitions import run
from tests.real.daemon import Daemon as RealDaemon

TREE = (
    "mkdir -p /t/sub/deep; echo -n hello >/t/a.txt; echo {} >/t/b.json; ln -s a.txt /t/link; "
    "echo x >/t/sub/deep/f; chown 12:34 /t/b.json; chmod 4750 /t/b.json; mkfifo /t/pipe"
)


@pytest.fixture
def client(daemon: RealDaemon) -> Iterator[Daemon]:
    with Daemon(transport_for(daemon.address), timeout=60.0) as client:
        yield client


@pytest.fixture
def build(client: Daemon) -> Iterator[GatewayBuild]:
    with GatewayBuild(client, request()) as build:
        yield build
        build.return_result(Result())
        build.job.result()


@pytest.fixture
def tree(build: GatewayBuild, base_image: str) -> Reference:
    return build.solve(run(TREE, base_image).definition).ref


def request() -> SolveRequest:
    return SolveRequest(ref=uuid.uuid4().hex, session="")


def unique(script: str) -> str:
    return f"{script} # {uuid.uuid4().hex}"


def test_a_file_and_parts_of_it_are_read(tree: Reference) -> None:
    assert tree.read_file("/t/a.txt") == b"hello"
    assert tree.read_file("t/link", 1) == b"ello"
    assert tree.read_file("/t/a.txt", 1, 3) == b"ell"
    assert tree.read_file("/t/a.txt", 9) == b""
    assert tree.read_file("/t/a.txt", 0, 0) == b""


def test_a_file_longer_than_a_message_is_read_in_pieces(
    build: GatewayBuild, base_image: str
) -> None:
    size = 2 * PIECE + 5
    step = run(f"yes 0123456 | head -c {size} >/big", base_image)
    pieces = list(build.solve(step.definition).ref.read_pieces("/big"))
    assert [len(piece) for piece in pieces] == [PIECE, PIECE, 5]
    assert b"".join(pieces) == (b"0123456\n" * (size // 8 + 1))[:size]


def test_a_folder_is_listed_with_all_that_is_known(tree: Reference) -> None:
    entries = {entry.name: entry for entry in tree.read_dir("/t")}
    assert list(entries) == ["a.txt", "b.json", "link", "pipe", "sub"]
    assert (entries["a.txt"].size, entries["a.txt"].is_file) == (5, True)
    assert (entries["link"].is_link, entries["link"].target) == (True, "a.txt")
    assert entries["sub"].is_folder
    assert stat.S_ISFIFO(entries["pipe"].mode)
    json = entries["b.json"]
    assert (stat.filemode(json.mode), json.uid, json.gid) == ("-rwsr-x---", 12, 34)
    assert json.modified > 10**18
    assert [entry.name for entry in tree.read_dir("/t", include="*.json")] == ["b.json"]


def test_a_path_is_looked_at(tree: Reference) -> None:
    assert (tree.stat_file("/t/a.txt").name, tree.stat_file("/t/a.txt").size) == ("a.txt", 5)
    assert tree.stat_file("/t/link").size == 5
    assert tree.stat_file("/").is_folder


def test_a_tree_is_walked(tree: Reference) -> None:
    paths = [path for path, _ in tree.walk("/t")]
    assert paths == [
        "/t/a.txt",
        "/t/b.json",
        "/t/link",
        "/t/pipe",
        "/t/sub",
        "/t/sub/deep",
        "/t/sub/deep/f",
    ]


@pytest.mark.parametrize("path", ["/t/none", "/none/at/all", "/t/a.txt/below"])
def test_what_is_not_there_has_an_error_of_its_own(tree: Reference, path: str) -> None:
    looks: tuple[Callable[[str], object], ...] = (tree.read_file, tree.stat_file, tree.read_dir)
    for look in looks:
        with pytest.raises(NoSuchFileError):
            look(path)


def test_a_link_does_not_lead_out(build: GatewayBuild, base_image: str) -> None:
    step = run("ln -s /../../../../etc/hostname /out; ln -s ../../../.. /up", base_image)
    ref = build.solve(step.definition).ref
    assert {entry.name for entry in ref.read_dir("/up")} >= {"bin", "out", "up"}
    with pytest.raises(NoSuchFileError):
        ref.read_file("/out")


def test_a_failed_step_has_its_type(build: GatewayBuild, base_image: str) -> None:
    step = run(unique("echo no; exit 7"), base_image)
    with pytest.raises(SolveFailedError) as caught:
        build.solve(step.definition)
    error = caught.value
    assert error.vertex == step.digest
    assert error.exit_code == 7 or "exit code" not in str(error)
    assert bool(error.status) == bool(error.stack) == bool(error.ranges)


def test_a_definition_comes_back_and_goes_on(build: GatewayBuild, base_image: str) -> None:
    step = run(TREE, base_image)
    ref = build.solve(step.definition).ref
    again = build.solve(ref.to_definition()).ref
    assert again.read_file("/t/a.txt") == b"hello"


def test_a_lazy_tree_is_evaluated_when_asked(build: GatewayBuild, base_image: str) -> None:
    step = run(unique("exit 9"), base_image)
    with pytest.raises(SolveFailedError) as caught:
        build.solve(step.definition, evaluate=False).ref.evaluate()
    assert caught.value.vertex == step.digest


def test_a_warning_is_shown_or_said(client: Daemon, base_image: str) -> None:
    said: list[str] = []
    with GatewayBuild(client, request(), say=said.append) as build:
        build.solve(run("true", base_image).definition)
        build.warn("look out", detail=["here"], url="https://example.org")
        build.return_result(Result())
        build.job.result()
        told = [str(event) for event in build.job.events()]
    shown = any("look out" in event for event in told)
    assert shown is client.info().has("gateway.warnings")
    assert bool(said) is not shown


def test_a_source_is_resolved(build: GatewayBuild, base_image: str) -> None:
    image = build.resolve_source(f"docker-image://{base_image}", platform="linux/amd64")
    assert image.digest.startswith("sha256:")
    assert image.config
    if "source.metaresolver" not in build.capabilities:
        with pytest.raises(UnsupportedError, match=r"needs BuildKit v0\.13"):
            build.resolve_source("https://example.invalid/file")


def test_the_empty_tree_is_read_too(build: GatewayBuild) -> None:
    assert SCRATCH.read_dir() == ()
    assert SCRATCH.stat_file("/").is_folder
    with pytest.raises(NoSuchFileError):
        SCRATCH.read_file("/x")


def test_many_threads_read_at_once(tree: Reference) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(tree.read_file, ["/t/a.txt"] * 100)) == {b"hello"}


# --- how a builder ends ------------------------------------------------------------------------


def start(client: Daemon, builder: Callable[[Client], Result]) -> BuilderRun:
    return BuilderRun(GatewayBuild(client, request()), builder).start()


def test_a_builder_solves_looks_and_solves_again(client: Daemon, base_image: str) -> None:
    seen: list[str] = []

    def builder(build: Client) -> Result:
        first = build.solve(run(TREE, base_image).definition).ref
        seen.extend(entry.name for entry in first.read_dir("/t", include="*.txt"))
        return build.solve(run(f"touch /{seen[0]}", base_image).definition)

    going = start(client, builder)
    going.result()
    assert going.done()
    assert seen == ["a.txt"]


def test_what_a_builder_raises_is_told_to_the_daemon(client: Daemon) -> None:
    def builder(build: Client) -> Result:
        raise LookupError("nothing to build")

    going = start(client, builder)
    with pytest.raises(LookupError, match="nothing to build"):
        going.result()
    with pytest.raises(SolveFailedError, match="LookupError: nothing to build"):
        going._build.job.result()


def test_a_builder_without_a_result_fails(client: Daemon) -> None:
    with pytest.raises(TypeError, match="returned NoneType"):
        start(client, lambda build: None).result()  # type: ignore[arg-type, return-value]


def test_a_cancelled_build_ends_its_builder(client: Daemon, base_image: str) -> None:
    going = start(
        client, lambda build: build.solve(run(unique("sleep 1000"), base_image).definition)
    )
    for event in going.events():
        if "sleep" in str(event):
            going.cancel()
            break
    with pytest.raises(CancelledError):
        going.result()


def test_two_builders_at_once_on_one_connection(client: Daemon, base_image: str) -> None:
    # v0.3 itself may crash ("failed to get edge") when two builds solve a vertex that they share.
    solving, meeting = threading.Lock(), threading.Barrier(2)

    def builder(name: str) -> Callable[[Client], Result]:
        def build(client: Client) -> Result:
            with solving:
                ref = client.solve(run(f"echo -n {name} >/me", base_image).definition).ref
            meeting.wait(60)
            assert ref.read_file("/me") == name.encode()
            meeting.wait(60)
            return Result.one(ref)

        return build

    for going in [start(client, builder(name)) for name in ("one", "two")]:
        going.result()


def test_a_return_after_cancel_harms_nobody(client: Daemon, base_image: str) -> None:
    build = GatewayBuild(client, request())
    ref = build.solve(run("true", base_image).definition).ref
    build.job.cancel()
    with pytest.raises(CancelledError):
        build.job.result()
    build.return_result(Result.one(ref))
    assert client.list_workers()
