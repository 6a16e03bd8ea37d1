"""Debian's docker-registry with a login: by password alone, or by tokens of a service here."""

from __future__ import annotations

import base64
import contextlib
import datetime
import http.client
import json
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from tests.real import fleet
from tests.real.process import Process

USER, PASSWORD = "user", "opensesame"
_HTPASSWD = f"{USER}:$2b$05$abcdefghijklmnopqrstuuQbLfdQZSxZ9gjhA5V9o8Tyc6aQRO0Qi\n"  # of PASSWORD
_READY_SECONDS = 30


@dataclass
class Guarded:
    """A registry that runs. ``asked`` has what the token service was asked."""

    name: str
    asked: list[dict[str, list[str]]] = field(default_factory=list)


@contextlib.contextmanager
def by_password(folder: Path) -> Iterator[Guarded]:
    """A registry with basic authentication."""
    folder.mkdir()
    (folder / "htpasswd").write_text(_HTPASSWD)
    auth = {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}}
    with _running(folder, auth) as name:
        yield Guarded(name)


@contextlib.contextmanager
def by_token(folder: Path) -> Iterator[Guarded]:
    """A registry that takes tokens, and the service that gives them for USER and PASSWORD."""
    folder.mkdir()
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    certificate = _certificate(key)
    (folder / "cert.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    with _token_service(key, certificate) as (realm, asked):
        token = {"realm": realm, "service": "test", "issuer": "test"}
        auth = {"token": token | {"rootcertbundle": str(folder / "cert.pem")}}
        with _running(folder, auth) as name:
            yield Guarded(name, asked)


@contextlib.contextmanager
def _running(folder: Path, auth: dict[str, Any]) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": f"127.0.0.1:{port}"},
        "auth": auth,
    }
    (folder / "config.json").write_text(json.dumps(config))
    program = fleet.fetch(fleet.REGISTRY) / "usr/bin/docker-registry"
    command = [str(program), "serve", str(folder / "config.json")]
    process = Process(command, log=folder / "log")
    try:
        process.wait_until(lambda: _answers(port), seconds=_READY_SECONDS)
        yield f"localhost:{port}"
    finally:
        process.stop()


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_READY_SECONDS)
    with contextlib.closing(connection), contextlib.suppress(OSError):
        connection.request("GET", "/v2/")
        return connection.getresponse().status == http.client.UNAUTHORIZED
    return False


def _certificate(key: rsa.RSAPrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.timezone.utc)
    day = datetime.timedelta(days=1)
    return (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .sign(key, hashes.SHA256())
    )


@contextlib.contextmanager
def _token_service(
    key: rsa.RSAPrivateKey, certificate: x509.Certificate
) -> Iterator[tuple[str, list[dict[str, list[str]]]]]:
    asked: list[dict[str, list[str]]] = []

    class Service(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            fields = parse_qs(body)
            asked.append(fields)
            known = fields.get("username") == [USER] and fields.get("password") == [PASSWORD]
            self._answer(fields.get("scope", [""])[0].split(), known=known)

        def do_GET(self) -> None:
            fields = parse_qs(urlsplit(self.path).query)
            asked.append(fields)
            login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            known = self.headers.get("Authorization") == f"Basic {login}"
            self._answer(fields.get("scope", []), known=known)

        def _answer(self, scopes: list[str], *, known: bool) -> None:
            token = _token(key, certificate, scopes if known else [])
            data = json.dumps({"token": token, "access_token": token, "expires_in": 300}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - theirs
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://localhost:{server.server_port}/token", asked
        server.shutdown()


def _token(key: rsa.RSAPrivateKey, certificate: x509.Certificate, scopes: list[str]) -> str:
    """Make a JWT of Docker's registry token specification."""
    chain = [base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()]
    now = int(time.time())
    claims = {
        "iss": "test",
        "sub": USER,
        "aud": "test",
        "exp": now + 300,
        "nbf": now - 300,
        "iat": now,
        "jti": uuid.uuid4().hex,
        "access": [_access(scope) for scope in scopes],
    }
    head = {"typ": "JWT", "alg": "RS256", "x5c": chain}
    text = b".".join(_encoded(json.dumps(part).encode()) for part in (head, claims))
    signature = key.sign(text, padding.PKCS1v15(), hashes.SHA256())
    return (text + b"." + _encoded(signature)).decode()


def _access(scope: str) -> dict[str, Any]:
    place, _, actions = scope.rpartition(":")
    kind, _, name = place.partition(":")
    return {"type": kind, "name": name, "actions": actions.split(",")}


def _encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
