"""``python -m tests.real up|down|list``: the test daemons by hand.

``up`` starts them (or finds them running) and leaves them, ``list`` prints their addresses, and
``down`` stops them. Tests use them if ``BUILDFILE_TEST_KEEP=1`` is set.
"""

from __future__ import annotations

import sys

from tests.real import engine, fleet
from tests.real.errors import UnavailableError

_COMMANDS = ("up", "down", "list")


def main(words: list[str]) -> int:
    """Run one command; return the exit code."""
    match words:
        case ["attached" | "detached" as mode, *names]:
            fleet.supervise(names, detached=mode == "detached")
        case ["up"]:
            return _print(fleet.start_shared())
        case ["list"]:
            running = fleet.shared()
            return _print(running) if running else _complain("no test daemons run")
        case ["down"]:
            if running := fleet.shared():
                running.stop()
        case _:
            return _complain(f"usage: python -m tests.real {'|'.join(_COMMANDS)}", code=2)
    return 0


def _print(running: fleet.Fleet) -> int:
    missing = 0
    for name in (*engine.ENGINES, fleet.REGISTRY):
        try:
            facts = running.wait(name)
        except UnavailableError as reason:
            _complain(f"{name}: cannot be had: {reason}")
            missing += 1
        else:
            print(name, *(f"{key}={value}" for key, value in facts.items()))
    return 1 if missing else 0


def _complain(text: str, *, code: int = 1) -> int:
    print(text, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
