"""Sending a local context to a daemon: this project's session, against buildctl's.

    python -m benchmarks.context_sync --daemon ADDRESS [--versus BUILDCTL] [--rounds N]

Workloads: many small files cold, the same with nothing changed, the same with a few changed, and
one large file. Each transfer is a process of its own; its wall time, CPU time and peak memory are
the whole process's, start and imports included. With ``--versus`` the two clients take turns, and
ratios are medians over the rounds (below 1: this project is faster), because a machine's speed
varies more between runs than within a pair.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_SOURCE = "context"
_FOLDER_SIZE = 100
_MIB = 1 << 20
_SECONDS = 600


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one transfer took: seconds, seconds of CPU, bytes of peak memory."""

    wall: float
    cpu: float
    memory: int


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A tree, and what happens to it before each transfer.

    ``cold`` has each transfer start with nothing on the daemon.
    """

    name: str
    folder: Path
    cold: bool
    change: Callable[[int], None] = lambda round_: None


def small_files(folder: Path, count: int) -> None:
    """Make ``count`` files of 1 KiB, a hundred to a folder."""
    for index in range(count):
        parent = folder / f"d{index // _FOLDER_SIZE:04}"
        parent.mkdir(parents=True, exist_ok=True)
        (parent / f"f{index % _FOLDER_SIZE:03}.txt").write_bytes(os.urandom(1024))


def change_files(folder: Path, count: int) -> None:
    """Write new bytes to ``count`` files, spread over the tree."""
    files = sorted(folder.glob("*/*.txt"))
    for file in files[:: max(1, len(files) // count)][:count]:
        file.write_bytes(os.urandom(1024))


def large_file(folder: Path, size: int) -> None:
    """Make one file of ``size`` bytes."""
    folder.mkdir(parents=True)
    with (folder / "large.bin").open("wb") as file:
        for _ in range(size // _MIB):
            file.write(os.urandom(_MIB))


def workloads(base: Path, files: int, size: int) -> Iterator[Workload]:
    """Make the trees and describe what is done with them."""
    many, one = base / "many", base / "one"
    small_files(many, files)
    large_file(one, size)
    changed = 100 * files // 50_000 or 1
    yield Workload(name=f"{files} x 1 KiB, cold", folder=many, cold=True)
    yield Workload(name="the same, nothing changed", folder=many, cold=False)
    yield Workload(
        name=f"the same, {changed} changed",
        folder=many,
        cold=False,
        change=lambda round_: change_files(many, changed),
    )
    yield Workload(name=f"one file of {size // _MIB} MiB", folder=one, cold=True)


def definition(hint: str) -> bytes:
    """Return an LLB definition: one local source, whose earlier transfers ``hint`` names."""
    from schemas.pb import ops_pb2

    attrs = {"local.sharedkeyhint": hint, "local.unique": os.urandom(8).hex()}
    source = ops_pb2.SourceOp(identifier=f"local://{_SOURCE}", attrs=attrs)
    op = ops_pb2.Op(source=source).SerializeToString(deterministic=True)
    digest = f"sha256:{hashlib.sha256(op).hexdigest()}"
    end = ops_pb2.Op(inputs=[ops_pb2.Input(digest=digest)]).SerializeToString()
    whole = ops_pb2.Definition(metadata={digest: ops_pb2.OpMetadata()})
    getattr(whole, "def").extend([op, end])
    return whole.SerializeToString(deterministic=True)


def transfer(address: str, folder: str) -> None:
    """Be the client: read a definition from standard input and solve it."""
    from daemon_shim.session.filesync import FileSync, LocalFolder
    from daemon_shim.session.host import SessionHost
    from daemon_shim.transports import transport_for
    from schemas.pb import ops_pb2
    from schemas.rpc import Control

    transport = transport_for(address)
    solve = Control.SOLVE
    with SessionHost(transport, [FileSync({_SOURCE: LocalFolder(path=folder)})]) as session:
        call = transport.grpc_channel().unary_unary(
            solve.path,
            request_serializer=solve.request.SerializeToString,
            response_deserializer=solve.response.FromString,
        )
        graph = ops_pb2.Definition.FromString(sys.stdin.buffer.read())
        request = solve.request(Ref=os.urandom(16).hex(), Session=session.id, Definition=graph)
        call(request, timeout=_SECONDS)


def ours(address: str, folder: Path) -> list[str]:
    """Return the command that is this project's client."""
    return [sys.executable, "-m", __spec__.name, "--daemon", address, "--transfer", str(folder)]


