"""The control side against every real daemon at hand."""

from __future__ import annotations

import json
import ssl
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon_shim import support
from daemon_shim.client import Daemon
from daemon_shim.engine import EngineClient
from daemon_shim.errors import CancelledError, SolveFailedError
from daemon_shim.events import LogEvent, VertexEvent
from daemon_shim.gateway import GatewayBuild
from daemon_shim.info import ImageStore
from daemon_shim.reference import SCRATCH
from daemon_shim.request import Exporter, SolveRequest
from daemon_shim.results import Result
from daemon_shim.transports import transport_for
from daemon_shim.transports.base import TlsFiles
from tests.daemon_shim.definitions import run
from tests.daemon_shim.transports.certificates import Authority
from tests.fakes.peers import listening, tls_before
from tests.real.daemon import Daemon as RealDaemon


@pytest.fixture
def client(daemon: RealDaemon) -> Iterator[Daemon]:
    with Daemon(transport_for(daemon.address), timeout=60.0) as client:
        yield client


def request(**changes: object) -> SolveRequest:
    return SolveRequest(ref=uuid.uuid4().hex, session="", **changes)  # type: ignore[arg-type]


def unique(script: str) -> str:
    """A script that no daemon has in its cache."""
    return f"{script} # {uuid.uuid4().hex}"


def test_it_is_what_it_is(daemon: RealDaemon, client: Daemon) -> None:
    info = client.info()
    assert info.engine is (daemon.kind == "engine")
    assert info.default_platform.startswith("linux/")
    assert info.has("exec.meta.base")
    assert info.has("solve.base")
    assert info.workers == client.list_workers()
    if daemon.kind == "engine" and not daemon.can("image"):
        assert info.store is ImageStore.GRAPHDRIVER


FEATURES: tuple[tuple[str, support.Kind, str], ...] = (
    ("image", "exporter", "oci"),
    ("image", "exporter", "image"),
    ("cache-export", "cache-export", "local"),
    ("cache-export", "cache-export", "registry"),
    ("several-exports", "several", "exporters"),
    ("oci-layout", "source", "oci-layout"),
)


@pytest.mark.parametrize(("feature", "kind", "name"), FEATURES)
def test_an_engine_has_what_its_row_says(
    daemon: RealDaemon, client: Daemon, feature: str, kind: support.Kind, name: str
) -> None:
    if daemon.kind != "engine":
        pytest.skip("what a buildkitd has is told by its release alone")
    assert (support.reason(client.info(), kind, name) == "") is daemon.can(feature)


def test_exporters_without_a_row_for_them_are_refused_by_the_daemon_too(client: Daemon) -> None:
    """The rows and the daemon agree on which exporters there are."""
    info = client.info()
    exporters = [name for kind, name in support.ROWS if kind == "exporter"]
    lacking = [name for name in exporters if support.reason(info, "exporter", name)]
    if info.release >= (0, 5, 0) and "tar" in lacking:
        lacking.remove("tar")  # it is there, and breaks links up to v0.7.0
    if not lacking:
        pytest.skip("it has every exporter")
    for name in lacking:
        message = f'exporter "{name}" could not be found'
        asked = request(definition=b"")
        with pytest.raises(SolveFailedError, match=message):
            _solve_unchecked(client, asked, name)


def _solve_unchecked(client: Daemon, asked: SolveRequest, exporter: str) -> None:
    from daemon_shim import dialects
    from daemon_shim.job import Job

    message = dialects.spell(asked, client.info())
    message.ExporterDeprecated = exporter
    message.Exporters.add(Type=exporter)
    Job(client.wire, message, watch=False).result()


def test_a_build_with_its_log(client: Daemon, base_image: str) -> None:
    step = run(unique("echo hello"), base_image)
    job = client.start(request(definition=step.definition))
    events = list(job.events())
    job.result()
    assert b"hello" in b"".join(event.data for event in events if isinstance(event, LogEvent))
    ours = [event for event in events if isinstance(event, VertexEvent)]
    assert any(event.digest == step.digest and event.completed for event in ours)


def test_a_failing_step_is_named_with_its_place(client: Daemon, base_image: str) -> None:
    step = run(unique("exit 7"), base_image)
    with pytest.raises(SolveFailedError) as caught:
        client.solve(request(definition=step.definition))
    check_failure(client, caught.value, step.digest)


def test_a_failing_step_of_a_gateway_build(client: Daemon, base_image: str) -> None:
    step = run(unique("exit 7"), base_image)
    with pytest.raises(SolveFailedError) as caught, GatewayBuild(client, request()) as build:
        build.solve(step.definition)
    check_failure(client, caught.value, step.digest)
    with pytest.raises(SolveFailedError):
        build.job.result()


def check_failure(client: Daemon, error: SolveFailedError, digest: str) -> None:
    assert error.vertex == digest
    # v0.7 says only that runc "did not terminate successfully" (executor/runcexecutor).
    said = "exit code" in str(error)
    assert error.exit_code == (7 if said else None)
    # An engine of 20.10 drops the details on the way out.
    if client.info().release >= (0, 9, 0):
        assert [(place.file, place.start_line) for place in error.ranges] == [("buildfile.yaml", 2)]


