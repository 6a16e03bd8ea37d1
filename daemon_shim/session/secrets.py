"""The Secrets service: steps get the secrets named for this build, and no others."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from daemon_shim.session.service import Call, Handler, Opener, RpcError
from daemon_shim.session.unary import Unary
from schemas.pb.secrets_pb2 import GetSecretRequest, GetSecretResponse

MAX_SECRET_BYTES = 500 << 10
"""The daemon's limit (session/secrets, all releases)."""

_NOT_FOUND = 5
_FAILED_PRECONDITION = 9


class Secrets:
    """Serves ``values``: secret id to a function that gives its value, called when a step asks.

    The function may read a file; it runs on another thread. An OSError or KeyError of it fails the
    step, with a message that has the id and the kind of error, never the value.
    """

    def __init__(self, values: Mapping[str, Callable[[], bytes]]) -> None:
        self._values = dict(values)

    def __repr__(self) -> str:
        return f"Secrets({', '.join(sorted(self._values))})"

    @property
    def methods(self) -> Mapping[str, Opener]:
        """The method served."""
        return {"/moby.buildkit.secrets.v1.Secrets/GetSecret": self._open}

    def _open(self, call: Call) -> Handler:
        return Unary(call, self._answer)

    def _answer(self, request: bytes) -> bytes:
        name = GetSecretRequest.FromString(request).ID
        value = self._values.get(name)
        if value is None:
            raise RpcError(_NOT_FOUND, f"secret {name} not found")
        data = _read(name, value)
        if len(data) > MAX_SECRET_BYTES:
            raise RpcError(
                _FAILED_PRECONDITION,
                f"secret {name} has {len(data)} bytes; BuildKit takes {MAX_SECRET_BYTES} at most",
            )
        return GetSecretResponse(data=data).SerializeToString()


def _read(name: str, value: Callable[[], bytes]) -> bytes:
    try:
        return value()
    except OSError as error:
        reason = error.strerror or type(error).__name__
    except Exception as error:
        reason = type(error).__name__
    raise RpcError(_FAILED_PRECONDITION, f"secret {name} cannot be read: {reason}")
