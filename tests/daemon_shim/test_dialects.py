from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from daemon_shim import dialects
from daemon_shim.errors import UnsupportedError
from daemon_shim.request import CacheOption, Exporter, SolveRequest
from schemas.pb import control_pb2, ops_pb2
from tests.daemon_shim.infos import graphdriver, info

V3, V4, V8, V10, V11, V12, V13, V32 = (
    (0, 3, 3),
    (0, 4, 0),
    (0, 8, 3),
    (0, 10, 6),
    (0, 11, 6),
    (0, 12, 5),
    (0, 13, 2),
    (0, 32, 2),
)
ALL = (V3, V4, V8, V10, V11, V12, V13, V32)
REQUEST = SolveRequest(ref="r1", session="s1")
TAR = Exporter(type="tar", attrs={"a": "1"})
LOCAL = Exporter(type="local", attrs={"b": "2"})


def registry(ref: str, **attrs: str) -> CacheOption:
    return CacheOption(type="registry", attrs={"ref": ref, **attrs})


FOLDER = CacheOption(type="local", attrs={"src": "cache"})


def spelled(release: tuple[int, int, int], **changes: Any) -> control_pb2.SolveRequest:
    """The request as the daemon reads it: through the wire."""
    message = dialects.spell(replace(REQUEST, **changes), info(release))
    return control_pb2.SolveRequest.FromString(message.SerializeToString())


@pytest.mark.parametrize("release", ALL)
def test_the_cache_message_is_always_there(release: tuple[int, int, int]) -> None:
    assert spelled(release).HasField("Cache")


@pytest.mark.parametrize("release", ALL)
def test_a_gateway_build_has_no_definition_and_a_plain_one_has_its_own(
    release: tuple[int, int, int],
) -> None:
    definition = ops_pb2.Definition(**{"def": [b"op"]}).SerializeToString()
    assert not spelled(release).HasField("Definition")
    plain = spelled(release, definition=definition)
    assert plain.Definition.SerializeToString() == definition
    assert (plain.Ref, plain.Session, plain.Internal) == ("r1", "s1", False)


@pytest.mark.parametrize("release", ALL)
def test_the_first_exporter_is_in_both_places(release: tuple[int, int, int]) -> None:
    message = spelled(release, exporters=(LOCAL,))
    assert message.ExporterDeprecated == "local"
    assert dict(message.ExporterAttrsDeprecated) == {"b": "2"}
    listed = [(each.Type, dict(each.Attrs)) for each in message.Exporters]
    assert listed == ([] if release == V3 else [("local", {"b": "2"})])


def test_no_exporter_is_none_in_either_place() -> None:
    message = spelled(V32)
    assert message.ExporterDeprecated == ""
    assert not message.Exporters


def test_several_exporters_keep_their_order() -> None:
    message = spelled(V13, exporters=(TAR, LOCAL))
    assert [each.Type for each in message.Exporters] == ["tar", "local"]
    assert message.ExporterDeprecated == "tar"


@pytest.mark.parametrize("release", [V8, V12])
def test_several_exporters_are_refused_where_only_the_first_would_be_written(
    release: tuple[int, int, int],
) -> None:
    with pytest.raises(UnsupportedError, match="more than one output") as caught:
        spelled(release, exporters=(TAR, LOCAL))
    assert caught.value.since == "v0.13"


@pytest.mark.parametrize("release", [V4, V8, V11, V32])
def test_caches_stand_in_the_lists_and_nowhere_else(release: tuple[int, int, int]) -> None:
    cache = spelled(
        release,
        cache_exports=(registry("r/c", mode="max"),),
        cache_imports=(registry("r/i"), FOLDER),
    ).Cache
    assert [(each.Type, dict(each.Attrs)) for each in cache.Exports] == [
        ("registry", {"ref": "r/c", "mode": "max"})
    ]
    assert [(each.Type, dict(each.Attrs)) for each in cache.Imports] == [
        ("registry", {"ref": "r/i"}),
        ("local", {"src": "cache"}),
    ]
    assert cache.ExportRefDeprecated == ""
    assert not cache.ImportRefsDeprecated
    assert not cache.ExportAttrsDeprecated


