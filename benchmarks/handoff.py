"""A result moved from one daemon to another through this machine: wall time and peak memory.

    python -m benchmarks.handoff --giver ADDRESS --taker ADDRESS [--way layers] [--size MIB]

The giver has built the stage, of files half random and half zeros, but never exported it. The taker
has forgotten everything, and adds a file to the stage, for which it needs all of it. Each move is a
process of its own, whose costs are those of the whole process, planning and imports included. The
build caches of both daemons are pruned.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.context_sync import measure, report
from buildfile.handoff import Handoffs
from buildfile.route import Route, Way
from daemon_shim.client import Daemon
from daemon_shim.transports import transport_for
from schemas import rpc
from schemas.pb import control_pb2
from tests.integration.pairs import Move, load, pair

_MIB = 1 << 20
_FILES = 4
_COPIES = "\n".join(f"      - copy: {{from: src, paths: ['{n}'], to: /}}" for n in range(_FILES))
_FILE = f"""
version: 1
vars: {{SALT: none}}
sources: {{src: {{local: src}}}}
stages:
  given:
    from: scratch
    steps:
      - write: {{path: /salt, text: "${{SALT}}"}}
{_COPIES}
  taken: {{from: given, steps: [{{write: {{path: /taken, text: x}}}}]}}
targets:
  given: {{stage: given}}
  app: {{stage: taken}}
"""


def prepare(folder: Path, size: int) -> None:
    """Write the build file, and the files of ``size`` MiB together."""
    (folder / "src").mkdir()
    (folder / "buildfile.yaml").write_text(_FILE)
    for number in range(_FILES):
        with (folder / "src" / str(number)).open("wb") as file:
            for _ in range(size // _FILES // 2):
                file.write(os.urandom(_MIB) + bytes(_MIB))


def prune(address: str) -> None:
    """Have a daemon forget everything."""
    with Daemon(transport_for(address), timeout=600.0) as daemon:
        for _ in daemon.wire.stream(rpc.Control.PRUNE, control_pb2.PruneRequest(all=True)):
            pass


def move(options: argparse.Namespace, folder: Path, salt: str) -> None:
    """Be the client of one move; say how long its parts took."""
    began = time.monotonic()
    with pair(options.giver, options.taker) as two, Handoffs() as handoffs:
        route = Route(way=Way[options.way.upper()], note="") if options.way else two.route()
        plan = Move.planned(two, handoffs, load(folder, {"SALT": salt}), "app", route)
        planned = time.monotonic()
        plan.give()
        given = time.monotonic()
        plan.take()
        taken = time.monotonic()
    print(f"plan {planned - began:.2f} s, give {given - planned:.2f} s, take {taken - given:.2f} s")


def main() -> None:
    """Run the bench, or be the client of one move."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--giver", required=True, metavar="ADDRESS")
    parser.add_argument("--taker", required=True, metavar="ADDRESS")
    parser.add_argument("--way", default="", help="layers, tree or files; default: the best")
    parser.add_argument("--size", type=int, default=2048, help="of the stage, in MiB")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--move", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.move:
        move(options, Path(options.move[0]), options.move[1])
        return
    costs = []
    with tempfile.TemporaryDirectory(prefix="handoff-", dir="/var/tmp") as name:
        folder = Path(name)
        prepare(folder, options.size)
        for _ in range(options.rounds):
            salt = os.urandom(8).hex()
            prune(options.giver)
            prune(options.taker)
            words = ("-f", str(folder / "buildfile.yaml"), "--var", f"SALT={salt}")
            client = [sys.executable, "-m", "buildfile", "build", "given", *words]
            measure([*client, "--daemon", options.giver], b"")
            os.sync()
            command = [sys.executable, "-m", __spec__.name, *sys.argv[1:]]
            costs.append(measure([*command, "--move", name, salt], b""))
    report(f"{options.way or 'best way'}, {options.size} MiB", [costs])


if __name__ == "__main__":
    main()
