"""Many targets over several daemons: what the client itself takes for each, and its memory.

    python -m benchmarks.placement --daemon ADDRESS --daemon ADDRESS... [--targets 200]

The targets share a stage, and each has a step of its own, which no daemon has built before. They
are planned, and then built, by processes whose costs are those of the whole process, with imports.
To know what each further target takes, the same is done with a tenth of them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import uuid
from pathlib import Path

from benchmarks.context_sync import Cost, measure, report

_HEAD = """version: 1
stages:
  shared: {from: scratch, steps: [{write: {path: /shared, text: SALT}}]}
  own: {from: shared, steps: [{write: {path: /own, text: "${target} SALT"}}]}
targets:
"""


def cost(folder: Path, command: str, daemons: list[str], targets: int) -> Cost:
    """Have a client do it, with steps that are new."""
    tables = (f'[daemons.d{n}]\naddress = "{each}"\n' for n, each in enumerate(daemons))
    (folder / "daemons.toml").write_text("\n".join(tables))
    lines = "".join(f"  t{number}: {{stage: own}}\n" for number in range(targets))
    text = _HEAD.replace("SALT", uuid.uuid4().hex)
    (folder / "buildfile.yaml").write_text(f'{text}{lines}groups: {{default: ["t*"]}}\n')
    words = [sys.executable, "-m", "buildfile", command, "-f", str(folder / "buildfile.yaml")]
    return measure(words, b"")


def main() -> None:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--daemon", required=True, action="append", metavar="ADDRESS")
    parser.add_argument("--targets", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    few = max(1, options.targets // 10)
    with tempfile.TemporaryDirectory() as folder:
        for command in ("plan", "build"):
            rounds = [
                [
                    cost(Path(folder), command, options.daemon, each)
                    for each in (few, options.targets)
                ]
                for _ in range(options.rounds)
            ]
            for number, targets in enumerate((few, options.targets)):
                report(f"{command}, {targets} targets", [[each[number] for each in rounds]])
            further = min(many.cpu - some.cpu for some, many in rounds)
            each = 1000 * further / (options.targets - few)
            print(f"{command}: {each:.1f} ms of CPU for each further target")


if __name__ == "__main__":
    main()
