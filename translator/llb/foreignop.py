"""One operation of a frontend's graph: what it asks of the session, and what it does to trees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from schemas.pb import ops_pb2 as pb
from translator.llb.graph import NONE
from translator.stage import Dockerfile, Frontend

_IMAGES = ("docker-image://", "oci-layout://")
_SECRETS = ("git.authtokensecret", "git.authheadersecret", "http.authheadersecret")
_AGENT = "git.mountsshsock"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What an operation asks of the session and of the daemon, each sorted."""

    secrets: tuple[str, ...] = ()
    ssh: tuple[str, ...] = ()
    entitlements: tuple[str, ...] = ()

    @classmethod
    def of(cls, body: pb.Op, kind: str) -> Asked:
        """Read it from a body of the ``kind`` that the oneof names."""
        if kind == "source":
            attrs = body.source.attrs
            return cls(
                secrets=tuple(sorted({attrs[key] for key in _SECRETS if key in attrs})),
                ssh=(attrs[_AGENT],) if _AGENT in attrs else (),
            )
        if kind != "exec":
            return cls()
        op = body.exec
        secrets = {each.secretOpt.ID for each in op.mounts if each.mountType == pb.SECRET}
        return cls(
            secrets=tuple(sorted(secrets | {each.ID for each in op.secretenv})),
            ssh=tuple(sorted({e.SSHOpt.ID for e in op.mounts if e.mountType == pb.SSH})),
            entitlements=tuple(_entitlements(op)),
        )


def withhold(body: pb.Op, kind: str, made: Dockerfile | Frontend) -> None:
    """Take what the stage does not give out of an operation that can do without.

    A session serves secrets by id to all of a build: what others are given, this must not get.
    """
    if kind == "source":
        attrs = body.source.attrs
        for key, given in (*((key, made.secrets) for key in _SECRETS), (_AGENT, made.ssh)):
            if key in attrs and attrs[key] not in given:
                del attrs[key]
    elif kind == "exec":
        mounts = [each for each in body.exec.mounts if not _is_withheld(each, made)]
        env = [e for e in body.exec.secretenv if not e.optional or e.ID in made.secrets]
        if len(mounts) < len(body.exec.mounts):
            del body.exec.mounts[:]
            body.exec.mounts.extend(mounts)
        if len(env) < len(body.exec.secretenv):
            del body.exec.secretenv[:]
            body.exec.secretenv.extend(env)


def _is_withheld(mount: pb.Mount, made: Dockerfile | Frontend) -> bool:
    if mount.mountType == pb.SECRET:
        return mount.secretOpt.optional and mount.secretOpt.ID not in made.secrets
    if mount.mountType == pb.SSH:
        return mount.SSHOpt.optional and mount.SSHOpt.ID not in made.ssh
    return False


def _entitlements(op: pb.ExecOp) -> Iterator[str]:
    if op.network == pb.HOST:
        yield "network.host"
    if op.security == pb.INSECURE:
        yield "security.insecure"


def grown(body: pb.Op, kind: str, inputs: int) -> Iterator[tuple[int, int]]:
    """The outputs that were inputs before, with both positions."""
    if kind == "exec":
        for mount in body.exec.mounts:
            if NONE not in (mount.output, mount.input):
                yield mount.output, mount.input
    elif kind == "file":
        actions = body.file.actions
        for action in actions:
            base = action.input
            while base >= inputs:  # what an action before it left
                base = actions[base - inputs].input
            if NONE not in (action.output, base):
                yield action.output, base


def adds(body: pb.Op, kind: str) -> bool:
    """Whether nothing of what it changes can be missing afterwards."""
    if kind == "file":
        return not any(
            each.WhichOneof("action") == "rm" or each.copy.attemptUnpackDockerCompatibility
            for each in body.file.actions
        )
    return kind == "source"


def sealed(body: pb.Op, kind: str) -> bool:
    """Whether it has layers that only the daemon sees."""
    if kind == "source":
        return body.source.identifier.startswith(_IMAGES)
    return kind not in ("exec", "file")
