"""Provenance that is joined in archives as daemons write them, and in a registry."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from buildfile.exports import Export, export
from buildfile.joining import join_archives, join_pushed, no_answer
from buildfile.layoutoutput import LayoutOutput
from buildfile.provenance import Provenance
from daemon_shim.mediatypes import OCI_INDEX, OCI_MANIFEST
from daemon_shim.registry.client import RegistryClient
from daemon_shim.registry.login import ANONYMOUS
from daemon_shim.session.blobs import blob_path
from daemon_shim.session.outputs import FileOutput, Output, OutputError
from tests.buildfile.layouts import Layout
from tests.buildfile.projects import project
from tests.daemon_shim.infos import info
from tests.daemon_shim.registry.scripted import Reply, Scripted, digest_of, scripted
from translator.platform import Platform

ARM64 = Platform.parse("linux/arm64")
KNOWN = {ARM64: Provenance(type="https://slsa.dev/provenance/v1", predicate={"built": "there"})}
FILE = """
version: 1
stages: {s: {from: scratch}}
targets: {t: {stage: s, outputs: [OUTPUT]}}
"""


class Came(FileOutput):
    """A file that came from a daemon."""

    def __init__(self, dest: Path, data: bytes) -> None:
        super().__init__(dest)
        self._partial = dest.with_name("partial")
        self._partial.write_bytes(data)


@pytest.fixture
def server() -> Iterator[Scripted]:
    with scripted() as found:
        yield found


def _export(folder: Path, output: str, *, known: bool = True) -> Export:
    made = project(folder, FILE.replace("OUTPUT", output))
    (target,) = made.select(["t"])
    planned = export(target.outputs[0], target, info((0, 32, 0)))
    return replace(planned, provenance=KNOWN) if known else planned


def _index(layout: Layout) -> dict[str, Any]:
    """An image index, with what it leads to in the layout."""
    arm = layout.image("arm", str(ARM64))
    return layout.index(arm, layout.attested(arm, provenance={"came": "here"}))


def _archive(folder: Path, *lines: dict[str, Any], **more: bytes) -> bytes:
    """An archive in the daemons' order: blobs, index.json, the rest."""
    data = io.BytesIO()
    index = json.dumps({"schemaVersion": 2, "manifests": lines}).encode()
    files = {f"blobs/sha256/{each.name}": each.read_bytes() for each in Layout(folder).blobs()}
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, content in {**files, "index.json": index, "oci-layout": b"{}", **more}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return data.getvalue()


def _joined(folder: Path, data: bytes) -> tuple[Came, Any]:
    output = Came(folder / "x.tar", data)
    outputs = [(_export(folder, "{type: oci, dest: x.tar}"), output)]
    return output, join_archives({"k": "v"}, outputs)


def test_an_archive_ends_in_another_index(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "layout")
    top = _index(layout)
    before = len(layout.blobs())
    lines = [{**top, "annotations": {"name": each}} for each in ("a", "b")]
    output, answer = _joined(tmp_path, _archive(layout.folder, *lines))
    assert answer["k"] == "v"
    with tarfile.open(output.partial) as tar:
        names = tar.getnames()
        index = json.load(tar.extractfile("index.json"))  # type: ignore[arg-type]
        new = tar.extractfile(blob_path(answer["containerimage.digest"]))
        assert new
        data = new.read()
    assert digest_of(data) == answer["containerimage.digest"]
    assert len(names) == len(set(names)) and names[-2:] == ["index.json", "oci-layout"]
    assert len(names) == before + 4 + 2  # index, manifest, config and statement are new
    changed = {"digest": answer["containerimage.digest"], "size": len(data)}
    assert index["manifests"] == [{**line, **changed} for line in lines]
    assert json.loads(data)["manifests"][0]["platform"]["architecture"] == "arm64"


def test_a_layout_in_a_folder_is_made_of_such_an_archive(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "layout")
    output, answer = _joined(tmp_path, _archive(layout.folder, _index(layout)))
    folder = LayoutOutput(tmp_path / "made")
    folder._partial, folder._streams = output.partial, 1
    folder.commit()
    (line,) = json.loads((tmp_path / "made" / "index.json").read_text())["manifests"]
    assert line["digest"] == answer["containerimage.digest"]


def test_other_outputs_are_left_alone(tmp_path: Path) -> None:
    output = Came(tmp_path / "x.tar", b"no archive")
    outputs: list[tuple[Export, Output | None]] = [
        (_export(tmp_path, "{type: oci, dest: x.tar}", known=False), output),
        (_export(tmp_path, "{type: image, name: x, push: true}"), None),
    ]
    assert join_archives({"k": "v"}, outputs) == {"k": "v"}
    assert output.partial.read_bytes() == b"no archive"


def test_an_answer_is_as_if_the_daemon_had_made_it(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "layout")
    output = Came(tmp_path / "x.tar", _archive(layout.folder, _index(layout)))
    outputs = [(_export(tmp_path, "{type: oci, dest: x.tar}"), output)]
    old = {"digest": "sha256:old", "size": 1, "annotations": {"a": "b"}}
    told = base64.b64encode(json.dumps(old).encode()).decode()
    answer = join_archives({"containerimage.descriptor": told}, outputs)
    new = json.loads(base64.b64decode(answer["containerimage.descriptor"]))
    assert new["digest"] == answer["containerimage.digest"] != old["digest"]
    assert new["annotations"] == old["annotations"] and new["size"] > old["size"]


