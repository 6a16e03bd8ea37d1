from __future__ import annotations

from typing import Any

import pytest

from buildfile.exports import Export, export
from daemon_shim.info import DaemonInfo
from tests.daemon_shim.infos import graphdriver, info
from translator.platform import Platform
from translator.span import Position, SourceFile, Span
from translator.target import Output, Target

FILE = SourceFile(name="buildfile.yaml", folder="/project", text="")
SPAN = Span(FILE, Position(1, 1), Position(1, 2))
AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")

V5, V8, V13, V32 = (info((0, minor, 0)) for minor in (5, 8, 13, 32))
CONTAINERD = info((0, 13, 0), engine=True)
GRAPHDRIVER = graphdriver((0, 13, 0))


def planned(
    type_: str, daemon: DaemonInfo, *, dest: str = "", epoch: str = "", **more: Any
) -> Export:
    attrs = {key.replace("_", "-"): value for key, value in more.pop("attrs", {}).items()}
    output = Output(type=type_, dest=dest, attrs=attrs, span=SPAN)
    target = Target(name="t", declared="t", stage="s", span=SPAN, **more)
    return export(output, target, daemon, epoch)


def exporter(made: Export) -> tuple[str, dict[str, str]]:
    assert made.exporter
    return made.exporter.type, dict(made.exporter.attrs)


def test_an_output_of_type_none_has_no_exporter() -> None:
    made = planned("none", V5)
    assert made.exporter is None and not made.refusal


def test_a_folder_is_made_like_the_result_by_any_daemon() -> None:
    made = planned("local", V5, dest="/out", attrs={"mode": "delete"})
    assert exporter(made) == ("local", {})
    assert (made.dest, made.refusal) == ("/out", "")


@pytest.mark.parametrize("buildkitd", [V5, V8, V13, V32])
def test_a_buildkitd_makes_archives(buildkitd: DaemonInfo) -> None:
    for kind in ("tar", "oci", "docker"):
        assert planned(kind, buildkitd, dest="/a.tar").refusal == ""
        assert planned(kind, buildkitd, dest="/a.tar").dest == "/a.tar"
        assert planned(kind, buildkitd).dest == "-"
        assert planned(kind, buildkitd, dest="-").dest == "-"


@pytest.mark.parametrize("release", [(0, 3, 3), (0, 7, 0)])
def test_where_no_exporter_makes_a_tar_archive_it_is_made_here(
    release: tuple[int, int, int],
) -> None:
    made = planned("tar", info(release), dest="/a.tar")
    assert (exporter(made), made.dest, made.refusal) == (("local", {}), "/a.tar", "")
    assert made.archived and "made here" in made.note
    several = planned("tar", info(release), platforms=(AMD64, ARM64))
    assert "several platforms in one tar output needs BuildKit v0.7.1" in several.refusal
    assert not planned("tar", V8).archived and not planned("local", V8, dest="/a").archived


def test_an_engine_with_the_containerd_store_loads_docker_images() -> None:
    made = planned("docker", CONTAINERD, attrs={"name": "docker.io/a/b:1"})
    assert exporter(made) == ("image", {"unpack": "true", "name": "docker.io/a/b:1"})
    assert (made.dest, made.note, made.refusal) == ("", "loaded into the engine", "")


def test_a_dash_streams_a_docker_archive_on_an_engine_too() -> None:
    made = planned("docker", CONTAINERD, dest="-")
    assert exporter(made)[0] == "docker"
    assert made.dest == "-"


def test_an_engine_on_graphdrivers_stores_images_and_pushes_them_itself() -> None:
    made = planned("image", GRAPHDRIVER, attrs={"name": "a/b:1,a/b:2", "push": "true"})
    assert exporter(made) == ("moby", {"name": "docker.io/a/b:1,docker.io/a/b:2"})
    assert made.push == ("docker.io/a/b:1", "docker.io/a/b:2") and made.by_engine
    assert made.note == "the engine stores the image and pushes it"
    loaded = planned("docker", GRAPHDRIVER, attrs={"name": "a/b"})
    assert exporter(loaded) == ("moby", {"name": "docker.io/a/b:latest"})
    assert loaded.push == () and loaded.dest == ""


def test_it_says_who_decides_of_insecure_registries() -> None:
    attrs = {"name": "a/b", "push": "true", "registry.insecure": "true"}
    assert "daemon.json" in planned("image", GRAPHDRIVER, attrs=attrs).note


