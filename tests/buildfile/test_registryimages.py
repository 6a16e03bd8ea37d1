"""Images of registries that no daemon is asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from buildfile.failure import BuildFailedError
from buildfile.images import resolve_images, resolve_without_daemon
from buildfile.registryimages import ask_registry
from daemon_shim.client import Daemon
from daemon_shim.errors import SolveFailedError
from daemon_shim.gateway import GatewayBuild
from daemon_shim.info import DaemonInfo
from daemon_shim.mediatypes import INDEXES, MANIFESTS
from daemon_shim.registry.client import RegistryClient, RegistryError
from daemon_shim.registry.login import ANONYMOUS
from tests.daemon_shim.registry.scripted import Reply, Scripted, digest_of, scripted
from translator.compiled import ImageNeed
from translator.platform import Platform
from translator.span import Position, SourceFile, Span

_HERE = Span(
    SourceFile(name="buildfile.yaml", folder="/", text="\n" * 9), Position(1, 1), Position(1, 2)
)


def _need(server: Scripted, platform: str = "linux/amd64", tag: str = "1") -> ImageNeed:
    return ImageNeed(ref=f"{server.host}/app:{tag}", platform=Platform.parse(platform), span=_HERE)


def _client() -> RegistryClient:
    return RegistryClient(lambda _: ANONYMOUS)


def _serve(server: Scripted, kind: str, document: dict[str, Any], tag: str = "") -> dict[str, Any]:
    """Serve a document; returns its descriptor."""
    data = json.dumps(document).encode()
    place = "manifests" if kind in (*INDEXES, *MANIFESTS) else "blobs"
    for name in filter(None, (digest_of(data), tag)):
        server.replies[f"GET /v2/app/{place}/{name}"] = Reply(
            headers={"Content-Type": kind}, body=data
        )
    return {"mediaType": kind, "digest": digest_of(data), "size": len(data)}


def _image(server: Scripted, platform: str, tag: str = "") -> dict[str, Any]:
    system, architecture = platform.split("/")
    config = {"os": system, "architecture": architecture, "config": {"Env": [f"IN={platform}"]}}
    described = _serve(server, "application/vnd.oci.image.config.v1+json", config)
    manifest = _serve(server, MANIFESTS[0], {"config": described, "layers": []}, tag)
    return {**manifest, "platform": {"os": system, "architecture": architecture}}


@pytest.fixture
def server() -> Iterator[Scripted]:
    with scripted() as found:
        yield found


def test_the_image_for_the_platform(server: Scripted) -> None:
    images = [_image(server, each) for each in ("linux/arm64", "linux/amd64")]
    index = _serve(server, INDEXES[0], {"mediaType": INDEXES[0], "manifests": images}, "1")
    for platform in ("linux/amd64", "linux/arm64", "linux/amd64/v3"):
        image = ask_registry(_need(server, platform), _client())
        told = json.loads(image.config)["config"]["Env"]
        assert (image.digest, told) == (index["digest"], [f"IN={platform.removesuffix('/v3')}"])
        assert image.note == "asked for by this tool, not by the daemon"
    with pytest.raises(RegistryError, match="no match for platform linux/s390x, only for linux"):
        ask_registry(_need(server, "linux/s390x"), _client())


def test_a_single_image_is_taken_for_any_platform(server: Scripted) -> None:
    manifest = _image(server, "linux/amd64", "1")
    assert ask_registry(_need(server, "linux/s390x"), _client()).digest == manifest["digest"]


@pytest.mark.parametrize(
    "manifest",
    [
        {"schemaVersion": 1, "fsLayers": []},
        {"config": {"digest": "sha256:short", "size": 1}},
        {"manifests": 5},
        {"manifests": [{"digest": "../x", "size": 1}]},
    ],
)
def test_what_is_no_image_is_an_error(server: Scripted, manifest: dict[str, Any]) -> None:
    _serve(server, MANIFESTS[0], manifest, "1")
    with pytest.raises(RegistryError, match="cannot be read"):
        ask_registry(_need(server), _client())


def test_without_a_daemon_what_is_not_there_is_a_warning(server: Scripted) -> None:
    _image(server, "linux/amd64", "1")
    there, absent = _need(server), _need(server, tag="2")
    images, warnings = resolve_without_daemon([there, absent, there], _client())
    assert list(images) == [there]
    (warning,) = warnings
    assert (warning.severity, warning.code) == ("warning", "image-unknown")
    assert f"{absent.ref} is not resolved: it is not there" in warning.message


class _OldDaemon:
    """One that lists no call for images."""

    def info(self) -> Any:
        return DaemonInfo(address="old", engine=False, version="v0.3.0", release=(0, 3, 0))


def test_a_daemon_that_has_no_call_is_not_asked(server: Scripted) -> None:
    manifest = _image(server, "linux/amd64", "1")
    daemon: Any = _OldDaemon()
    need, absent = _need(server), _need(server, tag="2")
    images = resolve_images([need], daemon, client=_client())
    assert images[need].digest == manifest["digest"]
    with pytest.raises(BuildFailedError) as caught:
        resolve_images([need, absent], daemon, client=_client())
    (fault,) = caught.value.diagnostics
    assert "cannot resolve image" in fault.message and fault.code == "image-unresolved"


def test_a_call_that_is_not_implemented_is_made_here(
    server: Scripted, full_daemon: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from daemon_shim.transports import transport_for

    def refuse(*_: Any, **__: Any) -> Any:
        raise SolveFailedError("unknown method", address="x", code="UNIMPLEMENTED")

    monkeypatch.setattr(GatewayBuild, "resolve_image", refuse)
    manifest = _image(server, "linux/amd64", "1")
    with Daemon(transport_for(full_daemon.address)) as daemon:
        images = resolve_images([_need(server)], daemon, client=_client())
    assert [each.digest for each in images.values()] == [manifest["digest"]]
