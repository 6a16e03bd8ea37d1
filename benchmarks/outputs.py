"""Receiving results from a daemon: this project's outputs, against buildctl's.

    python -m benchmarks.outputs --daemon ADDRESS [--versus BUILDCTL] [--rounds N]

Workloads: many small files and one large file, each as a local output and as a tar. The daemon has
the tree already, unpacked from an archive that is served here once (it has to reach this machine's
loopback), so that only the transfer is measured. Otherwise as ``benchmarks.context_sync``.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from benchmarks.context_sync import Cost, large_file, measure, report, small_files
from schemas.pb import ops_pb2 as pb

_KINDS = ("local", "tar")
_MIB = 1 << 20
_SECONDS = 600


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve a folder whose files never change; yield its URL."""

    class Unchanging(SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(folder))  # type: ignore[arg-type]

        def send_head(self):  # type: ignore[no-untyped-def]
            if "If-None-Match" not in self.headers:
                return super().send_head()
            self.send_response(304)
            self.end_headers()
            return None

        def end_headers(self) -> None:
            self.send_header("ETag", f'"{folder.name}"')
            super().end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - theirs
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Unchanging) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def archive(folder: Path, fill: Callable[[Path], None], name: str) -> None:
    """Make a tree in an archive."""
    fill(folder / "tree")
    subprocess.run(["tar", "-C", folder / "tree", "-cf", folder / name, "."], check=True)
    shutil.rmtree(folder / "tree")


def definition(url: str) -> bytes:
    """Return an LLB definition: what is in the archive at ``url``."""
    name = url.rpartition("/")[2]
    source = pb.Op(source=pb.SourceOp(identifier=url, attrs={"http.filename": name}))
    copy = pb.FileActionCopy(
        src=f"/{name}", dest="/", mode=-1, timestamp=-1, attemptUnpackDockerCompatibility=True
    )
    action = pb.FileAction(input=-1, secondaryInput=0, output=0, copy=copy)
    unpacked = pb.Op(inputs=[_input(source)], file=pb.FileOp(actions=[action]))
    ops = [source, unpacked, pb.Op(inputs=[_input(unpacked)])]
    whole = pb.Definition(metadata={_digest(op): pb.OpMetadata() for op in ops})
    getattr(whole, "def").extend(op.SerializeToString(deterministic=True) for op in ops)
    return whole.SerializeToString(deterministic=True)


def _digest(op: pb.Op) -> str:
    return f"sha256:{hashlib.sha256(op.SerializeToString(deterministic=True)).hexdigest()}"


def _input(op: pb.Op) -> pb.Input:
    return pb.Input(digest=_digest(op))


def receive(address: str, kind: str, dest: str) -> None:
    """Be the client: read a definition from standard input and have its result sent."""
    from daemon_shim.session.filesend import FileSend
    from daemon_shim.session.host import SessionHost
    from daemon_shim.session.outputs import FileOutput, FolderOutput
    from daemon_shim.transports import transport_for
    from schemas.pb import control_pb2 as control
    from schemas.rpc import Control

    transport = transport_for(address)
    output = FolderOutput(dest) if kind == "local" else FileOutput(dest)
    with SessionHost(transport, [FileSend([output])]) as session:
        call = transport.grpc_channel().unary_unary(
            Control.SOLVE.path,
            request_serializer=control.SolveRequest.SerializeToString,
            response_deserializer=control.SolveResponse.FromString,
        )
        request = control.SolveRequest(
            Ref=os.urandom(16).hex(),
            Session=session.id,
            Definition=pb.Definition.FromString(sys.stdin.buffer.read()),
            ExporterDeprecated=kind,
            Exporters=[control.Exporter(Type=kind)],
            Cache=control.CacheOptions(),
        )
        call(request, timeout=_SECONDS)
    output.commit()


def ours(address: str, kind: str, dest: Path) -> list[str]:
    """Return the command that is this project's client."""
    command = [sys.executable, "-m", __spec__.name, "--daemon", address]
    return [*command, "--receive", kind, str(dest)]


def theirs(buildctl: str, address: str, kind: str, dest: Path) -> list[str]:
    """Return buildctl's command for the same."""
    output = f"type={kind},dest={dest}"
    return [buildctl, "--addr", address, "build", "--progress", "plain", "--output", output]


def run(
    commands: Sequence[Sequence[str]], graph: bytes, dest: Path, rounds: int
) -> list[list[Cost]]:
    """Measure each command in turn, every round beginning with another one."""
    costs: list[list[Cost]] = [[] for _ in commands]
    for round_ in range(-1, rounds):  # the first only fills the daemon
        for turn in range(len(commands)):
            index = (turn + round_) % len(commands)
            cost = measure(commands[index], graph)
            shutil.rmtree(dest) if dest.is_dir() else dest.unlink()
            os.sync()
            if round_ >= 0:
                costs[index].append(cost)
    return costs


def main() -> None:
    """Run the bench, or be the client of one transfer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--daemon", required=True, metavar="ADDRESS")
    parser.add_argument("--versus", metavar="BUILDCTL")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--files", type=int, default=50_000)
    parser.add_argument("--size", type=int, default=1024, help="of the large file, in MiB")
    parser.add_argument("--only", default="", help="workloads whose name has this text")
    parser.add_argument("--receive", nargs=2, metavar=("KIND", "DEST"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.receive:
        receive(options.daemon, *options.receive)
        return
    trees: dict[str, Callable[[Path], None]] = {
        f"{options.files} x 1 KiB": lambda folder: small_files(folder, options.files),
        f"one file of {options.size} MiB": lambda folder: large_file(folder, options.size * _MIB),
    }
    print(f"{'':28}  this project" + (f"; {options.versus}" if options.versus else ""))
    for name, fill in trees.items():
        if any(options.only in f"{name}, {kind}" for kind in _KINDS):
            bench_tree(options, name, fill)


def bench_tree(options: argparse.Namespace, name: str, fill: Callable[[Path], None]) -> None:
    """Run the workloads of one tree."""
    with tempfile.TemporaryDirectory(prefix="outputs-") as base:
        archive(Path(base), fill, "tree.tar")
        with serving(Path(base)) as url:
            graph = definition(f"{url}/tree.tar")
            for kind in _KINDS:
                if options.only not in f"{name}, {kind}":
                    continue
                dest = Path(base) / "result"
                commands = [ours(options.daemon, kind, dest)]
                if options.versus:
                    commands.append(theirs(options.versus, options.daemon, kind, dest))
                report(f"{name}, {kind}", run(commands, graph, dest, options.rounds))


if __name__ == "__main__":
    main()
