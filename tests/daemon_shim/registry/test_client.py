"""The registry client, with registries that answer as told, and with Debian's."""

from __future__ import annotations

import base64
import json
import shutil
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon_shim.mediatypes import INDEXES, MANIFESTS
from daemon_shim.registry.client import (
    MAX_DOCUMENT,
    NotThereError,
    RegistryClient,
    RegistryError,
    Repository,
)
from daemon_shim.registry.login import ANONYMOUS, Login, LoginError
from tests.daemon_shim.registry.scripted import Reply, Scripted, digest_of, scripted
from tests.daemon_shim.session import guarded_registry
from tests.daemon_shim.session.guarded_registry import PASSWORD, USER
from tests.daemon_shim.transports.certificates import Authority
from tests.real import fleet
from tests.real.errors import UnavailableError

_BODY = json.dumps({"schemaVersion": 2, "mediaType": MANIFESTS[0]}).encode()
_DIGEST = digest_of(_BODY)
_LOGIN = Login(username="user", secret="s3cret")
_BASIC = "Basic " + base64.b64encode(b"user:s3cret").decode()


@pytest.fixture
def server() -> Iterator[Scripted]:
    with scripted() as found:
        yield found


def _client(login: Login = ANONYMOUS) -> RegistryClient:
    return RegistryClient(lambda _: login)


def _repository(server: Scripted, path: str = "app") -> Repository:
    return Repository(host=server.host, path=path)


@pytest.mark.parametrize(
    ("repository", "base"),
    [
        (Repository(host="docker.io", path="library/x"), "https://registry-1.docker.io/v2/library"),
        (Repository(host="ghcr.io", path="a/x"), "https://ghcr.io/v2/a"),
        (Repository(host="ghcr.io", path="a/x", insecure=True), "http://ghcr.io/v2/a"),
        (Repository(host="localhost", path="a/x"), "http://localhost/v2/a"),
        (Repository(host="127.9.0.1:80", path="a/x"), "http://127.9.0.1:80/v2/a"),
        (Repository(host="[::1]:5000", path="a/x"), "http://[::1]:5000/v2/a"),
        (Repository(host="127.0.0.1.example", path="a/x"), "https://127.0.0.1.example/v2/a"),
    ],
)
def test_only_this_machine_and_insecure_ones_are_asked_without_tls(
    repository: Repository, base: str
) -> None:
    assert repository.base == f"{base}/x"


def test_found_by_a_look_at_its_head(server: Scripted) -> None:
    told = {
        "Docker-Content-Digest": _DIGEST,
        "Content-Type": INDEXES[0],
        "Last-Modified": "Thu, 01 Jan 1970 00:01:40 GMT",
    }
    server.replies["HEAD /v2/app/manifests/1"] = Reply(headers=told)
    found = _client().find(_repository(server), "1")
    assert (found.digest, found.media_type, found.modified) == (_DIGEST, INDEXES[0], 100.0)
    assert server.asked == [("HEAD /v2/app/manifests/1", "")]


@pytest.mark.parametrize("told", ["", "sha256:short", "\x1b[31mred"])
def test_a_registry_that_does_not_tell_the_digest_is_asked_for_the_bytes(
    server: Scripted, told: str
) -> None:
    head = {"Docker-Content-Digest": told, "Last-Modified": "some day"}
    server.replies["HEAD /v2/app/manifests/1"] = Reply(headers=head)
    server.replies["GET /v2/app/manifests/1"] = Reply(body=_BODY)
    found = _client().find(_repository(server), "1")
    assert (found.digest, found.modified) == (_DIGEST, None)


def test_what_is_not_there(server: Scripted) -> None:
    with pytest.raises(NotThereError):
        _client().find(_repository(server), "1")
    with pytest.raises(NotThereError):
        _client().manifest(_repository(server), "1")


