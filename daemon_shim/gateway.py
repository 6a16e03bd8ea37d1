"""A build steered from this side, call by call: what the Go client calls ``client.Build``.

A Solve with neither definition nor frontend waits for calls of LLBBridge that name its ref; Return
ends it. Works on every release from v0.3.0. Releases differ in three ways, told by capability:

- how a ref is spelled: bare ids up to v0.6, ``Ref`` messages from v0.7 (``proto.refarray``);
- when a step fails: Solve is eager up to v0.6, lazy from v0.7, and can be told to wait from v0.8
  (``gateway.solve.evaluate``); in between, a look at the root folder makes the daemon work;
- where cache imports stand: a list of registry refs in v0.3, entries from v0.4 (``importcaches``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING

import grpc

from daemon_shim import dialects
from daemon_shim.bridge import Bridge
from daemon_shim.decoding import platform_message
from daemon_shim.errors import CancelledError, SolveFailedError, UnsupportedError
from daemon_shim.info import DaemonInfo
from daemon_shim.request import CacheOption, SolveRequest
from schemas.pb import gateway_pb2, ops_pb2, status_pb2
from schemas.rpc import LLBBridge

if TYPE_CHECKING:
    from daemon_shim.client import Daemon

_REGISTRY_RESOLVER, _LAYOUT_RESOLVER = 0, 1


@dataclass(frozen=True, kw_only=True)
class Ref:
    """A tree that the daemon holds for the build; an empty id is the empty tree."""

    id: str
    definition: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a build yields: ``refs`` by name, or one under the empty name; and metadata."""

    refs: Mapping[str, Ref] = field(default_factory=dict)
    metadata: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def ref(self) -> Ref:
        """The only tree; the empty one when there is none."""
        return self.refs.get("", SCRATCH)


@dataclass(frozen=True, kw_only=True)
class ResolvedImage:
    """An image's manifest digest and its config as JSON.

    ``ref`` is the name that the daemon found it under, '' before v0.12.
    """

    digest: str
    config: bytes
    ref: str = ""


SCRATCH = Ref(id="")


class GatewayBuild:
    """A build as a context: inside it calls are made, and it ends with one ``return_``.

    ``request`` has neither definition nor frontend. Leaving with an exception ends the build with
    that error; leaving without a result cancels it. ``job`` has the progress and the result.
    """

    def __init__(self, daemon: Daemon, request: SolveRequest) -> None:
        if request.definition is not None or request.frontend:
            raise ValueError("a gateway build has neither a definition nor a frontend")
        self._info = daemon.info()
        self._session = request.session
        self.job = daemon.start(request)
        self._bridge = Bridge(daemon.wire, self.job)
        self._returned = False

    def __enter__(self) -> GatewayBuild:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._returned or self.job.done():
            return
        if isinstance(error, Exception) and not isinstance(error, CancelledError):
            code = error.code if isinstance(error, SolveFailedError) else "UNKNOWN"
            self.return_error(code, str(error))
        else:
            self.job.cancel()

    def resolve_image_config(
        self,
        ref: str,
        *,
        platform: str = "",
        resolve_mode: str = "",
        log_name: str = "",
        store: str = "",
    ) -> ResolvedImage:
        """Ask the daemon for an image's digest and config.

        ``ref`` is a full name with tag or digest. ``resolve_mode`` is ``default``, ``pull`` or
        ``local``. ``store`` names an OCI layout of the session, where ``ref`` must have a digest.
        Raises SolveFailedError, or UnsupportedError for a layout before v0.11.
        """
        if store and not self._info.has("source.ocilayout"):
            raise UnsupportedError(
                f"{self._info.address} cannot read OCI layouts",
                feature="source.ocilayout",
                since="v0.11",
                address=self._info.address,
            )
        message = gateway_pb2.ResolveImageConfigRequest(
            Ref=ref,
            Platform=platform_message(platform) if platform else None,
            ResolveMode=resolve_mode,
            LogName=log_name,
            ResolverType=_LAYOUT_RESOLVER if store else _REGISTRY_RESOLVER,
            SessionID=self._session if store else "",
            StoreID=store,
        )
        answer = self._bridge.call(LLBBridge.RESOLVE_IMAGE_CONFIG, message)
        return ResolvedImage(digest=answer.Digest, config=answer.Config, ref=answer.Ref)

    def solve(
        self,
        definition: bytes,
        *,
        evaluate: bool = True,
        cache_imports: Iterable[CacheOption] = (),
    ) -> Ref:
        """Build a serialised ``pb.Definition``; with ``evaluate`` wait until it is built.

        The daemon does not hand the request's own cache imports to a gateway build, so they are
        given here. Raises SolveFailedError with the failing vertex.
        """
        message = gateway_pb2.SolveRequest(
            Definition=ops_pb2.Definition.FromString(definition),
            allowResultReturn=True,
            allowResultArrayRef=self._info.has("proto.refarray"),
            Evaluate=evaluate and self._info.has("gateway.solve.evaluate"),
        )
        _import_caches(self._info, message, cache_imports)
        ref = _read_result(self._bridge.call(LLBBridge.SOLVE, message)).ref
        if evaluate and not message.Evaluate:
            self._make_eager(ref)
        return ref

    def return_result(
        self, result: Ref | Mapping[str, Ref], metadata: Mapping[str, bytes] | None = None
    ) -> None:
        """End the build with one tree, or with several by platform, which go to the exporters.

        With several, the metadata gain the table of platforms that exporters want. Raises
        SolveFailedError if the daemon does not take it.
        """
        refs = {"": result} if isinstance(result, Ref) else dict(result)
        told = dict(metadata or {})
        if not isinstance(result, Ref):
            told.setdefault(PLATFORMS_KEY, platform_table(refs))
        message = _spell_result(self._info, refs, one=isinstance(result, Ref))
        message.metadata.update(told)
        self._finish(gateway_pb2.ReturnRequest(result=message))

    def return_error(self, code: str, message: str) -> None:
        """End the build with an error; ``code`` is a gRPC status name such as ``UNKNOWN``."""
        number: int = grpc.StatusCode[code].value[0]
        error = status_pb2.Status(code=number, message=message)
        self._finish(gateway_pb2.ReturnRequest(error=error))

    def _finish(self, message: gateway_pb2.ReturnRequest) -> None:
        self._returned = True
        self._bridge.finish(message)

    def _make_eager(self, ref: Ref) -> None:
        """Up to v0.6 nothing is left to do; v0.7 builds when its files are looked at."""
        if ref.id and self._info.has("proto.refarray"):
            self._bridge.call(
                LLBBridge.STAT_FILE, gateway_pb2.StatFileRequest(Ref=ref.id, Path="/")
            )


