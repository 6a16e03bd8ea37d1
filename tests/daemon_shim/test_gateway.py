from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from daemon_shim.client import Daemon
from daemon_shim.errors import CancelledError, SolveFailedError, UnsupportedError
from daemon_shim.gateway import GatewayBuild
from daemon_shim.reference import SCRATCH, Reference
from daemon_shim.request import CacheOption, Exporter, SolveRequest
from daemon_shim.results import Result
from daemon_shim.transports import transport_for
from schemas.pb import gateway_pb2, ops_pb2
from schemas.rpc import Control, LLBBridge, Rpc
from tests.fakes.control import BUILD_ID, FakeControl, until_gone

REQUEST = SolveRequest(ref="r1", session="s1")
DEFINITION = ops_pb2.Definition(**{"def": [b"op"]}).SerializeToString()
OLD: tuple[str, ...] = ("returnmap", "importcaches")
LAZY = (*OLD, "proto.refarray", "gateway.solve.metadata")
MODERN = (*LAZY, "gateway.solve.evaluate")


def answering(**results: Any) -> Any:
    response = gateway_pb2.SolveResponse(**results)
    return lambda body, context: response


ONE_ID = answering(result=gateway_pb2.Result(refDeprecated="id1"))
ONE_REF = answering(
    result=gateway_pb2.Result(
        ref=gateway_pb2.Ref(id="id1", **{"def": ops_pb2.Definition(**{"def": [b"again"]})})
    )
)


@contextmanager
def daemon(
    folder: Path, gateway: Iterable[str], script: dict[Rpc[Any, Any], Any], llb: Iterable[str] = ()
) -> Iterator[tuple[FakeControl, Daemon]]:
    paths = {rpc.path: answer for rpc, answer in script.items()}
    with (
        FakeControl(folder, gateway=gateway, llb=llb, script=paths) as fake,
        Daemon(transport_for(fake.address)) as client,
    ):
        client.info()
        yield fake, client


def test_every_call_names_the_build(tmp_path: Path) -> None:
    with daemon(tmp_path, MODERN, {LLBBridge.SOLVE: ONE_REF}) as (fake, client):
        with GatewayBuild(client, REQUEST) as build:
            build.return_result(build.solve(DEFINITION))
            assert build.job.result() == {"returned": "r1"}
        calls = [call for call in fake.calls if "LLBBridge" in call.path][-2:]
    assert [call.metadata.count((BUILD_ID, "r1")) for call in calls] == [1, 1]


@pytest.mark.parametrize(
    ("gateway", "solved", "arrays"), [(OLD, ONE_ID, False), (MODERN, ONE_REF, True)]
)
def test_a_ref_is_spelled_as_the_daemon_spells_it(
    tmp_path: Path, gateway: tuple[str, ...], solved: Any, arrays: bool
) -> None:
    with daemon(tmp_path, gateway, {LLBBridge.SOLVE: solved}) as (fake, client):
        with GatewayBuild(client, REQUEST) as build:
            ref = build.solve(DEFINITION).ref
            assert ref.id == "id1"
            build.return_result(Result.one(ref, config=b"{}"))
            build.job.result()
        (asked,) = fake.sent(LLBBridge.SOLVE)
        ended = fake.sent(LLBBridge.RETURN)[-1].result
    assert (asked.allowResultReturn, asked.allowResultArrayRef) == (True, arrays)
    assert ended.WhichOneof("result") == ("ref" if arrays else "refDeprecated")
    assert (ended.ref.id if arrays else ended.refDeprecated) == "id1"
    assert dict(ended.metadata) == {"containerimage.config": b"{}"}


@pytest.mark.parametrize("arrays", [False, True])
def test_several_platforms_have_their_table(tmp_path: Path, arrays: bool) -> None:
    with daemon(tmp_path, MODERN if arrays else OLD, {}) as (fake, client):
        with GatewayBuild(client, REQUEST) as build:
            build.return_result(
                Result.several(
                    {"linux/amd64": Reference("a"), "linux/arm/v7": SCRATCH},
                    configs={"linux/amd64": b"{}"},
                )
            )
            build.job.result()
        ended = fake.sent(LLBBridge.RETURN)[-1].result
    if arrays:
        ids = {name: ref.id for name, ref in ended.refs.refs.items()}
    else:
        ids = dict(ended.refsDeprecated.refs)
    assert ids == {"linux/amd64": "a", "linux/arm/v7": ""}
    assert ended.metadata["containerimage.config/linux/amd64"] == b"{}"
    assert json.loads(ended.metadata["refs.platforms"]) == {
        "Platforms": [
            {"ID": "linux/amd64", "Platform": {"architecture": "amd64", "os": "linux"}},
            {
                "ID": "linux/arm/v7",
                "Platform": {"architecture": "arm", "os": "linux", "variant": "v7"},
            },
        ]
    }