def test_manifest_by_digest_and_blob_are_checked(server: Scripted) -> None:
    server.replies[f"GET /v2/app/manifests/{_DIGEST}"] = Reply(body=_BODY)
    server.replies[f"GET /v2/app/blobs/{_DIGEST}"] = Reply(body=_BODY)
    manifest = _client().manifest(_repository(server), _DIGEST)
    assert (manifest.digest, manifest.media_type, manifest.data) == (_DIGEST, MANIFESTS[0], _BODY)
    assert _client().blob(_repository(server), _DIGEST) == _BODY
    server.replies[f"GET /v2/app/manifests/{_DIGEST}"] = Reply(body=_BODY + b" ")
    server.replies[f"GET /v2/app/blobs/{_DIGEST}"] = Reply(body=b"")
    for ask in (_client().manifest, _client().blob):
        with pytest.raises(RegistryError, match="has another digest"):
            ask(_repository(server), _DIGEST)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(403), "needs another login"),
        (Reply(429), "too many requests"),
        (Reply(500, body=b"s3cret"), "HTTP status 500"),
        (Reply(body=b"<html>"), "not JSON"),
        (Reply(body=b"[" * 100_000), "not JSON"),
        (Reply(body=b" " * (MAX_DOCUMENT + 1)), "longer than 4 MiB"),
        (Reply(body=b"{}", length=5), "breaks off"),
        (Reply(302, {"Location": "file:///etc/passwd"}), "HTTP status 302"),
        (Reply(302, {"Location": "http://registry.example/x"}), "redirects to plain HTTP"),
        (Reply(302, {"Location": "{base}/v2/app/manifests/1"}), "HTTP status 302"),
        (Reply(401), "docker login 127.0.0.1"),
        (Reply(401, {"WWW-Authenticate": "Bearer"}), "no usable address"),
        (Reply(401, {"WWW-Authenticate": 'Bearer realm="file:///etc/passwd"'}), "no usable addr"),
        (Reply(401, {"WWW-Authenticate": 'Bearer realm="http://a.example/"'}), "without TLS"),
        (Reply(401, {"WWW-Authenticate": f'Bearer realm="https://{"x" * 64}/"'}), "cannot be sent"),
        (Reply(401, {"WWW-Authenticate": 'Odd ="",,,='}), "docker login"),
    ],
)
def test_bad_answers_are_errors_without_secrets(server: Scripted, reply: Reply, words: str) -> None:
    server.replies["GET /v2/app/manifests/1"] = reply
    with pytest.raises(RegistryError, match=words) as caught:
        _client(_LOGIN).manifest(_repository(server), "1")
    assert "s3cret" not in str(caught.value)


def test_nobody_there_is_an_error() -> None:
    with pytest.raises(RegistryError, match="refused"):
        _client().find(Repository(host="127.0.0.1:1", path="a"), "1")


def test_a_broken_login_is_an_error(server: Scripted) -> None:
    def login(host: str) -> Login:
        raise LoginError(f"the login at {host} is broken")

    server.replies["HEAD /v2/app/manifests/1"] = Reply(401, {"WWW-Authenticate": 'Basic realm="x"'})
    with pytest.raises(RegistryError, match="is broken"):
        RegistryClient(login).find(_repository(server), "1")


def test_a_login_is_given_when_it_is_asked_for_and_not_with_redirects(server: Scripted) -> None:
    refused = Reply(401, {"WWW-Authenticate": 'Basic realm="x"'})
    blob = f"GET /v2/app/blobs/{_DIGEST}"
    server.replies = {
        blob: [refused, Reply(307, {"Location": "{base}/elsewhere"})],
        "GET /elsewhere": Reply(body=_BODY),
    }
    client = _client(_LOGIN)
    assert client.blob(_repository(server), _DIGEST) == _BODY
    assert client.blob(_repository(server), _DIGEST) == _BODY
    assert server.asked == [
        (blob, ""),
        (blob, _BASIC),
        ("GET /elsewhere", ""),
        (blob, _BASIC),
        ("GET /elsewhere", ""),
    ]


