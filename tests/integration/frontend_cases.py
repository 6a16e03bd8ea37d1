"""Builders that run in a container, one for each case of ``test_frontends``."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from buildfile import Client, Result
from schemas.pb import ops_pb2
from tests.daemon_shim.definitions import run


def build(client: Client) -> Result:
    """Run the case that the option names."""
    return CASES[client.opts["case"]](client)


def look(client: Client) -> Result:
    """Solve, list a folder, and solve again with what was seen."""
    image = client.opts["image"]
    print("this is not for the daemon")
    ref = client.solve(run("mkdir /l; echo -n hey >/l/c; touch /l/d", image).definition).ref
    names = [entry.name for entry in ref.read_dir("/l")]
    told = {
        "names": names,
        "said": ref.read_file("/l/c").decode(),
        "session": client.session_id,
        "product": client.product,
        "platform": client.platform,
        "workers": [worker.id for worker in client.workers],
        "inputs": sorted(client.inputs()),
        "resolved": client.resolve_image(image).digest[:7],
    }
    client.warn("careful")
    script = f"cat >/told <<'END'\n{json.dumps(told)}\nEND\n"
    return client.solve(run(script, image).definition)


def fail(client: Client) -> Result:
    """A step that fails."""
    return client.solve(run("echo no; exit 5", client.opts["image"]).definition)


def raise_(client: Client) -> Result:
    """The builder raises."""
    raise LookupError("not my day")


def leave(client: Client) -> Result:
    """The process ends without a word."""
    os._exit(3)


def hang(client: Client) -> Result:
    """Never return, and hear nothing."""
    client.solve(run(f"echo {client.opts['mark']}", client.opts["image"]).definition)
    while True:
        time.sleep(1)


def close(client: Client) -> Result:
    """Close what the daemon reads from, and go on."""
    for fd in range(3, 64):
        try:
            if "pipe" in str(Path(f"/proc/self/fd/{fd}").readlink()):
                os.close(fd)
        except OSError:
            continue
    sys.stderr.write("closed\n")
    return client.solve(ops_pb2.Definition().SerializeToString())


CASES: dict[str, Callable[[Client], Result]] = {
    "look": look,
    "fail": fail,
    "raise": raise_,
    "leave": leave,
    "hang": hang,
    "close": close,
}
