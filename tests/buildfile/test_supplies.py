from __future__ import annotations

import json
from pathlib import Path

import pytest

from buildfile.exits import UsageError
from buildfile.supplies import Supplies, gather, read_logins
from translator.diagnostic import InvalidFileError
from translator.target import Secret, SshAgent


def gathered(*secrets: Secret, agents: tuple[SshAgent, ...] = (), **environment: str) -> Supplies:
    return gather(secrets, agents, read_logins({"HOME": "/nonexistent"}), environment)


def test_secrets_are_read_from_variables_and_files(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"\x00\xff")
    made = gathered(
        Secret(id="e", env="TOKEN"), Secret(id="f", file=str(tmp_path / "f")), TOKEN="t"
    )
    assert made.secrets["e"]() == b"t"
    assert made.secrets["f"]() == b"\x00\xff"


def test_a_variable_that_is_no_text_keeps_its_bytes() -> None:
    made = gathered(Secret(id="e", env="TOKEN"), TOKEN=b"\xff".decode("utf-8", "surrogateescape"))
    assert made.secrets["e"]() == b"\xff"


def test_all_that_is_not_there_is_told_of_at_once(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    with pytest.raises(InvalidFileError) as error:
        gathered(
            Secret(id="e", env="TOKEN"),
            Secret(id="f", file=missing),
            agents=(SshAgent(id="default"),),
        )
    told = [each.message for each in error.value.diagnostics]
    assert told[0] == "the secret e is not set: the environment variable TOKEN is not set"
    assert told[1].startswith(f"the secret f is not set: cannot read {missing}: No such file")
    assert told[2].startswith("the SSH agent default cannot be used: ")


def test_what_is_optional_may_be_missing() -> None:
    made = gathered(
        Secret(id="e", env="TOKEN", optional=True),
        agents=(SshAgent(id="default", optional=True),),
    )
    assert made.secrets == {} and made.agents == {}


def test_no_value_stands_in_a_repr() -> None:
    assert "hunter2" not in repr(gathered(Secret(id="e", env="TOKEN"), TOKEN="hunter2"))


def test_a_docker_config_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UsageError, match=r"config\.json"):
        read_logins({"DOCKER_CONFIG": str(tmp_path)})
    (tmp_path / "config.json").write_text(json.dumps({}))
    assert read_logins({"DOCKER_CONFIG": str(tmp_path)}).login("localhost:5000").username == ""
