"""The entrypoint of a frontend image: ``python -m buildfile.frontend [MODULE:FUNCTION]``.

Without a name the builder is that of build files. Standard input and output belong to the daemon;
what a builder prints goes to standard error.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from buildfile.buildername import find_builder

if TYPE_CHECKING:
    from daemon_shim.builder import Client
    from daemon_shim.results import Result

BUILD_FILE = "buildfile.syntax.build:build"
"""The builder of build files."""


def main(arguments: list[str]) -> int:
    """Run the builder that is named, or that of build files; gives the exit code.

    A builder that cannot be found is a failure of the build, which its user is told.
    """
    if len(arguments) > 1:
        sys.stderr.write("usage: python -m buildfile.frontend [MODULE:FUNCTION]\n")
        return 2
    name = arguments[0] if arguments else BUILD_FILE
    from daemon_shim.frontend import serve

    def builder(client: Client) -> Result:
        return find_builder(name)(client)

    return serve(builder, *_take_pipes())


def _take_pipes() -> tuple[int, int]:
    """Move the daemon's pipes away from where ``print`` and ``input`` would find them."""
    read, write = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return read, write


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
