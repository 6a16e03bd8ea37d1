"""Builders that run in a container, one for each case of ``test_frontends``."""

from __future__ import annotations

import io
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from buildfile import Client, Result
from daemon_shim.container import Mount
from daemon_shim.errors import SolveFailedError, UnsupportedError
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


def take(client: Client) -> Result:
    """Read what is given, and solve with what was read."""
    given = client.inputs()["tree"]
    ref = client.solve(given).ref
    told = {
        "names": [entry.name for entry in ref.read_dir("/")],
        "word": ref.read_file("/word").decode(),
    }
    script = f"cat >/told <<'END'\n{json.dumps(told)}\nEND\n"
    return client.solve(run(script, client.opts["image"]).definition, evaluate=False)


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


def contain(client: Client) -> Result:
    """Processes in containers, and what they tell."""
    image = client.opts["image"]
    tree = client.solve(run("echo -n hey >/said", image).definition).ref
    mounts = [
        Mount(target="/", tree=tree),
        Mount(target="/other", tree=tree, selector="etc", readonly=True),
        Mount(target="/cache", type="cache", id=client.opts["mark"]),
        Mount(target="/quick", type="tmpfs"),
    ]
    script = "cat /said; ls /other; touch /cache/kept /quick/x; pwd; echo $A >&2; cat; exit 7"
    told: dict[str, object] = {}
    out, err = io.BytesIO(), io.BytesIO()
    with client.new_container(mounts, network="none") as container:
        process = container.exec(
            ["sh", "-c", script],
            env={"PATH": "/bin", "A": "b"},
            cwd="/other",
            stdin=b"1\n" * 1_000_000,
            stdout=out,
            stderr=err,
        )
        told["code"] = process.wait()
    told["out"] = out.getvalue()[:30].decode()
    told["size"] = len(out.getvalue())
    told["err"] = err.getvalue().decode()
    told["kept"] = _output(client, mounts, ["ls", "/cache", "/quick"])
    told["user"] = _output(client, mounts, ["id", "-u"], user="worker")
    told["tty"] = _terminal(client, mounts[:1])
    with client.new_container(mounts[:1]) as container:
        first = container.exec(["sh", "-c", "echo $$ >/first; sleep 1000"], env={"PATH": "/bin"})
        second = container.exec(["sh", "-c", "until test -s /first; do :; done"], env=_ENV)
        told["second"] = second.wait()
        try:
            first.kill()
            told["killed"] = first.wait()
        except UnsupportedError as error:
            told["killed"] = error.since
    try:
        container.exec(["true"])
    except SolveFailedError as error:
        told["gone"] = str(error)
    text = f"cat >/told <<'END'\n{json.dumps(told)}\nEND\n"
    return client.solve(run(text, image).definition)


_ENV = {"PATH": "/bin"}


def _output(client: Client, mounts: list[Mount], args: list[str], **given: Any) -> str:
    out = io.BytesIO()
    with client.new_container(mounts) as container:
        container.exec(args, env=_ENV, stdout=out, **given).wait()
    return out.getvalue().decode()


def _terminal(client: Client, mounts: list[Mount]) -> str:
    out = io.BytesIO()
    script = "until stty size | grep '24 80'; do :; done 2>/dev/null; tty"
    with client.new_container(mounts) as container:
        process = container.exec(["sh", "-c", script], env=_ENV, stdout=out, tty=True)
        process.resize(24, 80)
        process.wait()
    return out.getvalue().decode()


CASES: dict[str, Callable[[Client], Result]] = {
    "look": look,
    "take": take,
    "fail": fail,
    "raise": raise_,
    "leave": leave,
    "hang": hang,
    "close": close,
    "contain": contain,
}
