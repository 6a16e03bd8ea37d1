"""Kills a program at each of its calls of the file system, one after the other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_PROGRAM = """
import os, shutil, signal, sys

setup, script, template, out = sys.argv[1:]
CALLS = {"open", "os.chmod", "os.chown", "os.mkdir", "os.remove", "os.rename", "os.rmdir",
         "os.truncate", "os.utime"}
names = {}
exec(setup, names)

def run(folder, allowed):
    seen = 0
    def watch(event, _):
        nonlocal seen
        if event in CALLS:
            seen += 1
            if seen > allowed:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(watch)
    exec(script, {**names, "folder": folder})

allowed, status = 0, None
while status != 0:
    folder = f"{out}/{allowed}"
    shutil.copytree(template, folder)
    child = os.fork()
    if not child:
        try:
            run(folder, allowed)
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    if status not in (0, signal.SIGKILL):
        sys.exit(f"failed after {allowed} calls")
    allowed += 1
"""


def killed_everywhere(template: Path, out: Path, setup: str, script: str) -> list[Path]:
    """Copies of the folder ``template``: in each, ``script`` was killed one call later.

    ``script`` finds it as ``folder``; in the last one it ran to its end. ``setup`` runs before.
    """
    argv = [sys.executable, "-c", _PROGRAM, setup, script, str(template), str(out)]
    subprocess.run(argv, check=True, timeout=120)
    return sorted(out.iterdir(), key=lambda folder: int(folder.name))
