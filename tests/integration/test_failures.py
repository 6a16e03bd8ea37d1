"""Failures: the exit code, what is said and where, and that nothing is left behind."""

from __future__ import annotations

import json
import os
import re
import ssl

import pytest

from daemon_shim.info import DaemonInfo
from tests.daemon_shim.transports.certificates import Authority
from tests.fakes.peers import listening, tls_before
from tests.integration.command import Workspace, run
from tests.integration.exitcodes import shown
from tests.integration.tree import files

_FILE = """
version: 1
vars:
  BASE: none
secrets: {token: {env: NOT_SET_ANYWHERE}}
sources: {src: {local: src}}
stages:
  app:
    from: {image: "${BASE}"}
    steps:
%s
targets:
  app: {stage: app, outputs: [{type: local, dest: out, paths: [/out]}]}
"""


def _steps(text: str) -> str:
    return _FILE % "\n".join(f"      {line}" for line in text.strip().splitlines())


# --- 1: the build failed on the daemon ----------------------------------------------------------


def test_a_failing_step_shows_its_lines_and_the_end_of_its_log(
    work: Workspace, info: DaemonInfo
) -> None:
    done = work.build(
        _steps(
            """
- run: |
    seq 1000 1050
    echo complaint
    exit 7
  env: {A: b}
"""
        ),
        code=1,
    )
    told = done.err[done.err.index("buildfile.yaml:") :]
    assert told.startswith("buildfile.yaml:11:9: error: [app] run seq 1000 1050 ")
    assert re.search(shown(7, info), told) and "[step-failed]" in told
    assert "11 >       - run: |" in told
    assert "14 >           exit 7" in told
    assert "1050\n" in told and "complaint\n" in told
    assert "1001\n" not in told  # only the end of it
    assert not (work.folder / "out").exists()


def test_the_first_failure_stops_the_other_targets(work: Workspace, info: DaemonInfo) -> None:
    done = work.build(
        """
version: 1
vars:
  BASE: none
stages:
  base: {from: {image: "${BASE}"}}
  bad: {from: base, steps: [{run: "sleep 0.5; exit 3"}]}
  slow: {from: base, steps: [{run: "sleep 600", cache: false}]}
targets:
  bad: {stage: bad}
  slow: {stage: slow, outputs: [{type: local, dest: out}]}
groups: {default: [bad, slow]}
""",
        code=1,
    )
    assert done.err.count("error:") == 1
    assert re.search(shown(3, info), done.err)
    assert not (work.folder / "out").exists()


def test_an_image_that_is_not_there(work: Workspace) -> None:
    text = _steps("- run: 'true'").replace("${BASE}", f"{work.values['BASE']}-absent")
    done = work.build(text, code=1)
    assert "buildfile.yaml:9:" in done.err and "[image-unresolved]" in done.err
    assert "not found" in done.err


def test_a_push_to_a_registry_that_is_not_there(work: Workspace) -> None:
    text = _steps("- run: 'true'")
    output = "type=image,name=localhost:1/app,push=true"
    done = work.build(text, "-o", output, code=1)
    assert "localhost:1" in done.err and "refused" in done.err


# Takes from root what lets it read any file.
_MORTAL = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all")


def test_a_file_that_cannot_be_read(work: Workspace) -> None:
    work.write("src/closed", "text", mode=0)
    work.write("buildfile.yaml", _steps("- copy: {from: src, to: /out/}"))
    building = work.start(before=_MORTAL if os.geteuid() == 0 else ())
    _, err = building.communicate(timeout=120)
    assert building.returncode == 1, err.decode()
    assert b"local source src could not be sent: closed: permission denied" in err
    assert b"[unreadable-source]" in err and b"buildfile.yaml:6:" in err
    assert not (work.folder / "out").exists()


# --- 2: wrong usage -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--no-such-option",), "no such option"),
        (("--var", "novalue"), "--var"),
        (("--progress", "loud"), "--progress"),
        (("absent",), "absent"),
        (("--set", "nothing"), "--set"),
        (("--metadata-file", "no/such/folder/x"), "cannot write"),
        (("--secret", "x=y"), "--secret"),
        (("--var", "ABSENT=1"), "ABSENT"),
    ],
)
def test_wrong_usage(full: Workspace, words: tuple[str, ...], said: str) -> None:
    done = full.build(_steps("- run: 'true'"), *words, code=2)
    assert said.lower() in done.err.lower()
    assert "#1 " not in done.err


def test_no_build_file(full: Workspace) -> None:
    with full.surroundings():
        done = run(["build", "-f", "absent.yaml"])
    assert done.code == 2
    assert "absent.yaml" in done.err


