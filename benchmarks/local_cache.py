"""A local cache to and from a daemon: this project's command line, against buildctl's.

    python -m benchmarks.local_cache --daemon ADDRESS [--versus BUILDCTL] [--rounds N]

Exporting: the daemon has all layers, compressed by an earlier export, and sends them into an empty
folder. Importing: the daemon has forgotten everything, and a step that is not in the cache needs
all layers. They are files of random bytes, served here once (the daemon has to reach this machine's
loopback). The daemon's build cache is pruned. Otherwise as ``benchmarks.context_sync``.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.context_sync import Cost, large_file, measure, report
from benchmarks.outputs import serving

_MIB = 1 << 20
_CLIENT = (sys.executable, "-m", "buildfile")
_STAGE = """
  {name}:
    from: {base}
    steps: [{{{step}}}]
"""


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A build file in a folder, and the folder of the cache."""

    file: Path
    cache: Path
    address: str

    def graph(self, salt: str) -> bytes:
        """The LLB of the build file."""
        words = ("llb", "--offline", "--format", "binary", "--var", f"SALT={salt}")
        command = [*_CLIENT, *words, "-f", str(self.file)]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout

    def ours(self, cache: str, salt: str) -> list[str]:
        """This project's command; ``cache`` is its option for the cache."""
        words = ("build", "-f", str(self.file), "--daemon", self.address, "--progress", "plain")
        return [*_CLIENT, *words, "--var", f"SALT={salt}", f"--{cache}"]

    def theirs(self, buildctl: str, cache: str, _salt: str) -> list[str]:
        """buildctl's command for the same, which reads the graph."""
        return [buildctl, "--addr", self.address, "build", "--progress", "plain", f"--{cache}"]

    def clear(self) -> None:
        """Remove the cache."""
        shutil.rmtree(self.cache, ignore_errors=True)

    def prune(self) -> None:
        """Have the daemon forget everything."""
        from daemon_shim.client import Daemon
        from daemon_shim.transports import transport_for
        from schemas import rpc
        from schemas.pb import control_pb2 as control

        with Daemon(transport_for(self.address), timeout=600.0) as daemon:
            for _ in daemon.wire.stream(rpc.Control.PRUNE, control.PruneRequest(all=True)):
                pass


def build_file(folder: Path, url: str, files: Sequence[Path]) -> Path:
    """Write a build file with a layer for each of the files, and a step with a salt upon them."""
    sources = {
        f"layer-{number}": f"{{http: '{url}/{number}/{file.name}', checksum: '{_digest(file)}'}}"
        for number, file in enumerate(files)
    }
    text = ["version: 1", "vars: {SALT: none}", "sources:"]
    text += [f"  {name}: {source}" for name, source in sources.items()]
    text += ["stages:"]
    base = "scratch"
    for name in sources:
        step = f"copy: {{from: {name}, to: /{name}}}"
        text += [_STAGE.format(name=f"with-{name}", base=base, step=step).strip("\n")]
        base = f"with-{name}"
    step = "write: {path: /salt, text: '${SALT}'}"
    text += [_STAGE.format(name="all", base=base, step=step).strip("\n")]
    text += ["targets: {all: {stage: all}}", ""]
    path = folder / "buildfile.yaml"
    path.write_text("\n".join(text))
    return path


def _digest(file: Path) -> str:
    found = hashlib.sha256()
    with file.open("rb") as stream:
        while piece := stream.read(_MIB):
            found.update(piece)
    return f"sha256:{found.hexdigest()}"


def run(
    commands: Sequence[Callable[[str], list[str]]],
    work: Workload,
    rounds: int,
    prepare: Callable[[], None],
) -> list[list[Cost]]:
    """Measure each client in turn, every round beginning with another one.

    Each run builds something new, a step with a salt; ``prepare`` comes before each.
    """
    costs: list[list[Cost]] = [[] for _ in commands]
    for round_ in range(-1, rounds):  # the first only fills the daemon, and the folder
        for turn in range(len(commands)):
            index = (turn + round_) % len(commands)
            salt = os.urandom(8).hex()
            graph = work.graph(salt)
            prepare()
            os.sync()
            cost = measure(commands[index](salt), graph)
            if round_ >= 0:
                costs[index].append(cost)
    return costs


def main() -> None:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--daemon", required=True, metavar="ADDRESS")
    parser.add_argument("--versus", metavar="BUILDCTL")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=500, help="of the cache, in MiB")
    parser.add_argument("--layers", type=int, default=5)
    parser.add_argument("--only", default="", help="workloads whose name has this text")
    options = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # what is installed is compiled
    print(f"{'':28}  this project" + (f"; {options.versus}" if options.versus else ""))
    with tempfile.TemporaryDirectory(prefix="local-cache-") as folder:
        base = Path(folder)
        files = [base / "served" / str(number) / "large.bin" for number in range(options.layers)]
        for file in files:
            large_file(file.parent, options.size * _MIB // options.layers)
        with serving(base / "served") as url:
            work = Workload(
                file=build_file(base, url, files), cache=base / "cache", address=options.daemon
            )
            bench(options, work)


def bench(options: argparse.Namespace, work: Workload) -> None:
    """Export into an empty folder; then import that for a step that nobody ran before."""
    for name, cache, prepare in (
        ("export", f"export-cache=type=local,dest={work.cache},mode=max", work.clear),
        ("import", f"import-cache=type=local,src={work.cache}", work.prune),
    ):
        title = f"{name} of {options.size} MiB"
        if options.only in title or name == "export":
            commands = [partial(work.ours, cache)]
            if options.versus:
                commands.append(partial(work.theirs, options.versus, cache))
            report(title, run(commands, work, options.rounds, prepare))


if __name__ == "__main__":
    main()
