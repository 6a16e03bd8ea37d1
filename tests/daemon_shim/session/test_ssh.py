"""SSH agents behind the session, with OpenSSH's own tools at both ends."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon_shim.session.ssh import Ssh
from daemon_shim.session.ssh_agent import Agent, KeyAgent, SshError, agent_of
from daemon_shim.session.ssh_keys import load_key
from daemon_shim.session.ssh_wire import pack, unpack
from schemas.pb.sshforward_pb2 import BytesMessage, CheckAgentRequest
from tests.daemon_shim.session.driver import FakeCall

CHECK = "/moby.sshforward.v1.SSH/CheckAgent"
FORWARD = "/moby.sshforward.v1.SSH/ForwardAgent"
LIST = b"\x0b"
FAILURE = b"\x05"

pytestmark = pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="needs openssh-client")


def keygen(path: Path, *options: str) -> Path:
    command = ["ssh-keygen", "-q", "-f", str(path), "-C", "", *options]
    subprocess.run([*command, *(() if "-N" in options else ("-N", ""))], check=True)
    return path


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return keygen(tmp_path_factory.mktemp("keys") / "key", "-t", "ed25519")


@pytest.fixture
def agent_socket(tmp_path: Path) -> Iterator[str]:
    path = str(tmp_path / "agent")
    with subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.PIPE) as agent:
        assert agent.stdout is not None and agent.stdout.readline()  # it listens
        yield path
        agent.send_signal(signal.SIGTERM)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "served")
    yield server
    server.close()


class Server:
    """Lets OpenSSH's tools talk to the service, as the daemon lets a step."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.agent: Agent = KeyAgent([])
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client:
                self._serve(client)

    def _serve(self, client: socket.socket) -> None:
        call = FakeCall().open(Ssh({"default": self.agent}).methods[FORWARD])
        while call.status is None and (piece := client.recv(4096)):
            call.give(BytesMessage(data=piece).SerializeToString())
            for message in call.messages:
                client.sendall(BytesMessage.FromString(message).data)
            call.sent.clear()
        call.half_close()

    def run(self, *command: str, text: str = "") -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"SSH_AUTH_SOCK": self.path}
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, input=text, check=False
        )


def ask(agent: Agent, *requests: bytes) -> list[bytes]:
    """Send agent messages in small pieces; return the answers."""
    call = FakeCall().open(Ssh({"default": agent}).methods[FORWARD])
    stream = b"".join(map(pack, requests))
    for at in range(0, len(stream), 3):
        call.give(BytesMessage(data=stream[at : at + 3]).SerializeToString())
    call.half_close()
    assert call.status is not None and call.status.code == 0
    answers = []
    rest = b"".join(BytesMessage.FromString(message).data for message in call.messages)
    while rest:
        answer, rest = unpack(rest)
        answers.append(answer)
    return answers


KINDS = [
    ("ed25519", []),
    ("rsa", ["-b", "2048"]),
    ("rsa", ["-b", "2048", "-m", "PEM"]),
    ("ecdsa", ["-b", "256"]),
    ("ecdsa", ["-b", "384", "-m", "PKCS8"]),
    ("ecdsa", ["-b", "521"]),
]


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_key_files_sign(tmp_path: Path, served: Server, kind: str, options: list[str]) -> None:
    key = keygen(tmp_path / "key", "-t", kind, *options)
    public = tmp_path / "key.pub"
    served.agent = agent_of([str(key)])
    key.unlink()  # so that only the agent can sign
    listed = served.run("ssh-add", "-L")
    assert listed.stdout.split()[:2] == public.read_text().split()[:2]
    assert served.run("ssh-add", "-T", str(public)).returncode == 0
    message = tmp_path / "message"
    message.write_text("signed")
    signed = served.run("ssh-keygen", "-Y", "sign", "-f", str(public), "-n", "test", str(message))
    assert signed.returncode == 0, signed.stderr
    checked = served.run(
        *["ssh-keygen", "-Y", "check-novalidate", "-n", "test", "-s", f"{message}.sig"],
        text="signed",
    )
    assert checked.returncode == 0, checked.stderr


def test_agent_is_forwarded(key: Path, served: Server, agent_socket: str) -> None:
    environment = os.environ | {"SSH_AUTH_SOCK": agent_socket}
    subprocess.run(["ssh-add", "-q", str(key)], env=environment, check=True)
    served.agent = agent_of([agent_socket])
    listed = served.run("ssh-add", "-L").stdout
    assert listed.split()[:2] == Path(f"{key}.pub").read_text().split()[:2]
    assert served.run("ssh-add", "-T", f"{key}.pub").returncode == 0


