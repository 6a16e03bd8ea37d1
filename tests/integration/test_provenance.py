"""What an index tells of how its platforms were built, each by its own daemon."""

from __future__ import annotations

import base64
import json
import tarfile
import uuid
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from daemon_shim import support
from daemon_shim.client import Daemon as Client
from daemon_shim.registry.client import RegistryClient, Repository
from daemon_shim.registry.login import ANONYMOUS
from daemon_shim.transports import transport_for
from tests.integration.command import Workspace, run
from tests.real.daemon import Daemon

_FILE = """version: 1
stages:
  p:
    from: scratch
    worker: {daemon: "${platform.arch}"}
    steps: [{write: {path: /f, text: "SALT ${platform.arch}"}}]
targets:
  t:
    stage: p
    worker: {daemon: amd64}
    platforms: [linux/amd64, linux/arm64]
    attest: {provenance: max}
    outputs:
      - {type: oci, dest: t.tar}
      - {type: oci, dest: index, tar: false}
      - {type: registry, name: "REGISTRY/SALT:1"}
"""
Documents: TypeAlias = "Callable[[str, str], bytes]"
"""The bytes of a manifest or a blob ('manifests', 'blobs'), by digest."""


@pytest.fixture
def pair(tmp_path: Path, daemons: list[Daemon]) -> Workspace:
    """Two daemons that attest, by the platforms that they take: the second one runs nothing. Where
    there is one, it takes both.
    """
    found = [each for each in daemons if _attests(each)]
    if not found:
        pytest.skip("no daemon at hand attests")
    addresses = {"amd64": found[0].address, "arm64": found[-1].address}
    tables = (f'[daemons.{name}]\naddress = "{each}"\n' for name, each in addresses.items())
    work = Workspace(folder=tmp_path, daemon=found[0], values={})
    work.write("daemons.toml", "".join(tables))
    return work


def _attests(daemon: Daemon) -> bool:
    with Client(transport_for(daemon.address), timeout=60.0) as client:
        info = client.info()
    lacks = support.reason(info, "exporter", "oci") or support.reason(info, "source", "oci-layout")
    return info.has("exporter.image.attestations") and not lacks


def test_each_platform_has_the_provenance_of_the_daemon_that_built_it(
    pair: Workspace, registry: str
) -> None:
    salt = uuid.uuid4().hex
    pair.write("buildfile.yaml", _FILE.replace("SALT", salt).replace("REGISTRY", registry))
    with pair.surroundings():
        planned = run(["plan", "t"])
        done = run(["build", "--metadata-file", "made.json", "t"])
    assert planned.out.count("the provenance of linux/arm64 is that of arm64") == 3, planned.err
    assert done.code == 0, done.err
    repository = Repository(host=registry, path=salt)
    client = RegistryClient(lambda host: ANONYMOUS)
    made = json.loads((pair.folder / "made.json").read_text())["t"]
    pushed = client.find(repository, "1").digest
    assert made["containerimage.digest"] == made["containerimage.descriptor"]["digest"] == pushed
    layout = pair.folder / "index"
    with tarfile.open(pair.folder / "t.tar") as files:
        archive = {each.name: _content(files, each) for each in files if each.isreg()}
    for top, documents in (
        (pushed, lambda kind, digest: _asked(client, repository, kind, digest)),
        (_only(archive["index.json"]), lambda _, digest: archive[_blob(digest)]),
        (
            _only((layout / "index.json").read_bytes()),
            lambda _, digest: (layout / _blob(digest)).read_bytes(),
        ),
    ):
        told = _provenance(top, documents)
        assert set(told) == {"amd64", "arm64"}
        for architecture, predicate in told.items():
            text = base64.b64encode(f"{salt} {architecture}".encode()).decode()
            assert text in json.dumps(predicate), architecture
            # What only came has this for a material.
            assert "localhost/p-" not in json.dumps(predicate)
        assert len({json.dumps(_run_of(each)) for each in told.values()}) == 2


def _asked(client: RegistryClient, repository: Repository, kind: str, digest: str) -> bytes:
    if kind == "blobs":
        return client.blob(repository, digest)
    return client.manifest(repository, digest).data


def _content(files: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = files.extractfile(member)
    assert file
    return file.read()


def _only(index: bytes) -> str:
    (entry,) = json.loads(index)["manifests"]
    return str(entry["digest"])


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _provenance(top: str, documents: Documents) -> dict[str, Any]:
    """The predicates by architecture; all that is read has the digest that leads to it."""

    def read(kind: str, described: dict[str, Any]) -> Any:
        data = documents(kind, described["digest"])
        assert (f"sha256:{sha256(data).hexdigest()}", len(data)) == (
            described["digest"],
            described["size"],
        )
        return json.loads(data)

    lines = json.loads(documents("manifests", top))["manifests"]
    architectures = {each["digest"]: each["platform"]["architecture"] for each in lines}
    told = {}
    for line in lines:
        about = line.get("annotations", {}).get("vnd.docker.reference.digest")
        manifest = read("manifests", line)
        if about:
            (layer,) = manifest["layers"]
            statement = read("blobs", layer)
            assert layer["annotations"]["in-toto.io/predicate-type"] == statement["predicateType"]
            config = read(
                "blobs", manifest["config"]
            )  # that of an OCI artifact, from v0.32 on, is empty
            assert config.get("rootfs", {"diff_ids": [layer["digest"]]})["diff_ids"] == [
                layer["digest"]
            ]
            subjects = {each["digest"]["sha256"] for each in statement["subject"]}
            assert subjects <= {about.removeprefix("sha256:")}
            told[architectures[about]] = statement["predicate"]
    return told


def _run_of(predicate: dict[str, Any]) -> str:
    """The id of the build that a predicate tells of: SLSA v0.2, or v1."""
    if "metadata" in predicate:
        return str(predicate["metadata"]["buildInvocationID"])
    return str(predicate["runDetails"]["metadata"]["invocationId"])
