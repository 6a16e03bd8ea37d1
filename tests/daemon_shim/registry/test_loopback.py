"""The loopback registry: pulls and pushes over HTTP, by hand and by skopeo, and malice."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPMessage
from pathlib import Path

import pytest

from daemon_shim.mediatypes import INDEXES, MANIFESTS
from daemon_shim.registry.client import MAX_DOCUMENT
from daemon_shim.registry.loopback import LoopbackRegistry
from daemon_shim.registry.served import Document, Offer, Served
from daemon_shim.session.ingest import Ingest
from tests.daemon_shim.registry.scripted import digest_of

REPOSITORY = Path(__file__).parents[3]
_BLOB = b"0123456789" * 10
_DIGEST = digest_of(_BLOB)
_MANIFEST = json.dumps({"schemaVersion": 2, "mediaType": INDEXES[1], "manifests": []}).encode()
_EMPTY = "sha256:" + "0" * 64


class Talk:
    """A connection to the registry, about one repository."""

    def __init__(self, served: Served) -> None:
        host, _, self.path = served.name.partition("/")
        self.connection = http.client.HTTPConnection("127.0.0.1", int(host.partition(":")[2]))

    def ask(
        self, method: str, part: str, body: object = None, **headers: str
    ) -> tuple[int, HTTPMessage, bytes]:
        place = part if part.startswith("/") else f"/v2/{self.path}/{part}"
        given = {key.replace("_", "-"): value for key, value in headers.items()}
        self.connection.request(method, place, body=body, headers=given)  # type: ignore[arg-type]
        answer = self.connection.getresponse()
        return answer.status, answer.headers, answer.read()


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """A folder with one blob, and one index."""
    folder = tmp_path / "layout"
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for data in (_BLOB, _MANIFEST):
        (blobs / digest_of(data).partition(":")[2]).write_bytes(data)
    return folder


@pytest.fixture
def started() -> Iterator[LoopbackRegistry]:
    with LoopbackRegistry() as running:
        yield running


@pytest.fixture
def served(started: LoopbackRegistry, layout: Path) -> Served:
    """The folder, to be read and written."""
    return started.serve(Offer(folder=layout, ingest=Ingest(layout)))


@pytest.fixture
def talk(served: Served) -> Iterator[Talk]:
    talk = Talk(served)
    with contextlib.closing(talk.connection):
        yield talk


def _partial(folder: Path) -> list[str]:
    return [each.name for each in (folder / "ingest").glob("*")]


# --- pulls ---------------------------------------------------------------------------------------


def test_a_blob_whole_and_in_parts(talk: Talk) -> None:
    status, headers, data = talk.ask("HEAD", f"blobs/{_DIGEST}")
    assert (status, headers["Content-Length"], data) == (200, "100", b"")
    assert headers["Docker-Content-Digest"] == _DIGEST
    for told, status, part, place in (
        ("", 200, _BLOB, None),
        ("bytes=0-99", 200, _BLOB, None),
        ("bytes=0-", 200, _BLOB, None),
        ("bytes=0-1,5-6", 200, _BLOB, None),
        ("lines=1-2", 200, _BLOB, None),
        ("bytes=7-", 206, _BLOB[7:], "bytes 7-99/100"),
        ("bytes=7-8", 206, _BLOB[7:9], "bytes 7-8/100"),
        ("bytes=90-1000", 206, _BLOB[90:], "bytes 90-99/100"),
        ("bytes=-3", 206, _BLOB[-3:], "bytes 97-99/100"),
    ):
        answer = talk.ask("GET", f"blobs/{_DIGEST}", Range=told)
        assert (answer[0], answer[1]["Content-Range"], answer[2]) == (status, place, part)
    for told in ("bytes=100-", "bytes=9-8"):
        status, headers, _ = talk.ask("GET", f"blobs/{_DIGEST}", Range=told)
        assert (status, headers["Content-Range"]) == (416, "bytes */100")


def test_a_manifest_by_digest_is_known_by_what_it_is(talk: Talk) -> None:
    digest = digest_of(_MANIFEST)
    status, headers, data = talk.ask("GET", f"manifests/{digest}")
    assert (status, headers["Content-Type"], data) == (200, INDEXES[1], _MANIFEST)
    assert talk.ask("GET", f"blobs/{digest}")[2] == _MANIFEST
    assert talk.ask("GET", f"manifests/{_DIGEST}")[0] == 404


def test_tags_and_documents_are_those_given(started: LoopbackRegistry, layout: Path) -> None:
    tagged = Document(media_type=INDEXES[0], data=b'{"manifests": []}')
    config = Document(media_type="application/vnd.oci.image.config.v1+json", data=b"{}")
    served = started.serve(Offer(folder=layout, tags={"cache": tagged}, documents=(config,)))
    talk = Talk(served)
    with contextlib.closing(talk.connection):
        status, headers, data = talk.ask("GET", "manifests/cache")
        assert (status, data) == (200, tagged.data)
        assert headers["Docker-Content-Digest"] == tagged.digest
        assert talk.ask("HEAD", f"manifests/{tagged.digest}")[0] == 200
        assert talk.ask("GET", f"blobs/{config.digest}")[2] == b"{}"
        assert talk.ask("HEAD", f"manifests/{config.digest}")[0] == 404
        assert talk.ask("GET", "manifests/other")[0] == 404


def test_the_api_tells_its_version(talk: Talk) -> None:
    status, headers, data = talk.ask("GET", "/v2/")
    assert (status, data) == (200, b"{}")
    assert headers["Docker-Distribution-API-Version"] == "registry/2.0"


# --- pushes --------------------------------------------------------------------------------------


def _upload(talk: Talk) -> str:
    status, headers, _ = talk.ask("POST", "blobs/uploads/")
    assert status == 202
    return headers["Location"]


def _read(layout: Path, digest: str) -> bytes:
    return (layout / "blobs" / digest.replace(":", "/")).read_bytes()


def test_an_upload_in_one_piece(talk: Talk, layout: Path) -> None:
    data = os.urandom(3 << 20)
    status, headers, _ = talk.ask("PUT", f"{_upload(talk)}?digest={digest_of(data)}", data)
    assert (status, headers["Docker-Content-Digest"]) == (201, digest_of(data))
    assert _read(layout, digest_of(data)) == data
    assert talk.ask("HEAD", headers["Location"])[0] == 200
    status, _, _ = talk.ask("POST", f"blobs/uploads/?digest={digest_of(b'one')}", b"one")
    assert (status, _read(layout, digest_of(b"one"))) == (201, b"one")


def test_an_upload_in_pieces(talk: Talk, layout: Path) -> None:
    place = _upload(talk)
    status, headers, _ = talk.ask("PATCH", place, iter([b"one ", b"two "]))  # in chunks
    assert (status, headers["Range"]) == (202, "0-7")
    status, headers, _ = talk.ask("PATCH", headers["Location"], b"three ", Content_Range="8-13")
    assert (status, headers["Range"]) == (202, "0-13")
    assert talk.ask("GET", place)[1]["Range"] == "0-13"
    data = b"one two three four"
    assert talk.ask("PUT", f"{place}?digest={digest_of(data)}", b"four")[0] == 201
    assert _read(layout, digest_of(data)) == data
    assert _partial(layout) == []


def test_a_mount_becomes_an_upload(talk: Talk) -> None:
    status, headers, _ = talk.ask("POST", f"blobs/uploads/?mount={_DIGEST}&from=other")
    assert (status, "/blobs/uploads/" in headers["Location"]) == (202, True)


def test_a_manifest_is_a_blob_with_a_tag(talk: Talk, layout: Path, served: Served) -> None:
    document = {"schemaVersion": 2, "mediaType": INDEXES[0], "manifests": [{"digest": _EMPTY}]}
    index = json.dumps(document).encode()
    assert talk.ask("HEAD", "manifests/cache")[0] == 404
    status, headers, _ = talk.ask("PUT", "manifests/cache", index, Content_Type=INDEXES[0])
    assert (status, headers["Docker-Content-Digest"]) == (201, digest_of(index))
    assert _read(layout, digest_of(index)) == index
    pushed = served.pushed("cache")
    assert pushed and (pushed.media_type, pushed.digest) == (INDEXES[0], digest_of(index))
    assert pushed.size == len(index)
    assert talk.ask("GET", "manifests/cache")[2] == index
    assert talk.ask("PUT", f"manifests/{digest_of(_MANIFEST)}", _MANIFEST)[0] == 201
    assert served.pushed(digest_of(_MANIFEST)) is None


@pytest.mark.parametrize(
    ("method", "part", "body", "status"),
    [
        ("PUT", "manifests/cache", b"", 400),
        ("PUT", "manifests/cache", b"[" * 100_000, 400),
        ("PUT", "manifests/cache", b'{"schemaVersion": 2, "mediaType": "x/y", "layers": []}', 400),
        ("PUT", "manifests/cache", b'{"layers": [], "records": []}', 400),
        ("PUT", "manifests/cache", b" " * (MAX_DOCUMENT + 1), 413),
        ("PUT", f"manifests/{_EMPTY}", _MANIFEST, 400),
        ("PUT", "manifests/sha256:short", _MANIFEST, 404),
        ("PUT", "manifests/..%2fcache", _MANIFEST, 404),
        ("POST", f"blobs/uploads/?digest={_EMPTY}", b"other", 400),
        ("POST", "blobs/uploads/?digest=sha512:0", b"other", 400),
        ("PATCH", f"blobs/uploads/{'0' * 32}", b"", 404),
        ("PUT", f"blobs/uploads/{'0' * 32}?digest={_EMPTY}", b"", 404),
        ("DELETE", f"blobs/uploads/{'0' * 32}", None, 404),
        ("DELETE", f"blobs/{_DIGEST}", None, 404),
        ("GET", f"blobs/{_EMPTY}", None, 404),
        ("GET", "blobs/sha256:00", None, 400),
        ("GET", "blobs/md5:00112233445566778899aabbccddeeff", None, 400),
        ("GET", "blobs/sha256:../../../index.json", None, 404),
        ("GET", "tags/list", None, 404),
        ("GET", "/v2/_catalog", None, 404),
        ("GET", "/", None, 404),
        ("GET", f"/v2/{'0' * 32}/layout/blobs/{_DIGEST}", None, 404),
        ("GET", f"/v2/../blobs/{_DIGEST}", None, 404),
        ("OPTIONS", "manifests/cache", None, 501),
    ],
)
def test_all_else_is_refused(
    talk: Talk, layout: Path, *, method: str, part: str, body: bytes | None, status: int
) -> None:
    before = sorted((layout / "blobs").rglob("*"))
    assert talk.ask(method, part, body)[0] == status
    assert sorted((layout / "blobs").rglob("*")) == before
    assert _partial(layout) == []


def test_an_upload_ends_with_what_is_wrong(talk: Talk, layout: Path) -> None:
    for query, headers, status in (
        ("", {}, 400),
        (f"?digest={_EMPTY}", {}, 400),
        (f"?digest={_DIGEST}", {"Content_Range": "5-9"}, 416),
        (f"?digest={_DIGEST}", {"Content_Range": "all"}, 416),
        (f"?digest={_DIGEST}", {"Transfer_Encoding": "gzip"}, 501),
    ):
        place = _upload(talk)
        assert talk.ask("PUT", place + query, b"other", **headers)[0] == status
        assert talk.ask("GET", place)[0] == 404
    place = _upload(talk)
    assert talk.ask("DELETE", place)[0] == 204
    assert _partial(layout) == []


def test_what_is_sent_in_vain_does_not_break_the_answer_off(
    started: LoopbackRegistry, talk: Talk
) -> None:
    place, body = _upload(talk), b"x" * (4 << 20)
    head = f"PUT {place} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", started.port)) as connection:
        connection.sendall(head.encode() + body)
        with connection.makefile("rb") as answer:
            assert answer.read().startswith(b"HTTP/1.1 400 ")


def test_uploads_at_once_have_a_limit(talk: Talk, layout: Path) -> None:
    for _ in range(64):
        _upload(talk)
    assert talk.ask("POST", "blobs/uploads/")[0] == 429
    assert len(_partial(layout)) == 64


def test_what_is_for_reading_is_not_written(started: LoopbackRegistry, layout: Path) -> None:
    talk = Talk(started.serve(Offer(folder=layout)))
    with contextlib.closing(talk.connection):
        assert talk.ask("POST", "blobs/uploads/")[0] == 405
        assert talk.ask("PUT", "manifests/cache", _MANIFEST)[0] == 405
        assert talk.ask("GET", f"blobs/{_DIGEST}")[0] == 200
    assert [each.name for each in layout.iterdir()] == ["blobs"]


def test_a_folder_that_cannot_be_written_is_told_of(
    started: LoopbackRegistry, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    ingest = Ingest(tmp_path / "file")
    talk = Talk(started.serve(Offer(folder=tmp_path / "file", ingest=ingest)))
    with contextlib.closing(talk.connection):
        status, _, data = talk.ask("POST", "blobs/uploads/")
        assert (status, str(tmp_path) in data.decode()) == (500, False)
        assert talk.ask("GET", f"blobs/{_DIGEST}")[0] == 404
    assert isinstance(ingest.error, FileExistsError)


def test_a_symlink_that_leads_out_is_not_followed(talk: Talk, layout: Path) -> None:
    (layout.parent / "outside").write_bytes(b"secret")
    (layout / "blobs" / "sha256" / ("0" * 64)).symlink_to("../../../outside")
    assert talk.ask("GET", f"blobs/{_EMPTY}")[0] == 403
    assert talk.ask("GET", f"manifests/{_EMPTY}")[0] == 403


# --- connections ---------------------------------------------------------------------------------


def _raw(started: LoopbackRegistry, text: str) -> bytes:
    with socket.create_connection(("127.0.0.1", started.port)) as connection:
        connection.sendall(text.encode())
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as file:
            return file.read()


@pytest.mark.parametrize(
    "body",
    [
        "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nab",
        "Transfer-Encoding: chunked\r\n\r\n" + "0" * 2000,
        "Content-Length: -1\r\n\r\n",
        "Content-Length: 5\r\n\r\nab",
    ],
)
def test_a_broken_body_leaves_nothing(
    started: LoopbackRegistry, served: Served, layout: Path, body: str
) -> None:
    path = served.name.partition("/")[2]
    answer = _raw(started, f"POST /v2/{path}/blobs/uploads/ HTTP/1.1\r\nHost: x\r\n{body}")
    assert b" 202 " not in answer
    assert _partial(layout) == []


def test_a_body_is_never_the_next_request(started: LoopbackRegistry, served: Served) -> None:
    path = served.name.partition("/")[2]
    hidden = f"GET /v2/{path}/blobs/{_DIGEST} HTTP/1.1\r\nHost: x\r\n\r\n"
    head = f"GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: {len(hidden)}\r\n\r\n"
    assert _BLOB not in _raw(started, head + hidden)


def test_who_tries_tls_is_told_that_this_is_http(started: LoopbackRegistry) -> None:
    context = ssl.create_default_context()
    with (
        socket.create_connection(("127.0.0.1", started.port)) as connection,
        pytest.raises(ssl.SSLError, match=r"(?i)wrong.version"),
    ):
        context.wrap_socket(connection, server_hostname="localhost")
    with socket.create_connection(("127.0.0.1", started.port)) as connection:
        connection.sendall(b"\x16\x03\x01\x00\x05hello")
        assert connection.makefile("rb").read().startswith(b"HTTP/1.1 400 ")


def test_it_listens_at_loopback_only_and_ends_at_once(layout: Path) -> None:
    with LoopbackRegistry() as running:
        talk = Talk(running.serve(Offer(folder=layout, ingest=Ingest(layout))))
        _upload(talk)
        addresses = {each.getsockname()[:2] for each in running._listening}
        assert addresses <= {("127.0.0.1", running.port), ("::1", running.port)}
    assert talk.connection.sock.recv(1) == b""
    talk.connection.close()
    assert _partial(layout) == []
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", running.port)).close()


_CROWDED = """
import os, resource, socket, threading
from daemon_shim.registry.loopback import LoopbackRegistry

