"""Looking into a result on a daemon, without a helper container and without exporting it.

    python -m benchmarks.reading --daemon ADDRESS --image IMAGE [--files N] [--entries N]

IMAGE has a shell. One step makes the files; then all small ones are read, one call each, by one
thread and by eight, a folder is listed in one call, and a large file is read piece by piece. What
is printed is the time of each, the best of three rounds.
"""

from __future__ import annotations

import argparse
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from daemon_shim.client import Daemon
from daemon_shim.gateway import GatewayBuild
from daemon_shim.reference import Reference
from daemon_shim.request import SolveRequest
from daemon_shim.results import Result
from daemon_shim.transports import transport_for
from translator.state import image

_ROUNDS = 3
_LARGE = 100 << 20


def main() -> None:
    """Measure, and print one line for each way to read."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--daemon", required=True)
    parser.add_argument("--image", required=True)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--entries", type=int, default=10_000)
    given = parser.parse_args()
    request = SolveRequest(ref=uuid.uuid4().hex, session="")
    with (
        Daemon(transport_for(given.daemon), timeout=60.0) as daemon,
        GatewayBuild(daemon, request) as build,
    ):
        script = (
            f"mkdir /small /wide; i=0; while [ $i -lt {given.files} ]; do echo $i >/small/$i; "
            f"i=$((i+1)); done; i=0; while [ $i -lt {given.entries} ]; do : >/wide/$i; "
            f"i=$((i+1)); done; head -c {_LARGE} /dev/zero >/large"
        )
        tree = build.solve(image(given.image).run(script)).ref
        for name, work in _work(tree, given.files, given.entries).items():
            print(f"{name}: {min(_seconds(work) for _ in range(_ROUNDS)):.3f} s")
        build.return_result(Result())
        build.job.result()


def _work(tree: Reference, files: int, entries: int) -> dict[str, Callable[[], None]]:
    names = [f"/small/{number}" for number in range(files)]

    def one_thread() -> None:
        _check(sum(len(tree.read_file(name)) > 1 for name in names), files)

    def eight_threads() -> None:
        with ThreadPoolExecutor(8) as pool:
            _check(sum(len(data) > 1 for data in pool.map(tree.read_file, names)), files)

    def listing() -> None:
        _check(len(tree.read_dir("/wide")), entries)

    def large() -> None:
        _check(sum(map(len, tree.read_pieces("/large"))), _LARGE)

    return {
        f"{files} files, one thread": one_thread,
        f"{files} files, eight threads": eight_threads,
        f"a folder of {entries} entries": listing,
        f"a file of {_LARGE >> 20} MiB": large,
    }


def _check(found: int, wanted: int) -> None:
    if found != wanted:
        raise SystemExit(f"read {found} of {wanted}")


def _seconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
