"""The command line as the shell sees it: exit codes, streams, and what is loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from buildfile import cli
from buildfile.exits import Exit, UsageError
from buildfile.failure import BuildFailedError, RefusedError, report
from daemon_shim.errors import (
    CancelledError,
    DaemonError,
    LostConnectionError,
    SolveFailedError,
    TlsError,
    UnreachableError,
    UnsupportedError,
)
from daemon_shim.releases import Release, known_to
from tests.fakes.control import FakeControl
from translator.diagnostic import Diagnostic, InvalidCommandError, InvalidFileError

FILE = "version: 1\nstages: {s: {from: scratch}}\ntargets: {t: {stage: s}}\n"
FAULT = Diagnostic(code="x", message="it is so", hint="do this")


def shell(line: str) -> subprocess.CompletedProcess[bytes]:
    command = f"exec {sys.executable} -m buildfile {line}"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(
        ["sh", "-c", command], env=environment, capture_output=True, check=False, timeout=60
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "buildfile.yaml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (KeyboardInterrupt(), Exit.INTERRUPTED, "interrupted\n"),
        (click.Abort(), Exit.INTERRUPTED, "interrupted\n"),
        (CancelledError("the build was cancelled"), Exit.INTERRUPTED, "interrupted\n"),
        (click.UsageError("no such option"), Exit.USAGE, "Error: no such option\n"),
        (UsageError("not so", hint="so"), Exit.USAGE, "error: not so\n  hint: so\n"),
        (InvalidCommandError([FAULT]), Exit.USAGE, None),
        (InvalidFileError([FAULT]), Exit.INVALID, None),
        (RefusedError([FAULT]), Exit.NO_DAEMON, None),
        (
            UnreachableError("nobody", address="tcp://x:1", hint="start it"),
            Exit.NO_DAEMON,
            "error: tcp://x:1: nobody\n  hint: start it\n",
        ),
        (TlsError("not trusted"), Exit.NO_DAEMON, "error: not trusted\n"),
        (UnsupportedError("too old", feature="x"), Exit.NO_DAEMON, "error: too old\n"),
        (BuildFailedError([FAULT]), Exit.FAILED, None),
        (LostConnectionError("gone"), Exit.FAILED, "error: gone\n"),
        (SolveFailedError("failed", code="UNKNOWN"), Exit.FAILED, "error: failed\n"),
        (DaemonError("other"), Exit.FAILED, "error: other\n"),
    ],
)
def test_exit_codes(
    error: BaseException, code: Exit, told: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(error) == code
    seen = capsys.readouterr()
    assert seen.out == ""
    if told is None:
        assert "it is so" in seen.err and "do this" in seen.err
    else:
        assert seen.err == told


def test_a_bug_leaves_a_report(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    try:
        raise ZeroDivisionError("oops")
    except ZeroDivisionError as error:
        assert report(error) == Exit.BUG
    (left,) = tmp_path.iterdir()
    assert "Python" in left.read_text() and "ZeroDivisionError: oops" in left.read_text()
    assert str(left) in capsys.readouterr().err


def test_an_interrupt_anywhere_is_an_exit_code(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("buildfile.commands.check.load_project", interrupted)
    assert cli.main(["check"]) == Exit.INTERRUPTED
    assert capsys.readouterr().err.strip() == "interrupted"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["bulid"], "did you mean build?"),
        (["build", "--no-such"], "No such option"),
        (["build", "--progress", "loud"], "'loud' is not one of"),
        (["build", "nothing"], "there is no target or group nothing"),
        (["check", "-f", "missing.yaml"], "cannot read missing.yaml"),
        (["check", "-f", "-", "-f", "-"], "standard input can be read once"),
        (["check", "--var", "X"], "'X' is not NAME=VALUE"),
        (["check", "--set", "t.stage=q"], "there is no stage q"),
        (["check", "--allow", "net=x"], "is not fs.read=PATH"),
        (["build", "--secret", "src=x"], "is not id=ID"),
        (["build", "--secret", "id=a,colour=red"], "is not id=ID"),
        (["build", "--tlsdir", "."], "no ca.pem, cert.pem or key.pem"),
        (["build", "-o", "type=locl"], "locl"),
        (["build", "--metadata-file", "no/such/file"], "cannot write no/such/file"),
        (["build", "--metadata-file", "."], "it is a folder"),
        (["llb", "--platform", "a b"], "a b"),
        (["init"], "buildfile.yaml is there already"),
    ],
)
def test_wrong_usage(
    folder: Path, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon = ["--daemon", "unix:///no/such.sock"] if arguments[0] == "build" else []
    code = cli.main([*arguments, *daemon])
    seen = capsys.readouterr()
    assert (code, seen.out) == (Exit.USAGE, ""), seen.err
    assert told in seen.err


def test_faults_of_an_option_name_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["build", "-o", "type=locl,dest=x"]) == Exit.USAGE
    assert "--output" in (told := capsys.readouterr().err) and "--set" not in told


def test_no_build_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("buildfile.files.FILE_NAMES", ("no-such-buildfile.yaml",))
    assert cli.main(["check"]) == Exit.USAGE
    assert "buildfile init" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("break_it", "code"),
    [
        (lambda folder: (folder / "buildfile.yaml").write_text("version: 1\nbad: 1\n"), 3),
        (lambda folder: (folder / "buildfile.yaml").write_bytes(b"\xff"), 3),
        (lambda folder: None, 4),
    ],
)
def test_files_before_daemons(folder: Path, break_it: Callable[[Path], object], code: int) -> None:
    break_it(folder)
    assert cli.main(["build", "--daemon", "unix:///no/such.sock"]) == code


def test_check_says_what_it_found(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check"]) == Exit.DONE
    assert capsys.readouterr().out == "buildfile.yaml: ok, 1 target\n"
    assert cli.main(["check", "--format", "json"]) == Exit.DONE
    assert json.loads(capsys.readouterr().out) == {"diagnostics": []}


def test_check_reports_in_json_on_standard_output(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "buildfile.yaml").write_text(FILE + "bad: 1\n")
    assert cli.main(["check", "--format", "json"]) == Exit.INVALID
    seen = capsys.readouterr()
    (fault,) = json.loads(seen.out)["diagnostics"]
    assert fault["code"] == "unknown-key" and seen.err == ""


def test_warnings_are_shown_and_are_no_faults(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    doubtful = FILE.replace("{stage: s}", '{stage: s, description: "${TAGS:-x}"}')
    doubtful += "vars: {TAG: x}\n"
    (folder / "buildfile.yaml").write_text(doubtful)
    assert cli.main(["check"]) == Exit.DONE
    seen = capsys.readouterr()
    assert "there is no variable TAGS" in seen.err and "ok" in seen.out
    assert cli.main(["llb", "--offline"]) == Exit.DONE
    assert "there is no variable TAGS" in capsys.readouterr().err


def test_llb_of_a_file_without_images_asks_no_daemon_but_one_that_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BUILDKIT_HOST", "unix:///no/such.sock")
    assert cli.main(["llb"]) == Exit.DONE
    assert json.loads(capsys.readouterr().out) is not None
    assert cli.main(["llb", "--daemon", "unix:///no/such.sock", "--offline"]) == Exit.DONE
    assert json.loads(capsys.readouterr().out) is not None
    assert cli.main(["llb", "--daemon", "unix:///no/such.sock"]) == Exit.NO_DAEMON
    assert "unix:///no/such.sock" in capsys.readouterr().err


def test_llb_is_that_of_a_build_on_the_daemon_that_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "buildfile.yaml").write_text(
        "version: 1\nstages: {s: {from: scratch, steps: [{write: {path: /a, text: x}}]}}\n"
        "targets: {t: {stage: s, attest: {provenance: min}, "
        "cache: {export: ['type=local,dest=c']}}}\n"
    )

    def kinds(release: Release) -> list[str]:
        with FakeControl(folder, llb=known_to(release), gateway=known_to(release)) as fake:
            assert cli.main(["llb", "--daemon", fake.address]) == Exit.DONE
        vertices = json.loads(capsys.readouterr().out)
        return [kind for each in vertices for kind in ("source", "exec", "file") if kind in each]

    assert kinds((0, 32, 2)) == ["file"]
    assert kinds((0, 3, 3)) == ["source", "exec"]  # the helper, and what it does


def test_llb_that_a_daemon_cannot_build_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "buildfile.yaml").write_text(
        "version: 1\nstages: {s: {from: {git: 'https://x.y/z'}, "
        "steps: [{run: [/x], security: insecure}]}}\ntargets: {t: {stage: s}}\n"
    )
    with FakeControl(folder, llb=known_to((0, 3, 3)), gateway=known_to((0, 3, 3))) as fake:
        assert cli.main(["llb", "--daemon", fake.address]) == Exit.NO_DAEMON
    seen = capsys.readouterr()
    assert "an insecure step needs BuildKit v0.5" in seen.err and not seen.out


def test_init_makes_a_file_that_is_valid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["init"]) == Exit.DONE
    assert cli.main(["check"]) == Exit.DONE
    assert cli.main(["init", "--force"]) == Exit.DONE
    assert cli.main(["init", "no/such/file.yaml"]) == Exit.USAGE
    assert "cannot write no/such/file.yaml" in capsys.readouterr().err


def test_schema_and_completion_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["schema", "daemons"]) == Exit.DONE
    assert json.loads(capsys.readouterr().out)["title"] == "Daemons"
    assert cli.main(["schema"]) == Exit.DONE
    assert json.loads(capsys.readouterr().out)["$schema"].endswith("2020-12/schema")
    assert cli.main(["completion", "bash"]) == Exit.DONE
    assert "_BUILDFILE_COMPLETE" in capsys.readouterr().out
    assert cli.main(["--version"]) == Exit.DONE
    assert capsys.readouterr().out.startswith("buildfile ")


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    for name in cli.COMMANDS:
        assert cli.main([name, "--help"]) == Exit.DONE
        assert name in capsys.readouterr().out


_HEAVY = ("grpc", "google.protobuf", "jsonschema", "rich", "hpack", "cryptography")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["build", "--help"],
        ["check"],
        ["init"],
        ["cache", "ls", "."],
        ["cache", "verify", "."],
        ["cache", "prune", "--unused", "."],
    ],
)
def test_little_is_loaded_for_little(tmp_path: Path, arguments: list[str]) -> None:
    if arguments == ["check"]:
        (tmp_path / "buildfile.yaml").write_text(FILE)
    script = (
        "import sys\nfrom buildfile.cli import main\n"
        f"code = main({arguments!r})\n"
        f"print('loaded', [name for name in {_HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
        "sys.exit(code)"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=env,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.endswith("loaded []\n")


_RARE = ("urllib.request", "http.client", "daemon_shim.gateway", "daemon_shim.engine")


def test_a_plain_build_does_without_what_few_builds_need() -> None:
    needed = "buildfile.runner, buildfile.cachesearch, daemon_shim.session.auth"
    found = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys, {needed}\nprint([name for name in {_RARE!r} if name in sys.modules])",
        ],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[1])},
    )
    assert found.stdout == "[]\n"


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("streams", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_may_be_closed(streams: str) -> None:
    assert shell(f"check {streams}").returncode == Exit.DONE
    assert shell(f"check --var NO=1 {streams}").returncode == Exit.USAGE


@pytest.mark.usefixtures("folder")
def test_a_full_disk_is_no_bug() -> None:
    done = shell("list >/dev/full")
    assert (done.returncode, done.stderr) == (
        Exit.FAILED,
        b"error: [Errno 28] No space left on device\n",
    )


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--timeout", "nan"], "nan is not between 0 and"),
        (["--timeout", "inf"], "inf is not between 0 and"),
        (["--timeout", "0"], "0 is not between 0 and"),
        (["--ssh", "=key"], "'=key' is not ID[=SOCKET|KEY]"),
    ],
)
def test_values_that_mean_nothing_are_told(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["build", "--daemon", "unix:///no/such.sock", *words]) == Exit.USAGE
    assert message in capsys.readouterr().err
