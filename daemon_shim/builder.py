"""The gateway API as builder code sees it, the same on the control socket and in a container.

A builder is a function from a ``Client`` to a ``Result``. What a daemon lacks is done another way
where there is one, and refused by name where not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from daemon_shim import dialects, results
from daemon_shim.calls import Calls
from daemon_shim.container import Container, Mount, NetworkMode, new_container
from daemon_shim.decoding import platform_message
from daemon_shim.errors import SourceRange
from daemon_shim.info import DaemonInfo, Worker
from daemon_shim.reference import Reference
from daemon_shim.request import CacheOption, SolveRequest
from daemon_shim.results import Result
from schemas.pb import gateway_pb2, ops_pb2
from schemas.rpc import LLBBridge

_IMAGE = "docker-image://"
_REGISTRY_RESOLVER, _LAYOUT_RESOLVER = 0, 1


class Marshals(Protocol):
    """A graph in Python, which becomes a serialised ``pb.Definition`` for a daemon."""

    def marshal(self, *, platform: str, caps: frozenset[str]) -> bytes:
        """The definition for ``os/architecture[/variant]`` and a daemon with these capabilities."""


Graph: TypeAlias = bytes | Marshals
"""A graph to solve: serialised, or something that marshals itself."""


@dataclass(frozen=True, kw_only=True)
class Brief:
    """What a build was asked with.

    ``opts`` are the frontend's options, ``product`` names the software around it. ``inputs`` are
    serialised definitions by name, None where the daemon has them.
    """

    opts: Mapping[str, str] = field(default_factory=dict)
    session_id: str = ""
    product: str = ""
    workers: tuple[Worker, ...] = ()
    inputs: Mapping[str, bytes] | None = None


@dataclass(frozen=True, kw_only=True)
class ResolvedImage:
    """An image's manifest digest and its config as JSON.

    ``ref`` is the name that the daemon found it under, '' before v0.12.
    """

    digest: str
    config: bytes
    ref: str = ""


@dataclass(frozen=True, kw_only=True)
class ResolvedSource:
    """What is known of a source without fetching it.

    ``identifier`` and ``attrs`` are the source's own, as a policy may have changed them.
    ``digest`` is an image's manifest, a download's checksum or a repository's commit; '' where the
    daemon does not tell: repositories and downloads before v0.26. ``config`` is an image's.
    """

    identifier: str
    attrs: Mapping[str, str] = field(default_factory=dict)
    digest: str = ""
    config: bytes = b""
    ref: str = ""
    filename: str = ""


_GRAPHS = "gateway.solve.evaluate"
_FRONTENDS = "source.metaresolver"
"""With what a Solve can be asked to evaluate what it gives. What frontends make is not evaluated so
before v0.11 (solver/llbsolver/bridge.go); v0.11 and v0.12 end as a whole where a frontend gives
several trees (llbsolver/provenance.go). v0.13, the first with this capability, does it right.
"""


class Client:
    """The calls of one build. All methods may be used from several threads.

    They raise UnsupportedError for what the daemon lacks, SolveFailedError for what fails on it,
    LostConnectionError when it goes away, and CancelledError when the build is stopped.
    """

    def __init__(
        self, calls: Calls, brief: Brief, *, say: Callable[[str], None] = lambda text: None
    ) -> None:
        self._calls = calls
        self._brief = brief
        self._say = say

    @property
    def opts(self) -> Mapping[str, str]:
        """The options that the build was asked with."""
        return self._brief.opts

    @property
    def session_id(self) -> str:
        """The session that local sources, secrets and agents come from."""
        return self._brief.session_id

    @property
    def product(self) -> str:
        """The software that the build runs in, such as ``buildkit``; '' unknown."""
        return self._brief.product

    @property
    def workers(self) -> tuple[Worker, ...]:
        """The daemon's workers, the default one first."""
        return self._brief.workers

    @property
    def platform(self) -> str:
        """The default worker's platform, such as ``linux/amd64``."""
        first = (name for worker in self.workers[:1] for name in worker.platforms)
        return next(first, "linux/amd64")

    @property
    def info(self) -> DaemonInfo:
        """The daemon, as far as it tells."""
        return self._calls.info

    @property
    def capabilities(self) -> frozenset[str]:
        """What the daemon can do, of LLB and of the gateway, as it lists it."""
        return self._calls.info.llb_caps | self._calls.info.gateway_caps

    def solve(  # noqa: PLR0913 - each is a setting of its own, by name
        self,
        graph: Graph | None = None,
        *,
        frontend: str = "",
        opts: Mapping[str, str] | None = None,
        inputs: Mapping[str, Graph] | None = None,
        cache_imports: Iterable[CacheOption] = (),
        evaluate: bool = True,
        platform: str = "",
    ) -> Result:
        """Build a graph, or run a frontend such as ``dockerfile.v0`` or ``gateway.v0``.

        With ``evaluate`` it waits until all is built, on every release; without, a step may fail
        only when its files are looked at (v0.7 and later). ``platform`` is for a graph that is
        not serialised yet, and the default worker's without one. The daemon does not hand the
        cache imports of the whole build to its builder, so they are given with each solve.

        Raises SolveFailedError with the failing vertex, step and exit code.
        """
        if (graph is None) == (not frontend):
            raise ValueError("solve takes either a graph or a frontend")
        caches = tuple(cache_imports)
        message = gateway_pb2.SolveRequest(
            allowResultReturn=True,
            allowResultArrayRef=self._calls.has("proto.refarray"),
            Evaluate=evaluate and self._calls.has(_FRONTENDS if frontend else _GRAPHS),
        )
        if graph is not None:
            message.Definition.CopyFrom(self._definition(graph, platform))
        else:
            message.Frontend = frontend
            message.FrontendOpt.update({**(opts or {}), **self._cache_opts(caches)})
            self._add_inputs(message, inputs or {}, platform)
        self._import_caches(message, caches)
        result = results.read(self._calls, self._calls.call(LLBBridge.SOLVE, message).result)
        if graph is not None:
            result = self._with_definition(result, message.Definition)
        if evaluate and not message.Evaluate:
            for ref in result.refs.values():
                ref.evaluate()
        return result

    def resolve_image(
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
        if store:
            self._calls.require("source.ocilayout", "source from an OCI layout")
        message = gateway_pb2.ResolveImageConfigRequest(
            Ref=ref,
            Platform=platform_message(platform) if platform else None,
            ResolveMode=resolve_mode,
            LogName=log_name,
            ResolverType=_LAYOUT_RESOLVER if store else _REGISTRY_RESOLVER,
            SessionID=self.session_id if store else "",
            StoreID=store,
        )
        answer = self._calls.call(LLBBridge.RESOLVE_IMAGE_CONFIG, message)
        return ResolvedImage(digest=answer.Digest, config=answer.Config, ref=answer.Ref)

    def resolve_source(
        self,
        identifier: str,
        attrs: Mapping[str, str] | None = None,
        *,
        platform: str = "",
        resolve_mode: str = "",
        log_name: str = "",
    ) -> ResolvedSource:
        """Ask the daemon what a source is now, such as ``docker-image://`` or ``https://``.

        An image is resolved on every release, other sources from v0.13 (``source.metaresolver``).
        """
        if identifier.startswith(_IMAGE) and not self._calls.has("source.metaresolver"):
            image = self.resolve_image(
                identifier.removeprefix(_IMAGE),
                platform=platform,
                resolve_mode=resolve_mode,
                log_name=log_name,
            )
            return ResolvedSource(
                identifier=identifier,
                attrs=attrs or {},
                digest=image.digest,
                config=image.config,
                ref=image.ref,
            )
        self._calls.require("source.metaresolver", "resolver for this source")
        message = gateway_pb2.ResolveSourceMetaRequest(
            Source=ops_pb2.SourceOp(identifier=identifier, attrs=dict(attrs or {})),
            Platform=platform_message(platform) if platform else None,
            ResolveMode=resolve_mode,
            LogName=log_name,
        )
        answer = self._calls.call(LLBBridge.RESOLVE_SOURCE_META, message)
        return ResolvedSource(
            identifier=answer.Source.identifier,
            attrs=dict(answer.Source.attrs),
            digest=answer.Image.Digest or answer.HTTP.Checksum or answer.Git.Checksum,
            config=answer.Image.Config,
            ref=answer.Git.Ref,
            filename=answer.HTTP.Filename,
        )

    def inputs(self) -> Mapping[str, bytes]:
        """The graphs that the build was given, as serialised definitions by name.

        No build has any before v0.7 (``frontend.inputs``).
        """
        if self._brief.inputs is not None:
            return self._brief.inputs
        if not self._calls.has("frontend.inputs"):
            return {}
        answer = self._calls.call(LLBBridge.INPUTS, gateway_pb2.InputsRequest())
        return {name: each.SerializeToString() for name, each in answer.Definitions.items()}

    def warn(  # noqa: PLR0913 - each is a part of the warning, by name
        self,
        short: str,
        *,
        vertex: str = "",
        detail: Sequence[str] = (),
        url: str = "",
        level: int = 1,
        ranges: Sequence[SourceRange] = (),
    ) -> None:
        """Show a warning in the build's progress, with the vertex of this digest.

        Before v0.10 (``gateway.warnings``) it is written where the builder's own words go.
        """
        if not self._calls.has("gateway.warnings"):
            self._say("\n".join([f"warning: {short}", *detail, *([url] if url else [])]))
            return
        message = gateway_pb2.WarnRequest(
            digest=vertex,
            level=level,
            short=short.encode(),
            detail=[each.encode() for each in detail],
            url=url,
            ranges=[_range(each) for each in ranges],
        )
        if ranges:
            message.info.filename = ranges[0].file
        self._calls.call(LLBBridge.WARN, message)

    def new_container(  # noqa: PLR0913 - each is a setting of its own, by name
        self,
        mounts: Iterable[Mount],
        *,
        network: NetworkMode = "sandbox",
        hosts: Mapping[str, str] | None = None,
        hostname: str = "",
        platform: str = "",
        constraints: Sequence[str] = (),
    ) -> Container:
        """A container for processes in the trees of this build, from v0.8 on.

        One of the mounts is the root, ``/``. ``hosts`` are addresses by name (v0.10), and
        ``hostname`` is the container's (v0.12). ``platform`` is that of its programs, the daemon's
        own without one. ``constraints`` are filters for workers, which no release obeys. Raises
        UnsupportedError for what the daemon lacks, SolveFailedError where a tree cannot be built.
        """
        return new_container(
            self._calls,
            mounts,
            network=network,
            hosts=hosts,
            hostname=hostname,
            platform=platform,
            constraints=constraints,
        )

    # --- parts of a solve ----------------------------------------------------------------------

    def _definition(self, graph: Graph, platform: str) -> ops_pb2.Definition:
        if not isinstance(graph, bytes):
            caps = self._calls.info.llb_caps
            graph = graph.marshal(platform=platform or self.platform, caps=caps)
        definition = ops_pb2.Definition.FromString(graph)
        self._calls.remember(definition)
        return definition

    def _add_inputs(
        self, message: gateway_pb2.SolveRequest, inputs: Mapping[str, Graph], platform: str
    ) -> None:
        if inputs:
            self._calls.require("frontend.inputs", "inputs for frontends")
        for name, graph in inputs.items():
            message.FrontendInputs[name].CopyFrom(self._definition(graph, platform))

    def _cache_opts(self, caches: tuple[CacheOption, ...]) -> Mapping[str, str]:
        """Frontends take their caches from their options alone."""
        request = SolveRequest(ref="", session="", cache_imports=caches)
        return dialects.dialect_for(self._calls.info).frontend_imports(self._calls.info, request)

    def _import_caches(
        self, message: gateway_pb2.SolveRequest, caches: tuple[CacheOption, ...]
    ) -> None:
        """A list of registry refs in v0.3, entries from v0.4 (``importcaches``)."""
        info = self._calls.info
        if self._calls.has("importcaches"):
            message.CacheImports.extend(
                gateway_pb2.CacheOptionsEntry(Type=cache.type, Attrs=dict(cache.attrs))
                for cache in caches
            )
        else:
            message.ImportCacheRefsDeprecated.extend(
                dialects.legacy_ref(info, cache) for cache in caches
            )

    def _with_definition(self, result: Result, definition: ops_pb2.Definition) -> Result:
        """Daemons before v0.7 do not send the definition back, which is the one just sent."""
        refs: dict[str, Reference] = {
            name: ref
            if ref.definition or not ref.id
            else Reference(ref.id, definition.SerializeToString(), self._calls)
            for name, ref in result.refs.items()
        }
        return Result(refs=refs, metadata=result.metadata, attestations=result.attestations)


Builder: TypeAlias = Callable[[Client], Result]


def _range(place: SourceRange) -> ops_pb2.Range:
    return ops_pb2.Range(
        start=ops_pb2.Position(line=place.start_line, character=place.start_character),
        end=ops_pb2.Position(line=place.end_line, character=place.end_character),
    )
