"""What a process finds where a build is looked at: its trees, and how it runs there.

Either a result with its image config, or a step that failed, as it was at that moment: from v0.8 on
the error names the trees of its mounts (errdefs.Solve), which a container can take. The engine
20.10 has containers, but names none: there the step's files are as they were before it.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from daemon_shim import releases
from daemon_shim.container import (
    HOSTNAME,
    INSECURE,
    Mount,
    MountType,
    NetworkMode,
    SecurityMode,
    Sharing,
)
from daemon_shim.errors import SolveFailedError
from daemon_shim.info import DaemonInfo
from daemon_shim.reference import SCRATCH, Reference
from schemas.pb import ops_pb2

SHELL = ("/bin/sh",)
_CHANGES = "changes to files (the daemon does not hand them on)"


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What a process finds. ``what`` says where that is, ``shell`` is the one for people there.

    ``args`` are those of the step that failed. ``lacks`` names what a container cannot have of it.
    """

    what: str
    mounts: tuple[Mount, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str = "/"
    user: str = ""
    shell: tuple[str, ...] = SHELL
    args: tuple[str, ...] = ()
    network: NetworkMode = "sandbox"
    hosts: Mapping[str, str] = field(default_factory=dict)
    hostname: str = ""
    security: SecurityMode = "sandbox"
    secret_env: Mapping[str, str] = field(default_factory=dict)
    lacks: tuple[str, ...] = ()


def of_tree(what: str, tree: Reference, image_config: bytes) -> Scene:
    """A result, where processes run as in its image; the config is JSON."""
    config = json.loads(image_config).get("config") or {}
    return Scene(
        what=what,
        mounts=(Mount(target="/", tree=tree),),
        env=_environment(config.get("Env") or ()),
        cwd=config.get("WorkingDir") or "/",
        user=config.get("User") or "",
        shell=_program(config.get("Shell") or ()) or SHELL,
    )


def of_failure(
    what: str,
    error: SolveFailedError,
    definition: bytes,
    image_config: bytes,
    solve: Callable[[bytes], Reference],
) -> Scene | None:
    """Where a step of a serialised definition failed; None for one that is no place for a process.

    A step that runs nothing is shown as it was before, with the image config of the result.
    ``solve`` gives the tree of a definition, for what the error does not name.
    """
    graph = ops_pb2.Definition.FromString(definition)
    ops = {_digest(data): ops_pb2.Op.FromString(data) for data in getattr(graph, "def")}
    op = ops.get(error.vertex, ops_pb2.Op())
    kind = op.WhichOneof("op")

    def tree(index: int) -> Reference:
        has = 0 <= index < len(op.inputs)
        return solve(_headed(graph, op.inputs[index])) if has else SCRATCH

    def before(index: int) -> Scene:
        return of_tree(f"{what}, before that step", tree(index), image_config)

    if kind == "file":
        return before(op.file.actions[0].input)
    if kind != "exec":
        return None
    made = next((each for each in op.exec.mounts if each.output == 0), ops_pb2.Mount(dest="/"))
    if made.dest != "/":  # done by a helper program, which has a root of its own
        return before(made.input)
    ids = dict(enumerate(error.mounts))
    mounts = (_mount(each, ids.get(number, ""), tree) for number, each in enumerate(op.exec.mounts))
    scene = _of_process(what, op.exec, tuple(mounts), graph.metadata[error.vertex])
    return scene if any(error.mounts) else replace(scene, lacks=(_CHANGES, *scene.lacks))


def fitted(scene: Scene, info: DaemonInfo) -> Scene:
    """The scene as this daemon's containers have it; what they cannot is in ``lacks``."""
    lacks = list(scene.lacks)
    for later in _LATER:
        if not later.is_in(scene) or info.has(later.capability):
            continue
        since = releases.since(later.capability)
        lacks.append(f"{later.what} (needs BuildKit {releases.text(since) if since else ''})")
        scene = later.taken_from(scene)
    return replace(scene, lacks=tuple(lacks))


@dataclass(frozen=True, kw_only=True)
class _Later:
    """What not all releases' containers have."""

    what: str
    capability: str
    is_in: Callable[[Scene], bool]
    taken_from: Callable[[Scene], Scene]


_LATER = (
    _Later(
        what="hosts",
        capability="gateway.exec.extrahosts",
        is_in=lambda scene: bool(scene.hosts),
        taken_from=lambda scene: replace(scene, hosts={}),
    ),
    _Later(
        what="hostname",
        capability=HOSTNAME,
        is_in=lambda scene: bool(scene.hostname),
        taken_from=lambda scene: replace(scene, hostname=""),
    ),
    _Later(
        what="security: insecure",
        capability=INSECURE,
        is_in=lambda scene: scene.security == "insecure",
        taken_from=lambda scene: replace(scene, security="sandbox"),
    ),
    _Later(
        what="secrets as variables",
        capability="gateway.exec.secretenv",
        is_in=lambda scene: bool(scene.secret_env),
        taken_from=lambda scene: replace(scene, secret_env={}),
    ),
)
_NETWORKS: Mapping[int, NetworkMode] = {
    ops_pb2.UNSET: "sandbox",
    ops_pb2.HOST: "host",
    ops_pb2.NONE: "none",
}
_TYPES: Mapping[int, MountType] = {
    ops_pb2.BIND: "bind",
    ops_pb2.CACHE: "cache",
    ops_pb2.TMPFS: "tmpfs",
    ops_pb2.SECRET: "secret",
    ops_pb2.SSH: "ssh",
}
_SHARING: Mapping[int, Sharing] = {
    ops_pb2.SHARED: "shared",
    ops_pb2.PRIVATE: "private",
    ops_pb2.LOCKED: "locked",
}


def _of_process(
    what: str, process: ops_pb2.ExecOp, mounts: tuple[Mount, ...], metadata: ops_pb2.OpMetadata
) -> Scene:
    meta = process.meta
    return Scene(
        what=what,
        mounts=mounts,
        env=_environment(meta.env),
        cwd=meta.cwd,
        user=meta.user,
        shell=shell_of(meta.args),
        args=tuple(meta.args),
        network=_NETWORKS.get(process.network, "sandbox"),
        hosts={each.Host: each.IP for each in meta.extraHosts},
        hostname=meta.hostname,
        security="insecure" if process.security == ops_pb2.INSECURE else "sandbox",
        secret_env={each.name: each.ID for each in process.secretenv},
        lacks=tuple(name for name, there in _never(process, metadata).items() if there),
    )


def _never(process: ops_pb2.ExecOp, metadata: ops_pb2.OpMetadata) -> Mapping[str, object]:
    """What no release's containers have (NewContainer and Init know no such field)."""
    return {
        "ulimits": process.meta.ulimit,
        "devices": process.cdiDevices,
        "resources": metadata.HasField("linux_resources"),
        "size of a tmpfs": any(each.TmpfsOpt.size for each in process.mounts),
    }


def shell_of(args: Sequence[str]) -> tuple[str, ...]:
    """The shell that a script ran in: ``SHELL ... -c SCRIPT``."""
    is_script = len(args) > 2 and args[-2].startswith("-") and args[-2].endswith("c")
    return _program(args) if is_script else SHELL


def _program(words: Sequence[str]) -> tuple[str, ...]:
    """What is before the options."""
    return tuple(itertools.takewhile(lambda word: not word.startswith("-"), words))


def _mount(mount: ops_pb2.Mount, id_: str, tree: Callable[[int], Reference]) -> Mount:
    """A mount of a step; its tree is that of the failure, or what it began with.

    A cache is found by what it began with, too, not by what the step has made of it.
    """
    type_ = _TYPES[mount.mountType]
    has_tree = type_ in ("bind", "cache")
    options = mount.SSHOpt if type_ == "ssh" else mount.secretOpt
    return Mount(
        target=mount.dest,
        tree=(id_ if type_ == "bind" and id_ else tree(mount.input)) if has_tree else SCRATCH,
        type=type_,
        selector=mount.selector,
        readonly=mount.readonly and mount.dest != "/",
        id=mount.cacheOpt.ID or options.ID,
        sharing=_SHARING[mount.cacheOpt.sharing],
        uid=options.uid,
        gid=options.gid,
        mode=options.mode,
        optional=options.optional,
    )


def _headed(graph: ops_pb2.Definition, head: ops_pb2.Input) -> bytes:
    """The definition of another vertex of a graph."""
    changed = ops_pb2.Definition()
    changed.CopyFrom(graph)
    ops = getattr(changed, "def")
    last = ops.pop()
    ops.append(ops_pb2.Op(inputs=[head]).SerializeToString(deterministic=True))
    changed.metadata[_digest(ops[-1])].CopyFrom(graph.metadata[_digest(last)])
    return changed.SerializeToString(deterministic=True)


def _digest(op: bytes) -> str:
    return f"sha256:{hashlib.sha256(op).hexdigest()}"


def _environment(pairs: Iterable[str]) -> Mapping[str, str]:
    return {name: value for name, _, value in (each.partition("=") for each in pairs)}