@pytest.mark.parametrize("fault", ["text", "none", "two", "blob", "damaged", "large", "plain"])
def test_a_broken_archive_is_told_of(tmp_path: Path, fault: str) -> None:
    layout = Layout(tmp_path / "layout")
    top = _index(layout)
    other = layout.image("other")
    if fault == "blob":
        layout.blob(top["digest"]).unlink()
    if fault == "damaged":
        layout.blob(top["digest"]).write_bytes(b"{}")
    lines = {"none": [], "two": [top, other], "plain": [other]}.get(fault, [top])
    more = {"manifest.json": b" " * (5 << 20)} if fault == "large" else {}
    data = b"no archive" * 100 if fault == "text" else _archive(layout.folder, *lines, **more)
    with pytest.raises(OutputError) as error:
        _joined(tmp_path, data)
    assert error.value.dest == str(tmp_path / "x.tar")


# --- in a registry -------------------------------------------------------------------------------


def _serve(server: Scripted, layout: Layout, top: dict[str, Any], *references: str) -> None:
    """Let the registry have all of a layout in the repository app, and take what is put there."""
    server.replies["POST /v2/app/blobs/uploads/"] = Reply(202, {"Location": "/up"})
    for blob in layout.blobs():
        data = blob.read_bytes()
        for kind in ("manifests", "blobs"):
            server.replies[f"GET /v2/app/{kind}/{digest_of(data)}"] = Reply(body=data)
    pushed = layout.blob(top["digest"]).read_bytes()
    for each in (top["digest"], *references):
        server.replies[f"GET /v2/app/manifests/{each}"] = Reply(
            headers={"Content-Type": OCI_INDEX}, body=pushed
        )
    next_ = server.next

    def answer(asked: str) -> Reply:
        return Reply(201) if asked.startswith("PUT ") else next_(asked)

    server.next = answer  # type: ignore[method-assign]


def _pushed(
    folder: Path, server: Scripted, response: dict[str, str], *outputs: str
) -> dict[str, str]:
    exports = [_export(folder, each.replace("HOST", server.host)) for each in outputs]
    return dict(join_pushed(response, exports, RegistryClient(lambda host: ANONYMOUS)))


def test_what_was_pushed_is_put_there_again_with_its_tag(tmp_path: Path, server: Scripted) -> None:
    layout = Layout(tmp_path / "layout")
    top = _index(layout)
    _serve(server, layout, top)
    output = "{type: image, name: HOST/app:1, push: true}"
    answer = _pushed(tmp_path, server, {"containerimage.digest": top["digest"]}, output)
    kind, index = server.sent["PUT /v2/app/manifests/1"]
    assert (kind, digest_of(index)) == (OCI_INDEX, answer["containerimage.digest"])
    (_, line) = json.loads(index)["manifests"]
    kind, manifest = server.sent[f"PUT /v2/app/manifests/{line['digest']}"]
    assert (kind, len(manifest)) == (OCI_MANIFEST, line["size"])
    put = [asked for asked, _ in server.asked if asked.startswith("PUT ")]
    parts = [json.loads(manifest)["config"], *json.loads(manifest)["layers"]]
    assert {f"PUT /up?digest={each['digest'].replace(':', '%3A')}" for each in parts} < {*put}
    assert put[-1] == "PUT /v2/app/manifests/1"


def test_several_images_are_found_by_their_tags(tmp_path: Path, server: Scripted) -> None:
    """The daemon's answer has the digest of the last one alone."""
    layout = Layout(tmp_path / "layout")
    top = _index(layout)
    _serve(server, layout, top, "1", "2")
    outputs = [f"{{type: image, name: HOST/app:{tag}, push: true}}" for tag in (1, 2)]
    _pushed(tmp_path, server, {"containerimage.digest": f"sha256:{'0' * 64}"}, *outputs)
    assert {"PUT /v2/app/manifests/1", "PUT /v2/app/manifests/2"} < {*server.sent}


def test_a_push_by_digest_leaves_no_tag(tmp_path: Path, server: Scripted) -> None:
    layout = Layout(tmp_path / "layout")
    top = _index(layout)
    _serve(server, layout, top)
    output = "{type: image, name: HOST/app, push: true, push-by-digest: true}"
    answer = _pushed(tmp_path, server, {"containerimage.digest": top["digest"]}, output)
    assert f"PUT /v2/app/manifests/{answer['containerimage.digest']}" in server.sent
    assert "PUT /v2/app/manifests/latest" not in server.sent


def test_what_has_nothing_to_join_is_not_looked_for(tmp_path: Path, server: Scripted) -> None:
    output = f"{{type: image, name: {server.host}/app:1, push: true}}"
    client = RegistryClient(lambda host: ANONYMOUS)
    assert join_pushed({}, [_export(tmp_path, output, known=False)], client) == {}
    assert not server.asked


def test_a_registry_that_takes_nothing_is_told_of(tmp_path: Path, server: Scripted) -> None:
    output = "{type: image, name: HOST/app:1, push: true}"
    with pytest.raises(OutputError, match="its provenance cannot be put there: it is not there"):
        _pushed(tmp_path, server, {"containerimage.digest": f"sha256:{'0' * 64}"}, output)


def test_a_registry_that_answers_need_have_nothing(server: Scripted) -> None:
    client = RegistryClient(lambda host: ANONYMOUS)
    server.replies["HEAD /v2/secret/manifests/1"] = Reply(403)
    names = f"{server.host}/app,{server.host}/secret:1"
    assert no_answer(names, insecure=False, client=client) == ""
    assert len(server.asked) == 2
    assert no_answer("", insecure=False, client=client) == ""
    silent = no_answer(f"{names},localhost:9/app", insecure=False, client=client)
    assert silent.startswith("localhost:9 does not answer this machine: ")