@pytest.mark.parametrize(
    ("more", "refusal"),
    [
        ({"attrs": {"push": "true"}}, "an image without a name cannot be pushed"),
        ({"attrs": {"compression": "zstd"}}, "it does not know compression"),
        ({"attrs": {"store": "false"}}, "it does not know store"),
        ({"annotations": {"a": "b"}}, "it does not know annotation.a"),
        ({"platforms": (AMD64, ARM64)}, "it stores one platform only"),
    ],
)
def test_what_an_engine_on_graphdrivers_would_ignore_is_refused(
    more: dict[str, Any], refusal: str
) -> None:
    assert planned("image", GRAPHDRIVER, **more).refusal == refusal


@pytest.mark.parametrize("kind", ["oci", "docker"])
def test_it_makes_no_archives(kind: str) -> None:
    refusal = planned(kind, GRAPHDRIVER, dest="/a.tar").refusal
    assert refusal.startswith("a Docker Engine without the containerd image store has no")


@pytest.mark.parametrize(
    ("asked", "attrs", "refusal"),
    [
        (V8, {"compression": "zstd"}, "compression=zstd needs BuildKit v0.10"),
        (V8, {"rewrite-timestamp": "true"}, "rewrite-timestamp needs BuildKit v0.13"),
        (V13, {"rewrite-timestamp": "true"}, ""),
        (V13, {"oci-artifact": "true"}, "oci-artifact needs BuildKit v0.19"),
        (V32, {"oci-artifact": "true", "compression": "zstd"}, ""),
        (V32, {"buildinfo": "true"}, "buildinfo is gone since BuildKit v0.12"),
    ],
)
def test_attributes_that_a_daemon_would_ignore_are_refused(
    asked: DaemonInfo, attrs: dict[str, str], refusal: str
) -> None:
    made = planned("image", asked, attrs=attrs).refusal
    assert made.startswith(refusal) and bool(made) == bool(refusal)


def test_annotations_of_a_target_go_to_its_images() -> None:
    made = planned("image", V13, annotations={"a": "b"})
    assert exporter(made) == ("image", {"annotation.a": "b"})
    old = planned("oci", V8, annotations={"a": "b"}, dest="/x")
    assert old.refusal == "annotation.a needs BuildKit v0.11, and this is v0.8.0"
    assert exporter(planned("local", V13, annotations={"a": "b"}, dest="/x"))[1] == {}


def test_the_epoch_goes_where_a_daemon_heeds_it() -> None:
    assert exporter(planned("image", V13, epoch="7"))[1] == {"source-date-epoch": "7"}
    own = planned("image", V13, epoch="7", attrs={"source-date-epoch": "9"})
    assert exporter(own)[1] == {"source-date-epoch": "9"}
    assert exporter(planned("image", V8, epoch="7"))[1] == {}
    assert exporter(planned("image", GRAPHDRIVER, epoch="7"))[1] == {}


def test_a_docker_archive_holds_one_platform() -> None:
    several = (AMD64, ARM64)
    assert "one platform" in planned("docker", V32, dest="/x", platforms=several).refusal
    assert planned("oci", V32, dest="/x", platforms=several).refusal == ""


@pytest.mark.parametrize("kind", ["oci", "docker"])
def test_a_layout_as_a_folder_is_made_of_the_archive(kind: str) -> None:
    for daemon in (info((0, 3, 3)), V32):
        made = planned(kind, daemon, dest="/x", attrs={"tar": "false"})
        assert (made.refusal, made.dest) == ("", "/x")
        assert exporter(made) == (kind, {})
        assert "unpacked" in made.note


_NAMES = "docker.io/library/app:latest,docker.io/library/b:2"


def test_a_layout_is_given_its_names_here() -> None:
    attrs = {"tar": "false", "name": "app,b:2"}
    for daemon, told in ((info((0, 6, 1)), {}), (V32, {"name": _NAMES})):
        made = planned("oci", daemon, dest="/x", attrs=attrs)
        assert (made.refusal, exporter(made)) == ("", ("oci", told))
        assert ",".join(made.names) == _NAMES
    assert "v0.7" in planned("oci", info((0, 6, 1)), dest="/x", attrs={"name": "app"}).refusal


@pytest.mark.parametrize(
    ("name", "more", "written"),
    [
        ("app", {}, "docker.io/library/app:latest"),
        ("a/b:1,localhost:5000/c", {}, "docker.io/a/b:1,localhost:5000/c:latest"),
        ("localhost:5000/c", {"push-by-digest": "true"}, "localhost:5000/c"),
    ],
)
def test_names_are_written_in_full(name: str, more: dict[str, str], written: str) -> None:
    _, attrs = exporter(planned("image", V32, attrs={"name": name, **more}))
    assert attrs["name"] == written