PLATFORMS_KEY = "refs.platforms"


def config_key(platform: str = "") -> str:
    """The metadata key of an image config, for one of several platforms or for the only one."""
    return f"containerimage.config/{platform}" if platform else "containerimage.config"


def platform_table(platforms: Iterable[str]) -> bytes:
    """The value of ``refs.platforms`` (exporter/containerimage/exptypes, all releases)."""
    return json.dumps({"Platforms": [_table_entry(name) for name in platforms]}).encode()


def _table_entry(name: str) -> dict[str, object]:
    system, architecture, *variant = name.split("/", 2)
    platform = {"architecture": architecture, "os": system}
    if variant:
        platform["variant"] = variant[0]
    return {"ID": name, "Platform": platform}


def _spell_result(info: DaemonInfo, refs: Mapping[str, Ref], *, one: bool) -> gateway_pb2.Result:
    """A result in the daemon's spelling; v0.3 to v0.6 take the newer one for an empty tree."""
    arrays = info.has("proto.refarray")
    return _SPELLINGS[arrays, one]({name: ref.id for name, ref in refs.items()})


def _one_message(ids: Mapping[str, str]) -> gateway_pb2.Result:
    return gateway_pb2.Result(ref=gateway_pb2.Ref(id=ids[""]))


def _several_messages(ids: Mapping[str, str]) -> gateway_pb2.Result:
    refs = {name: gateway_pb2.Ref(id=id_) for name, id_ in ids.items()}
    return gateway_pb2.Result(refs=gateway_pb2.RefMap(refs=refs))


def _one_id(ids: Mapping[str, str]) -> gateway_pb2.Result:
    return gateway_pb2.Result(refDeprecated=ids[""])


def _several_ids(ids: Mapping[str, str]) -> gateway_pb2.Result:
    return gateway_pb2.Result(refsDeprecated=gateway_pb2.RefMapDeprecated(refs=ids))


# By (the daemon has ``proto.refarray``, there is only one tree).
_SPELLINGS: dict[tuple[bool, bool], Callable[[Mapping[str, str]], gateway_pb2.Result]] = {
    (True, True): _one_message,
    (True, False): _several_messages,
    (False, True): _one_id,
    (False, False): _several_ids,
}


def _read_result(answer: gateway_pb2.SolveResponse) -> Result:
    """A result in whichever of the four spellings the daemon used."""
    result = answer.result
    read = _READINGS[result.WhichOneof("result")]
    return Result(refs=read(result), metadata=dict(result.metadata))


def _ref(message: gateway_pb2.Ref) -> Ref:
    definition: ops_pb2.Definition = getattr(message, "def")
    return Ref(id=message.id, definition=definition.SerializeToString())


_READINGS: dict[str | None, Callable[[gateway_pb2.Result], dict[str, Ref]]] = {
    None: lambda result: {},
    "ref": lambda result: {"": _ref(result.ref)},
    "refs": lambda result: {name: _ref(ref) for name, ref in result.refs.refs.items()},
    "refDeprecated": lambda result: {"": Ref(id=result.refDeprecated)},
    "refsDeprecated": lambda result: {
        name: Ref(id=id_) for name, id_ in result.refsDeprecated.refs.items()
    },
}


def _import_caches(
    info: DaemonInfo, message: gateway_pb2.SolveRequest, imports: Iterable[CacheOption]
) -> None:
    if info.has("importcaches"):
        message.CacheImports.extend(
            gateway_pb2.CacheOptionsEntry(Type=cache.type, Attrs=dict(cache.attrs))
            for cache in imports
        )
    else:
        message.ImportCacheRefsDeprecated.extend(
            dialects.legacy_ref(info, cache) for cache in imports
        )
