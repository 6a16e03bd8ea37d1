"""The calls of the protocol, as rows: path, messages, kind of stream, first release.

Calls go by path through gRPC's generic interface, so there are no generated service stubs. The
rows are typed: a function taking ``Rpc[Req, Res]`` knows what it sends and gets. Importing this
module loads the protobuf runtime; import it where calls are made, not where a command starts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from schemas.pb import auth_pb2 as auth
from schemas.pb import content_pb2 as content
from schemas.pb import control_pb2 as control
from schemas.pb import filesync_pb2 as filesync
from schemas.pb import fsutil_pb2 as fsutil
from schemas.pb import gateway_pb2 as gateway
from schemas.pb import health_pb2 as health
from schemas.pb import secrets_pb2 as secrets
from schemas.pb import sshforward_pb2 as sshforward
from schemas.pb import upload_pb2 as upload

Kind = Literal["unary", "server-stream", "bidi"]
Req = TypeVar("Req", bound=Message)
Res = TypeVar("Res", bound=Message)


@dataclass(frozen=True, kw_only=True)
class Rpc(Generic[Req, Res]):
    """One call.

    ``path`` is the HTTP/2 path, such as /moby.buildkit.v1.Control/Solve. ``since`` is the first
    release read that has the call; one patch release of each minor was read, from v0.3.3 on.
    """

    path: str
    request: type[Req]
    response: type[Res]
    kind: Kind
    since: str


def _unary(path: str, request: type[Req], response: type[Res], since: str) -> Rpc[Req, Res]:
    return Rpc(path=path, request=request, response=response, kind="unary", since=since)


def _server_stream(path: str, request: type[Req], response: type[Res], since: str) -> Rpc[Req, Res]:
    return Rpc(path=path, request=request, response=response, kind="server-stream", since=since)


def _bidi(path: str, request: type[Req], response: type[Res], since: str) -> Rpc[Req, Res]:
    return Rpc(path=path, request=request, response=response, kind="bidi", since=since)


_CONTROL = "/moby.buildkit.v1.Control"
_BRIDGE = "/moby.buildkit.v1.frontend.LLBBridge"
_AUTH = "/moby.filesync.v1.Auth"
_CONTENT = "/containerd.services.content.v1.Content"


class Control:
    """The front door, on the daemon's socket (api/services/control, all releases)."""

    DISK_USAGE = _unary(
        _CONTROL + "/DiskUsage", control.DiskUsageRequest, control.DiskUsageResponse, "v0.3.3"
    )
    INFO = _unary(_CONTROL + "/Info", control.InfoRequest, control.InfoResponse, "v0.11.6")
    LIST_WORKERS = _unary(
        _CONTROL + "/ListWorkers", control.ListWorkersRequest, control.ListWorkersResponse, "v0.3.3"
    )
    LISTEN_BUILD_HISTORY = _server_stream(
        _CONTROL + "/ListenBuildHistory",
        control.BuildHistoryRequest,
        control.BuildHistoryEvent,
        "v0.11.6",
    )
    PRUNE = _server_stream(_CONTROL + "/Prune", control.PruneRequest, control.UsageRecord, "v0.3.3")
    SESSION = _bidi(_CONTROL + "/Session", control.BytesMessage, control.BytesMessage, "v0.3.3")
    SOLVE = _unary(_CONTROL + "/Solve", control.SolveRequest, control.SolveResponse, "v0.3.3")
    STATUS = _server_stream(
        _CONTROL + "/Status", control.StatusRequest, control.StatusResponse, "v0.3.3"
    )
    UPDATE_BUILD_HISTORY = _unary(
        _CONTROL + "/UpdateBuildHistory",
        control.UpdateBuildHistoryRequest,
        control.UpdateBuildHistoryResponse,
        "v0.11.6",
    )


