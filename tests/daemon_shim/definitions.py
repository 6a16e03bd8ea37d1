"""Small definitions made by hand, so that the wire is tested without the translator."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from schemas.pb import ops_pb2

LINUX = ops_pb2.Platform(OS="linux", Architecture="amd64")


@dataclass(frozen=True, kw_only=True)
class Step:
    """A definition of one command in an image, and the command's digest."""

    definition: bytes
    digest: str


def run(script: str, image: str, *, source: bytes = b"one\ntwo\nthree\n") -> Step:
    """``script`` in ``image``; its place is line 2 of ``buildfile.yaml``, which is ``source``."""
    definition = ops_pb2.Definition()
    base = _add(
        definition,
        ops_pb2.Op(platform=LINUX),
        ops_pb2.Op(source=ops_pb2.SourceOp(identifier=f"docker-image://{image}")),
    )
    meta = ops_pb2.Meta(args=["/bin/sh", "-c", script], env=["PATH=/bin"], cwd="/")
    mount = ops_pb2.Mount(input=0, dest="/", output=0)
    step = _add(
        definition,
        ops_pb2.Op(inputs=[ops_pb2.Input(digest=base)], platform=LINUX),
        ops_pb2.Op(exec=ops_pb2.ExecOp(meta=meta, mounts=[mount])),
    )
    _add(definition, ops_pb2.Op(inputs=[ops_pb2.Input(digest=step)]), ops_pb2.Op())
    definition.Source.infos.add(filename="buildfile.yaml", data=source, language="yaml")
    place = definition.Source.locations[step].locations.add().ranges.add()
    place.start.line = place.end.line = 2
    return Step(definition=definition.SerializeToString(), digest=step)


def _add(definition: ops_pb2.Definition, head: ops_pb2.Op, body: ops_pb2.Op) -> str:
    """Add an op with its body last, as daemons from v0.17 on write it anew before they hash it."""
    data = head.SerializeToString(deterministic=True) + body.SerializeToString(deterministic=True)
    getattr(definition, "def").append(data)
    return "sha256:" + hashlib.sha256(data).hexdigest()
