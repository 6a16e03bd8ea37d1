"""daemons.toml: which files count, what they say, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildfile.daemons import DaemonEntry, find_files, read_daemons
from buildfile.exits import UsageError
from daemon_shim.info import Api
from daemon_shim.transports.base import TlsFiles
from translator.diagnostic import Diagnostic, InvalidFileError


def read(folder: Path, text: str, **environment: str) -> tuple[DaemonEntry, ...]:
    file = folder / "daemons.toml"
    file.write_text(text)
    return read_daemons([file], environment)


def faults(folder: Path, text: str) -> list[tuple[str, int, int, str]]:
    with pytest.raises(InvalidFileError) as caught:
        read(folder, text)
    return [told(each) for each in caught.value.diagnostics]


def told(fault: Diagnostic) -> tuple[str, int, int, str]:
    assert fault.span
    return fault.code, fault.span.start.line, fault.span.start.column, fault.message


def test_an_entry_in_full(tmp_path: Path) -> None:
    text = """
[daemons.ci]
address = "tcp://ci:1234"
labels = { pool = "native" }
max-parallel = 4
api = "legacy"
x-note = "free"
[daemons.ci.tls]
ca = "certs/ca.pem"
cert = "~/cert.pem"
key = "/key.pem"
server-name = "ci.example.com"
"""
    (entry,) = read(tmp_path, text, HOME="/home/me")
    assert (entry.name, entry.address) == ("ci", "tcp://ci:1234")
    assert entry.tls == TlsFiles(
        ca=f"{tmp_path}/certs/ca.pem",
        cert="/home/me/cert.pem",
        key="/key.pem",
        server_name="ci.example.com",
    )
    assert (entry.labels, entry.max_parallel, entry.api) == ({"pool": "native"}, 4, Api.LEGACY)
    assert entry.span.start.line == 3


def test_all_daemons_of_a_file_share_its_place_for_handoff(tmp_path: Path) -> None:
    text = 'handoff = "localhost:5000/some/tmp-1"\n[daemons.a]\naddress = "/a"\n'
    (entry,) = read(tmp_path, text)
    assert entry.handoff == "localhost:5000/some/tmp-1"


@pytest.mark.parametrize("place", ["localhost:5000", "example.com/tmp:tag", "https://e.com/x", ""])
def test_a_place_for_handoff_is_a_repository(tmp_path: Path, place: str) -> None:
    ((_, line, column, message),) = faults(tmp_path, f'handoff = "{place}"\n')
    assert (line, column) == (1, 11) and "without a tag" in message


def test_entries_stay_in_order_and_need_an_address_alone(tmp_path: Path) -> None:
    two = read(tmp_path, 'daemons.b.address = "/b"\ndaemons.a.address = "docker://"\n')
    assert [(each.name, each.address) for each in two] == [("b", "/b"), ("a", "docker://")]
    assert (two[0].tls, two[0].labels, two[0].max_parallel) == (TlsFiles(), {}, None)
    assert two[0].api is Api.AUTO


def test_an_empty_file_has_no_daemons(tmp_path: Path) -> None:
    assert read(tmp_path, "# nothing yet\n") == ()


def test_all_faults_are_told_with_their_places(tmp_path: Path) -> None:
    text = """[daemons.one]
adress = "unix:///a"
[daemons.two]
address = "nowhere"
max-parallel = 0
api = "lagacy"
[daemons.two.tls]
ca = ""
[daemons.three]
labels = {a = [1]}
[daemon]
"""
    assert faults(tmp_path, text) == [
        ("unknown-key", 2, 1, "unknown key adress"),
        (
            "bad-value",
            4,
            11,
            "'nowhere' is not an address such as unix:///run/buildkit/buildkitd.sock or "
            "tcp://HOST:PORT",
        ),
        ("bad-value", 5, 16, "0 is not 1 or more"),
        ("bad-value", 6, 7, "'lagacy' is none of auto, legacy, current"),
        ("empty-value", 8, 6, "ca must not be empty"),
        ("missing-key", 9, 10, "the key address is missing"),
        ("wrong-type", 10, 15, "expected a string, found a list"),
        ("unknown-key", 11, 2, "unknown key daemon"),
    ]


def test_what_nobody_can_dial_is_a_fault_of_the_file(tmp_path: Path) -> None:
    text = '[daemons.a]\naddress = "tcp://a"\n[daemons.b]\naddress = "ftp://b:1"\n'
    ((code, line, column, message), (_, other, _, _)) = faults(tmp_path, text)
    assert (code, line, column, other) == ("unusable-address", 2, 11, 4)
    assert message == "the daemon a: cannot use the address 'tcp://a': it needs a host and a port"


def test_faults_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    one, two = tmp_path / "1.toml", tmp_path / "2.toml"
    one.write_text("x = 1\n")
    two.write_text("= 1\n")
    with pytest.raises(InvalidFileError) as caught:
        read_daemons([one, two], {})
    assert [each.code for each in caught.value.diagnostics] == ["unknown-key", "invalid-toml"]


def test_a_file_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "daemons.toml").write_bytes(b"a = '\xff'\n")
    with pytest.raises(InvalidFileError):
        read_daemons([tmp_path / "daemons.toml"], {})


def test_the_projects_file_comes_before_the_users(tmp_path: Path) -> None:
    project, user = tmp_path / "project", tmp_path / "config" / "buildfile"
    for folder, letters in ((project, "ab"), (user, "bc")):
        folder.mkdir(parents=True)
        lines = [f'daemons.{each}.address = "unix://{folder}/{each}"\n' for each in letters]
        (folder / "daemons.toml").write_text("".join(lines))
    environment = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "HOME": "/nowhere"}
    files = find_files(environment, str(project))
    assert files == (project / "daemons.toml", user / "daemons.toml")
    entries = read_daemons(files, environment)
    assert [(each.name, each.address) for each in entries] == [
        ("a", f"unix://{project}/a"),
        ("b", f"unix://{project}/b"),
        ("c", f"unix://{user}/c"),
    ]


@pytest.mark.parametrize("given", ["", "relative"])
def test_the_users_file_stands_below_home_where_nothing_else_is_set(
    tmp_path: Path, given: str
) -> None:
    file = tmp_path / ".config" / "buildfile" / "daemons.toml"
    file.parent.mkdir(parents=True)
    file.touch()
    environment = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": given}
    assert find_files(environment, None) == (file,)
    assert find_files({}, None) == ()


def test_a_named_file_stands_for_all_others(tmp_path: Path) -> None:
    (tmp_path / "daemons.toml").touch()
    (tmp_path / "mine.toml").touch()
    named = str(tmp_path / "mine.toml")
    assert find_files({}, str(tmp_path), named) == (tmp_path / "mine.toml",)
    with pytest.raises(UsageError, match="no such file"):
        find_files({}, str(tmp_path), str(tmp_path / "other.toml"))
