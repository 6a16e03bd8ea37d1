"""The provenance of several daemons in one index, of documents that are made up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from buildfile.ocilayout import BrokenLayoutError, Descriptor
from buildfile.ocilayout import Layout as Documents
from buildfile.provenance import (
    Joined,
    Provenance,
    joined,
    not_joined,
    not_told,
    provenance_of,
)
from buildfile.route import Way
from daemon_shim.registry.served import Document
from tests.buildfile.layouts import PROVENANCE, Layout
from tests.daemon_shim.infos import info
from translator.platform import Platform
from translator.target import Output

AMD64, ARM64 = "linux/amd64", "linux/arm64"
TRUE = Provenance(type="https://slsa.dev/provenance/v1", predicate={"built": "there"})


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


def _documents(layout: Layout, *lines: Any) -> tuple[Documents, Descriptor]:
    top = layout.index(*lines)
    return Documents(layout.finish(top)), Descriptor.parse(top)


def _read(made: Joined) -> dict[str, Any]:
    """What is new, by digest."""
    documents: tuple[Document, ...] = (*made.manifests, *made.blobs)
    return {each.digest: json.loads(each.data) for each in documents}


def test_a_statement_gets_the_predicate_and_all_else_stays(layout: Layout) -> None:
    amd, arm = layout.image("amd", AMD64), layout.image("arm", ARM64)
    own = layout.attested(amd, provenance={"built": "here"})
    other = layout.attested(arm, bom={"files": []}, provenance={"came": "here"})
    documents, top = _documents(layout, amd, arm, own, other)
    made = joined(documents, top, {Platform.parse(ARM64): TRUE})
    lines = json.loads(made.index.data)["manifests"]
    assert lines[:3] == [amd, arm, own]
    (manifest,) = made.manifests
    assert lines[3] == {**other, "digest": manifest.digest, "size": len(manifest.data)}
    new = _read(made)
    bom, provenance = new[manifest.digest]["layers"]
    before = documents.document(Descriptor.parse(other))
    assert bom == before["layers"][0] and bom["digest"] not in new
    assert provenance["annotations"] == {"in-toto.io/predicate-type": TRUE.type}
    statement = new[provenance["digest"]]
    assert (statement["predicateType"], statement["predicate"]) == (TRUE.type, TRUE.predicate)
    assert statement["subject"][0]["digest"] == {"sha256": arm["digest"].removeprefix("sha256:")}
    config = new[new[manifest.digest]["config"]["digest"]]
    assert config["rootfs"]["diff_ids"] == [bom["digest"], provenance["digest"]]


def test_a_config_without_layers_stays_as_it_is(layout: Layout) -> None:
    """That of an OCI artifact."""
    arm = layout.image("arm", ARM64)
    attested = layout.attested(arm, provenance={})
    manifest = json.loads(layout.blob(attested["digest"]).read_bytes())
    manifest["config"] = layout.add({}, "empty.v1+json")
    documents, top = _documents(
        layout, arm, {**attested, **layout.add(manifest, "manifest.v1+json")}
    )
    made = joined(documents, top, {Platform.parse(ARM64): TRUE})
    assert json.loads(made.manifests[0].data)["config"] == manifest["config"]


def test_what_an_index_does_not_tell_is_no_provenance(layout: Layout) -> None:
    arm = layout.image("arm", ARM64)
    lines = [[arm], [layout.image("amd", AMD64)], [arm, layout.attested(arm, bom={})]]
    for each in lines:
        documents, top = _documents(layout, *each)
        assert provenance_of(documents, top, arm["digest"]) is None
        with pytest.raises(BrokenLayoutError, match="no provenance of linux/arm64"):
            joined(documents, top, {Platform.parse(ARM64): TRUE})
    assert provenance_of(documents, Descriptor.parse(arm), arm["digest"]) is None


def test_an_index_tells_of_the_manifest_that_is_asked_for(layout: Layout) -> None:
    amd, arm = layout.image("amd", AMD64), layout.image("arm", ARM64)
    attested = (layout.attested(amd, provenance=1), layout.attested(arm, bom=2, provenance=3))
    documents, top = _documents(layout, amd, arm, *attested)
    found = provenance_of(documents, top, arm["digest"])
    assert found == Provenance(type=PROVENANCE, predicate=3)


@pytest.mark.parametrize(
    "broken",
    [
        {"layers": [], "config": None},
        {"layers": 1, "config": {}},
        {"layers": [{"digest": "x"}]},
        {"rootfs": []},
    ],
)
def test_what_is_broken_is_told_of(layout: Layout, broken: dict[str, object]) -> None:
    arm = layout.image("arm", ARM64)
    attested = layout.attested(arm, provenance={})
    manifest = json.loads(layout.blob(attested["digest"]).read_bytes())
    if "rootfs" in broken:
        broken = {"config": layout.add(broken, "config.v1+json")}
    bad = layout.add({**manifest, **broken}, "manifest.v1+json")
    documents, top = _documents(layout, arm, {**attested, **bad})
    with pytest.raises(BrokenLayoutError):
        joined(documents, top, {Platform.parse(ARM64): TRUE})


@pytest.mark.parametrize(
    ("kind", "dest", "attrs", "reason"),
    [
        ("oci", "/x.tar", {}, ""),
        ("oci", "/x", {"tar": "false"}, ""),
        ("oci", "-", {}, "standard output"),
        ("image", "", {"push": "true"}, ""),
        ("image", "", {"push": "false"}, "not pushed"),
        ("local", "/x", {}, "no index"),
    ],
)
def test_more_is_joined_with_indexes_that_this_side_can_change(
    kind: str, dest: str, attrs: dict[str, str], reason: str
) -> None:
    output = Output(type=kind, dest=dest, attrs=attrs)
    told = not_joined(output)
    assert reason in told and bool(reason) is bool(told)


def test_daemons_tell_from_v0_11_on_with_layers() -> None:
    assert not not_told(info((0, 11, 0)), Way.LAYERS)
    assert "v0.11" in not_told(info((0, 10, 0)), Way.LAYERS)
    assert "file tree" in not_told(info((0, 32, 0)), Way.TREE)