@pytest.mark.parametrize("gateway", [OLD, MODERN])
def test_the_empty_tree_is_a_result(tmp_path: Path, gateway: tuple[str, ...]) -> None:
    with daemon(tmp_path, gateway, {}) as (fake, client):
        with GatewayBuild(client, REQUEST) as build:
            build.return_result(Result())
            build.job.result()
        ended = fake.sent(LLBBridge.RETURN)[-1]
    assert ended.HasField("result")
    assert ended.result.WhichOneof("result")


@pytest.mark.parametrize(
    ("gateway", "solved", "flag", "looks"),
    [(OLD, ONE_ID, False, 0), (LAZY, ONE_REF, False, 1), (MODERN, ONE_REF, True, 0)],
    ids=["eager to v0.6", "lazy in v0.7", "told since v0.8"],
)
def test_evaluating_waits_on_every_release(
    tmp_path: Path, gateway: tuple[str, ...], solved: Any, flag: bool, looks: int
) -> None:
    looked = {
        LLBBridge.SOLVE: solved,
        LLBBridge.STAT_FILE: lambda body, context: gateway_pb2.StatFileResponse(),
    }
    with daemon(tmp_path, gateway, looked) as (fake, client):
        with GatewayBuild(client, REQUEST) as build:
            build.solve(DEFINITION, evaluate=False)
            build.solve(DEFINITION)
            build.return_result(Result())
        assert [asked.Evaluate for asked in fake.sent(LLBBridge.SOLVE)] == [False, flag]
        stats = fake.sent(LLBBridge.STAT_FILE)
    assert [(stat.Ref, stat.Path) for stat in stats] == [("id1", "/")] * looks


def test_a_refs_definition_is_kept(tmp_path: Path) -> None:
    with (
        daemon(tmp_path, MODERN, {LLBBridge.SOLVE: ONE_REF}) as (_, client),
        GatewayBuild(client, REQUEST) as build,
    ):
        ref = build.solve(DEFINITION).ref
        assert ops_pb2.Definition.FromString(ref.definition) == ops_pb2.Definition(
            **{"def": [b"again"]}
        )


def test_a_definition_arrives_unchanged_and_no_result_is_the_empty_tree(tmp_path: Path) -> None:
    with daemon(tmp_path, MODERN, {LLBBridge.SOLVE: answering()}) as (fake, client):
        with GatewayBuild(client, REQUEST) as build:
            assert build.solve(DEFINITION).ref == SCRATCH
        (asked,) = fake.sent(LLBBridge.SOLVE)
    assert asked.Definition.SerializeToString() == DEFINITION


CACHES = (CacheOption(type="registry", attrs={"ref": "r/c"}),)


def test_cache_imports_go_with_each_solve(tmp_path: Path) -> None:
    with daemon(tmp_path, MODERN, {LLBBridge.SOLVE: ONE_REF}) as (fake, client):
        with GatewayBuild(client, REQUEST) as build:
            build.solve(DEFINITION, cache_imports=CACHES)
        (asked,) = fake.sent(LLBBridge.SOLVE)
    assert [(each.Type, dict(each.Attrs)) for each in asked.CacheImports] == [
        ("registry", {"ref": "r/c"})
    ]
    assert not asked.ImportCacheRefsDeprecated


def test_the_oldest_imports_registry_refs_alone(tmp_path: Path) -> None:
    with daemon(tmp_path, ("returnmap",), {LLBBridge.SOLVE: ONE_ID}) as (fake, client):
        with GatewayBuild(client, REQUEST) as build:
            build.solve(DEFINITION, cache_imports=CACHES)
            with pytest.raises(UnsupportedError, match="no place for a cache of type local"):
                build.solve(DEFINITION, cache_imports=[CacheOption(type="local")])
        (asked,) = fake.sent(LLBBridge.SOLVE)
    assert list(asked.ImportCacheRefsDeprecated) == ["r/c"]
    assert not asked.CacheImports


def _config(body: bytes, context: grpc.ServicerContext) -> Any:
    return gateway_pb2.ResolveImageConfigResponse(Digest="sha256:d", Config=b"{}", Ref="full")


def test_an_images_config(tmp_path: Path) -> None:
    with daemon(tmp_path, MODERN, {LLBBridge.RESOLVE_IMAGE_CONFIG: _config}) as (fake, client):
        with GatewayBuild(client, REQUEST) as build:
            image = build.resolve_image(
                "docker.io/x:1", platform="linux/arm/v7", resolve_mode="pull", log_name="load x"
            )
        (asked,) = fake.sent(LLBBridge.RESOLVE_IMAGE_CONFIG)
    assert (image.digest, image.config, image.ref) == ("sha256:d", b"{}", "full")
    platform = asked.Platform
    assert (platform.OS, platform.Architecture, platform.Variant) == ("linux", "arm", "v7")
    assert (asked.Ref, asked.ResolveMode, asked.LogName) == ("docker.io/x:1", "pull", "load x")
    assert (asked.ResolverType, asked.SessionID, asked.StoreID) == (0, "", "")


