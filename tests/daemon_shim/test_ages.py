"""Every row of the dialects on the wire: what a daemon of 2018 and one of today read of a request.

The recorded bytes are taken apart by field number; see ``tests.fakes.ages``.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from daemon_shim import dialects
from daemon_shim.client import Daemon
from daemon_shim.errors import SolveFailedError, UnsupportedError
from daemon_shim.gateway import GatewayBuild
from daemon_shim.info import Api
from daemon_shim.request import CacheOption, Exporter, SolveRequest
from daemon_shim.transports import transport_for
from schemas.pb import ops_pb2
from schemas.rpc import Control
from tests.daemon_shim.definitions import run
from tests.fakes.ages import AgedControl, attributes, current, legacy, only, picked, text, texts
from tests.translator.wire import numbers

DEFINITION = run("true", "localhost/base").definition
LOCAL = Exporter(type="local", attrs={"b": "2"})
OCI = Exporter(type="oci", attrs={"name": "n"})
FOLDER = CacheOption(type="local", attrs={"src": "/c"})

Make = Callable[[Path], AgedControl]


def registry(ref: str, **attrs: str) -> CacheOption:
    return CacheOption(type="registry", attrs={"ref": ref, **attrs})


@contextmanager
def spoken_to(make: Make, folder: Path, api: Api) -> Iterator[tuple[AgedControl, Daemon]]:
    with make(folder) as aged, Daemon(transport_for(aged.fake.address), api=api) as client:
        yield aged, client


def asked(**changes: Any) -> SolveRequest:
    return SolveRequest(
        **{"ref": uuid.uuid4().hex, "session": "s1", "definition": DEFINITION, **changes}
    )


@dataclass(frozen=True, kw_only=True)
class Case:
    """A request to a daemon in a dialect: the fields that are sent, and what is done for them."""

    make: Make
    api: Api = Api.AUTO
    request: dict[str, Any]
    fields: set[int]
    cache: set[int] = field(default_factory=set)
    done: dict[str, Any]


CACHES = {
    "cache_exports": (registry("r/e", mode="max"),),
    "cache_imports": (registry("r/i"), registry("r/j")),
}
CACHED = {
    "cache_exports": (("registry", {"ref": "r/e", "mode": "max"}),),
    "cache_imports": (("registry", {"ref": "r/i"}), ("registry", {"ref": "r/j"})),
}
ONE = {"exporters": (("local", {"b": "2"}),)}
CASES = {
    # Exporters: the pair 3 and 4 alone, or with the list 13 beside it.
    "exporter, legacy": Case(
        make=legacy, request={"exporters": (LOCAL,)}, fields={1, 2, 3, 4, 5, 8}, done=ONE
    ),
    "exporter, current": Case(
        make=current, request={"exporters": (LOCAL,)}, fields={1, 2, 3, 4, 5, 8, 13}, done=ONE
    ),
    "exporter, legacy on a new daemon": Case(
        make=current,
        api=Api.LEGACY,
        request={"exporters": (LOCAL,)},
        fields={1, 2, 3, 4, 5, 8},
        done=ONE,
    ),
    "exporter, current on an old daemon": Case(
        make=legacy,
        api=Api.CURRENT,
        request={"exporters": (LOCAL,)},
        fields={1, 2, 3, 4, 5, 8, 13},
        done=ONE,
    ),
    "several exporters": Case(
        make=current,
        request={"exporters": (OCI, LOCAL)},
        fields={1, 2, 3, 4, 5, 8, 13},
        done={"exporters": (("oci", {"name": "n"}), ("local", {"b": "2"}))},
    ),
    # Caches: refs 1, 2 and 3, or the lists 4 and 5, and never both.
    "caches, legacy": Case(
        make=legacy, request=CACHES, fields={1, 2, 5, 8}, cache={1, 2, 3}, done=CACHED
    ),
    "caches, current": Case(
        make=current, request=CACHES, fields={1, 2, 5, 8}, cache={4, 5}, done=CACHED
    ),
    "caches, legacy on a new daemon": Case(
        make=current,
        api=Api.LEGACY,
        request=CACHES,
        fields={1, 2, 5, 8},
        cache={1, 2, 3},
        done=CACHED,
    ),
    "attributes of an export, legacy on a new daemon": Case(
        make=current,
        api=Api.LEGACY,
        request={"cache_exports": (registry("r/e", **{"image-manifest": "true"}),)},
        fields={1, 2, 5, 8},
        cache={1, 3},
        done={"cache_exports": (("registry", {"ref": "r/e", "image-manifest": "true"}),)},
    ),
    "several caches": Case(
        make=current,
        request={"cache_exports": (FOLDER, registry("r/e")), "cache_imports": (FOLDER,)},
        fields={1, 2, 5, 8},
        cache={4, 5},
        done={
            "cache_exports": (("local", {"src": "/c"}), ("registry", {"ref": "r/e"})),
            "cache_imports": (("local", {"src": "/c"}),),
        },
    ),
    # A frontend hears of the imports in its attributes, field 7.
    "frontend, legacy": Case(
        make=legacy,
        request={"definition": None, "frontend": "f", **CACHES},
        fields={1, 5, 6, 7, 8},
        cache={1, 2, 3},
        done={**CACHED, "frontend_attrs": {"cache-from": "r/i,r/j"}},
    ),
    "frontend, current": Case(
        make=current,
        request={"definition": None, "frontend": "f", "cache_imports": (registry("r/i"), FOLDER)},
        fields={1, 5, 6, 7, 8},
        cache={5},
        done={
            "cache_imports": (("registry", {"ref": "r/i"}), ("local", {"src": "/c"})),
            "frontend_attrs": {
                "cache-imports": json.dumps(
                    [
                        {"Type": "registry", "Attrs": {"ref": "r/i"}},
                        {"Type": "local", "Attrs": {"src": "/c"}},
                    ]
                )
            },
        },
    ),
    "frontend, legacy on a new daemon": Case(
        make=current,
        api=Api.LEGACY,
        request={"definition": None, "frontend": "f", **CACHES},
        fields={1, 5, 6, 7, 8},
        cache={1, 2, 3},
        done={**CACHED, "frontend_attrs": {"cache-from": "r/i,r/j"}},
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_request_on_the_wire(tmp_path: Path, case: Case) -> None:
    with spoken_to(case.make, tmp_path, case.api) as (aged, client):
        client.solve(asked(**case.request))
        (body,), (done,) = aged.solves(), aged.done
    assert set(numbers(body)) == case.fields
    assert set(numbers(only(body, 8))) == case.cache
    for name, expected in case.done.items():
        assert getattr(done, name) == expected


@pytest.mark.parametrize("make", [legacy, current])
@pytest.mark.parametrize("api", list(Api))
def test_the_cache_message_is_there_and_a_gateway_build_has_no_definition(
    tmp_path: Path, make: Make, api: Api
) -> None:
    with spoken_to(make, tmp_path, api) as (aged, client):
        with GatewayBuild(client, SolveRequest(ref="g1", session="s1")) as build:
            build.return_result(build.solve(DEFINITION))
            build.job.result()
        (body,) = aged.solves()
    assert set(numbers(body)) == {1, 5, 8}
    assert (text(body, 1), text(body, 5), only(body, 8)) == ("g1", "s1", b"")


@pytest.mark.parametrize(
    ("make", "api", "old", "new"),
    [
        (legacy, Api.AUTO, ["r/i"], []),
        (current, Api.AUTO, [], ["r/i"]),
        # From v0.11 on the gateway has no old field any more (frontend/gateway/gateway.go).
        (current, Api.LEGACY, [], ["r/i"]),
    ],
)
def test_a_solve_of_a_gateway_build_names_its_imports_again(
    tmp_path: Path, make: Make, api: Api, old: list[str], new: list[str]
) -> None:
    caches = (registry("r/i"),)
    with spoken_to(make, tmp_path, api) as (aged, client):
        request = SolveRequest(ref="g1", session="s1", cache_imports=caches)
        with GatewayBuild(client, request) as build:
            build.return_result(build.solve(DEFINITION, cache_imports=caches))
            build.job.result()
        (body,) = aged.gateway_solves()
        assert aged.imports == [(("registry", {"ref": "r/i"}),)]
    assert texts(body, 4) == old
    assert [attributes(entry, 2)["ref"] for _, entry in picked(body, 12)] == new


@pytest.mark.parametrize(
    ("make", "api", "request_", "why"),
    [
        (legacy, Api.CURRENT, CACHES, "in the current API needs BuildKit v0.4, and this is v0.3"),
        (legacy, Api.AUTO, {"cache_imports": (FOLDER,)}, "needs BuildKit v0.4"),
        (legacy, Api.AUTO, {"exporters": (LOCAL, OCI)}, "needs BuildKit v0.13"),
        (
            current,
            Api.LEGACY,
            {"exporters": (LOCAL, OCI)},
            "no place in the legacy API, which --api",
        ),
        (current, Api.LEGACY, {"cache_imports": (FOLDER,)}, "no place in the legacy API"),
        (
            current,
            Api.LEGACY,
            {"cache_exports": (registry("r/e"), FOLDER)},
            "no place in the legacy",
        ),
        (
            current,
            Api.LEGACY,
            {"cache_imports": (registry("r", **{"registry.insecure": "true"}),)},
            "no place for the cache attribute registry.insecure",
        ),
    ],
)
def test_what_would_be_lost_is_refused_and_nothing_is_sent(
    tmp_path: Path, make: Make, api: Api, request_: dict[str, Any], why: str
) -> None:
    with spoken_to(make, tmp_path, api) as (aged, client):
        with pytest.raises(UnsupportedError, match=why):
            client.solve(asked(**request_))
        assert aged.solves() == []


def test_the_ages_are_told_apart(tmp_path: Path) -> None:
    for name, make, version, dialect in (
        ("old", legacy, "v0.3 or later", "legacy"),
        ("new", current, "v0.32.2", "current"),
    ):
        (tmp_path / name).mkdir()
        with spoken_to(make, tmp_path / name, Api.AUTO) as (aged, client):
            assert client.info().version == version
            assert dialects.dialect_for(client.info()).name == dialect
            paths = [call.path for call in aged.fake.calls]
            assert (Control.INFO.path in paths) == (name == "new")
            client.info()
            assert [call.path for call in aged.fake.calls] == paths


def test_the_old_daemon_refuses_what_v03_refuses(tmp_path: Path) -> None:
    """The stand-in is no softer than the daemon that it stands for."""
    file = ops_pb2.Op(file=ops_pb2.FileOp()).SerializeToString()
    graph = ops_pb2.Definition(**{"def": [file, ops_pb2.Op().SerializeToString()]})
    caps = ops_pb2.Definition(**{"def": [b""]})
    caps.metadata["sha256:x"].caps["exec.secretenv"] = True
    with spoken_to(legacy, tmp_path, Api.AUTO) as (_, client):
        for request, why in (
            (asked(ref="a", definition=graph.SerializeToString()), "could not resolve"),
            (asked(ref="b", definition=caps.SerializeToString()), "unknown API capability"),
            (asked(ref="b"), "exists"),
        ):
            with pytest.raises(SolveFailedError, match=why):
                client.start(request, watch=False).result()
