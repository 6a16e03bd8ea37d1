from __future__ import annotations

import socket
from pathlib import Path

import pytest

from daemon_shim.errors import UnreachableError
from daemon_shim.transports import transport_for
from daemon_shim.transports.base import TlsFiles
from tests.fakes.peers import listening


@pytest.mark.parametrize(
    "address",
    [
        "",
        "buildkitd.sock",
        "tcp://host",
        "tcp://host:",
        "tcp://:1234",
        "tcp://host:port",
        "tcp://host:70000",
        "tcp://host:1234/path",
        "tls://host",
        "unix://relative/path",
        "unix:/one/slash",
        "docker://host",
    ],
)
def test_an_address_that_cannot_be_read_is_refused_with_the_schemes(address: str) -> None:
    with pytest.raises(UnreachableError) as caught:
        transport_for(address)
    assert repr(address) in str(caught.value)
    assert caught.value.address == address
    assert "unix:///PATH" in (caught.value.hint or "")


def test_a_docker_host_of_another_kind_is_refused() -> None:
    with pytest.raises(UnreachableError, match="DOCKER_HOST is neither"):
        transport_for("docker://", environment={"DOCKER_HOST": "npipe://x"})


@pytest.mark.parametrize(
    ("address", "docker_host", "where"),
    [
        ("/no/such.sock", "", "there is no socket"),
        ("unix:///no/such#odd?.sock", "", "there is no socket"),
        ("docker:///no/such.sock", "", "there is no socket"),
        ("docker://", "unix:///no/such.sock", "there is no socket"),
        ("tcp://127.0.0.1:1", "", "nobody answers there"),
        ("tcp://[::1]:1", "", ""),
        ("docker://127.0.0.1:1", "", "nobody answers there"),
        ("docker://", "tcp://127.0.0.1:1", "nobody answers there"),
        ("tls://127.0.0.1:1", "", "nobody answers there"),
        ("tcp://no.such.host.invalid:1", "", ""),
    ],
)
def test_where_nobody_is_the_error_says_why(address: str, docker_host: str, where: str) -> None:
    transport = transport_for(address, environment={"DOCKER_HOST": docker_host})
    with pytest.raises(UnreachableError) as caught:
        transport.connect(5.0)
    assert str(caught.value).startswith(f"cannot reach {address}: {where}")
    assert caught.value.hint


def test_empty_tls_files_leave_tcp_plain() -> None:
    transport = transport_for("tcp://127.0.0.1:1", tls=TlsFiles())
    with pytest.raises(UnreachableError, match="nobody answers"):
        transport.connect(5.0)


def test_a_unix_socket_holds_more_than_the_system_gives_it(tmp_path: Path) -> None:
    with (
        listening(lambda stream: None, tmp_path / "s") as address,
        socket.socket(socket.AF_UNIX) as usual,
        transport_for(address).dial(5.0) as dialled,
    ):
        sizes = [s.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) for s in (usual, dialled)]
    assert sizes[0] < sizes[1]