class LLBBridge:
    """A build steered call by call; on the socket with the build id in the metadata."""

    EVALUATE = _unary(
        _BRIDGE + "/Evaluate", gateway.EvaluateRequest, gateway.EvaluateResponse, "v0.11.6"
    )
    EXEC_PROCESS = _bidi(
        _BRIDGE + "/ExecProcess", gateway.ExecMessage, gateway.ExecMessage, "v0.8.3"
    )
    INPUTS = _unary(_BRIDGE + "/Inputs", gateway.InputsRequest, gateway.InputsResponse, "v0.7.2")
    NEW_CONTAINER = _unary(
        _BRIDGE + "/NewContainer",
        gateway.NewContainerRequest,
        gateway.NewContainerResponse,
        "v0.8.3",
    )
    PING = _unary(_BRIDGE + "/Ping", gateway.PingRequest, gateway.PongResponse, "v0.3.3")
    READ_DIR = _unary(
        _BRIDGE + "/ReadDir", gateway.ReadDirRequest, gateway.ReadDirResponse, "v0.3.3"
    )
    READ_DIR_CONTAINER = _unary(
        _BRIDGE + "/ReadDirContainer", gateway.ReadDirRequest, gateway.ReadDirResponse, "v0.27.1"
    )
    READ_FILE = _unary(
        _BRIDGE + "/ReadFile", gateway.ReadFileRequest, gateway.ReadFileResponse, "v0.3.3"
    )
    READ_FILE_CONTAINER = _unary(
        _BRIDGE + "/ReadFileContainer", gateway.ReadFileRequest, gateway.ReadFileResponse, "v0.27.1"
    )
    RELEASE_CONTAINER = _unary(
        _BRIDGE + "/ReleaseContainer",
        gateway.ReleaseContainerRequest,
        gateway.ReleaseContainerResponse,
        "v0.8.3",
    )
    RESOLVE_IMAGE_CONFIG = _unary(
        _BRIDGE + "/ResolveImageConfig",
        gateway.ResolveImageConfigRequest,
        gateway.ResolveImageConfigResponse,
        "v0.3.3",
    )
    RESOLVE_SOURCE_META = _unary(
        _BRIDGE + "/ResolveSourceMeta",
        gateway.ResolveSourceMetaRequest,
        gateway.ResolveSourceMetaResponse,
        "v0.13.2",
    )
    RETURN = _unary(_BRIDGE + "/Return", gateway.ReturnRequest, gateway.ReturnResponse, "v0.3.3")
    SOLVE = _unary(_BRIDGE + "/Solve", gateway.SolveRequest, gateway.SolveResponse, "v0.3.3")
    STAT_FILE = _unary(
        _BRIDGE + "/StatFile", gateway.StatFileRequest, gateway.StatFileResponse, "v0.3.3"
    )
    STAT_FILE_CONTAINER = _unary(
        _BRIDGE + "/StatFileContainer", gateway.StatFileRequest, gateway.StatFileResponse, "v0.27.1"
    )
    WARN = _unary(_BRIDGE + "/Warn", gateway.WarnRequest, gateway.WarnResponse, "v0.10.6")


class Health:
    """Served by the session, which ends without it; by the daemon's socket since v0.13."""

    CHECK = _unary(
        "/grpc.health.v1.Health/Check",
        health.HealthCheckRequest,
        health.HealthCheckResponse,
        "v0.3.3",
    )


class FileSync:
    """Served by the session: the daemon reads a folder of the client."""

    # Declared with BytesMessage up to v0.8.3; Packet is what was sent (session/filesync).
    DIFF_COPY = _bidi("/moby.filesync.v1.FileSync/DiffCopy", fsutil.Packet, fsutil.Packet, "v0.3.3")


class FileSend:
    """Served by the session: an exporter writes to the client.

    One path, two contents: exporters that send a file (tar, oci, docker) use FILE, the local
    exporter uses TREE. Nothing in the call itself tells them apart (exporter/local, all releases).
    """

    FILE = _bidi(
        "/moby.filesync.v1.FileSend/DiffCopy",
        filesync.BytesMessage,
        filesync.BytesMessage,
        "v0.3.3",
    )
    TREE = _bidi("/moby.filesync.v1.FileSend/DiffCopy", fsutil.Packet, fsutil.Packet, "v0.3.3")


