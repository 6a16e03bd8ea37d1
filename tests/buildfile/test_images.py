"""Resolving images: layouts on this machine, registries by real daemons, all faults at once."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import os
import random
import shutil
import signal
import tarfile
import threading
import uuid
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from buildfile.failure import BuildFailedError
from buildfile.files import load_project
from buildfile.images import resolve_images, resolve_layouts
from daemon_shim import support
from daemon_shim.client import Daemon
from daemon_shim.request import Exporter, SolveRequest
from daemon_shim.session.content import Content
from daemon_shim.session.filesend import FileSend
from daemon_shim.session.host import SessionHost
from daemon_shim.session.outputs import FolderOutput
from daemon_shim.session.service import Opener
from daemon_shim.session.unary import Unary
from daemon_shim.transports import transport_for
from schemas.pb import auth_pb2
from schemas.rpc import Auth
from tests.buildfile.layouts import Layout, named, word
from tests.real import daemon as real
from tests.real.image import CONFIG, TAG, host_architecture
from translator.compile import compile_instances, images_needed
from translator.compiled import Compiled, ImageNeed, ResolvedImage
from translator.diagnostic import Diagnostic, InvalidFileError
from translator.platform import Platform
from translator.span import Position, SourceFile, Span
from translator.stage import ResolveMode

FILE = SourceFile(name="buildfile.yaml", folder="/", text="stages:\n" * 9)
HOST = Platform("linux", host_architecture())


def span(line: int) -> Span:
    return Span(FILE, Position(line, 1), Position(line, 7))


def image(ref: str, *, line: int = 1, resolve: ResolveMode = "default") -> ImageNeed:
    return ImageNeed(ref=ref, platform=HOST, resolve=resolve, span=span(line))


def stored(path: Path | str, ref: str, *, line: int = 1, platform: Platform = HOST) -> ImageNeed:
    return ImageNeed(ref=ref, platform=platform, store="s", path=str(path), span=span(line))


class NoDaemon:
    """Stands where nothing may be asked."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"asked for {name}")


NO_DAEMON: Any = NoDaemon()


@pytest.fixture
def client(daemon: real.Daemon) -> Iterator[Daemon]:
    with Daemon(transport_for(daemon.address)) as client:
        yield client


# --- without a daemon ------------------------------------------------------------------------


