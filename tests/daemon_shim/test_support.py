from __future__ import annotations

from dataclasses import replace

import pytest

from daemon_shim import support
from daemon_shim.errors import UnsupportedError
from daemon_shim.info import DaemonInfo, ImageStore
from tests.daemon_shim.infos import graphdriver, info

MODERN = (0, 25, 0)


def lacks(daemon: DaemonInfo) -> set[str]:
    return {" ".join(row) for row in support.ROWS if support.reason(daemon, *row)}


def test_the_image_store_is_told_by_the_workers_label() -> None:
    assert info(MODERN).store is ImageStore.BUILDKIT
    assert info(MODERN, engine=True).store is ImageStore.CONTAINERD
    assert graphdriver(MODERN).store is ImageStore.GRAPHDRIVER
    assert replace(graphdriver(MODERN), workers=()).store is ImageStore.GRAPHDRIVER


def test_a_buildkitd_of_today_lacks_only_the_engines_exporter() -> None:
    assert lacks(info(MODERN)) == {"exporter moby"}
    assert lacks(info(MODERN, engine=True)) == set()


def test_an_engine_on_graphdrivers_keeps_what_it_can_do_without_content() -> None:
    can = {" ".join(row) for row in support.ROWS} - lacks(graphdriver(MODERN))
    assert can == {
        "builder containers",
        "exporter local",
        "exporter tar",
        "exporter moby",
        "cache-export inline",
        "cache-import registry",
        "cache-import local",
        "several exporters",
        "several cache-exports",
        "frontend stages",
        "frontend contexts",
    }


def test_the_oldest_knows_four_exporters_and_registry_caches() -> None:
    can = {" ".join(row) for row in support.ROWS} - lacks(info((0, 3, 3)))
    assert can == {
        "exporter local",
        "exporter oci",
        "exporter docker",
        "exporter image",
        "cache-export registry",
        "cache-import registry",
    }


@pytest.mark.parametrize(
    ("release", "kind", "name", "since"),
    [
        ((0, 7, 0), "exporter", "tar", "v0.7.1"),
        ((0, 3, 3), "cache-export", "local", "v0.4"),
        ((0, 8, 3), "cache-export", "gha", "v0.9"),
        ((0, 10, 6), "several", "cache-exports", "v0.11"),
        ((0, 12, 5), "several", "exporters", "v0.13"),
        ((0, 10, 6), "source", "oci-layout", "v0.11"),
    ],
)
def test_a_refusal_names_the_release_that_has_it(
    release: tuple[int, int, int], kind: support.Kind, name: str, since: str
) -> None:
    with pytest.raises(UnsupportedError) as caught:
        support.require(info(release), kind, name)
    assert caught.value.since == since
    assert f"needs BuildKit {since}, and this is v0." in str(caught.value)
    assert "unix:///test.sock" in str(caught.value)


def test_a_refusal_names_the_image_store_or_the_switch() -> None:
    with pytest.raises(UnsupportedError, match="without the containerd image store has no"):
        support.require(graphdriver(MODERN), "exporter", "oci")
    off = replace(
        info(MODERN),
        llb_caps=frozenset(),
        gateway_caps=frozenset(),
        disabled={"exporter.multiple": "not here"},
    )
    with pytest.raises(UnsupportedError, match="switched off: not here"):
        support.require(off, "several", "exporters")


def test_a_name_without_a_row_is_let_through() -> None:
    support.require(info((0, 4, 0)), "cache-export", "mine")
    assert support.reason(info((0, 3, 3)), "exporter", "mine") == ""
