"""What builders send, in bytes that real daemons do not show."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from daemon_shim import results
from daemon_shim.builder import Client
from daemon_shim.client import Daemon
from daemon_shim.errors import CancelledError, LostConnectionError, UnsupportedError
from daemon_shim.gateway import BuilderRun, GatewayBuild
from daemon_shim.reference import SCRATCH, Reference
from daemon_shim.request import CacheOption, SolveRequest
from daemon_shim.results import Attestation, Result, Subject
from daemon_shim.transports import transport_for
from schemas.pb import fsutil_pb2, gateway_pb2, ops_pb2
from schemas.rpc import LLBBridge, Rpc
from tests.fakes.control import FakeControl, until_gone

OLD: tuple[str, ...] = ("returnmap", "readdir", "readfile")
MODERN = (*OLD, "importcaches", "statfile", "proto.refarray", "gateway.solve.evaluate")
NEWEST = (
    *MODERN,
    "frontend.inputs",
    "gateway.warnings",
    "gateway.evaluate",
    "reference.attestations",
    "source.metaresolver",
)
DEFINITION = ops_pb2.Definition(**{"def": [b"op"]}).SerializeToString()


@contextmanager
def building(
    folder: Path,
    gateway: tuple[str, ...],
    script: dict[Rpc[Any, Any], Any],
    inputs: dict[str, bytes] | None = None,
) -> Iterator[tuple[FakeControl, GatewayBuild]]:
    paths = {rpc.path: answer for rpc, answer in script.items()}
    with (
        FakeControl(folder, gateway=gateway, script=paths) as fake,
        Daemon(transport_for(fake.address)) as client,
        GatewayBuild(
            client,
            SolveRequest(ref="r1", session="s1", frontend_attrs={"key": "value"}),
            product="test",
            inputs=inputs,
        ) as build,
    ):
        yield fake, build


def solved(body: bytes, context: grpc.ServicerContext) -> Any:
    return gateway_pb2.SolveResponse(result=gateway_pb2.Result(ref=gateway_pb2.Ref(id="id1")))


def listed(body: bytes, context: grpc.ServicerContext) -> Any:
    names = {"b": 1 << 31 | 0o755, "a": 0o644}
    return gateway_pb2.ReadDirResponse(
        entries=[fsutil_pb2.Stat(path=name, mode=mode) for name, mode in names.items()]
    )


def test_a_builder_knows_what_it_was_asked_with(tmp_path: Path) -> None:
    with building(tmp_path, MODERN, {}, {"base": DEFINITION}) as (_, build):
        assert (build.opts, build.session_id, build.product) == ({"key": "value"}, "s1", "test")
        assert build.inputs() == {"base": DEFINITION}
        assert build.platform == "linux/amd64"
        assert build.capabilities >= frozenset(MODERN)


def test_a_frontend_gets_options_inputs_and_caches(tmp_path: Path) -> None:
    with building(tmp_path, NEWEST, {LLBBridge.SOLVE: solved}) as (fake, build):
        build.solve(
            frontend="dockerfile.v0",
            opts={"target": "x"},
            inputs={"context": DEFINITION},
            cache_imports=[CacheOption(type="registry", attrs={"ref": "r/c"})],
        )
        (asked,) = fake.sent(LLBBridge.SOLVE)
    assert asked.Frontend == "dockerfile.v0"
    assert not asked.HasField("Definition")
    assert dict(asked.FrontendOpt) == {
        "target": "x",
        "cache-imports": '[{"Type": "registry", "Attrs": {"ref": "r/c"}}]',
    }
    assert asked.FrontendInputs["context"].SerializeToString() == DEFINITION
    assert [each.Type for each in asked.CacheImports] == ["registry"]


def several(body: bytes, context: grpc.ServicerContext) -> Any:
    refs = {name: gateway_pb2.Ref(id=name) for name in ("a", "b")}
    return gateway_pb2.SolveResponse(
        result=gateway_pb2.Result(refs=gateway_pb2.RefMap(refs=refs)),
    )


@pytest.mark.parametrize("told", [False, True], ids=["v0.11 and v0.12", "since v0.13"])
def test_no_solve_of_a_frontend_evaluates_where_that_ends_the_daemon(
    tmp_path: Path, told: bool
) -> None:
    script = {
        LLBBridge.SOLVE: several,
        LLBBridge.EVALUATE: lambda body, context: gateway_pb2.EvaluateResponse(),
    }
    gateway = NEWEST if told else tuple(set(NEWEST) - {"source.metaresolver"})
    with building(tmp_path, gateway, script) as (fake, build):
        build.solve(frontend="dockerfile.v0")
        (asked,) = fake.sent(LLBBridge.SOLVE)
        evaluated = sorted(each.Ref for each in fake.sent(LLBBridge.EVALUATE))
    assert (asked.Evaluate, evaluated) == (told, [] if told else ["a", "b"])


@pytest.mark.parametrize("takes_none", [False, True], ids=["v0.11 and v0.12", "since v0.13"])
def test_one_empty_tree_of_several_ends_no_daemon(tmp_path: Path, takes_none: bool) -> None:
    gateway = NEWEST if takes_none else tuple(set(NEWEST) - {"source.metaresolver"})
    with building(tmp_path, gateway, {LLBBridge.SOLVE: solved}) as (fake, build):
        one = build.solve(DEFINITION, evaluate=False).ref
        build.return_result(Result.several({"linux/amd64": one, "linux/arm64": SCRATCH}))
        solves = fake.sent(LLBBridge.SOLVE)
        returned = fake.sent(LLBBridge.RETURN)[-1]
    refs = returned.result.refs.refs
    assert (len(solves), refs["linux/arm64"].id) == ((1, "") if takes_none else (2, "id1"))


def test_what_a_daemon_lacks_is_refused_by_name(tmp_path: Path) -> None:
    with building(tmp_path, MODERN, {}) as (fake, build):
        with pytest.raises(UnsupportedError, match=r"inputs for frontends.*v0\.7") as caught:
            build.solve(frontend="dockerfile.v0", inputs={"context": DEFINITION})
        assert (caught.value.feature, caught.value.since) == ("frontend.inputs", "v0.7")
        attested = Result(refs={"": Reference("a")}, attestations={"": ()})
        with pytest.raises(UnsupportedError, match=r"attestations in a result.*v0\.11"):
            build.return_result(attested)
        assert not fake.sent(LLBBridge.SOLVE)


@pytest.mark.parametrize("given", [{}, {"graph": DEFINITION, "frontend": "dockerfile.v0"}])
def test_either_a_graph_or_a_frontend_is_solved(tmp_path: Path, given: dict[str, Any]) -> None:
    with (
        building(tmp_path, MODERN, {}) as (_, build),
        pytest.raises(ValueError, match="either a graph or a frontend"),
    ):
        build.solve(**given)


def test_attestations_go_out_as_they_came_in(tmp_path: Path) -> None:
    attestations = {
        "linux/amd64": (
            Attestation(
                tree=Reference("t"),
                path="/sbom.json",
                predicate_type="https://spdx.dev/Document",
                subjects=(Subject(), Subject(kind="raw", name="n", digests=("sha256:a",))),
                metadata={"reason": b"r"},
            ),
            Attestation(tree=Reference("u"), path="/all", bundle=True),
        )
    }
    with building(tmp_path, NEWEST, {}) as (fake, build):
        build.return_result(Result(refs={"linux/amd64": Reference("a")}, attestations=attestations))
        sent = fake.sent(LLBBridge.RETURN)[-1].result
        again = results.read(build._calls, sent)
    assert again.attestations == attestations


def test_a_stat_without_the_call_is_found_in_its_folder(tmp_path: Path) -> None:
    script = {LLBBridge.SOLVE: solved, LLBBridge.READ_DIR: listed}
    with building(tmp_path, OLD, script) as (fake, build):
        ref = build.solve(DEFINITION).ref
        assert ref.stat_file("/sub/b/").is_folder
        assert ref.stat_file("/").is_folder
        (asked,) = fake.sent(LLBBridge.READ_DIR)
    assert (asked.Ref, asked.DirPath) == ("id1", "/sub")


def test_a_warning_names_its_place(tmp_path: Path) -> None:
    warned = {LLBBridge.WARN: lambda body, context: gateway_pb2.WarnResponse()}
    with building(tmp_path, NEWEST, warned) as (fake, build):
        build.warn("short", vertex="sha256:v", detail=["one", "two"], url="https://x")
        (asked,) = fake.sent(LLBBridge.WARN)
    assert (asked.digest, asked.short, list(asked.detail)) == (
        "sha256:v",
        b"short",
        [b"one", b"two"],
    )


def waits(body: bytes, context: grpc.ServicerContext) -> Any:
    until_gone(context)
    return gateway_pb2.SolveResponse()


def test_a_daemon_that_dies_ends_a_builder(tmp_path: Path) -> None:
    with building(tmp_path, MODERN, {LLBBridge.SOLVE: waits}) as (fake, build):
        going = BuilderRun(build, lambda client: client.solve(DEFINITION)).start()
        while not fake.sent(LLBBridge.SOLVE):
            pass
        fake.stop()
        with pytest.raises(LostConnectionError):
            going.result()


def test_a_builder_that_never_returns_is_left_to_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon_shim.gateway._BUILDER_SECONDS", 0.05)
    let_go = threading.Event()

    def builder(client: Client) -> Result:
        let_go.wait(60)
        return Result()

    with building(tmp_path, MODERN, {}) as (_, build):
        going = BuilderRun(build, builder).start()
        going.cancel()
        with pytest.raises(CancelledError):
            going.result()
        let_go.set()