def theirs(buildctl: str, address: str, folder: Path) -> list[str]:
    """Return buildctl's command for the same."""
    local = f"{_SOURCE}={folder}"
    return [buildctl, "--addr", address, "build", "--progress", "plain", "--local", local]


def measure(command: Sequence[str], graph: bytes) -> Cost:
    """Run a client with a definition on its standard input."""
    started = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT
        )
        assert process.stdin is not None
        process.stdin.write(graph)
        process.stdin.close()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.monotonic() - started
        if process.returncode:
            output.seek(0)
            raise SystemExit(output.read().decode("utf-8", "replace"))
    return _cost(wall, used)


def _cost(wall: float, used: resource.struct_rusage) -> Cost:
    return Cost(wall=wall, cpu=used.ru_utime + used.ru_stime, memory=used.ru_maxrss * 1024)


def run(workload: Workload, commands: Sequence[Sequence[str]], rounds: int) -> list[list[Cost]]:
    """Measure each command in turn, every round beginning with another one."""
    costs: list[list[Cost]] = [[] for _ in commands]
    salt = os.urandom(4).hex()
    for round_ in range(0 if workload.cold else -1, rounds):
        for turn in range(len(commands)):
            index = (turn + round_) % len(commands)
            workload.change(round_)
            hint = f"{salt}-{index}" + (f"-{round_}" if workload.cold else "")
            cost = measure(commands[index], definition(hint))
            if round_ >= 0:  # the first transfer of a warm workload only fills the daemon
                costs[index].append(cost)
    return costs


def report(name: str, costs: list[list[Cost]]) -> None:
    """Print one workload's medians, and the ratios of the pairs."""
    print(f"{name:28}" + "".join(f"  {_line(one)}" for one in costs), end="")
    if len(costs) == 2:
        pairs = list(zip(*costs, strict=True))
        wall = statistics.median(a.wall / b.wall for a, b in pairs)
        cpu = statistics.median(a.cpu / b.cpu for a, b in pairs)
        print(f"  ratio: wall {wall:.2f}, CPU {cpu:.2f}", end="")
    print(flush=True)


def _line(costs: Sequence[Cost]) -> str:
    wall = statistics.median(cost.wall for cost in costs)
    cpu = statistics.median(cost.cpu for cost in costs)
    memory = max(cost.memory for cost in costs)
    return f"{wall:6.2f} s, CPU {cpu:5.2f} s, {memory / _MIB:4.0f} MiB;"


def main() -> None:
    """Run the bench, or be the client of one transfer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--daemon", required=True, metavar="ADDRESS")
    parser.add_argument("--versus", metavar="BUILDCTL")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--files", type=int, default=50_000)
    parser.add_argument("--size", type=int, default=1024, help="of the large file, in MiB")
    parser.add_argument("--only", default="", help="workloads whose name has this text")
    parser.add_argument("--transfer", metavar="FOLDER", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.transfer:
        transfer(options.daemon, options.transfer)
        return
    print(f"{'':28}  this project" + (f"; {options.versus}" if options.versus else ""))
    with tempfile.TemporaryDirectory(prefix="context-") as base:
        for workload in workloads(Path(base), options.files, options.size * _MIB):
            if options.only not in workload.name:
                continue
            commands = [ours(options.daemon, workload.folder)]
            if options.versus:
                commands.append(theirs(options.versus, options.daemon, workload.folder))
            report(workload.name, run(workload, commands, options.rounds))


if __name__ == "__main__":
    main()
