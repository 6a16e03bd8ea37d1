"""Finding an image in a layout: by its names, by digest, for a platform; and what may be broken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from buildfile.ocilayout import (
    BrokenLayoutError,
    LayoutImage,
    NoLayoutError,
    UnknownImageError,
    UnknownPlatformError,
    find_image,
)
from tests.buildfile.layouts import Layout, named, word
from translator.platform import Platform

AMD64, ARM64 = "linux/amd64", "linux/arm64"


def find(path: str, ref: str, platform: str = AMD64) -> LayoutImage:
    return find_image(path, ref, Platform.parse(platform))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


def test_tag_finds_its_image(layout: Layout) -> None:
    one, two = layout.image("one", AMD64), layout.image("two", AMD64)
    path = layout.finish(named(one, "1"), named(two, "2"))
    found = find(path, "2")
    assert (word(found.config), found.digest) == ("two", two["digest"])


def test_full_name_finds_its_image_and_goes_before_a_tag(layout: Layout) -> None:
    full = "docker.io/library/app:1"
    by_tag, by_name = layout.image("tag", AMD64), layout.image("name", AMD64)
    path = layout.finish(named(by_tag, full), named(by_name, "1", full))
    assert word(find(path, full).config) == "name"
    assert word(find(path, "1").config) == "name"


def test_digest_finds_what_no_tag_names(layout: Layout) -> None:
    plain, inner = layout.image("plain"), layout.image("inner", AMD64)
    path = layout.finish(plain, layout.index(inner))
    assert word(find(path, plain["digest"]).config) == "plain"
    found = find(path, inner["digest"])
    assert (word(found.config), found.digest) == ("inner", inner["digest"])


def test_index_gives_the_platforms_image_and_its_own_digest(layout: Layout) -> None:
    index = layout.index(layout.image("amd", AMD64), layout.image("arm", ARM64))
    path = layout.finish(named(index, "1"))
    found = find(path, "1", ARM64)
    assert (word(found.config), found.digest) == ("arm", index["digest"])
    assert found.manifest == find(path, found.manifest, ARM64).digest != found.digest


def test_index_within_an_index(layout: Layout) -> None:
    inner = layout.index(layout.image("arm", ARM64))
    outer = layout.index(layout.image("amd", AMD64), inner)
    path = layout.finish(named(outer, "1"))
    found = find(path, "1", ARM64)
    assert (word(found.config), found.digest) == ("arm", outer["digest"])


def test_one_tag_on_an_image_for_each_platform(layout: Layout) -> None:
    arm = layout.image("arm", ARM64)
    path = layout.finish(named(layout.image("amd", AMD64), "1"), named(arm, "1"))
    found = find(path, "1", ARM64)
    assert (word(found.config), found.digest) == ("arm", arm["digest"])


@pytest.mark.parametrize(
    ("offered", "wanted", "expected"),
    [
        (["linux/arm/v6", "linux/arm/v7"], "linux/arm/v7", "linux/arm/v7"),
        (["linux/arm/v5", "linux/arm/v6"], "linux/arm/v7", "linux/arm/v6"),
        (["linux/amd64", "linux/amd64/v3"], "linux/amd64/v4", "linux/amd64/v3"),
        (["linux/386"], "linux/amd64", "linux/386"),
        (["linux/arm/v7", "linux/arm64/v8"], "linux/arm64", "linux/arm64/v8"),
        (["linux/arm/v7"], "linux/arm64", "linux/arm/v7"),
        (["unknown/unknown", "linux/amd64"], "linux/amd64", "linux/amd64"),
    ],
)
def test_variants_fall_back(layout: Layout, offered: list[str], wanted: str, expected: str) -> None:
    index = layout.index(*(layout.image(each, each) for each in offered))
    path = layout.finish(named(index, "1"))
    assert word(find(path, "1", wanted).config) == expected


@pytest.mark.parametrize("offered", ["linux/amd64/v2", "linux/arm64", "windows/amd64"])
def test_lesser_platforms_do_not_run_greater_ones(layout: Layout, offered: str) -> None:
    path = layout.finish(named(layout.image("x", offered), "1"))
    with pytest.raises(UnknownPlatformError) as caught:
        find(path, "1", AMD64)
    assert caught.value.known == (Platform.parse(offered),)


def test_platforms_that_no_image_has_are_not_listed(layout: Layout) -> None:
    attested = layout.index(layout.image("a", ARM64), layout.image("b", "unknown/unknown"))
    path = layout.finish(named(attested, "1"))
    with pytest.raises(UnknownPlatformError) as caught:
        find(path, "1")
    assert caught.value.known == (Platform.parse(ARM64),)


def test_lone_image_without_platform_is_taken_for_any(layout: Layout) -> None:
    path = layout.finish(named(layout.image("x", AMD64, stated=False), "1"))
    assert word(find(path, "1", ARM64).config) == "x"


def test_several_without_platform_are_told_apart_by_their_configs(layout: Layout) -> None:
    images = [layout.image(each, each, stated=False) for each in (AMD64, ARM64)]
    path = layout.finish(named(layout.index(*images), "1"))
    assert word(find(path, "1", ARM64).config) == ARM64


def test_images_of_other_platforms_may_be_left_out(layout: Layout) -> None:
    arm = layout.image("arm", ARM64)
    path = layout.finish(named(layout.index(layout.image("amd", AMD64), arm), "1"))
    layout.blob(arm["digest"]).unlink()
    assert word(find(path, "1").config) == "amd"
    with pytest.raises(BrokenLayoutError, match="missing"):
        find(path, "1", ARM64)


@pytest.mark.parametrize("ref", ["3", "", "sha256:" + "0" * 64, "../../index.json"])
def test_unknown_image_lists_what_there_is(layout: Layout, ref: str) -> None:
    image = layout.image("x", AMD64)
    path = layout.finish(named(image, "1", "app:1"), named(image, "2"), image)
    with pytest.raises(UnknownImageError) as caught:
        find(path, ref)
    assert caught.value.known == ("app:1", "1", "2")


def test_missing_folder_file_and_other_folder_are_no_layouts(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path, reason in (
        (tmp_path / "nowhere", "does not exist"),
        (tmp_path / "file", "is a file"),
        (tmp_path, "no index.json"),
    ):
        with pytest.raises(NoLayoutError, match=reason):
            find(str(path), "1")


@pytest.mark.parametrize("part", ["index", "manifest", "config"])
@pytest.mark.parametrize("damage", ["missing", "other content", "cut", "a link out"])
def test_damage_is_noticed(layout: Layout, part: str, damage: str) -> None:
    image = layout.image("x", AMD64)
    index = layout.index(image)
    path = layout.finish(named(index, "1"))
    config = json.loads(layout.blob(image["digest"]).read_bytes())["config"]
    blob = layout.blob({"index": index, "manifest": image, "config": config}[part]["digest"])
    data = blob.read_bytes()
    blob.unlink()
    if damage == "other content":
        blob.write_bytes(data[:-2] + b" }")
    elif damage == "cut":
        blob.write_bytes(data[:-1])
    elif damage == "a link out":
        (layout.folder.parent / f"{layout.folder.name}-out").write_bytes(data)
        blob.symlink_to(f"../../../{layout.folder.name}-out")
    with pytest.raises(BrokenLayoutError, match=blob.name):
        find(path, "1")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "\xff",
        "[" * 100_000,
        '{"manifests": 1}',
        '{"manifests": [1]}',
        '{"manifests": [{}]}',
        '{"manifests": [{"digest": 1, "size": 1}]}',
        '{"manifests": [{"digest": "sha256:0", "size": 1}]}',
        '{"manifests": [{"digest": "sha256:%s", "size": "x"}]}' % ("0" * 64),
        '{"manifests": [{"digest": "sha256:%s", "size": 1, "annotations": []}]}' % ("0" * 64),
        '{"manifests": [{"digest": "sha256:%s", "size": 1, "platform": [1]}]}' % ("0" * 64),
        '{"manifests": [{"digest": "sha256:%s", "size": 1, "annotations": [1]}]}' % ("0" * 64),
    ],
)
def test_index_of_another_shape_is_an_error_not_a_bug(tmp_path: Path, text: str) -> None:
    (tmp_path / "index.json").write_text(text, encoding="latin-1")
    with pytest.raises((BrokenLayoutError, UnknownImageError)):
        find(str(tmp_path), "1")


@pytest.mark.parametrize("document", [[], {}, {"config": 1}, {"config": {}}, {"manifests": [0]}])
def test_manifest_of_another_shape_is_an_error_not_a_bug(layout: Layout, document: object) -> None:
    path = layout.finish(named(layout.add(document, "manifest.v1+json"), "1"))
    with pytest.raises(BrokenLayoutError):
        find(path, "1")


def test_indexes_without_end_are_refused(layout: Layout) -> None:
    index = layout.index(layout.image("x", AMD64))
    for _ in range(20):
        index = layout.index(index)
    with pytest.raises(BrokenLayoutError, match="deep"):
        find(layout.finish(named(index, "1")), "1")


def test_indexes_that_lead_to_more_and_more_are_refused(layout: Layout) -> None:
    index = layout.index(layout.image("x", AMD64))
    for _ in range(5):
        index = layout.index(*[index] * 10)
    with pytest.raises(BrokenLayoutError, match="leads to more than 4096 manifests"):
        find(layout.finish(named(index, "1")), "1")


def test_oversized_document_is_not_read(layout: Layout) -> None:
    huge = layout.add({"config": {}, "pad": "x" * (4 << 20)}, "manifest.v1+json")
    with pytest.raises(BrokenLayoutError, match="larger than 4 MiB"):
        find(layout.finish(named(huge, "1")), "1")
