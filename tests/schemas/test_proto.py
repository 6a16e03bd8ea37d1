"""The protocol as this project writes it down, against the numbers that daemons use."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.message import Message

from schemas import generate, rpc
from schemas.pb import control_pb2, fsutil_pb2, gateway_pb2, health_pb2, ops_pb2, status_pb2

# A wrong digit is silent data loss on the wire, so the messages that carry the most are written
# down a second time.
NUMBERS = {
    control_pb2.SolveRequest: (
        "1 Ref, 2 Definition, 3 ExporterDeprecated, 4 ExporterAttrsDeprecated, 5 Session, "
        "6 Frontend, 7 FrontendAttrs, 8 Cache, 9 Entitlements, 10 FrontendInputs, 11 Internal, "
        "12 SourcePolicy, 13 Exporters, 14 EnableSessionExporter, 15 SourcePolicySession, "
        "16 CompatibilityVersion, 17 ProxyNetwork"
    ),
    control_pb2.CacheOptions: (
        "1 ExportRefDeprecated, 2 ImportRefsDeprecated, 3 ExportAttrsDeprecated, 4 Exports, "
        "5 Imports"
    ),
    control_pb2.Vertex: (
        "1 digest, 2 inputs, 3 name, 4 cached, 5 started, 6 completed, 7 error, 8 progressGroup"
    ),
    ops_pb2.Definition: "1 def, 2 metadata, 3 Source",
    ops_pb2.Op: (
        "1 inputs, 2 exec, 3 source, 4 file, 5 build, 6 merge, 7 diff, 8 passthrough, "
        "10 platform, 11 constraints"
    ),
    ops_pb2.OpMetadata: (
        "1 ignore_cache, 2 description, 4 export_cache, 5 caps, 6 progress_group, 7 linux_resources"
    ),
    ops_pb2.Mount: (
        "1 input, 2 selector, 3 dest, 4 output, 5 readonly, 6 mountType, 19 TmpfsOpt, "
        "20 cacheOpt, 21 secretOpt, 22 SSHOpt, 23 resultID, 24 contentCache"
    ),
    ops_pb2.FileActionCopy: (
        "1 src, 2 dest, 3 owner, 4 mode, 5 followSymlink, 6 dirCopyContents, "
        "7 attemptUnpackDockerCompatibility, 8 createDestPath, 9 allowWildcard, "
        "10 allowEmptyWildcard, 11 timestamp, 12 include_patterns, 13 exclude_patterns, "
        "14 alwaysReplaceExistingDestPaths, 15 modeStr, 16 required_paths"
    ),
    gateway_pb2.Result: (
        "1 refDeprecated, 2 refsDeprecated, 3 ref, 4 refs, 10 metadata, 12 attestations"
    ),
    gateway_pb2.ReturnRequest: "1 result, 2 error",
    fsutil_pb2.Packet: "1 type, 2 stat, 3 ID, 4 data",
}


@pytest.fixture
def tools() -> None:
    """Skip, and say so in the summary, where the generated code cannot be made again."""
    try:
        generate.require_tools()
    except generate.GenerateError as error:
        pytest.skip(f"GENERATED CODE NOT CHECKED: {error}")


@pytest.mark.usefixtures("tools")
def test_generated_code_is_current() -> None:
    assert generate.stale() == []


@pytest.mark.usefixtures("tools")
def test_check_names_what_differs_is_missing_or_left_over(tmp_path: Path) -> None:
    folder = tmp_path / "pb"
    shutil.copytree(generate.PB, folder)
    (folder / "ops_pb2.py").write_text("changed\n")
    (folder / "auth_pb2.pyi").unlink()
    (folder / "gone_pb2.py").write_text("")
    assert generate.stale(folder) == ["auth_pb2.pyi", "gone_pb2.py", "ops_pb2.py"]


@pytest.mark.parametrize("message", NUMBERS, ids=lambda message: message.DESCRIPTOR.full_name)
def test_field_numbers(message: type[Message]) -> None:
    fields = sorted(message.DESCRIPTOR.fields, key=lambda field: field.number)
    assert ", ".join(f"{field.number} {field.name}" for field in fields) == NUMBERS[message]


def test_results_of_old_daemons_are_read() -> None:
    # v0.3.3 to v0.6 put bare ids into fields 1 (one) and 2 (a map of strings) of Result.
    one = gateway_pb2.Result.FromString(b"\x0a\x02id")
    several = gateway_pb2.Result.FromString(b"\x12\x09\x0a\x07\x0a\x01k\x12\x02id")
    assert one.refDeprecated == "id"
    assert dict(several.refsDeprecated.refs) == {"k": "id"}


def test_results_of_new_daemons_are_read() -> None:
    result = gateway_pb2.Result.FromString(b"\x22\x0b\x0a\x09\x0a\x01k\x12\x04\x0a\x02id")
    assert result.refs.refs["k"].id == "id"


@pytest.mark.parametrize("message", NUMBERS, ids=lambda message: message.DESCRIPTOR.full_name)
def test_unknown_fields_survive(message: type[Message]) -> None:
    from_the_future = b"\xfa\x3e\x06future"  # field 1007, six bytes
    parsed = message.FromString(from_the_future)
    assert parsed.SerializeToString() == from_the_future


def test_unknown_fields_survive_inside_known_ones() -> None:
    inner = b"\x0a\x06digest\xfa\x3e\x06future"
    outer = b"\x0a" + bytes([len(inner)]) + inner
    op = ops_pb2.Op.FromString(outer)
    assert op.inputs[0].digest == "digest"
    assert op.SerializeToString() == outer


def test_unknown_enum_values_survive() -> None:
    mount = ops_pb2.Mount.FromString(b"\x30\x63")
    assert mount.mountType == 99
    assert mount.SerializeToString() == b"\x30\x63"


@pytest.mark.parametrize("row", rpc.ALL, ids=lambda row: row.path)
def test_rpc_rows_agree_with_the_packages(row: rpc.Rpc[Any, Any]) -> None:
    service = row.path.split("/")[1]
    package = service.rpartition(".")[0]
    ours = {"grpc.health.v1": "buildfile.health"}.get(package, package)
    others = {"fsutil.types", "google.protobuf"}
    for message in (row.request, row.response):
        assert message.DESCRIPTOR.file.package in {ours, *others}


def test_rpc_rows_are_there_once() -> None:
    keys = [(row.path, row.request) for row in rpc.ALL]
    assert len(keys) == len(set(keys))
    assert rpc.Control.SOLVE in rpc.ALL
    assert rpc.Control.STATUS.kind == "server-stream"
    assert rpc.FileSend.FILE.path == rpc.FileSend.TREE.path


@pytest.mark.parametrize("name", ["google.rpc.Status", "grpc.health.v1.HealthCheckRequest"])
def test_names_of_common_packages_stay_free(name: str) -> None:
    # A fresh process, because another test's import may register them.
    probe = (
        "import sys, schemas.rpc\n"
        "from google.protobuf import descriptor_pool\n"
        "try: descriptor_pool.Default().FindMessageTypeByName(sys.argv[1])\n"
        "except KeyError: sys.exit(0)\n"
        "sys.exit('registered')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe, name], cwd=generate.HERE.parent, check=False
    )
    assert done.returncode == 0


def test_own_names_stand_in_for_them() -> None:
    pool = descriptor_pool.Default()
    for message in (status_pb2.Status, health_pb2.HealthCheckRequest):
        assert pool.FindMessageTypeByName(message.DESCRIPTOR.full_name) is message.DESCRIPTOR
    status = status_pb2.Status(code=5, message="no")
    assert status.SerializeToString() == b"\x08\x05\x12\x02no"


def test_schemas_alone_load_no_protobuf() -> None:
    probe = "import sys, schemas; sys.exit('google.protobuf' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], cwd=generate.HERE.parent, check=False)
    assert done.returncode == 0
