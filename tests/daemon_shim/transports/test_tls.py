from __future__ import annotations

import datetime
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon_shim.client import Daemon
from daemon_shim.errors import TlsError, UnreachableError
from daemon_shim.transports import transport_for
from daemon_shim.transports.base import TlsFiles
from tests.daemon_shim.transports.certificates import Authority, Pair
from tests.fakes.control import FakeControl
from tests.fakes.peers import SETTINGS, answering, engine_before, listening, tls_before


class Place:
    """A fake daemon behind TLS, and the authorities of this world."""

    def __init__(self, folder: Path, control: FakeControl) -> None:
        self.control = control
        self.folder = folder
        self.ours = Authority(folder, "ours")
        self.theirs = Authority(folder, "theirs")
        self.server = self.ours.issue("server", hosts=("127.0.0.1", "daemon.test"))
        self.client = self.ours.issue("client")

    def context(
        self, pair: Pair | None = None, *, clients: Authority | None = None
    ) -> ssl.SSLContext:
        pair = pair or self.server
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.cert, pair.key)
        context.set_alpn_protocols(["h2"])
        if clients:
            context.load_verify_locations(clients.path)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("tls")
    with FakeControl(folder, llb=["mergeop"]) as control:
        yield Place(folder, control)


def probed(address: str, tls: TlsFiles) -> tuple[int, int, int]:
    with Daemon(transport_for(address, tls=tls)) as daemon:
        return daemon.info().release


def test_a_daemon_of_our_authority_is_used(place: Place) -> None:
    with listening(tls_before(place.control.socket, place.context())) as address:
        assert probed(address, TlsFiles(ca=place.ours.path)) == (0, 10, 0)


def test_client_certificates_are_shown(place: Place) -> None:
    context = place.context(clients=place.ours)
    tls = TlsFiles(ca=place.ours.path, cert=place.client.cert, key=place.client.key)
    with listening(tls_before(place.control.socket, context)) as address:
        assert probed(address, tls) == (0, 10, 0)


def test_the_server_name_is_what_counts(place: Place) -> None:
    context = place.context(place.ours.issue("named", hosts=("daemon.test",)))
    tls = TlsFiles(ca=place.ours.path, server_name="daemon.test")
    with listening(tls_before(place.control.socket, context)) as address:
        assert probed(address, tls) == (0, 10, 0)


def test_an_engine_behind_tls(place: Place, tmp_path: Path) -> None:
    with listening(engine_before(place.control.socket), tmp_path / "s"):
        serve = tls_before(str(tmp_path / "s"), place.context())
        with listening(serve) as address:
            docker = address.replace("tcp", "docker")
            assert probed(docker, TlsFiles(ca=place.ours.path)) == (0, 10, 0)


def refused(address: str, tls: TlsFiles, what: str, hint: str) -> None:
    """Both ways to a daemon fail alike, and say why."""
    transport = transport_for(address, tls=tls)
    with pytest.raises(TlsError, match=what) as caught:
        transport.connect(10.0)
    assert address in str(caught.value)
    assert hint in (caught.value.hint or "")
    with (
        Daemon(transport_for(address, tls=tls), timeout=10.0) as daemon,
        pytest.raises(TlsError, match=what),
    ):
        daemon.list_workers()


def test_another_authority(place: Place) -> None:
    with listening(tls_before(place.control.socket, place.context())) as address:
        tls = TlsFiles(ca=place.theirs.path)
        refused(address, tls, "an authority that is not trusted", "--tlscacert")


def test_the_systems_authorities_do_not_know_ours(place: Place) -> None:
    with listening(tls_before(place.control.socket, place.context())) as address:
        secure = address.replace("tcp", "tls")
        refused(secure, TlsFiles(), "an authority that is not trusted", "--tlscacert")