class Auth:
    """Served by the session: registry credentials and tokens."""

    CREDENTIALS = _unary(
        _AUTH + "/Credentials", auth.CredentialsRequest, auth.CredentialsResponse, "v0.3.3"
    )
    FETCH_TOKEN = _unary(
        _AUTH + "/FetchToken", auth.FetchTokenRequest, auth.FetchTokenResponse, "v0.8.3"
    )
    GET_TOKEN_AUTHORITY = _unary(
        _AUTH + "/GetTokenAuthority",
        auth.GetTokenAuthorityRequest,
        auth.GetTokenAuthorityResponse,
        "v0.8.3",
    )
    VERIFY_TOKEN_AUTHORITY = _unary(
        _AUTH + "/VerifyTokenAuthority",
        auth.VerifyTokenAuthorityRequest,
        auth.VerifyTokenAuthorityResponse,
        "v0.8.3",
    )


class Secrets:
    """Served by the session: the values of secrets."""

    GET_SECRET = _unary(
        "/moby.buildkit.secrets.v1.Secrets/GetSecret",
        secrets.GetSecretRequest,
        secrets.GetSecretResponse,
        "v0.3.3",
    )


class SSH:
    """Served by the session: SSH agents."""

    CHECK_AGENT = _unary(
        "/moby.sshforward.v1.SSH/CheckAgent",
        sshforward.CheckAgentRequest,
        sshforward.CheckAgentResponse,
        "v0.3.3",
    )
    FORWARD_AGENT = _bidi(
        "/moby.sshforward.v1.SSH/ForwardAgent",
        sshforward.BytesMessage,
        sshforward.BytesMessage,
        "v0.3.3",
    )


class Upload:
    """Served by the session: streams read as the source of an http operation."""

    PULL = _bidi("/moby.upload.v1.Upload/Pull", upload.BytesMessage, upload.BytesMessage, "v0.5.1")


class Content:
    """Served by the session for local caches and layouts, and by the daemon (reading only) for
    the blobs of its build history since v0.11.
    """

    ABORT = _unary(_CONTENT + "/Abort", content.AbortRequest, Empty, "v0.3.3")
    DELETE = _unary(_CONTENT + "/Delete", content.DeleteContentRequest, Empty, "v0.3.3")
    INFO = _unary(_CONTENT + "/Info", content.InfoRequest, content.InfoResponse, "v0.3.3")
    LIST = _server_stream(
        _CONTENT + "/List", content.ListContentRequest, content.ListContentResponse, "v0.3.3"
    )
    LIST_STATUSES = _unary(
        _CONTENT + "/ListStatuses",
        content.ListStatusesRequest,
        content.ListStatusesResponse,
        "v0.3.3",
    )
    READ = _server_stream(
        _CONTENT + "/Read", content.ReadContentRequest, content.ReadContentResponse, "v0.3.3"
    )
    STATUS = _unary(_CONTENT + "/Status", content.StatusRequest, content.StatusResponse, "v0.3.3")
    UPDATE = _unary(_CONTENT + "/Update", content.UpdateRequest, content.UpdateResponse, "v0.3.3")
    WRITE = _bidi(
        _CONTENT + "/Write", content.WriteContentRequest, content.WriteContentResponse, "v0.3.3"
    )


_SERVICES: tuple[type, ...] = (
    Control,
    LLBBridge,
    Health,
    FileSync,
    FileSend,
    Auth,
    Secrets,
    SSH,
    Upload,
    Content,
)
ALL: tuple[Rpc[Any, Any], ...] = tuple(
    row for service in _SERVICES for row in vars(service).values() if isinstance(row, Rpc)
)
"""Every row, in the order above."""