def test_a_token_is_fetched_for_the_repository(server: Scripted) -> None:
    challenge = 'Bearer realm="{base}/token",service="it"'
    asked = "HEAD /v2/app/manifests/1"
    found = {"Docker-Content-Digest": _DIGEST}
    token = "GET /token?service=it&scope=repository%3Aapp%3Apull"
    server.replies = {
        asked: [Reply(401, {"WWW-Authenticate": challenge}), Reply(headers=found)],
        token: Reply(body=b'{"token": "t"}'),
    }
    assert _client().find(_repository(server), "1").digest == _DIGEST
    assert server.asked == [(asked, ""), (token, ""), (asked, "Bearer t")]


def test_a_token_that_is_no_token_is_an_error_without_it(server: Scripted) -> None:
    challenge = Reply(401, {"WWW-Authenticate": 'Bearer realm="{base}/token"'})
    server.replies = {
        "GET /v2/app/manifests/1": challenge,
        "GET /token?scope=repository%3Aapp%3Apull": Reply(body=b'{"token": "a\\nb"}'),
    }
    with pytest.raises(RegistryError, match="cannot be sent") as caught:
        _client().manifest(_repository(server), "1")
    assert "nb" not in str(caught.value)


def test_a_login_is_not_sent_without_tls_to_another_machine(
    server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://{server.host}")
    monkeypatch.setenv("no_proxy", "")
    asked = "GET http://registry.example/v2/app/manifests/1"
    server.replies[asked] = Reply(401, {"WWW-Authenticate": 'Basic realm="x"'})
    with pytest.raises(RegistryError, match="not sent without TLS"):
        _client(_LOGIN).manifest(
            Repository(host="registry.example", path="app", insecure=True), "1"
        )
    assert server.asked == [(asked, "")]


class _Tls(Repository):
    """A registry on this machine that is asked by TLS all the same."""

    @property
    def plain(self) -> bool:
        return False


def test_what_speaks_no_tls_is_an_error(server: Scripted) -> None:
    with pytest.raises(RegistryError, match=r"(?i)wrong.version"):
        _client().find(_Tls(host=server.host, path="app"), "1")


def test_certificates_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path, "ours")
    pair = authority.issue("server", hosts=("127.0.0.1",))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    with scripted(context) as server:
        server.replies["GET /v2/app/manifests/1"] = Reply(body=_BODY)
        server.replies["GET /v2/app/manifests/2"] = Reply(302, {"Location": "{base}/plain"})
        repository = _Tls(host=server.host, path="app")
        with pytest.raises(RegistryError, match="certificate is not trusted"):
            _client().manifest(repository, "1")
        assert server.asked == []
        monkeypatch.setenv("SSL_CERT_FILE", authority.path)
        assert _client().manifest(repository, "1").digest == _DIGEST
        with pytest.raises(RegistryError, match="redirects to plain HTTP"):
            _client().manifest(repository, "2")


def test_certificates_of_docker_count_for_their_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path, "ours")
    pair = authority.issue("server", hosts=("127.0.0.1",))
    own = authority.issue("client")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    context.load_verify_locations(authority.path)
    context.verify_mode = ssl.CERT_REQUIRED
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    certificates = tmp_path / "config/docker/certs.d"
    with scripted(context) as server:
        server.replies["GET /v2/app/manifests/1"] = Reply(body=_BODY)
        repository = _Tls(host=server.host, path="app")
        other = certificates / "registry.example:5000"
        other.mkdir(parents=True)
        shutil.copy(authority.path, other / "ca.crt")
        with pytest.raises(RegistryError, match="certificate is not trusted"):
            _client().manifest(repository, "1")
        folder = other.rename(certificates / server.host)
        shutil.copy(own.cert, folder / "client.cert")
        with pytest.raises(RegistryError, match=r"client\.cert cannot be used"):
            _client().manifest(repository, "1")
        shutil.copy(own.key, folder / "client.key")
        assert _client().manifest(repository, "1").digest == _DIGEST


@pytest.mark.parametrize("status", [405, 501])
def test_what_is_not_answered_by_head_is_got(server: Scripted, status: int) -> None:
    server.replies["HEAD /v2/app/manifests/1"] = Reply(status)
    server.replies["GET /v2/app/manifests/1"] = Reply(body=_BODY)
    assert _client().find(_repository(server), "1").digest == _DIGEST
    del server.replies["GET /v2/app/manifests/1"]
    with pytest.raises(NotThereError):
        _client().find(_repository(server), "1")