def test_a_config_out_of_a_layout(tmp_path: Path) -> None:
    script = {LLBBridge.RESOLVE_IMAGE_CONFIG: _config}
    with daemon(tmp_path, MODERN, script, llb=["source.ocilayout"]) as (fake, client):
        with GatewayBuild(client, REQUEST) as build:
            build.resolve_image("x@sha256:d", store="base")
        (asked,) = fake.sent(LLBBridge.RESOLVE_IMAGE_CONFIG)
    assert (asked.ResolverType, asked.SessionID, asked.StoreID) == (1, "s1", "base")
    assert not asked.HasField("Platform")


def test_a_layout_is_refused_where_the_daemon_would_look_in_a_registry(tmp_path: Path) -> None:
    with (
        daemon(tmp_path, MODERN, {LLBBridge.RESOLVE_IMAGE_CONFIG: _config}) as (fake, client),
        GatewayBuild(client, REQUEST) as build,
    ):
        with pytest.raises(UnsupportedError) as caught:
            build.resolve_image("x@sha256:d", store="base")
        assert caught.value.since == "v0.11"
        assert not fake.sent(LLBBridge.RESOLVE_IMAGE_CONFIG)


def failing(text: str) -> Any:
    return lambda body, context: context.abort(grpc.StatusCode.UNKNOWN, text)


def test_an_exception_ends_the_build_with_its_error(tmp_path: Path) -> None:
    with daemon(tmp_path, MODERN, {LLBBridge.SOLVE: failing("step broke")}) as (fake, client):
        with (
            pytest.raises(SolveFailedError, match="step broke"),
            GatewayBuild(client, REQUEST) as build,
        ):
            build.solve(DEFINITION)
        with pytest.raises(SolveFailedError, match="step broke"):
            build.job.result()
        ended = fake.sent(LLBBridge.RETURN)[-1]
    assert (ended.error.code, ended.error.message) == (2, "step broke")
    assert not ended.HasField("result")


def test_leaving_without_a_result_cancels(tmp_path: Path) -> None:
    with daemon(tmp_path, MODERN, {}) as (fake, client):
        with GatewayBuild(client, REQUEST) as build:
            pass
        with pytest.raises(CancelledError):
            build.job.result()
        assert len(fake.sent(LLBBridge.RETURN)) == 1  # the probe's


def test_ctrl_c_cancels(tmp_path: Path) -> None:
    with daemon(tmp_path, MODERN, {}) as (_, client):
        with pytest.raises(KeyboardInterrupt), GatewayBuild(client, REQUEST) as build:
            raise KeyboardInterrupt
        with pytest.raises(CancelledError):
            build.job.result()


def _waits(body: bytes, context: grpc.ServicerContext) -> Any:
    until_gone(context)
    return gateway_pb2.SolveResponse()


def test_cancelling_the_build_ends_a_call_into_it(tmp_path: Path) -> None:
    with (
        daemon(tmp_path, MODERN, {LLBBridge.SOLVE: _waits}) as (_, client),
        pytest.raises(CancelledError),
        GatewayBuild(client, REQUEST) as build,
    ):
        threading.Timer(0.1, build.job.cancel).start()
        build.solve(DEFINITION)


def test_a_build_that_dies_ends_a_call_into_it_with_its_own_error(tmp_path: Path) -> None:
    def refuse(body: bytes, context: grpc.ServicerContext) -> Any:
        return context.abort(grpc.StatusCode.UNKNOWN, "exporter not found")

    with daemon(tmp_path, MODERN, {LLBBridge.SOLVE: _waits}) as (fake, client):
        fake.script[Control.SOLVE.path] = refuse
        request = SolveRequest(ref="r2", session="s1", exporters=(Exporter(type="odd"),))
        with (
            pytest.raises(SolveFailedError, match="exporter not found"),
            GatewayBuild(client, request) as build,
        ):
            build.solve(DEFINITION)


@pytest.mark.parametrize("plain", [{"definition": b""}, {"frontend": "dockerfile.v0"}])
def test_a_plain_request_is_no_gateway_build(tmp_path: Path, plain: dict[str, Any]) -> None:
    with (
        daemon(tmp_path, MODERN, {}) as (_, client),
        pytest.raises(ValueError, match="neither a definition nor a frontend"),
    ):
        GatewayBuild(client, SolveRequest(ref="r", session="s", **plain))