# --- 3: the build file is invalid -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("steps:", "steps: ["), "buildfile.yaml:"),
        (("  app:\n    from", "  app:\n    form: x\n    from"), "did you mean from"),
        (("stage: app", "stage: ap"), "did you mean app"),
        (("version: 1", "version: 1\nversion: 1"), "version"),
        (("from: src", "from: scr"), "did you mean src"),
        (("local: src", "local: absent"), "does not exist"),
        (("local: src", "local: /etc"), "--allow fs.read=/etc"),
        (("local: src", "local: ../"), "outside of the folders"),
        (("local: src", "local: buildfile.yaml"), "is a file"),
        (("to: /out/", "to: /out/, chmod: '999'"), "chmod"),
        (("to: /out/", "to: [1]"), "to"),
        (("${BASE}", "not an image"), "not an image"),
        (("${BASE}", "${ABSENT}"), "ABSENT"),
        (("from: {image: '${BASE}'}", "from: app"), "app -> app"),
    ],
)
def test_invalid_file(full: Workspace, change: tuple[str, str], said: str) -> None:
    full.write("src/file")
    text = _steps("- copy: {from: src, to: /out/}").replace('"${BASE}"', "'${BASE}'")
    assert change[0] in text
    done = full.build(text.replace(*change, 1), code=3)
    assert said in done.err
    assert "buildfile.yaml:" in done.err
    assert "#1 " not in done.err


def test_a_secret_that_is_not_set(full: Workspace) -> None:
    steps = "- {run: 'true', mounts: [{type: secret, id: token}]}"
    done = full.build(_steps(steps), code=3)
    assert "the secret token is not set: the environment variable NOT_SET_ANYWHERE" in done.err
    assert "buildfile.yaml:5:" in done.err
    # One that no step uses is not missed.
    full.build(_steps("- run: mkdir /out"))


def test_an_agent_that_is_not_there(full: Workspace) -> None:
    text = _steps("- {run: 'true', mounts: [{type: ssh}]}")
    text = text.replace("secrets:", "ssh: {default: {agent: /nowhere/agent}}\nsecrets:")
    done = full.build(text, code=3)
    assert "the SSH agent default cannot be used" in done.err


# --- 4: no daemon can do it -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("unix:///nowhere/buildkitd.sock", "/nowhere/buildkitd.sock"),
        ("tcp://127.0.0.1:1", "cannot reach tcp://127.0.0.1:1"),
        ("docker:///nowhere/docker.sock", "/nowhere/docker.sock"),
        ("docker://127.0.0.1:1", "cannot reach docker://127.0.0.1:1"),
    ],
)
def test_a_daemon_that_is_not_there(full: Workspace, address: str, said: str) -> None:
    done = full.build(_steps("- run: 'true'"), "--daemon", address, code=4)
    assert said in done.err
    assert "hint:" in done.err


def test_a_certificate_of_a_stranger(full: Workspace) -> None:
    (full.folder / "theirs").mkdir()
    theirs, ours = (Authority(full.folder, name) for name in ("theirs", "ours"))
    pair = theirs.issue("server", hosts=("127.0.0.1",))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    text = _steps("- run: mkdir /out")
    socket = full.daemon.address.removeprefix("docker://")
    with listening(tls_before(socket, context)) as address:
        place = ("--daemon", address.replace("tcp", "docker"))
        done = full.build(text, *place, "--tlscacert", ours.path, code=4)
        assert "certificate" in done.err
        full.build(text, *place, "--tlscacert", theirs.path)


# --- nothing is left ------------------------------------------------------------------------------


def test_a_failed_build_changes_no_output(work: Workspace) -> None:
    work.write("out/mine", "mine")
    work.write("app.tar", "old")
    text = _steps("- run: mkdir /out && exit 1")
    work.build(text, code=1)
    work.build(text, "-o", "type=tar,dest=app.tar", "--metadata-file", "meta.json", code=1)
    assert files(work.folder) == {
        "buildfile.yaml": text,
        "app.tar": "old",
        "out/mine": "mine",
    }


def test_diagnostics_come_after_progress_and_results_alone_on_standard_output(
    work: Workspace,
) -> None:
    done = work.build(_steps("- run: mkdir /out && touch /out/x"))
    assert done.out == f"{work.folder / 'out'}\n"
    failed = work.build(_steps("- run: exit 9"), code=1)
    assert failed.out == ""
    assert failed.err.index("failed after") < failed.err.index("error: [app]")


def test_quiet_says_nothing_but_failures(work: Workspace, info: DaemonInfo) -> None:
    quiet = ("--progress", "quiet")
    assert work.build(_steps("- run: mkdir /out"), *quiet).err == ""
    done = work.build(_steps("- run: exit 5"), *quiet, code=1)
    assert re.search(shown(5, info), done.err)


def test_raw_json_is_one_document_a_line(work: Workspace) -> None:
    done = work.build(_steps("- run: mkdir /out && echo hello"), "--progress", "rawjson")
    assert all(json.loads(line) for line in done.err.splitlines())