@pytest.mark.parametrize("name", ["", "another.test"])
def test_another_name(place: Place, name: str) -> None:
    context = place.context(place.ours.issue("elsewhere", hosts=("elsewhere.test",)))
    with listening(tls_before(place.control.socket, context)) as address:
        tls = TlsFiles(ca=place.ours.path, server_name=name)
        refused(address, tls, f"is not for {name or '127.0.0.1'}", "--tlsservername")


@pytest.mark.parametrize(
    ("days", "what"), [(30, "has expired"), (-30, "is not valid yet")], ids=["old", "new"]
)
def test_another_time(place: Place, days: int, what: str) -> None:
    pair = place.ours.issue(f"time{days}", hosts=("127.0.0.1",), age=datetime.timedelta(days=days))
    with listening(tls_before(place.control.socket, place.context(pair))) as address:
        refused(address, TlsFiles(ca=place.ours.path), what, "clock")


@pytest.mark.parametrize(
    ("version", "what"),
    [
        (ssl.TLSVersion.TLSv1_2, "may want a client certificate"),
        (ssl.TLSVersion.TLSv1_3, "refuses our client certificate, or wants one"),
    ],
)
def test_a_client_certificate_that_is_missing(
    place: Place, version: ssl.TLSVersion, what: str
) -> None:
    context = place.context(clients=place.ours)
    context.maximum_version = version
    with listening(tls_before(place.control.socket, context)) as address:
        tls = TlsFiles(ca=place.ours.path)
        refused(address, tls, what, "--tlscert")


def test_a_client_certificate_of_another_authority(place: Place) -> None:
    pair = place.theirs.issue("client")
    tls = TlsFiles(ca=place.ours.path, cert=pair.cert, key=pair.key)
    with listening(tls_before(place.control.socket, place.context(clients=place.ours))) as address:
        refused(address, tls, "refuses our client certificate", "--tlscert")


def test_a_server_that_leaves_after_the_handshake(place: Place) -> None:
    context = place.context()

    def serve(stream: socket.socket) -> None:
        context.wrap_socket(stream, server_side=True).close()

    with listening(serve) as address:
        tls = TlsFiles(ca=place.ours.path)
        refused(address, tls, "closes the connection after the handshake", "--tlscert")


def test_a_tls_server_that_is_dialled_plainly(place: Place) -> None:
    """Some answer a plain byte with an alert, and some (Go) just leave."""
    context = place.context()

    def leaves(stream: socket.socket) -> None:
        if stream.recv(1, socket.MSG_PEEK) == b"\x16":
            context.wrap_socket(stream, server_side=True).close()

    for serve in (leaves, tls_before(place.control.socket, context)):
        with (
            listening(serve) as address,
            pytest.raises(UnreachableError, match="it wants TLS") as caught,
        ):
            transport_for(address).connect(10.0)
        assert "--tlscacert" in (caught.value.hint or "")


def test_a_server_without_tls(place: Place) -> None:
    with listening(answering(SETTINGS)) as address:
        refused(address, TlsFiles(ca=place.ours.path), "does not speak TLS", "TLS options")


def test_files_that_cannot_be_used(place: Place) -> None:
    other = place.ours.issue("other")
    broken = place.folder / "broken.pem"
    broken.write_text("not PEM")
    ca = place.ours.path
    for tls, what in (
        (TlsFiles(ca="/no/such.pem"), "authority in /no/such.pem cannot be read: No such file"),
        (TlsFiles(ca=str(broken)), "authority in .*broken.pem cannot be read"),
        (TlsFiles(ca=ca, cert="/no/c.pem", key=other.key), "in /no/c.pem cannot be read"),
        (TlsFiles(ca=ca, cert=other.cert, key=place.client.key), "key values mismatch"),
        (TlsFiles(ca=ca, cert=other.cert), "cannot be read"),
        (TlsFiles(ca=ca, key=other.key), "a client key without a certificate"),
    ):
        with listening(answering(SETTINGS)) as address:
            refused(address, tls, what, "")
