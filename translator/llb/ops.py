"""Payloads to protobuf messages, by a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from schemas.pb import ops_pb2 as pb
from translator.llb.graph import (
    NONE,
    CacheDir,
    CopyFiles,
    DiffOp,
    ExecMount,
    ExecOp,
    FileChange,
    FileOp,
    MakeDir,
    MakeFile,
    MakeSymlink,
    MemoryDir,
    MergeOp,
    Owner,
    Payload,
    RemovePath,
    SessionFile,
    SourceOp,
    TreeMount,
)

_NETWORKS = {"sandbox": pb.UNSET, "host": pb.HOST, "none": pb.NONE}
_SECURITY = {"sandbox": pb.SANDBOX, "insecure": pb.INSECURE}
_SHARING = {"shared": pb.SHARED, "private": pb.PRIVATE, "locked": pb.LOCKED}
# Times are kept or left to the daemon: 0 would be the year 1970.
_NO_TIME = -1
_KEEP_MODE = -1


def body(payload: Payload) -> pb.Op:
    """An Op with nothing but the message of its kind."""
    return _BODIES[type(payload)](payload)


def _source(op: SourceOp) -> pb.Op:
    return pb.Op(source=pb.SourceOp(identifier=op.identifier, attrs=dict(op.attrs)))


# --- processes -------------------------------------------------------------------------------


def _exec(op: ExecOp) -> pb.Op:
    meta = pb.Meta(
        args=op.args,
        env=op.env,
        cwd=op.cwd,
        user=op.user,
        hostname=op.hostname,
        validExitCodes=op.valid_exit_codes,
    )
    if op.hosts:
        meta.extraHosts.extend(pb.HostIP(Host=host, IP=ip) for host, ip in op.hosts)
    if op.ulimits:
        meta.ulimit.extend(pb.Ulimit(Name=u.name, Soft=u.soft, Hard=u.hard) for u in op.ulimits)
    message = pb.ExecOp(
        meta=meta,
        mounts=[_MOUNTS[type(mount)](mount) for mount in op.mounts],
        network=_NETWORKS[op.network],
        security=_SECURITY[op.security],
    )
    for secret in op.secret_env:
        message.secretenv.add(ID=secret.id, name=secret.name, optional=secret.optional)
    for device in op.devices:
        message.cdiDevices.add(name=device.name, optional=device.optional)
    return pb.Op(exec=message)


def _tree_mount(mount: TreeMount) -> pb.Mount:
    return pb.Mount(
        input=mount.input,
        selector=mount.selector,
        dest=mount.target,
        output=mount.output,
        readonly=mount.readonly,
        contentCache=pb.DEFAULT if mount.hashed else pb.OFF,
    )


def _cache_mount(mount: CacheDir) -> pb.Mount:
    return pb.Mount(
        input=mount.input,
        selector=mount.selector,
        dest=mount.target,
        output=NONE,
        mountType=pb.CACHE,
        cacheOpt=pb.CacheOpt(ID=mount.id, sharing=_SHARING[mount.sharing]),
    )


def _memory_mount(mount: MemoryDir) -> pb.Mount:
    size = pb.TmpfsOpt(size=mount.size) if mount.size else None
    return pb.Mount(input=NONE, dest=mount.target, output=NONE, mountType=pb.TMPFS, TmpfsOpt=size)


def _session_mount(mount: SessionFile) -> pb.Mount:
    values: dict[str, Any] = {
        "ID": mount.id,
        "uid": mount.uid,
        "gid": mount.gid,
        "mode": mount.mode,
        "optional": mount.optional,
    }
    if mount.kind == "ssh":
        kind: dict[str, Any] = {"mountType": pb.SSH, "SSHOpt": pb.SSHOpt(**values)}
    else:
        kind = {"mountType": pb.SECRET, "secretOpt": pb.SecretOpt(**values)}
    return pb.Mount(input=NONE, dest=mount.target, output=NONE, **kind)


_MOUNTS: Mapping[type[ExecMount], Callable[[Any], pb.Mount]] = {
    TreeMount: _tree_mount,
    CacheDir: _cache_mount,
    MemoryDir: _memory_mount,
    SessionFile: _session_mount,
}


# --- changes to trees ------------------------------------------------------------------------


def _file(op: FileOp) -> pb.Op:
    inputs = 1 + max(op.base, op.origin)
    last = len(op.changes) - 1
    actions = []
    for number, change in enumerate(op.changes):
        action = _CHANGES[type(change)](change)
        # Behind the inputs of the op, the trees that earlier changes made are counted.
        action.input = op.base if number == 0 else inputs + number - 1
        action.secondaryInput = op.origin if isinstance(change, CopyFiles) else NONE
        action.output = 0 if number == last else NONE
        actions.append(action)
    return pb.Op(file=pb.FileOp(actions=actions))


def _copy(change: CopyFiles) -> pb.FileAction:
    return pb.FileAction(
        copy=pb.FileActionCopy(
            src=change.source,
            dest=change.target,
            owner=_owner(change.owner),
            mode=change.mode if isinstance(change.mode, int) else _KEEP_MODE,
            modeStr=change.mode if isinstance(change.mode, str) else "",
            followSymlink=change.follow_symlinks,
            dirCopyContents=change.contents,
            attemptUnpackDockerCompatibility=change.unpack,
            createDestPath=True,
            allowWildcard=True,
            timestamp=_NO_TIME,
            include_patterns=change.include,
            exclude_patterns=change.exclude,
            required_paths=change.required,
        )
    )


def _mkfile(change: MakeFile) -> pb.FileAction:
    return pb.FileAction(
        mkfile=pb.FileActionMkFile(
            path=change.path,
            mode=change.mode,
            data=change.data,
            owner=_owner(change.owner),
            timestamp=_NO_TIME,
        )
    )


def _mkdir(change: MakeDir) -> pb.FileAction:
    return pb.FileAction(
        mkdir=pb.FileActionMkDir(
            path=change.path,
            mode=change.mode,
            makeParents=change.parents,
            owner=_owner(change.owner),
            timestamp=_NO_TIME,
        )
    )


def _remove(change: RemovePath) -> pb.FileAction:
    return pb.FileAction(
        rm=pb.FileActionRm(
            path=change.path, allowNotFound=change.missing_ok, allowWildcard=change.wildcard
        )
    )


def _symlink(change: MakeSymlink) -> pb.FileAction:
    return pb.FileAction(
        symlink=pb.FileActionSymlink(
            oldpath=change.target,
            newpath=change.path,
            owner=_owner(change.owner),
            timestamp=_NO_TIME,
        )
    )


def _owner(owner: Owner | None) -> pb.ChownOpt | None:
    if owner is None:
        return None
    return pb.ChownOpt(user=_who(owner.user, owner.input), group=_who(owner.group, owner.input))


def _who(who: str | int | None, tree: int) -> pb.UserOpt | None:
    if who is None:
        return None
    if isinstance(who, int):
        return pb.UserOpt(byID=who)
    return pb.UserOpt(byName=pb.NamedUserOpt(name=who, input=tree))


_CHANGES: Mapping[type[FileChange], Callable[[Any], pb.FileAction]] = {
    CopyFiles: _copy,
    MakeFile: _mkfile,
    MakeDir: _mkdir,
    RemovePath: _remove,
    MakeSymlink: _symlink,
}


# --- whole trees -----------------------------------------------------------------------------


def _merge(op: MergeOp) -> pb.Op:
    inputs = [pb.MergeInput(input=number) for number in range(op.inputs)]
    return pb.Op(merge=pb.MergeOp(inputs=inputs))


def _diff(op: DiffOp) -> pb.Op:
    lower, upper = pb.LowerDiffInput(input=op.lower), pb.UpperDiffInput(input=op.upper)
    return pb.Op(diff=pb.DiffOp(lower=lower, upper=upper))


_BODIES: Mapping[type[Payload], Callable[[Any], pb.Op]] = {
    SourceOp: _source,
    ExecOp: _exec,
    FileOp: _file,
    MergeOp: _merge,
    DiffOp: _diff,
}
