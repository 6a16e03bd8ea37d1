"""Compiling, from a build file to LLB, and the start of the command line.

    python -m benchmarks.compile [--rounds N] [--stages N,N,...] [--targets N,N] [--versus BUILDX]

Each measurement is a process of its own: its times and peak memory are the whole process's, start
and imports included. Medians over the rounds, the commands of a table taking turns. Growth is the
ratio of CPU time to the line above, beside that of the sizes. With ``--versus`` the targets are
also printed by ``BUILDX bake --print``, from the same targets as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.context_sync import Cost

_MIB = 1 << 20
_STAGES = "1000,5000,10000,20000"
_TARGETS = "1000,10000"


# --- files -------------------------------------------------------------------------------------


def chain(folder: Path, count: int) -> Path:
    """Write a file of ``count`` stages, each upon the one before; about 210 bytes a stage."""
    lines = ["version: 1", "stages:", "  s0:", "    from: {image: alpine}"]
    lines.append("    steps: [{run: echo 0}]")
    for number in range(1, count):
        lines += _stage(number)
    lines.append(f"targets: {{all: {{stage: s{count - 1}}}}}")
    return _write(folder / f"stages{count}.yaml", lines)


def _stage(number: int) -> Iterator[str]:
    yield f"  s{number}:"
    yield f"    from: s{number - 1}"
    yield "    workdir: /src"
    yield f'    env: {{N: "{number}", A: b}}'
    yield "    steps:"
    yield "      - run: |"
    yield f"          echo step {number}"
    yield f"          make -C /src target{number}"
    yield "        mounts: [{type: cache, target: /root/.cache}]"


def targets(folder: Path, count: int) -> Path:
    """Write a file of ``count`` targets of one stage."""
    lines = ["version: 1", "stages:", "  app:", "    from: scratch"]
    lines += ["    steps: [{write: {path: /a, text: x}}]", "targets:"]
    for number in range(count):
        output = f"{{type: image, name: 'localhost:5000/t{number}'}}"
        lines.append(f"  t{number}: {{stage: app, outputs: [{output}]}}")
    return _write(folder / f"targets{count}.yaml", lines)


def bake_file(folder: Path, count: int) -> Path:
    """Write the same targets for bake, with a group of all of them."""
    names = [f"t{number}" for number in range(count)]
    each = {
        name: {
            "dockerfile-inline": "FROM scratch",
            "output": [f"type=image,name=localhost:5000/{name}"],
        }
        for name in names
    }
    file = folder / f"targets{count}.json"
    file.write_text(json.dumps({"group": {"default": {"targets": names}}, "target": each}))
    return file


def _write(file: Path, lines: Sequence[str]) -> Path:
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


# --- commands ----------------------------------------------------------------------------------


def buildfile(*arguments: str) -> list[str]:
    """Return the command line of this project."""
    return [sys.executable, "-m", "buildfile", *arguments]


def compile_all(file: str) -> None:
    """Load ``file``, select every target, and compile all of them together."""
    from buildfile.files import load_project
    from translator.compile import compile_instances
    from translator.pause import no_collection
    from translator.platform import Platform

    platform = Platform("linux", "amd64")
    with no_collection():
        project = load_project([file])
        chosen = project.select(["*"])
        compile_instances([project.instantiate(each, platform, platform) for each in chosen])


# --- measuring ---------------------------------------------------------------------------------


def measure(command: Sequence[str]) -> Cost:
    """Run a command to its end, its output thrown away."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.monotonic() - started
    if process.returncode:
        raise SystemExit(f"{command}: exit code {process.returncode}")
    return Cost(wall=wall, cpu=used.ru_utime + used.ru_stime, memory=used.ru_maxrss * 1024)


def medians(commands: Mapping[str, Sequence[str]], rounds: int) -> dict[str, Cost]:
    """Measure the commands in turn, ``rounds`` times each."""
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            costs[name].append(measure(command))
    return {name: _median(each) for name, each in costs.items()}


def _median(costs: Sequence[Cost]) -> Cost:
    return Cost(
        wall=statistics.median(cost.wall for cost in costs),
        cpu=statistics.median(cost.cpu for cost in costs),
        memory=max(cost.memory for cost in costs),
    )


# --- tables ------------------------------------------------------------------------------------


def _times(name: str, cost: Cost) -> str:
    return f"{name:34}{cost.wall:8.3f} s, CPU {cost.cpu:7.3f} s"


def _line(name: str, cost: Cost) -> str:
    return f"{_times(name, cost)}, {cost.memory / _MIB:4.0f} MiB"


def show_start(folder: Path, rounds: int) -> None:
    """Print how long the command line takes to start, beside Python itself."""
    small = chain(folder, 3)
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "buildfile --help": buildfile("--help"),
        "buildfile check, 3 stages": buildfile("check", "-f", str(small)),
    }
    measure(commands["buildfile check, 3 stages"])  # leaves the compiled modules behind
    costs = medians(commands, max(rounds, 11))
    bare = costs["python -c pass"].cpu
    for name, cost in costs.items():
        print(f"{_times(name, cost)}, {cost.cpu / bare:5.1f} x python", flush=True)


def show_growth(files: Mapping[int, Path], name: str, command: Sequence[str], rounds: int) -> None:
    """Print a command's cost for each size, and how it grew from the size before."""
    before: tuple[int, Cost] | None = None
    costs = medians({str(size): [*command, str(file)] for size, file in files.items()}, rounds)
    for size in files:
        cost = costs[str(size)]
        growth = f", {cost.cpu / before[1].cpu:.2f} x for {size / before[0]:g} x" if before else ""
        print(_line(f"{name}, {size}", cost) + growth, flush=True)
        before = size, cost


def _sizes(text: str) -> list[int]:
    return [int(each) for each in text.split(",")]


def main() -> None:
    """Run the bench, or compile all targets of one file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stages", type=_sizes, default=_STAGES, metavar="N,N")
    parser.add_argument("--targets", type=_sizes, default=_TARGETS, metavar="N,N")
    parser.add_argument("--versus", metavar="BUILDX")
    parser.add_argument("--compile-all", metavar="FILE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.compile_all:
        compile_all(options.compile_all)
        return
    with tempfile.TemporaryDirectory(prefix="compile-") as base:
        folder, rounds = Path(base), options.rounds
        show_start(folder, rounds)
        chains = {size: chain(folder, size) for size in options.stages}
        llb = buildfile("llb", "--offline", "--format", "binary", "-f")
        show_growth(chains, "check, stages", buildfile("check", "-f"), rounds)
        show_growth(chains, "llb, stages", llb, rounds)
        many = {size: targets(folder, size) for size in options.targets}
        every = [sys.executable, "-m", __spec__.name, "--compile-all"]
        show_growth(many, "all targets", every, rounds)
        if options.versus:
            bakes = {size: bake_file(folder, size) for size in options.targets}
            bake = [options.versus, "bake", "--print", "-f"]
            show_growth(bakes, "bake --print, targets", bake, rounds)


if __name__ == "__main__":
    main()
