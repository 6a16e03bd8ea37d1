"""When dialling is tried again."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

import pytest

from daemon_shim.errors import UnreachableError
from daemon_shim.transports import retry
from daemon_shim.transports.deadline import Deadline
from daemon_shim.transports.dial import unreachable


@pytest.fixture(autouse=True)
def paused(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made, which take no time."""
    made: list[float] = []
    monkeypatch.setattr(retry, "sleep", made.append)
    return made


def failing(times: int, *, transient: bool) -> Callable[[], int]:
    tries = iter(range(times + 1))

    def dial() -> int:
        number = next(tries)
        if number < times:
            raise UnreachableError(f"try {number}", transient=transient)
        return number

    return dial


def test_a_fault_that_may_pass_is_tried_again(paused: list[float]) -> None:
    assert retry.retried(failing(3, transient=True), Deadline(600.0)) == 3
    assert paused == [0.1, 0.5, 1.0]


def test_the_last_try_s_fault_is_the_one() -> None:
    with pytest.raises(UnreachableError, match="try 3"):
        retry.retried(failing(9, transient=True), Deadline(600.0))


def test_other_faults_and_a_deadline_that_is_near_end_it_at_once(paused: list[float]) -> None:
    with pytest.raises(UnreachableError, match="try 0"):
        retry.retried(failing(9, transient=False), Deadline(600.0))
    with pytest.raises(UnreachableError, match="try 0"):
        retry.retried(failing(9, transient=True), Deadline(0.05))
    assert paused == []


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (ConnectionResetError(errno.ECONNRESET, "reset"), True),
        (BlockingIOError(errno.EAGAIN, "full"), True),
        (socket.gaierror(socket.EAI_AGAIN, "at a loss"), True),
        (socket.gaierror(socket.EAI_NONAME, "unknown"), False),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), False),
        (FileNotFoundError(errno.ENOENT, "none"), False),
        (TimeoutError(), False),
    ],
)
def test_which_faults_may_pass(error: OSError, transient: bool) -> None:
    assert unreachable("tcp://x:1", error, Deadline(1.0)).transient is transient
