"""Whole builds over connections that client programs carry; stand-ins pipe to real daemons."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from tests.fakes.clients import StandIns, on_the_path
from tests.integration.command import Workspace
from tests.integration.test_interrupts import Building
from tests.integration.tree import files

_FILE = """
version: 1
vars:
  BASE: none
sources: {src: {local: src}}
stages:
  app:
    from: {image: "${BASE}"}
    steps:
      - copy: {from: src, to: /src}
      - run: mkdir /out && cp -r /src/. /out && echo built > /out/by
targets:
  app: {stage: app, outputs: [{type: local, dest: out, paths: [/out]}]}
"""
_ADDRESSES = {
    "docker": "docker-container://builder?context=far",
    "podman": "podman-container://builder",
    "nerdctl": "nerdctl-container://builder?namespace=k8s.io",
    "kubectl": "kube-pod://builder-0?context=me@cluster&namespace=ci&container=buildkitd",
    "ssh": "ssh://me@host:2222/run/buildkit/buildkitd.sock",
}


@contextmanager
def reached_by(work: Workspace, program: str) -> Iterator[tuple[Workspace, StandIns]]:
    """The workspace with its daemon behind a stand-in for a client program."""
    folder = work.folder / "bin"
    folder.mkdir()
    standins = StandIns(folder=folder)
    standins.pipe(program, work.daemon.address)
    with on_the_path(standins):
        yield replace(work, daemon=replace(work.daemon, address=_ADDRESSES[program])), standins


def build(work: Workspace, program: str) -> None:
    work.write("src/deep/file", "text")
    work.write("src/large", b"x" * 3_000_000)
    with reached_by(work, program) as (far, standins):
        far.build(_FILE)
        assert files(work.folder / "out") == {
            "by": "built\n",
            "deep/file": "text",
            "large": "x" * 3_000_000,
        }
        assert len(standins.started(program)) >= 2, "one for calls, one for the session"
        standins.wait_for_the_end(program)


def test_a_folder_goes_to_the_daemon_and_comes_back(work: Workspace) -> None:
    build(work, "docker")


@pytest.mark.parametrize("program", [each for each in _ADDRESSES if each != "docker"])
def test_other_clients_carry_the_same_build(full: Workspace, program: str) -> None:
    build(full, program)


def test_a_client_that_dies_in_the_middle_ends_the_build_with_its_words(full: Workspace) -> None:
    with reached_by(full, "docker") as (far, standins):
        building = Building(far)
        building.wait_for(b"started")
        for each in filter(lambda each: each.runs, standins.started("docker")):
            each.kill(signal.SIGUSR1)
        assert building.end() == 1
    assert b"docker ended with status 3: the host went away" in building.err
    building.wait_until(sleeps=False)


def test_ctrl_c_ends_the_build_and_its_clients(full: Workspace) -> None:
    with reached_by(full, "docker") as (far, standins):
        building = Building(far)
        building.wait_for(b"started")
        building.process.send_signal(signal.SIGINT)
        assert building.end() == 130
        assert not any(each.runs for each in standins.started("docker"))
    building.wait_until(sleeps=False)
