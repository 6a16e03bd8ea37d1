from __future__ import annotations

import pytest

from daemon_shim import releases


@pytest.mark.parametrize(
    ("capabilities", "release"),
    [
        ([], (0, 3, 0)),
        (["exec.meta.base"], (0, 3, 0)),
        (["importcaches"], (0, 4, 0)),
        (["file.base", "exec.mount.bind.readwrite-nooutput"], (0, 6, 1)),
        (["gateway.solve.metadata", "file.base"], (0, 7, 2)),
        (["exporter.multiple", "mergeop"], (0, 13, 0)),
        (["passthroughop"], (0, 31, 0)),
        (["passthroughop", "one.of.the.future"], (0, 31, 0)),
        (["one.of.the.future"], (0, 3, 0)),
    ],
)
def test_capabilities_prove_a_release(capabilities: list[str], release: releases.Release) -> None:
    assert releases.at_least(capabilities) == release


@pytest.mark.parametrize(
    ("version", "release"),
    [
        ("v0.13.2", (0, 13, 2)),
        ("0.11.0", (0, 11, 0)),
        ("v0.14.0-rc1", (0, 14, 0)),
        ("v0.0.0+unknown", None),
        ("v0.0.0+unknown-moby", None),
        ("", None),
        ("8c2b3d5", None),
    ],
)
def test_versions_that_say_something(version: str, release: releases.Release | None) -> None:
    assert releases.parse(version) == release


def test_releases_as_text() -> None:
    assert releases.text((0, 13, 0)) == "v0.13"
    assert releases.text((0, 6, 1)) == "v0.6.1"
    assert releases.exact((0, 13, 0)) == "v0.13.0"


def test_when_a_capability_came() -> None:
    assert releases.since("mergeop") == (0, 10, 0)
    assert releases.since("one.of.the.future") is None
