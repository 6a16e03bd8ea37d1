"""The Auth service: a daemon that pulls or pushes is given the user's registry logins.

From v0.8 a daemon first asks for a key (GetTokenAuthority); with one it has tokens fetched here,
so that the password stays here, and makes sure by VerifyTokenAuthority that a token it keeps goes
to who fetched it. Older ones, and registries without tokens, ask for Credentials.
"""

from __future__ import annotations

import hmac
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from daemon_shim.registry.config import DockerConfig
from daemon_shim.registry.login import Login, LoginError
from daemon_shim.registry.seeds import TokenSeeds
from daemon_shim.registry.token import TokenRequest, fetch_token
from daemon_shim.session.service import Call, Handler, Opener, RpcError
from daemon_shim.session.unary import Unary
from schemas.pb import auth_pb2 as auth

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_SERVICE = "/moby.filesync.v1.Auth"
_LOGIN_SECONDS = 290.0  # helpers of some clouds give what lasts five minutes
_UNAVAILABLE = 14
_UNAUTHENTICATED = 16


class Auth:
    """Serves the logins in ``config``. ``client_tokens`` false has daemons ask for credentials
    instead of tokens (BUILDKIT_NO_CLIENT_TOKEN).
    """

    def __init__(self, config: DockerConfig, *, client_tokens: bool = True) -> None:
        self._config = config
        self._client_tokens = client_tokens
        self._seeds = TokenSeeds(config.folder)
        self._lock = threading.Lock()  # credential helpers are run one at a time
        self._logins: dict[str, tuple[float, Login]] = {}

    @property
    def methods(self) -> Mapping[str, Opener]:
        """The methods served."""
        answers = {
            "Credentials": self._credentials,
            "FetchToken": self._fetch_token,
            "GetTokenAuthority": self._authority,
            "VerifyTokenAuthority": self._verify,
        }
        return {f"{_SERVICE}/{name}": _opener(answer) for name, answer in answers.items()}

    def login(self, host: str) -> Login:
        """Return the login at a registry; may wait for a credential helper. Raises LoginError."""
        with self._lock:
            until, login = self._logins.get(host, (0.0, None))
            if login is None or time.monotonic() > until:
                login = self._config.login(host)
                self._logins[host] = (time.monotonic() + _LOGIN_SECONDS, login)
            return login

    def _credentials(self, request: bytes) -> bytes:
        login = self.login(auth.CredentialsRequest.FromString(request).Host)
        response = auth.CredentialsResponse(Username=login.username, Secret=login.secret)
        if login.identity_token:
            response = auth.CredentialsResponse(Secret=login.identity_token)
        return response.SerializeToString()

    def _fetch_token(self, request: bytes) -> bytes:
        asked = auth.FetchTokenRequest.FromString(request)
        wanted = TokenRequest(realm=asked.Realm, service=asked.Service, scopes=tuple(asked.Scopes))
        token = fetch_token(wanted, self.login(asked.Host))
        return auth.FetchTokenResponse(
            Token=token.token, ExpiresIn=token.expires_in, IssuedAt=token.issued_at
        ).SerializeToString()

    def _authority(self, request: bytes) -> bytes:
        asked = auth.GetTokenAuthorityRequest.FromString(request)
        public = self._key(asked.Host, asked.Salt).public_key().public_bytes_raw()
        return auth.GetTokenAuthorityResponse(PublicKey=public).SerializeToString()

    def _verify(self, request: bytes) -> bytes:
        asked = auth.VerifyTokenAuthorityRequest.FromString(request)
        signature = self._key(asked.Host, asked.Salt).sign(asked.Payload)
        response = auth.VerifyTokenAuthorityResponse(Signed=signature + asked.Payload)
        return response.SerializeToString()

    def _key(self, host: str, salt: bytes) -> Ed25519PrivateKey:
        """Make the key for a host. All who come without a login have the same one, so that a
        daemon may share anonymous tokens among them.
        """
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        if not self._client_tokens:
            raise RpcError(_UNAVAILABLE, "tokens are not fetched by this client")
        login = self.login(host)
        seed = self._seeds.seed(host) if login.secret or login.identity_token else b""
        return Ed25519PrivateKey.from_private_bytes(hmac.digest(salt, seed, "sha256"))


def _opener(answer: Callable[[bytes], bytes]) -> Opener:
    def careful(request: bytes) -> bytes:
        try:
            return answer(request)
        except LoginError as error:
            raise RpcError(_UNAUTHENTICATED, str(error)) from None

    def opener(call: Call) -> Handler:
        return Unary(call, careful)

    return opener
