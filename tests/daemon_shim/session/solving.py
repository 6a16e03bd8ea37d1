"""A solve on a real daemon with a session of our own, and a graph of images and commands."""

from __future__ import annotations

import contextlib
import hashlib
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from daemon_shim.session.host import SessionHost
from daemon_shim.session.service import Service
from daemon_shim.transports import transport_for
from schemas.pb import control_pb2 as control
from schemas.pb import ops_pb2 as ops
from schemas.rpc import Control

HANG_SECONDS = 120


class Graph:
    """A definition under way: each method adds an operation and returns its digest."""

    def __init__(self) -> None:
        self._ops: list[bytes] = []
        self._metadata: dict[str, ops.OpMetadata] = {}

    def image(self, name: str) -> str:
        return self._add(ops.Op(source=ops.SourceOp(identifier=f"docker-image://{name}")))

    def local(self, name: str) -> str:
        return self._add(ops.Op(source=ops.SourceOp(identifier=f"local://{name}")))

    def run(self, base: str, script: str, *mounts: ops.Mount) -> str:
        """Run a script in ``base``; its root afterwards is the result."""
        root = ops.Mount(input=0, dest="/", output=0)
        meta = ops.Meta(args=["/bin/sh", "-c", script], env=["PATH=/bin:/usr/bin"], cwd="/")
        body = ops.ExecOp(meta=meta, mounts=[root, *mounts])
        return self._add(ops.Op(inputs=[ops.Input(digest=base)], exec=body), fresh=True)

    def run_for(self, base: str, script: str, *mounts: ops.Mount, given: str = "") -> str:
        """Run a script in ``base``; what it leaves in ``/out``, empty before, is the result.

        ``given`` is another result, to be seen in ``/in``.
        """
        places = [ops.Mount(input=0, dest="/", output=-1, readonly=True)]
        places += [ops.Mount(input=1, dest="/in", output=-1, readonly=True)] if given else []
        places += [ops.Mount(input=-1, dest="/out", output=0), *mounts]
        meta = ops.Meta(args=["/bin/sh", "-c", script], env=["PATH=/bin:/usr/bin"], cwd="/")
        inputs = [ops.Input(digest=digest) for digest in (base, given) if digest]
        body = ops.ExecOp(meta=meta, mounts=places)
        return self._add(ops.Op(inputs=inputs, exec=body), fresh=True)

    def finish(self, digest: str) -> ops.Definition:
        self._add(ops.Op(inputs=[ops.Input(digest=digest)]))
        return ops.Definition(**{"def": self._ops, "metadata": self._metadata})

    def _add(self, op: ops.Op, *, fresh: bool = False) -> str:
        data = op.SerializeToString(deterministic=True)
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if digest not in self._metadata:
            self._ops.append(data)
            self._metadata[digest] = ops.OpMetadata(ignore_cache=fresh)
        return digest


def secret_mount(name: str, dest: str) -> ops.Mount:
    option = ops.SecretOpt(ID=name, mode=0o400)
    return ops.Mount(input=-1, dest=dest, output=-1, mountType=ops.SECRET, secretOpt=option)


def ssh_mount(name: str, dest: str) -> ops.Mount:
    option = ops.SSHOpt(ID=name, mode=0o600)
    return ops.Mount(input=-1, dest=dest, output=-1, mountType=ops.SSH, SSHOpt=option)


def solve(
    address: str,
    definition: ops.Definition,
    services: Sequence[Service],
    exporter: tuple[str, Mapping[str, str]] = ("", {}),
) -> dict[str, str]:
    """Solve, and return the exporter's response. Raises grpc.RpcError."""
    transport = transport_for(address)
    kind, attrs = exporter
    with contextlib.closing(transport), SessionHost(transport, services) as session:
        request = control.SolveRequest(
            Ref=uuid.uuid4().hex,
            Definition=definition,
            Session=session.id,
            ExporterDeprecated=kind,
            ExporterAttrsDeprecated=attrs,
            Exporters=[control.Exporter(Type=kind, Attrs=attrs)] if kind else [],
            Cache=control.CacheOptions(),
        )
        with transport.grpc_channel() as channel:
            call: Any = channel.unary_unary(
                Control.SOLVE.path,
                request_serializer=control.SolveRequest.SerializeToString,
                response_deserializer=control.SolveResponse.FromString,
            )
            response = call(request, timeout=HANG_SECONDS, wait_for_ready=True)
    return dict(response.ExporterResponse)
