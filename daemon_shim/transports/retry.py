"""When dialling is tried again: one policy for all transports.

Only dialling is, and only after a fault that may be over a moment later. Where nobody listens, a
certificate is wrong or the time is up, another try would say the same. What was sent to a daemon is
never sent again: a build is started once.
"""

from __future__ import annotations

from collections.abc import Callable
from time import sleep
from typing import TypeVar

from daemon_shim.errors import UnreachableError
from daemon_shim.transports.deadline import Deadline

T = TypeVar("T")

_PAUSES = (0.1, 0.5, 1.0)
"""Seconds before the second, the third and the last try."""


def retried(dial: Callable[[], T], deadline: Deadline) -> T:
    """What ``dial`` returns, within the deadline. Raises the error of its last try."""
    for pause in _PAUSES:
        try:
            return dial()
        except UnreachableError as error:
            if not error.transient or not deadline.allows(pause):
                raise
        sleep(pause)
    return dial()
