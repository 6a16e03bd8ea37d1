"""Filters of workers mean here what they mean on a daemon."""

from __future__ import annotations

import pytest

from daemon_shim.client import Daemon as Client
from daemon_shim.errors import SolveFailedError
from daemon_shim.transports import transport_for
from tests.integration.command import Workspace
from translator.workerfilter import FilterError, parse

_EXECUTOR = "org.mobyproject.buildkit.worker.executor"
_READ = (
    "",
    "id",
    "id==none",
    "id!=none",
    " id != none, labels.none",
    f"labels.{_EXECUTOR}",
    f'labels."{_EXECUTOR}"',
    f"labels.{_EXECUTOR}~=^(oci|containerd|moby)$",
    f"labels.{_EXECUTOR}~=/^o\\\\w+$/",
    f"labels.{_EXECUTOR}~=|^[[:alpha:]]+$|",
    f"labels.{_EXECUTOR}!=oci",
    'labels.none~="^$"',
    'labels."\\u006eone"!=x',
)
_NOT_READ = (
    "id=x",
    "id==",
    "id==x ",
    "labels.a-b==x",
    'id=="x',
    "id==/x/",
    'id=="\\q"',
    "id,",
    ".",
)


def test_daemons_agree_about_filters(work: Workspace) -> None:
    with Client(transport_for(work.daemon.address), timeout=60.0) as client:
        known = client.info().workers
        for text in _READ:
            ours = [each.id for each in known if parse(text).matches(each.id, each.labels)]
            assert [each.id for each in client.list_workers([text])] == ours, text
        for text in _NOT_READ:
            with pytest.raises(SolveFailedError):
                client.list_workers([text])
            with pytest.raises(FilterError):
                parse(text)
