"""Asking a daemon what it is: ListWorkers, Info where it exists, and a gateway build's Ping.

Capabilities come from Ping alone, which needs a build: a Solve of nothing, kept out of the build
history, ended by an empty result. A Return with neither result nor error would crash a Docker
Engine (20.10 to 28.5).
"""

from __future__ import annotations

import uuid

from daemon_shim import decoding, pong, releases
from daemon_shim.bridge import Bridge
from daemon_shim.errors import UnsupportedError
from daemon_shim.info import DaemonInfo
from daemon_shim.job import Job
from daemon_shim.releases import Release
from daemon_shim.transports.dial import not_buildkit
from daemon_shim.wire import Call, Wire
from schemas.pb import control_pb2, gateway_pb2
from schemas.rpc import Control, LLBBridge

_SILENCE = 60.0
"""Seconds after which a daemon that took the connection counts as dead."""


def probe(wire: Wire) -> DaemonInfo:
    """Ask everything at once, and put it together.

    Raises a DaemonError; UnreachableError when the other side speaks gRPC and is not BuildKit.
    """
    try:
        return _probe(wire)
    except UnsupportedError as error:
        raise not_buildkit(
            wire.address, "it does not know BuildKit's calls", "check the address"
        ) from error


def _probe(wire: Wire) -> DaemonInfo:
    workers = wire.begin(Control.LIST_WORKERS, control_pb2.ListWorkersRequest(), timeout=_SILENCE)
    info = wire.begin(Control.INFO, control_pb2.InfoRequest(), timeout=_SILENCE)
    return pong.describe(
        _ping(wire),
        address=wire.address,
        engine=wire.transport.engine,
        told=_told_version(info),
        workers=decoding.workers(workers.result().record),
    )


def _ping(wire: Wire) -> gateway_pb2.PongResponse:
    message = control_pb2.SolveRequest(Ref=uuid.uuid4().hex, Internal=True)
    message.Cache.SetInParent()
    job = Job(wire, message, watch=False)
    try:
        bridge = Bridge(wire, job)
        told = bridge.call(LLBBridge.PING, gateway_pb2.PingRequest(), timeout=_SILENCE)
        bridge.finish(gateway_pb2.ReturnRequest(result=gateway_pb2.Result(refDeprecated="")))
        job.result()
    finally:
        job.cancel()
    return told


def _told_version(call: Call[control_pb2.InfoResponse]) -> Release | None:
    """What Info says, where it exists (v0.11) and says anything."""
    try:
        return releases.parse(call.result().buildkitVersion.version)
    except UnsupportedError:
        return None
