"""Many targets over several daemons: what the client itself takes for each, and its memory.

    python -m benchmarks.placement --daemon ADDRESS --daemon ADDRESS... [--targets 200]

The targets share a stage, and each has a step of its own, which no daemon has built before. They
are planned, and then built, by processes whose costs are those of the whole process, with imports;
last with the shared stage on one daemon, from which it moves to the others. To know what each
further target takes, the same is done with a tenth of them. ``--max-parallel`` is how many each
daemon gets at once.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.context_sync import Cost, measure, report

_HEAD = """version: 1
stages:
  shared: {from: scratch, WORKER steps: [{write: {path: /shared, text: SALT}}]}
  own: {from: shared, steps: [{write: {path: /own, text: "${target} SALT"}}]}
targets:
"""
_CASES = (("plan", False), ("build", False), ("build", True))


@dataclass(frozen=True, kw_only=True)
class Pool:
    """A folder with a ``daemons.toml``, and how many daemons are in it."""

    folder: Path
    size: int

    @classmethod
    def make(cls, folder: Path, daemons: list[str], most: int | None) -> Pool:
        """Write the file."""
        more = f"max-parallel = {most}\n" if most else ""
        tables = (
            f'[daemons.d{number}]\naddress = "{each}"\n{more}'
            for number, each in enumerate(daemons)
        )
        (folder / "daemons.toml").write_text("\n".join(tables))
        return cls(folder=folder, size=len(daemons))

    def cost(self, command: str, targets: int, *, moved: bool) -> Cost:
        """Have a client do it, with steps that are new."""
        text = _HEAD.replace("SALT", uuid.uuid4().hex)
        text = text.replace("WORKER", "worker: {daemon: d0}," if moved else "")
        for number in range(targets):
            where = f", worker: {{daemon: d{number % self.size}}}" if moved else ""
            text += f"  t{number}: {{stage: own{where}}}\n"
        file = self.folder / "buildfile.yaml"
        file.write_text(f'{text}groups: {{default: ["t*"]}}\n')
        return measure([sys.executable, "-m", "buildfile", command, "-f", str(file)], b"")


def main() -> None:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--daemon", required=True, action="append", metavar="ADDRESS")
    parser.add_argument("--targets", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--max-parallel", type=int)
    options = parser.parse_args()
    few = max(1, options.targets // 10)
    with tempfile.TemporaryDirectory() as folder:
        pool = Pool.make(Path(folder), options.daemon, options.max_parallel)
        for command, moved in _CASES:
            name = f"{command}, the stage moves" if moved else command
            rounds = [
                [pool.cost(command, each, moved=moved) for each in (few, options.targets)]
                for _ in range(options.rounds)
            ]
            for number, targets in enumerate((few, options.targets)):
                report(f"{name}, {targets} targets", [[each[number] for each in rounds]])
            cpu = median(many.cpu - some.cpu for some, many in rounds)
            memory = median(many.memory - some.memory for some, many in rounds)
            further = options.targets - few
            print(
                f"{name}: {1000 * cpu / further:.1f} ms of CPU and "
                f"{memory / 1024 / further:.0f} KiB for each further target"
            )


if __name__ == "__main__":
    main()
