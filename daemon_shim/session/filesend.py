"""The FileSend service: exporters send their results to the client (session/filesync)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from daemon_shim.session.service import Call, Handler, Metadata, Opener, RpcError

_INDEX = "buildkit-attachable-exporter-id"
_INVALID_ARGUMENT = 3
_NOT_FOUND = 5


class Receivable(Protocol):
    """What can take a call of an exporter (``daemon_shim.session.outputs.Output``)."""

    def open(self, call: Call) -> Handler:
        """Answer a call."""


class FileSend:
    """Serves ``/moby.filesync.v1.FileSend/DiffCopy`` into ``outputs``.

    ``outputs`` are in the order of the solve's exporters, None for those that send nothing here.
    The daemon gives the index since v0.13; before, a solve has but one exporter. Local exporters
    send a tree and the others a file over the same method, so the output decides what is expected.
    """

    def __init__(self, outputs: Sequence[Receivable | None]) -> None:
        self._outputs = outputs

    @property
    def methods(self) -> Mapping[str, Opener]:
        """The method served."""
        return {"/moby.filesync.v1.FileSend/DiffCopy": self._open}

    def _open(self, call: Call) -> Handler:
        index = _index(call.metadata)
        output = self._outputs[index] if index < len(self._outputs) else None
        if output is None:
            raise RpcError(_NOT_FOUND, f"exporter {index} has no output on this client")
        return output.open(call)


def _index(metadata: Metadata) -> int:
    values = metadata.get(_INDEX) or ["0"]
    if not values[0].isascii() or not values[0].isdecimal():
        raise RpcError(_INVALID_ARGUMENT, f"not an index of an exporter: {values[0]!r}")
    return int(values[0])