def test_the_oldest_has_registry_refs_and_nothing_else() -> None:
    cache = spelled(
        V3,
        cache_exports=(registry("r/c", mode="max"),),
        cache_imports=(registry("r/i"), registry("r/j")),
    ).Cache
    assert cache.ExportRefDeprecated == "r/c"
    assert dict(cache.ExportAttrsDeprecated) == {"mode": "max"}
    assert list(cache.ImportRefsDeprecated) == ["r/i", "r/j"]
    assert not cache.Exports
    assert not cache.Imports


@pytest.mark.parametrize(
    ("release", "changes", "what"),
    [
        (V3, {"cache_imports": (FOLDER,)}, "cache import from a folder needs BuildKit v0.4"),
        (V3, {"cache_exports": (CacheOption(type="inline"),)}, "inline cache needs"),
        (V3, {"cache_exports": (CacheOption(type="odd"),)}, "of type odd has no place"),
        (V3, {"cache_exports": (registry("r", **{"oci-mediatypes": "true"}),)}, "oci-mediatypes"),
        (V3, {"cache_imports": (registry("r", mode="max"),)}, "cache attribute mode"),
        (V10, {"cache_exports": (registry("r"), FOLDER)}, "more than one cache export"),
        (V4, {"exporters": (TAR,)}, "tar output needs BuildKit v0.7.1"),
    ],
)
def test_what_would_be_lost_is_refused(
    release: tuple[int, int, int], changes: dict[str, Any], what: str
) -> None:
    with pytest.raises(UnsupportedError, match=what):
        spelled(release, **changes)


def test_an_engine_without_content_refuses_an_image() -> None:
    request = replace(REQUEST, exporters=(Exporter(type="image", attrs={"name": "x"}),))
    with pytest.raises(UnsupportedError, match="has no image exporter"):
        dialects.spell(request, graphdriver(V13))
    moby = replace(REQUEST, exporters=(Exporter(type="moby", attrs={"name": "x"}),))
    assert dialects.spell(moby, graphdriver(V13)).ExporterDeprecated == "moby"


IMPORTS = (registry("r/i"), FOLDER, registry("r/j"), registry("r/k", insecure="true"))


@pytest.mark.parametrize(
    ("release", "imports", "expected"),
    [
        (V3, IMPORTS[:1] + IMPORTS[2:3], {"cache-from": "r/i,r/j"}),
        (
            V8,
            IMPORTS,
            {
                "cache-from": "r/i,r/j",
                "cache-imports": [
                    {"Type": "local", "Attrs": {"src": "cache"}},
                    {"Type": "registry", "Attrs": {"ref": "r/k", "insecure": "true"}},
                ],
            },
        ),
        (
            V11,
            IMPORTS[:2],
            {
                "cache-imports": [
                    {"Type": "registry", "Attrs": {"ref": "r/i"}},
                    {"Type": "local", "Attrs": {"src": "cache"}},
                ]
            },
        ),
        (V32, (), {}),
    ],
)
def test_a_frontend_is_told_the_imports_in_its_own_words(
    release: tuple[int, int, int], imports: tuple[CacheOption, ...], expected: dict[str, Any]
) -> None:
    message = spelled(
        release, frontend="dockerfile.v0", frontend_attrs={"target": "t"}, cache_imports=imports
    )
    attrs = dict(message.FrontendAttrs)
    if "cache-imports" in attrs:
        attrs["cache-imports"] = json.loads(attrs["cache-imports"])
    assert attrs == {"target": "t", **expected}


def test_without_a_frontend_nothing_is_repeated() -> None:
    assert not spelled(V8, cache_imports=IMPORTS[:1]).FrontendAttrs


def test_the_legacy_dialect_in_exact_bytes() -> None:
    """As v0.3 reads them: fields 1, 3, 4, 5 and 8 with its 1, 2 and 3."""
    message = spelled(
        V3,
        exporters=(LOCAL,),
        cache_exports=(registry("r/c", mode="max"),),
        cache_imports=(registry("r/i"),),
    )
    assert message.SerializeToString(deterministic=True) == (
        b"\x0a\x02r1"
        b"\x1a\x05local"
        b"\x22\x06\x0a\x01b\x12\x012"
        b"\x2a\x02s1"
        b"\x42\x17\x0a\x03r/c\x12\x03r/i\x1a\x0b\x0a\x04mode\x12\x03max"
    )
