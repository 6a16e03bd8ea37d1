"""A few threads for slow work, which never keep the process alive.

``concurrent.futures`` joins its threads when the interpreter ends; a credential helper that waits
for the user must not hold it up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

_MAX_THREADS = 8


class Pool:
    """Runs jobs on daemon threads, started as they are needed."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._busy = 0

    def run(self, job: Callable[[], None]) -> None:
        """Run ``job``, which must not raise, on some thread."""
        with self._lock:
            self._busy += 1
            if self._busy > self._threads and self._threads < _MAX_THREADS:
                self._threads += 1
                threading.Thread(target=self._work, name=self._name, daemon=True).start()
        self._jobs.put(job)

    def close(self) -> None:
        """Let the threads end after the jobs that wait."""
        with self._lock:
            for _ in range(self._threads):
                self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            finally:
                with self._lock:
                    self._busy -= 1