class Pauses(threading.Event):
    def wait(self, timeout=None):
        seen.set()
        return super().wait(timeout)

seen = threading.Event()
def ask(connection):
    connection.sendall(b"GET /v2/ HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
    return connection.recv(12).decode()

with LoopbackRegistry() as registry, socket.socket() as first:
    others = [socket.socket() for _ in range(8)]  # what ends meanwhile may leave room for some
    registry._ending = Pauses()
    first.connect(("127.0.0.1", registry.port))
    ask(first)  # so that all that it opens is open
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(first.fileno())  # the lowest number that is free
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
    for each in others:
        each.connect(("127.0.0.1", registry.port))
    assert seen.wait(60)
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    print({ask(each) for each in others})
    for each in others:
        each.close()
"""


def test_it_waits_while_no_more_files_can_be_opened() -> None:
    """In a process of its own, since nothing else can open files meanwhile."""
    command = [sys.executable, "-c", _CROWDED]
    done = subprocess.run(command, capture_output=True, check=True, timeout=120, cwd=REPOSITORY)
    assert done.stdout == b"{'HTTP/1.1 200'}\n"


# --- another program -----------------------------------------------------------------------------


@pytest.mark.skipif(not shutil.which("skopeo"), reason="skopeo is not installed")
@pytest.mark.parametrize(("format_", "kind"), [("oci", MANIFESTS[0]), ("v2s2", MANIFESTS[1])])
def test_skopeo_pushes_and_pulls(
    started: LoopbackRegistry, oci_base: Path, tmp_path: Path, format_: str, kind: str
) -> None:
    served = started.serve(Offer(folder=tmp_path / "new", ingest=Ingest(tmp_path / "new")))
    command = ["skopeo", "copy", "-q", "--format", format_]
    push = ["--dest-tls-verify=false", f"oci:{oci_base}", f"docker://{served.name}:one"]
    subprocess.run([*command, *push], check=True)
    pushed = served.pushed("one")
    assert pushed and pushed.media_type == kind
    for name in (f"{served.name}:one", f"{served.name}@{pushed.digest}"):
        pull = ["--src-tls-verify=false", f"docker://{name}", f"dir:{tmp_path / 'pulled'}"]
        subprocess.run([*command, *pull], check=True)
        manifest = (tmp_path / "pulled" / "manifest.json").read_bytes()
        assert digest_of(manifest) == pushed.digest
