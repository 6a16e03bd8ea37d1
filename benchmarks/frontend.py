"""How soon the frontend's image is at work, in containers of a daemon.

    python -m benchmarks.frontend --daemon ADDRESS --image IMAGE [--rounds N]

One step in IMAGE, which is what ``images/frontend`` makes, starts the frontend again and again and
takes the time until its first byte to the daemon: that of the process alone. Then whole builds of a
file without steps are made by it: with the container, and all calls to the daemon.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import uuid
from pathlib import Path

from daemon_shim.client import Daemon
from daemon_shim.gateway import GatewayBuild
from daemon_shim.request import SolveRequest
from daemon_shim.session.filesync import FileSync, LocalFolder
from daemon_shim.session.host import SessionHost
from daemon_shim.transports import transport_for
from translator.state import image

_FILE = "version: 1\nstages: {app: {from: scratch}}\ntargets: {app: {stage: app}}\n"
# Time on the wall, and time of the CPU, which says more on a machine that others use.
_SCRIPT = """\
import os, resource, statistics, subprocess, time

def used():
    taken = resource.getrusage(resource.RUSAGE_CHILDREN)
    return taken.ru_utime + taken.ru_stime

def measure(words, wait):
    wall, cpu = [], []
    for _ in range({rounds}):
        began, before = time.perf_counter(), used()
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        process.stdout.read(1) if wait else None
        wall.append(time.perf_counter() - began)
        process.kill() if wait else None
        process.communicate()
        wall[-1] = wall[-1] if wait else time.perf_counter() - began
        cpu.append(used() - before)
    return "%.3f s, %.3f s of CPU" % (statistics.median(wall), statistics.median(cpu))

start = ["python3", "-S"]
ready = "import daemon_shim.frontend, buildfile.syntax.build"
with open("/out", "w") as out:
    print("the interpreter alone:", measure([*start, "-c", "pass"], False), file=out)
    print("to the first byte:", measure([*start, "-m", "buildfile.frontend"], True), file=out)
    print("with all that a build loads:", measure([*start, "-c", ready], False), file=out)
"""


def main() -> None:
    """Measure, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--daemon", required=True)
    parser.add_argument("--image", required=True)
    parser.add_argument("--rounds", type=int, default=11)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "buildfile.yaml").write_text(_FILE)
        names = {name: LocalFolder(path=folder) for name in ("context", "dockerfile")}
        with (
            Daemon(transport_for(given.daemon), timeout=600.0) as daemon,
            SessionHost(daemon.wire.transport, [FileSync(names)], name="bench") as session,
            GatewayBuild(daemon, SolveRequest(ref=uuid.uuid4().hex, session=session.id)) as build,
        ):
            print(_starts(build, given.image, given.rounds), end="")
            times = [_build(build, given.image) for _ in range(given.rounds)]
            print(f"a build of no step, with its container: {statistics.median(times):.3f} s")


def _starts(build: GatewayBuild, name: str, rounds: int) -> str:
    found = build.resolve_image(name, platform=build.platform)
    base = image(name, digest=found.digest, config=found.config)
    script = _SCRIPT.format(rounds=rounds) + f"# {uuid.uuid4()}\n"
    step = base.run(["python3", "-c", script], network="none")
    return build.solve(step).ref.read_file("/out").decode()


def _build(build: GatewayBuild, name: str) -> float:
    began = time.perf_counter()
    build.solve(frontend="gateway.v0", opts={"source": name})
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