def test_steps_cannot_change_an_agent(key: Path, served: Server, agent_socket: str) -> None:
    environment = os.environ | {"SSH_AUTH_SOCK": agent_socket}
    subprocess.run(["ssh-add", "-q", str(key)], env=environment, check=True)
    served.agent = agent_of([], auth_sock=agent_socket)
    other = keygen(key.parent / "other", "-t", "ed25519")
    for command in (["ssh-add", str(other)], ["ssh-add", "-D"], ["ssh-add", "-d", str(key)]):
        assert served.run(*command).returncode != 0
    assert len(served.run("ssh-add", "-L").stdout.splitlines()) == 1
    other.unlink()


@pytest.mark.parametrize("kind", [1, 9, 17, 18, 19, 20, 22, 23, 25, 26, 27, 255])
def test_other_messages_are_refused(agent_socket: str, key: Path, kind: int) -> None:
    request = bytes([kind]) + pack(b"x")
    keys = agent_of([str(key)])
    assert ask(agent_of([agent_socket]), request, LIST)[0] == FAILURE
    assert ask(keys, request, LIST)[0] == FAILURE


@pytest.mark.parametrize("request_", [b"\r", b"\r" + pack(b"x"), b"\r\xff\xff\xff\xff", b"\r" * 30])
def test_bad_sign_requests_are_refused(key: Path, request_: bytes) -> None:
    assert ask(agent_of([str(key)]), request_) == [FAILURE]


@pytest.mark.parametrize("stream", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\x04\0\x01"])
def test_bad_lengths_end_the_call(key: Path, stream: bytes) -> None:
    call = FakeCall().open(Ssh({"default": agent_of([str(key)])}).methods[FORWARD])
    call.give(BytesMessage(data=stream).SerializeToString())
    assert call.status is not None and call.status.code == 3


def test_requests_that_pile_up_end_the_call(key: Path) -> None:
    call = FakeCall().open(Ssh({"default": agent_of([str(key)])}).methods[FORWARD])
    call.later = True
    call.give(*[BytesMessage(data=pack(LIST) * 20000).SerializeToString()] * 20)
    assert call.status is not None and call.status.code == 8


def test_answers_that_are_not_read_stop_the_questions(key: Path) -> None:
    call = FakeCall().open(Ssh({"default": agent_of([str(key)])}).methods[FORWARD])
    call.queued = 2 << 20
    call.give(BytesMessage(data=pack(LIST)).SerializeToString())
    assert call.messages == []
    call.queued = 0
    assert call.handler is not None
    call.handler.writable()
    assert len(call.messages) == 1


def test_only_named_agents_are_served(key: Path) -> None:
    service = Ssh({"work": agent_of([str(key)])})
    for name, code in (("work", 0), ("other", 5), ("", 5)):
        request = CheckAgentRequest(ID=name).SerializeToString()
        check = FakeCall().open(service.methods[CHECK]).give(request)
        assert check.status is not None and check.status.code == code
    metadata = {"buildkit.ssh.id": ["other"]}
    forward = FakeCall(metadata).open(service.methods[FORWARD])
    assert forward.status is not None and forward.status.code == 5


def test_agent_that_went_away_is_an_error(agent_socket: str, tmp_path: Path) -> None:
    agent = agent_of([agent_socket])
    Path(agent_socket).rename(tmp_path / "away")
    call = FakeCall().open(Ssh({"default": agent}).methods[FORWARD])
    assert call.status is not None and call.status.code == 14
    (tmp_path / "away").rename(agent_socket)


def test_agent_that_hangs_up_is_an_error(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        call = FakeCall().open(Ssh({"default": agent_of([path])}).methods[FORWARD])
        listener.accept()[0].close()
        call.give(BytesMessage(data=pack(LIST)).SerializeToString())
    assert call.status is not None and call.status.code == 14


def test_encrypted_key_says_what_to_do(tmp_path: Path) -> None:
    for name, options in (("new", []), ("old", ["-m", "PEM", "-t", "rsa"])):
        key = keygen(tmp_path / name, "-N", "secret", *options)
        with pytest.raises(SshError, match="has a passphrase; add it to an SSH agent"):
            agent_of([str(key)])


def test_what_is_no_key_is_refused(tmp_path: Path, agent_socket: str, key: Path) -> None:
    (tmp_path / "text").write_text("hello")
    with pytest.raises(SshError, match="neither an SSH agent's socket nor a private key"):
        agent_of([str(tmp_path / "text")])
    with pytest.raises(SshError, match="neither"):
        agent_of([f"{key}.pub"])
    with pytest.raises(SshError, match="No such file"):
        agent_of([str(tmp_path / "none")])
    with pytest.raises(SshError, match="SSH_AUTH_SOCK"):
        agent_of([])
    with pytest.raises(SshError, match="stands alone"):
        agent_of([agent_socket, str(key)])


def test_private_half_is_not_shown(key: Path) -> None:
    assert "sign" not in repr(load_key(key.read_bytes(), comment="key"))