def test_a_large_build_file_does_not_hide_the_failure(client: Daemon, base_image: str) -> None:
    step = run(unique("exit 7"), base_image, source=b"# a line\n" * 100_000)
    with pytest.raises(SolveFailedError) as caught:
        client.solve(request(definition=step.definition))
    check_failure(client, caught.value, step.digest)


def test_an_image_is_resolved_and_a_result_returned(client: Daemon, base_image: str) -> None:
    with GatewayBuild(client, request()) as build:
        image = build.resolve_image(base_image, platform="linux/amd64")
        assert image.digest.startswith("sha256:")
        config = json.loads(image.config)
        assert (config["os"], config["architecture"]) == ("linux", "amd64")
        ref = build.solve(run(unique("true"), base_image).definition).ref
        assert ref.id
        build.return_result(Result.one(ref, config=image.config))
        build.job.result()


def test_several_platforms_are_returned(client: Daemon, base_image: str) -> None:
    with GatewayBuild(client, request()) as build:
        ref = build.solve(run(unique("true"), base_image).definition, evaluate=False).ref
        build.return_result(Result.several({"linux/amd64": ref, "linux/arm64": SCRATCH}))
        build.job.result()


def test_an_image_that_is_not_there(client: Daemon, registry: str) -> None:
    with (
        pytest.raises(SolveFailedError, match="not found"),
        GatewayBuild(client, request()) as build,
    ):
        build.resolve_image(f"{registry}/no/such:image", platform="linux/amd64")


def test_a_refused_gateway_build_tells_why(client: Daemon, base_image: str) -> None:
    refused = request(exporters=(Exporter(type="odd"),))
    with (
        pytest.raises(SolveFailedError, match='"odd" could not be found'),
        GatewayBuild(client, refused) as build,
    ):
        build.resolve_image(base_image, platform="linux/amd64")


def test_a_running_step_is_cancelled(client: Daemon, base_image: str) -> None:
    step = run(unique("echo started; sleep 1000"), base_image)
    job = client.start(request(definition=step.definition))
    for event in job.events():
        if isinstance(event, LogEvent) and b"started" in event.data:
            job.cancel()
    with pytest.raises(CancelledError):
        job.result()


def test_a_ref_is_used_once(client: Daemon, base_image: str) -> None:
    asked = request(definition=run(unique("true"), base_image).definition)
    client.solve(asked)
    with pytest.raises(SolveFailedError, match="exists") as caught:
        client.solve(asked)
    assert caught.value.vertex == ""


def test_workers_are_filtered(client: Daemon) -> None:
    (worker, *_) = client.list_workers()
    assert client.list_workers([f"id=={worker.id}"])[0].id == worker.id
    assert client.list_workers(["id==none"]) == ()
    with pytest.raises(SolveFailedError, match="filter"):
        client.list_workers(["id=x=y,,("])


def test_a_real_daemon_behind_tls(daemon: RealDaemon, base_image: str, tmp_path: Path) -> None:
    scheme, _, socket = daemon.address.partition("://")
    if not socket.startswith("/"):
        pytest.skip("the daemon is not on a socket of this machine")
    authority = Authority(tmp_path, "ca")
    pair = authority.issue("server", hosts=("127.0.0.1",))
    ours = authority.issue("client")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    context.load_verify_locations(authority.path)
    context.verify_mode = ssl.CERT_REQUIRED
    files = TlsFiles(ca=authority.path, cert=ours.cert, key=ours.key)
    with listening(tls_before(socket, context)) as address:
        secure = address if scheme == "unix" else address.replace("tcp", scheme)
        with Daemon(transport_for(secure, tls=files)) as client:
            step = run(unique("echo hello; exit 3"), base_image)
            job = client.start(request(definition=step.definition))
            logs = [event.data for event in job.events() if isinstance(event, LogEvent)]
            assert b"hello" in b"".join(logs)
            with pytest.raises(SolveFailedError) as caught:
                job.result()
    assert caught.value.vertex == step.digest


def test_an_engine_pushes_what_its_buildkit_made(
    daemon: RealDaemon, client: Daemon, base_image: str, registry: str
) -> None:
    if daemon.kind != "engine":
        pytest.skip("only an engine has images of its own")
    name = f"{registry}/control/{daemon.name}"
    moby = request(exporters=(Exporter(type="moby", attrs={"name": f"{name}:v1"}),))
    with GatewayBuild(client, moby) as build:
        config = build.resolve_image(base_image, platform="linux/amd64").config
        ref = build.solve(run(unique("true"), base_image).definition).ref
        build.return_result(Result.one(ref, config=config))
        build.job.result()
    engine = EngineClient(transport_for(daemon.address))
    assert f"{name}:v1" in engine.image_inspect(f"{name}:v1").tags
    digest = engine.push_image(f"{name}:v1")
    assert _digest_in_registry(registry, f"control/{daemon.name}", "v1") == digest
    assert next(engine.save_image(f"{name}:v1"))


def _digest_in_registry(registry: str, name: str, tag: str) -> str:
    kinds = (
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
    )
    asked = urllib.request.Request(
        f"http://{registry}/v2/{name}/manifests/{tag}",
        headers={"Accept": ", ".join(kinds)},
        method="HEAD",
    )
    with urllib.request.urlopen(asked) as answer:
        return str(answer.headers["Docker-Content-Digest"])
