"""Generates ``schemas/pb`` from ``schemas/proto``.

``python -m schemas.generate`` rewrites the code, ``python -m schemas.generate --check`` compares
it with the .proto files and changes nothing (exit 1 and the names of the files that differ).
Needs grpcio-tools at ``TOOLS_VERSION``: other versions write other stubs.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TOOLS_VERSION = "1.85.1"
"""Version of grpcio-tools whose output is checked in; pyproject.toml pins the same."""

HERE = Path(__file__).parent
PROTO = HERE / "proto"
PB = HERE / "pb"

# protoc lets its output run on its own and the next major version of protobuf only, though the
# code uses nothing that is newer than 5.26. Without that check it serves 5.26 and all after it.
_VERSION_CHECK = re.compile(
    r"^from google\.protobuf import runtime_version as _runtime_version\n"
    r"|^_runtime_version\.ValidateProtobufRuntimeVersion\([^)]*\)\n"
    r"|^# Protobuf Python Version: .*\n",
    re.MULTILINE,
)
# The stubs of messages such as WorkerRecord, with a field named like its type, confuse mypy
# inside the stub. Their users see the right types.
_STUB_HEADER = "# mypy: ignore-errors\n"


class GenerateError(Exception):
    """protoc is missing, of another version, or refused a file."""


def generate(folder: Path) -> list[Path]:
    """Write the module and the stub of each .proto file into ``folder``; return their paths.

    Raises GenerateError.
    """
    with tempfile.TemporaryDirectory() as scratch:
        _protoc(Path(scratch))
        written = sorted((Path(scratch) / "schemas" / "pb").iterdir())
        return [_finish(path, folder / path.name) for path in written]


def stale(folder: Path = PB) -> list[str]:
    """Return the names of generated files that differ from a fresh run, are missing or left over.

    Raises GenerateError.
    """
    with tempfile.TemporaryDirectory() as scratch:
        fresh = {path.name: path.read_bytes() for path in generate(Path(scratch))}
    present = {path.name: path.read_bytes() for path in _generated(folder)}
    return sorted(name for name in fresh | present if fresh.get(name) != present.get(name))


def require_tools() -> None:
    """Raise GenerateError unless grpcio-tools is installed at ``TOOLS_VERSION``."""
    try:
        found = importlib.metadata.version("grpcio-tools")
    except importlib.metadata.PackageNotFoundError:
        found = "none"
    if found != TOOLS_VERSION:
        raise GenerateError(f"grpcio-tools {TOOLS_VERSION} is needed, found {found}")


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m schemas.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only, write nothing")
    options = parser.parse_args(argv)
    try:
        return _check() if options.check else _rewrite()
    except GenerateError as error:
        print(f"schemas.generate: {error}", file=sys.stderr)
        return 2


def _check() -> int:
    names = stale()
    for name in names:
        print(f"schemas/pb/{name} does not match schemas/proto", file=sys.stderr)
    return 1 if names else 0


def _rewrite() -> int:
    with tempfile.TemporaryDirectory() as scratch:
        fresh = generate(Path(scratch))
        for path in _generated(PB):
            path.unlink()
        for path in fresh:
            shutil.copyfile(path, PB / path.name)
    return 0


def _protoc(folder: Path) -> None:
    require_tools()
    command = [
        *(sys.executable, "-m", "grpc_tools.protoc"),
        f"-Ischemas/pb={PROTO}",  # the virtual path gives the generated code its import paths
        f"--python_out={folder}",
        f"--pyi_out={folder}",
        *(f"schemas/pb/{path.name}" for path in sorted(PROTO.glob("*.proto"))),
    ]
    if subprocess.run(command, check=False).returncode != 0:
        raise GenerateError("protoc failed, see above")


def _finish(source: Path, target: Path) -> Path:
    text = source.read_text(encoding="utf-8")
    text = _STUB_HEADER + text if source.suffix == ".pyi" else _VERSION_CHECK.sub("", text)
    target.write_text(text, encoding="utf-8")
    return target


def _generated(folder: Path) -> list[Path]:
    return sorted(folder.glob("*_pb2.py*"))


if __name__ == "__main__":
    sys.exit(main())
