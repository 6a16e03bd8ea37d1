"""What clients ask for, by their options."""

from __future__ import annotations

from typing import Any

import pytest

from buildfile.syntax.request import Request, is_of_client, read
from daemon_shim.request import CacheOption
from translator.diagnostic import InvalidCommandError
from translator.platform import Platform

_REGISTRY = CacheOption(type="registry", attrs={"ref": "a:1"})
_GHA = CacheOption(type="gha", attrs={"scope": "s"})


@pytest.mark.parametrize(
    ("opts", "wanted"),
    [
        ({}, {}),
        ({"target": "app", "filename": "f"}, {"target": "app", "filename": "f"}),
        (
            {"platform": "linux/amd64,linux/arm64/v8"},
            {"platforms": (Platform("linux", "amd64"), Platform("linux", "arm64"))},
        ),
        ({"multi-platform": "true"}, {"several": True}),
        (
            {"build-arg:BUILDKIT_MULTI_PLATFORM": "1"},
            {"several": True, "arguments": {"BUILDKIT_MULTI_PLATFORM": "1"}},
        ),
        ({"build-arg:A": "1", "label:l": "2"}, {"arguments": {"A": "1"}, "labels": {"l": "2"}}),
        ({"context:base": "docker-image://x"}, {"contexts": {"base": "docker-image://x"}}),
        (
            {"input-metadata:t": '{"containerimage.config": "e30="}'},
            {"configs": {"t": b"{}"}},
        ),
        ({"contextkey": "c", "c": "https://h/x"}, {"context": "c", "remote": "https://h/x"}),
        ({"dockerfilekey": "d"}, {"file_folder": "d"}),
        ({"no-cache": ""}, {"no_cache": True}),
        ({"no-cache": "a,b"}, {"no_cache": ("a", "b")}),
        ({"cache-from": "a:1"}, {"cache_imports": (_REGISTRY,)}),
        (
            {
                "cache-imports": '[{"Type": "gha", "Attrs": {"scope": "s"}}]',
                "cache-from": "a:1",
            },
            {"cache_imports": (_GHA, _REGISTRY)},
        ),
        ({"cache-imports": "null"}, {}),
        ({"image-resolve-mode": "pull"}, {"resolve": "pull"}),
        ({"force-network-mode": "none"}, {"network": "none"}),
        ({"shm-size": "0", "ulimit": ""}, {}),
        ({"frontend.caps": "a,b+forward"}, {"capabilities": ("a", "b+forward")}),
    ],
)
def test_options_are_read(opts: dict[str, str], wanted: dict[str, Any]) -> None:
    assert read(opts) == Request(**wanted)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("platform", "amd64"),
        ("multi-platform", "perhaps"),
        ("image-resolve-mode", "never"),
        ("force-network-mode", "bridge"),
        ("input-metadata:x", "[]"),
        ("cache-imports", "{}x"),
        ("cache-imports", '[{"Attrs": {}}]'),
        ("ulimit", "nofile=1"),
        ("add-hosts", "a=1.2.3.4"),
    ],
)
def test_what_makes_no_sense_is_told_by_its_name(name: str, value: str) -> None:
    with pytest.raises(InvalidCommandError, match=f"the option {name} "):
        read({name: value})


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(InvalidCommandError) as caught:
        read({"platform": "x,y", "memory": "1"})
    assert len(caught.value.diagnostics) == 3


def test_arguments_that_clients_set_by_themselves() -> None:
    assert all(map(is_of_client, ("HTTP_PROXY", "no_proxy", "SOURCE_DATE_EPOCH", "BUILDKIT_X")))
    assert not is_of_client("WHO")