# --- putting ---------------------------------------------------------------------------------


def test_a_manifest_is_put_as_it_is(server: Scripted) -> None:
    place = "PUT /v2/app/manifests/1"
    server.replies[place] = Reply(201)
    _client().put_manifest(_repository(server), "1", MANIFESTS[0], _BODY)
    assert server.sent[place] == (MANIFESTS[0], _BODY)


@pytest.mark.parametrize(
    ("location", "place"),
    [
        ("/up/1", f"/up/1?digest={_DIGEST.replace(':', '%3A')}"),
        ("{base}/up/1?state=a", f"/up/1?state=a&digest={_DIGEST.replace(':', '%3A')}"),
    ],
)
def test_a_blob_is_put_where_the_registry_says(server: Scripted, location: str, place: str) -> None:
    begin = "POST /v2/app/blobs/uploads/"
    token = "GET /token?scope=repository%3Aapp%3Apull%2Cpush"
    server.replies = {
        begin: [
            Reply(401, {"WWW-Authenticate": 'Bearer realm="{base}/token"'}),
            Reply(202, {"Location": location}),
        ],
        token: Reply(body=b'{"token": "t"}'),
        f"PUT {place}": Reply(201),
    }
    _client().put_blob(_repository(server), _BODY)
    assert server.sent[f"PUT {place}"][1] == _BODY
    assert server.asked[-2:] == [(begin, "Bearer t"), (f"PUT {place}", "Bearer t")]


def test_a_login_goes_to_the_registry_alone(server: Scripted) -> None:
    with scripted() as other:
        place = f"/up?digest={_DIGEST.replace(':', '%3A')}"
        server.replies["POST /v2/app/blobs/uploads/"] = [
            Reply(401, {"WWW-Authenticate": 'Basic realm="x"'}),
            Reply(202, {"Location": f"http://{other.host}/up"}),
        ]
        other.replies[f"PUT {place}"] = [
            Reply(401, {"WWW-Authenticate": 'Basic realm="x"'}),
            Reply(201),
        ]
        with pytest.raises(RegistryError, match="HTTP status 401"):
            _client(_LOGIN).put_blob(_repository(server), _BODY)
        assert other.asked == [(f"PUT {place}", "")]


@pytest.mark.parametrize("location", ["http://example.com/up", "ftp://x", "http://[", ""])
def test_a_place_that_nothing_may_be_sent_to_is_an_error(server: Scripted, location: str) -> None:
    server.replies["POST /v2/app/blobs/uploads/"] = Reply(202, {"Location": location})
    with pytest.raises(RegistryError):
        _client().put_blob(_repository(server), _BODY)


@pytest.mark.real
@pytest.mark.parametrize("kind", ["by_password", "by_token"])
def test_debians_registry(tmp_path: Path, kind: str) -> None:
    guarded: Callable[[Path], Any] = getattr(guarded_registry, kind)
    try:
        fleet.fetch(fleet.REGISTRY)
    except UnavailableError as error:
        pytest.skip(str(error))
    with guarded(tmp_path / "registry") as running:
        repository = Repository(host=running.name, path="app")
        with pytest.raises(RegistryError, match=r"needs another login|no token from"):
            _client().find(repository, "1")
        client = _client(Login(username=USER, secret=PASSWORD))
        with pytest.raises(NotThereError):
            client.find(repository, "1")
        client.put_blob(repository, _BODY)
        assert client.blob(repository, _DIGEST) == _BODY
        config = {"mediaType": MANIFESTS[0], "digest": _DIGEST, "size": len(_BODY)}
        manifest = {"schemaVersion": 2, "mediaType": MANIFESTS[0], "config": config, "layers": []}
        data = json.dumps(manifest).encode()
        client.put_manifest(repository, "1", MANIFESTS[0], data)
        assert client.manifest(repository, digest_of(data)).data == data
