"""The daemons of daemons.toml, opened and asked side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from buildfile import pool
from buildfile.connect import DaemonChoice
from buildfile.exits import UsageError
from daemon_shim.errors import UnreachableError
from schemas.pb import control_pb2
from schemas.rpc import Control, LLBBridge
from tests.fakes.control import FakeControl


def fake(folder: Path, name: str, **labels: str) -> FakeControl:
    (folder / name).mkdir()
    return FakeControl(folder / name, labels=labels)


def choice(folder: Path, text: str = "", **given: str) -> DaemonChoice:
    (folder / "daemons.toml").write_text(text)
    environment = {"HOME": str(folder / "home"), "DOCKER_HOST": f"unix://{folder}/none", **given}
    return DaemonChoice(folder=str(folder), environment=environment)


def entry(name: str, address: str) -> str:
    return f'[daemons.{name}]\naddress = "{address}"\nlabels = {{ of = "{name}" }}\n'


def test_each_is_open_or_has_its_reason_in_the_order_of_the_file(tmp_path: Path) -> None:
    with fake(tmp_path, "one", here="1") as one, fake(tmp_path, "two", here="2") as two:
        text = entry("b", one.address) + entry("dead", f"unix://{tmp_path}/dead")
        text += entry("a", two.address)
        with pool.opened(choice(tmp_path, text)) as members:
            assert [each.name for each in members] == ["b", "dead", "a"]
            labels = [each.info and each.info.workers[0].labels["here"] for each in members]
            assert labels == ["1", None, "2"]
            assert isinstance(members[1].fault, UnreachableError)
            assert [each.candidate.labels["of"] for each in members] == ["b", "dead", "a"]


def test_all_are_asked_at_once(tmp_path: Path) -> None:
    both = threading.Barrier(2, timeout=60)

    def together(daemon: FakeControl) -> Callable[[bytes, grpc.ServicerContext], object]:
        def pong(body: bytes, context: grpc.ServicerContext) -> object:
            both.wait()
            return daemon._pong(body, context)

        return pong

    with fake(tmp_path, "one") as one, fake(tmp_path, "two") as two:
        for each in (one, two):
            each.script[LLBBridge.PING.path] = together(each)
        text = entry("one", one.address) + entry("two", two.address)
        with pool.opened(choice(tmp_path, text)) as members:
            assert all(each.info for each in members)


def test_only_who_wants_to_know_asks_how_busy_they_are(tmp_path: Path) -> None:
    asked = []

    def history(body: bytes, context: grpc.ServicerContext) -> Iterator[object]:
        asked.append(body)
        return iter([control_pb2.BuildHistoryEvent()] * 2)

    with FakeControl(tmp_path, version="v0.32.2") as one:
        one.script[Control.LISTEN_BUILD_HISTORY.path] = history
        given = choice(tmp_path, BUILDKIT_HOST=one.address)
        with pool.opened(given) as (member,):
            assert (member.info is None, member.load, asked) == (False, None, [])
        with pool.opened(given, with_load=True) as (member,):
            assert (member.load, len(asked)) == (2, 1)


def test_one_that_never_answers_is_given_up(tmp_path: Path) -> None:
    over = threading.Event()
    with fake(tmp_path, "hanging") as hanging:
        hanging.script[LLBBridge.PING.path] = lambda body, context: over.wait(60)
        given = replace(choice(tmp_path, BUILDKIT_HOST=hanging.address), timeout=1.0)
        with pool.opened(given, answer_seconds=0.0) as (member,):
            over.set()
            assert "answer within 1 seconds" in str(member.fault)


def test_a_named_one_is_alone(tmp_path: Path) -> None:
    with fake(tmp_path, "one") as one:
        with pool.opened(choice(tmp_path, BUILDKIT_HOST=one.address)) as (member,):
            assert (member.name, member.candidate.origin) == ("", "BUILDKIT_HOST")
        named = DaemonChoice(address="zzz", folder=str(tmp_path), environment={})
        with pytest.raises(UsageError), pool.opened(named):
            pass


def test_an_address_that_cannot_be_read_is_a_reason_too(tmp_path: Path) -> None:
    with pool.opened(choice(tmp_path, BUILDKIT_HOST="nonsense://x")) as (member,):
        assert "its scheme is not known" in str(member.fault)


def test_nothing_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("buildfile.locate._usual_places", lambda environment: iter(()))
    with pool.opened(choice(tmp_path)) as members:
        assert members == ()