def test_layouts_are_read_from_the_disk(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    path = layout.finish(named(layout.image("x", str(HOST)), "1"))
    need = stored(path, "1")
    answers = resolve_layouts([need, image("localhost/other:1")])
    assert list(answers) == [need]
    assert word(answers[need].config) == "x"
    assert resolve_images([need], NO_DAEMON) == answers


def test_what_is_known_is_not_asked_again() -> None:
    known = {image("localhost/a:1"): ResolvedImage(digest="sha256:a", config=b"{}")}
    again = image("localhost/a:1", line=5)
    assert resolve_images([again], NO_DAEMON, known=known) == known


def told(error: pytest.ExceptionInfo[Any]) -> list[tuple[str, str, str | None]]:
    found: list[Diagnostic] = list(error.value.diagnostics)
    return [(each.code, each.message, each.hint) for each in found]


def test_faults_of_layouts_are_told_together(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "layout")
    arm = layout.image("x", "linux/arm64")
    path = layout.finish(named(arm, "stable"), named(layout.image("y"), "1"))
    broken = Layout(tmp_path / "broken")
    lost = named(broken.image("z"), "1")
    broken.blob(lost["digest"]).unlink()
    needs = [
        stored(tmp_path / "none", "1", line=1),
        stored(path, "stabel", line=2),
        stored(path, "stable", line=3, platform=Platform("linux", "s390x")),
        stored(broken.finish(lost), "1", line=4),
    ]
    with pytest.raises(InvalidFileError) as caught:
        resolve_images(needs, NO_DAEMON)
    assert told(caught) == [
        (
            "no-oci-layout",
            f"{tmp_path}/none is not an OCI layout: the folder does not exist",
            "skopeo copy docker://IMAGE oci:FOLDER:TAG writes one",
        ),
        (
            "unknown-oci-image",
            f"the OCI layout {path} has no image stabel",
            "did you mean stable? its tags are stable, 1",
        ),
        (
            "oci-platform",
            f"stable in the OCI layout {path} is not made for linux/s390x",
            "it is made for linux/arm64",
        ),
        (
            "broken-oci-layout",
            f"the OCI layout {tmp_path}/broken is broken: the blob {lost['digest']} is missing",
            "make the layout anew",
        ),
    ]
    assert [each.span for each in caught.value.diagnostics] == [need.span for need in needs]


def test_layout_without_tags_wants_a_digest(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    with pytest.raises(InvalidFileError) as caught:
        resolve_layouts([stored(layout.finish(layout.image("x")), "latest")])
    assert told(caught)[0][2] == "its images have no tags: name a digest"


# --- on real daemons -------------------------------------------------------------------------


def test_daemon_resolves_images_of_a_registry(
    client: Daemon, base_image: str, oci_base: Path
) -> None:
    needs = [image(base_image), image(base_image, resolve="pull"), stored(oci_base, TAG)]
    answers = resolve_images(needs, client)
    [manifest] = json.loads((oci_base / "index.json").read_text())["manifests"]
    assert list(answers) == needs
    assert {each.digest for each in answers.values()} == {manifest["digest"]}
    for answer in answers.values():
        assert json.loads(answer.config)["config"] == CONFIG


def test_all_images_that_cannot_be_had_are_told_at_once(
    client: Daemon, registry: str, base_image: str, tmp_path: Path
) -> None:
    needs = [
        image(f"{registry}/missing:1", line=1),
        image(base_image, line=2),
        image("localhost:1/closed:1", line=3),
        image("host.invalid/nowhere:1", line=4),
        stored(tmp_path / "none", "1", line=5),
    ]
    with pytest.raises(BuildFailedError) as caught:
        resolve_images(needs, client)
    faults = caught.value.diagnostics
    assert [each.span for each in faults] == [span(line) for line in (1, 3, 4, 5)]
    for fault, words, hint in zip(
        faults,
        ("not found", "connection refused", "no such host", "does not exist"),
        ("check the spelling", "nothing listens at localhost:1", "host.invalid", "skopeo"),
        strict=True,
    ):
        assert words in fault.message
        assert fault.hint and hint in fault.hint


class Credentials:
    """A session service that knows one login."""

    def __init__(self, login: str) -> None:
        self._answer = auth_pb2.CredentialsResponse(Username=login, Secret="password")

    @property
    def methods(self) -> Mapping[str, Opener]:
        answer = self._answer.SerializeToString()
        return {Auth.CREDENTIALS.path: lambda call: Unary(call, lambda request: answer)}


def test_daemon_logs_in_by_the_session(client: Daemon, oci_base: Path) -> None:
    with listening(guarded(oci_base, login="alice")) as host:
        need = image(f"{host}/base:{TAG}")
        answers = resolve_images([need], client, services=[Credentials("alice")])
        assert json.loads(answers[need].config)["config"] == CONFIG
        with pytest.raises(BuildFailedError, match="401 Unauthorized") as caught:
            resolve_images([need], client, services=[Credentials("mallory")])
        assert told(caught)[0][2] == f"log in with docker login {host}"


class Registry(BaseHTTPRequestHandler):
    """What registries have in common; ``answer`` is the rest."""

    # So that a TLS greeting is answered in HTTP, and the daemon tries without TLS.
    default_request_version = "HTTP/1.1"

    def answer(self) -> None:
        raise NotImplementedError

    def do_GET(self) -> None:
        self.answer()

    def do_HEAD(self) -> None:
        self.answer()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def listening(registry: type[Registry]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), registry) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"localhost:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def guarded(layout: Path, login: str) -> type[Registry]:
    """A registry that gives a layout's image, by any name, to whoever logs in."""
    word = base64.b64encode(f"{login}:password".encode()).decode()
    [top] = json.loads((layout / "index.json").read_text())["manifests"]

    class Guarded(Registry):
        def answer(self) -> None:
            if self.headers["Authorization"] != f"Basic {word}":
                self._say(401, {"WWW-Authenticate": 'Basic realm="test"'}, b"")
                return
            last = self.path.rpartition("/")[2].partition("?")[0]
            digest = last if ":" in last else top["digest"]
            headers = {"Content-Type": top["mediaType"], "Docker-Content-Digest": digest}
            self._say(200, headers, layout.joinpath("blobs", *digest.split(":")).read_bytes())

        def _say(self, code: int, headers: dict[str, str], data: bytes) -> None:
            self.send_response(code)
            for name, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

    return Guarded


def test_interrupt_ends_it_though_the_registry_hangs(full_daemon: real.Daemon) -> None:
    over = threading.Event()
    first = threading.Lock()

    class Hanging(Registry):
        def answer(self) -> None:
            if first.acquire(blocking=False):
                os.kill(os.getpid(), signal.SIGINT)
            over.wait()

    with listening(Hanging) as host, Daemon(transport_for(full_daemon.address)) as client:
        try:
            with pytest.raises(KeyboardInterrupt):
                resolve_images([image(f"{host}/slow:1")], client)
        finally:
            over.set()


BUILD_FILE = """\
version: 1
sources:
  base: {oci-layout: ./base, ref: "1"}
stages:
  app:
    from: base
    steps:
      - run: echo "$GREETING from $(pwd)" > /greeting
  picked:
    from: scratch
    steps:
      - copy: {from: app, paths: [/greeting], to: /greeting}
      - copy: {from: base, paths: [/etc/passwd, /blob], to: /}
targets:
  picked: {stage: picked, outputs: [{type: local, dest: out}]}
"""


def test_build_from_a_layout_reads_its_blobs(
    client: Daemon, daemon: real.Daemon, oci_base: Path, tmp_path: Path
) -> None:
    unknown = daemon.kind == "standalone"
    reason = support.reason(client.info(), "source", "oci-layout") if unknown else ""
    if reason or not daemon.can("oci-layout"):
        pytest.skip(reason or f"{daemon.name} has no OCI layouts")
    blob = _with_fresh_layer(oci_base, tmp_path / "base")
    compiled = _compile(tmp_path, client)
    stores = {f"oci:{id_}": Path(path) for id_, path in compiled.stores.items()}
    output = FolderOutput(str(tmp_path / "out"))
    with SessionHost(client.wire.transport, [Content(stores), FileSend([output])]) as session:
        client.solve(
            SolveRequest(
                ref=uuid.uuid4().hex,
                session=session.id,
                definition=compiled.definition,
                exporters=(Exporter(type="local"),),
            )
        )
        output.commit()
    out = tmp_path / "out"
    assert (out / "greeting").read_text() == "hello from the base from /work\n"
    assert (out / "passwd").read_text().startswith("root:x:0:0:")
    assert (out / "blob").read_bytes() == blob


def _with_fresh_layer(base: Path, folder: Path) -> bytes:
    """Copy a layout and give its image a layer that no daemon has; the layer's only file, /blob.

    It is larger than several messages, and does not shrink when compressed.
    """
    shutil.copytree(base, folder)
    data = random.Random(uuid.uuid4().int).randbytes(5 << 20)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        entry = tarfile.TarInfo("blob")
        entry.size = len(data)
        tar.addfile(entry, io.BytesIO(data))
    layout = Layout(folder)
    [top] = json.loads((folder / "index.json").read_text())["manifests"]
    manifest = json.loads(layout.blob(top["digest"]).read_text())
    config = json.loads(layout.blob(manifest["config"]["digest"]).read_text())
    digest = f"sha256:{hashlib.sha256(packed.getvalue()).hexdigest()}"
    layout.blob(digest).write_bytes(packed.getvalue())
    config["rootfs"]["diff_ids"].append(digest)
    config["history"].append({"created_by": "test"})
    layer = {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest}
    manifest["layers"].append({**layer, "size": len(packed.getvalue())})
    manifest["config"] = layout.add(config, "config.v1+json")
    layout.finish(named(layout.add(manifest, "manifest.v1+json"), TAG))
    return data


def _compile(folder: Path, client: Daemon) -> Compiled:
    (folder / "buildfile.yaml").write_text(BUILD_FILE)
    project = load_project([str(folder / "buildfile.yaml")])
    [target] = project.select(["picked"])
    instance = project.instantiate(target, HOST, HOST)
    images = resolve_images(images_needed([instance]), client)
    [compiled] = compile_instances([instance], images=images, unique=uuid.uuid4().hex)
    return compiled
