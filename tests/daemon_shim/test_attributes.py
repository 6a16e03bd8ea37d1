from __future__ import annotations

from dataclasses import replace

import pytest

from daemon_shim.attributes import Kind, reason
from daemon_shim.info import Api
from tests.daemon_shim.infos import graphdriver, info

V5, V8, V10, V13, V32 = (info((0, minor, 0)) for minor in (5, 8, 10, 13, 32))


@pytest.mark.parametrize(
    ("kind", "name", "attrs", "expected"),
    [
        ("exporter", "image", {"name": "a", "push": "true", "unpack": "true"}, ""),
        (
            "exporter",
            "image",
            {"compression": "gzip"},
            "compression needs BuildKit v0.7, and this is v0.5.0",
        ),
        (
            "exporter",
            "oci",
            {"annotation-manifest[linux/amd64].a": "b"},
            "annotation-manifest[linux/amd64].a needs BuildKit v0.11, and this is v0.5.0",
        ),
        (
            "exporter",
            "docker",
            {"push": "true", "unpack": "true"},
            "it does not know push, unpack",
        ),
        (
            "exporter",
            "local",
            {"platform-split": "false", "source-date-epoch": "0"},
            "platform-split needs BuildKit v0.12, and this is v0.5.0; "
            "source-date-epoch needs BuildKit v0.11, and this is v0.5.0",
        ),
        ("cache-export", "registry", {"ref": "a", "mode": "max"}, ""),
        (
            "cache-import",
            "registry",
            {"ref": "a", "registry.insecure": "true"},
            "registry.insecure needs BuildKit v0.12, and this is v0.5.0",
        ),
        ("cache-export", "own", {"any": "thing"}, ""),
    ],
)
def test_what_an_old_daemon_would_ignore(
    kind: Kind, name: str, attrs: dict[str, str], expected: str
) -> None:
    assert reason(V5, kind, name, attrs) == expected


def test_a_value_may_be_newer_than_its_attribute() -> None:
    zstd = {"compression": "zstd"}
    assert reason(V8, "exporter", "image", {"compression": "gzip"}) == ""
    wanted = "compression=zstd needs BuildKit v0.10, and this is v0.8.0"
    assert reason(V8, "exporter", "image", zstd) == wanted
    assert reason(V10, "exporter", "image", zstd) == ""


def test_an_attribute_may_be_gone() -> None:
    asked = {"buildinfo": "true"}
    assert reason(V10, "exporter", "image", asked) == ""
    gone = "buildinfo is gone since BuildKit v0.12, and this is v0.13.0"
    assert reason(V13, "exporter", "image", asked) == gone


def test_what_a_daemon_does_anyway_can_be_asked_of_all() -> None:
    off = {"rewrite-timestamp": "false", "oci-artifact": "false", "store": "true"}
    assert reason(V5, "exporter", "image", off) == ""
    assert reason(V5, "exporter", "oci", {"tar": "true"}) == ""


def test_the_newest_release_knows_all_but_what_is_gone() -> None:
    asked = {"rewrite-timestamp": "true", "oci-artifact": "true", "compression": "zstd"}
    assert reason(V32, "exporter", "oci", {**asked, "tar": "false"}) == ""


def test_the_engines_own_exporter_knows_names_alone() -> None:
    engine = graphdriver((0, 25, 0))
    assert reason(engine, "exporter", "moby", {"name": "a,b"}) == ""
    epoch = {"name": "a", "source-date-epoch": "0"}
    assert reason(engine, "exporter", "moby", epoch) == "it does not know source-date-epoch"


def test_the_legacy_api_imports_by_ref_alone() -> None:
    legacy = replace(V32, api=Api.LEGACY)
    attrs = {"ref": "r", "registry.insecure": "true"}
    told = reason(legacy, "cache-import", "registry", attrs)
    assert told == "the legacy API has no place for registry.insecure"
    assert reason(legacy, "cache-export", "registry", attrs) == ""
    assert reason(legacy, "cache-import", "local", {"src": "c", "digest": "d"}) == ""
    assert reason(V32, "cache-import", "registry", attrs) == ""
