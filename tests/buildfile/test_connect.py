"""Which daemon a run opens, where daemons.toml names some."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from buildfile import connect
from buildfile.connect import DaemonChoice, connected
from buildfile.exits import UsageError
from buildfile.locate import Located
from daemon_shim.errors import UnreachableError
from daemon_shim.info import Api
from tests.fakes.control import FakeControl


@pytest.fixture
def alive(tmp_path: Path) -> Iterator[str]:
    with FakeControl(tmp_path, llb=["file.base"]) as fake:
        yield fake.address


def project(tmp_path: Path, **daemons: str) -> str:
    folder = tmp_path / "project"
    folder.mkdir()
    text = "".join(f'[daemons.{name}]\naddress = "{where}"\n' for name, where in daemons.items())
    (folder / "daemons.toml").write_text(text)
    return str(folder)


def opened(choice: DaemonChoice) -> tuple[str, Api, list[str]]:
    said: list[str] = []
    with connected(choice, said.append) as daemon:
        return daemon.address, daemon.info().api, said


def choice(folder: str, address: str | None = None, **environment: str) -> DaemonChoice:
    return DaemonChoice(address=address, folder=folder, environment=environment)


def test_the_first_that_answers_is_taken_and_told_of(tmp_path: Path, alive: str) -> None:
    folder = project(tmp_path, dead=f"unix://{tmp_path}/dead", good=alive, last="unix:///never")
    assert opened(choice(folder)) == (alive, Api.AUTO, [f"daemon good ({alive})"])


def test_a_name_picks_an_entry_with_its_api(tmp_path: Path, alive: str) -> None:
    folder = project(tmp_path, dead=f"unix://{tmp_path}/dead", good=alive)
    file = Path(folder, "daemons.toml")
    file.write_text(file.read_text() + 'api = "legacy"\n')
    assert opened(choice(folder, "good")) == (alive, Api.LEGACY, [])
    stronger = DaemonChoice(address="good", folder=folder, api=Api.CURRENT, environment={})
    assert opened(stronger)[1] is Api.CURRENT


def test_a_daemon_knows_how_many_builds_it_gets(tmp_path: Path, alive: str) -> None:
    folder = project(tmp_path, few=alive)
    file = Path(folder, "daemons.toml")
    with connected(choice(folder), print) as daemon:
        assert daemon.max_parallel is None
    file.write_text(file.read_text() + "max-parallel = 2\n")
    with connected(choice(folder), print) as daemon:
        assert daemon.max_parallel == 2


def test_a_named_file_stands_for_the_projects(tmp_path: Path, alive: str) -> None:
    folder = project(tmp_path, one="unix:///never")
    (tmp_path / "other.toml").write_text(f'daemons.two.address = "{alive}"\n')
    named = DaemonChoice(folder=folder, daemons=str(tmp_path / "other.toml"), environment={})
    assert opened(named)[0] == alive


def test_an_address_and_buildkit_host_are_stronger(tmp_path: Path, alive: str) -> None:
    folder = project(tmp_path, one="unix:///never")
    assert opened(choice(folder, alive))[0] == alive
    assert opened(choice(folder, BUILDKIT_HOST=alive))[0] == alive


def test_a_wrong_file_does_not_matter_where_it_is_not_asked(tmp_path: Path, alive: str) -> None:
    folder = project(tmp_path, one="nonsense")
    assert opened(choice(folder, alive))[0] == alive


def test_without_entries_one_is_found_as_ever(
    tmp_path: Path, alive: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Located(address=alive, origin="local buildkitd")
    monkeypatch.setattr(connect, "locate", lambda *_: found)
    assert opened(choice(project(tmp_path)))[0] == alive
    assert opened(choice(str(tmp_path / "none")))[0] == alive


def test_none_that_answers_are_listed(tmp_path: Path) -> None:
    folder = project(tmp_path, a=f"unix://{tmp_path}/a", b=f"unix://{tmp_path}/b")
    with pytest.raises(UnreachableError) as caught:
        opened(choice(folder))
    assert str(caught.value) == (
        "none of the daemons in daemons.toml answers:\n"
        f"    a: cannot reach unix://{tmp_path}/a: there is no socket\n"
        f"    b: cannot reach unix://{tmp_path}/b: there is no socket"
    )


def test_the_only_one_that_does_not_answer_is_told_of_alone(tmp_path: Path) -> None:
    folder = project(tmp_path, a=f"unix://{tmp_path}/a")
    for named in (None, "a"):
        with pytest.raises(UnreachableError, match="cannot reach"):
            opened(choice(folder, named))


@pytest.mark.parametrize(
    ("name", "hint"),
    [("natve", "did you mean native? it has native, ci; "), ("zzz", "it has native, ci; ")],
)
def test_an_unknown_name_lists_the_known(tmp_path: Path, name: str, hint: str) -> None:
    folder = project(tmp_path, native="/a", ci="/b")
    with pytest.raises(UsageError, match=f"no daemon {name} in daemons.toml") as caught:
        opened(choice(folder, name))
    assert caught.value.hint and caught.value.hint.startswith(hint)


def test_an_unknown_name_without_any_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        opened(choice(str(tmp_path), "ci"))
    assert caught.value.hint and caught.value.hint.startswith("there is none; an address has")
