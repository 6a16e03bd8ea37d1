"""``buildfile workers`` and its filters."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from buildfile.cli import main
from schemas.pb import control_pb2, types_pb2
from schemas.rpc import Control
from tests.fakes.control import FakeControl


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeControl]:
    """A daemon with two workers, and labels for it in the project's daemons.toml."""
    records = [
        types_pb2.WorkerRecord(ID=name, Labels={"kind": name}, platforms=[])
        for name in ("first", "second")
    ]
    with FakeControl(tmp_path) as control:
        control.script[Control.LIST_WORKERS.path] = lambda body, context: (
            control_pb2.ListWorkersResponse(record=records)
        )
        text = f'daemons.near = {{ address = "{control.address}", labels = {{ "po-ol" = "x" }} }}\n'
        (tmp_path / "daemons.toml").write_text(text)
        (tmp_path / "buildfile.yaml").write_text("version: 1\n")
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("BUILDKIT_HOST", raising=False)
        yield control


@pytest.mark.parametrize(
    ("filters", "shown"),
    [
        ((), ["first", "second"]),
        (("labels.kind==second",), ["second"]),
        (("id==none",), []),
        (("id==none", "id~=^f"), ["first"]),
        (('labels."po-ol"==x,labels.kind!=first',), ["second"]),
    ],
)
def test_workers_are_filtered(
    fake: FakeControl,
    filters: tuple[str, ...],
    shown: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [word for each in filters for word in ("--filter", each)]
    assert main(["workers", "--daemon", "near", "--format", "json", *words]) == 0
    workers = json.loads(capsys.readouterr().out)["workers"]
    assert [each["id"] for each in workers] == shown
    assert [each["default"] for each in workers] == [each == "first" for each in shown]
    assert all(each["labels"]["po-ol"] == "x" for each in workers)


def test_one_that_is_never_used_is_not_called_the_default(
    fake: FakeControl, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["workers", "--daemon", fake.address, "--filter", "id==second"]) == 0
    out = capsys.readouterr().out
    assert "second  never used by BuildKit" in out
    assert "first" not in out


def test_a_filter_that_cannot_be_read_is_drawn(
    fake: FakeControl, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["workers", "--daemon", fake.address, "--filter", "labels.kind=second"]) == 2
    assert capsys.readouterr().err == (
        "--filter:1:12: error: there is no operator = [bad-filter]\n"
        "  1 | labels.kind=second\n"
        "    |            ^\n"
        "    = hint: write ==, !=, ~=\n"
    )
    assert not fake.calls
