"""``python -m tests.real get|up|down|list``: the test daemons by hand.

``get`` downloads their programs and starts nothing, ``up`` starts them (or finds them running) and
leaves them, ``list`` prints their addresses, and ``down`` stops them. Tests use them if
``BUILDFILE_TEST_KEEP=1`` is set.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

from tests.real import engine, fleet
from tests.real.errors import UnavailableError

_COMMANDS = ("get", "up", "down", "list")

_ATTEMPTS = 3


def main(words: list[str]) -> int:
    """Run one command; return the exit code."""
    match words:
        case ["attached" | "detached" as mode, *names]:
            fleet.supervise(names, detached=mode == "detached")
        case ["get"]:
            return _get()
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


def _get() -> int:
    names = (*engine.ENGINES, fleet.REGISTRY)
    with ThreadPoolExecutor() as pool:
        return 0 if all(list(pool.map(_get_one, names))) else 1


def _get_one(name: str) -> bool:
    for _ in range(_ATTEMPTS):
        try:
            fleet.fetch(name)
        except UnavailableError as error:
            _complain(f"{name}: cannot be had: {error}")
        else:
            return True
    return False


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
