"""A container of the gateway: processes in the trees of a build, without a step of its graph.

Since v0.8 (``gateway.exec``). What came later is refused by name before: extra hosts, signals and
insecure processes with v0.10, host names and secrets in the environment with v0.12.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, TypeAlias

from daemon_shim.calls import Calls
from daemon_shim.decoding import platform_message
from daemon_shim.errors import DaemonError, SolveFailedError
from daemon_shim.process import Input, Process, Writes
from daemon_shim.reference import SCRATCH, Reference
from schemas.pb import gateway_pb2, ops_pb2
from schemas.rpc import LLBBridge

MountType: TypeAlias = Literal["bind", "cache", "tmpfs", "secret", "ssh"]
Sharing: TypeAlias = Literal["shared", "private", "locked"]
NetworkMode: TypeAlias = Literal["sandbox", "host", "none"]
SecurityMode: TypeAlias = Literal["sandbox", "insecure"]

# Neither has a capability of its own; each came with the release of this one
# (frontend/gateway/gateway.go: InitMessage.Security was not read before v0.10).
INSECURE = "gateway.exec.signals"
HOSTNAME = "gateway.exec.secretenv"


@dataclass(frozen=True, kw_only=True)
class Mount:
    """What a container has at ``target``, an absolute path.

    ``tree`` is what is there, or what a new cache begins with: a Reference, its id, or the empty
    tree; ``selector`` is a path in it. What a process writes to a tree is thrown away with the
    container. ``id`` names a cache, a secret or an agent. ``uid``, ``gid``, ``mode`` (None for the
    usual) and ``optional`` are of secrets and agents.
    """

    target: str
    tree: Reference | str = SCRATCH
    type: MountType = "bind"
    selector: str = ""
    readonly: bool = False
    id: str = ""
    sharing: Sharing = "shared"
    uid: int = 0
    gid: int = 0
    mode: int | None = None
    optional: bool = False


class Container:
    """A container, from ``Client.new_container``. To be released; as a context it is.

    Its first process is the one that all others end with. Each ``exec`` raises UnsupportedError
    for what the daemon lacks, SolveFailedError where the process cannot be started.
    """

    def __init__(self, calls: Calls, id_: str) -> None:
        self._calls = calls
        self._id = id_
        self._released = False
        calls.at_end[id_] = self.release

    def __enter__(self) -> Container:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.release()
        except DaemonError:
            if error is None:
                raise

    def exec(  # noqa: PLR0913 -- each is a setting of its own, by name
        self,
        args: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str = "",
        user: str = "",
        stdin: Input | None = None,
        stdout: Writes | None = None,
        stderr: Writes | None = None,
        tty: bool = False,
        security: SecurityMode = "sandbox",
        secret_env: Mapping[str, str] | None = None,
    ) -> Process:
        """Start a process; ``wait`` for it to move its input and output.

        ``stdin`` is bytes, a file, or pieces as they come, and ends with them; None is an empty
        one. What nothing is given for is thrown away. With ``tty`` both outputs come as one, in
        ``stdout``. ``secret_env`` has ids of secrets by the names of variables, from v0.12 on.
        """
        if self._released:
            # The daemon would not answer (ExecProcess waits for our side to end, in all releases).
            raise SolveFailedError("the container was released", code="NOT_FOUND")
        if security == "insecure":
            self._calls.require(INSECURE, "insecure processes in containers")
        if secret_env:
            self._calls.require("gateway.exec.secretenv", "secrets in a process's environment")
        message = gateway_pb2.InitMessage(
            ContainerID=self._id,
            Meta=ops_pb2.Meta(
                args=args,
                env=[f"{name}={value}" for name, value in (env or {}).items()],
                cwd=cwd,
                user=user,
            ),
            Tty=tty,
            Security=_SECURITY[security],
            secretenv=[
                ops_pb2.SecretEnv(ID=id_, name=name) for name, id_ in (secret_env or {}).items()
            ],
        )
        return Process(self._calls, message, stdin=stdin, outputs={1: stdout, 2: stderr})

    def release(self) -> None:
        """End the container with all that runs in it. Harmless when that was done.

        Raises a DaemonError where the daemon cannot be told.
        """
        if self._released:
            return
        self._released = True
        self._calls.at_end.pop(self._id, None)
        message = gateway_pb2.ReleaseContainerRequest(ContainerID=self._id)
        try:
            self._calls.call(LLBBridge.RELEASE_CONTAINER, message, blame=False)
        except SolveFailedError:
            # It is gone all the same: the daemon says once more how its processes ended.
            return


def new_container(  # noqa: PLR0913 -- as ``Client.new_container``
    calls: Calls,
    mounts: Iterable[Mount],
    *,
    network: NetworkMode = "sandbox",
    hosts: Mapping[str, str] | None = None,
    hostname: str = "",
    platform: str = "",
    constraints: Sequence[str] = (),
) -> Container:
    """As ``Client.new_container``."""
    calls.require("gateway.exec", "containers for builders")
    if hosts:
        calls.require("gateway.exec.extrahosts", "extra hosts in containers")
    if hostname:
        calls.require(HOSTNAME, "host names of containers")
    message = gateway_pb2.NewContainerRequest(
        ContainerID=uuid.uuid4().hex,
        Mounts=map(_mount, mounts),
        Network=_NETWORK[network],
        platform=platform_message(platform) if platform else None,
        constraints=ops_pb2.WorkerConstraints(filter=constraints) if constraints else None,
        extraHosts=[ops_pb2.HostIP(Host=host, IP=ip) for host, ip in (hosts or {}).items()],
        hostname=hostname,
    )
    calls.call(LLBBridge.NEW_CONTAINER, message)
    return Container(calls, message.ContainerID)


_NETWORK: Mapping[NetworkMode, ops_pb2.NetMode] = {
    "sandbox": ops_pb2.UNSET,
    "host": ops_pb2.HOST,
    "none": ops_pb2.NONE,
}
_SECURITY: Mapping[SecurityMode, ops_pb2.SecurityMode] = {
    "sandbox": ops_pb2.SANDBOX,
    "insecure": ops_pb2.INSECURE,
}
_TYPES: Mapping[MountType, ops_pb2.MountType] = {
    "bind": ops_pb2.BIND,
    "cache": ops_pb2.CACHE,
    "tmpfs": ops_pb2.TMPFS,
    "secret": ops_pb2.SECRET,
    "ssh": ops_pb2.SSH,
}
_MODES: Mapping[MountType, int] = {"secret": 0o400, "ssh": 0o600}
_SHARING: Mapping[Sharing, ops_pb2.CacheSharingOpt] = {
    "shared": ops_pb2.SHARED,
    "private": ops_pb2.PRIVATE,
    "locked": ops_pb2.LOCKED,
}


def _mount(mount: Mount) -> ops_pb2.Mount:
    if mount.readonly and mount.target == "/":
        raise ValueError("the root of a container is always writable")
    message = ops_pb2.Mount(
        dest=mount.target,
        mountType=_TYPES[mount.type],
        selector=mount.selector,
        readonly=mount.readonly,
        resultID=mount.tree if isinstance(mount.tree, str) else mount.tree.id,
    )
    if mount.type == "cache":
        message.cacheOpt.ID = mount.id
        message.cacheOpt.sharing = _SHARING[mount.sharing]
    elif mount.type in ("secret", "ssh"):
        options = message.secretOpt if mount.type == "secret" else message.SSHOpt
        options.ID, options.uid, options.gid = mount.id, mount.uid, mount.gid
        options.mode = _MODES[mount.type] if mount.mode is None else mount.mode
        options.optional = mount.optional
    return message
