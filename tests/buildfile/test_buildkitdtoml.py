"""What is read of a buildkitd's own settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildfile.buildkitdtoml import (
    BuildkitdSettings,
    listening_places,
    own_settings,
    read_settings,
)
from buildfile.exits import UsageError
from translator.diagnostic import InvalidFileError

_FILE = """
debug = true
[grpc]
address = ["unix:///run/x.sock", "tcp://0.0.0.0:1234"]
[grpc.tls]
cert = "c.pem"
[registry."docker.io"]
mirrors = ["mirror.example.com"]
[worker.oci]
enabled = %s
platforms = ["linux/amd64", "linux/arm64"]
[worker.oci.labels]
pool = "native"
[worker.containerd]
platforms = ["linux/386"]
labels = { other = "worker" }
"""


def settings(folder: Path, text: str) -> BuildkitdSettings:
    path = folder / "buildkitd.toml"
    path.write_text(text)
    return read_settings(path)


def test_the_default_worker_s_settings_are_read(tmp_path: Path) -> None:
    assert settings(tmp_path, _FILE % "true") == BuildkitdSettings(
        path=tmp_path / "buildkitd.toml",
        addresses=("unix:///run/x.sock", "tcp://0.0.0.0:1234"),
        labels={"pool": "native"},
        platforms=("linux/amd64", "linux/arm64"),
        workers={"oci": True},
    )


def test_without_oci_the_default_worker_is_containerds(tmp_path: Path) -> None:
    read = settings(tmp_path, _FILE % "false")
    assert (dict(read.labels), read.platforms) == ({"other": "worker"}, ("linux/386",))
    assert dict(read.workers) == {"oci": False}


@pytest.mark.parametrize("text", ["", "worker = 1\n", "grpc = { address = 'x' }\n", "[worker]\n"])
def test_what_is_not_there_or_of_another_type_is_nothing(tmp_path: Path, text: str) -> None:
    assert settings(tmp_path, text) == BuildkitdSettings(path=tmp_path / "buildkitd.toml")


def test_a_file_that_is_no_toml_is_drawn(tmp_path: Path) -> None:
    with pytest.raises(InvalidFileError) as caught:
        settings(tmp_path, "[worker\n")
    (fault,) = caught.value.diagnostics
    assert fault.span and fault.span.start.line == 1
    with pytest.raises(UsageError, match="cannot read"):
        read_settings(tmp_path / "none.toml")


def test_the_users_own_file_and_where_buildkitds_listen(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path)}
    assert own_settings(environment) is None
    for name in ("buildfile", "buildkit"):
        (tmp_path / ".config" / name).mkdir(parents=True)
        settings(tmp_path / ".config" / name, _FILE % "true")
    assert own_settings(environment) == tmp_path / ".config/buildfile/buildkitd.toml"
    assert "unix:///run/x.sock" in list(listening_places(environment))
    (tmp_path / ".config/buildkit/buildkitd.toml").write_text("[broken")
    assert "unix:///run/x.sock" not in list(listening_places(environment))
