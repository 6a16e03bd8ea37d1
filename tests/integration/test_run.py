"""Run steps: what surrounds the command, its mounts, and what it leaves."""

from __future__ import annotations

import os
import re
import subprocess
import uuid
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from daemon_shim.info import DaemonInfo, ImageStore
from tests.integration import exitcodes
from tests.integration.command import Workspace, run
from tests.integration.tree import files

_HEAD = """
version: 1
vars:
  BASE: none
"""


def _one_stage(steps: str, *, stage: str = "", head: str = "") -> str:
    """A build file whose only stage starts from BASE and gives /out."""
    return f"""{_HEAD}{head}
stages:
  all:
    from: {{image: "${{BASE}}"}}
{stage}
    steps:
{steps}
targets:
  all: {{stage: all, outputs: [{{type: local, dest: out, paths: [/out]}}]}}
"""


def test_surroundings_of_a_command(work: Workspace) -> None:
    work.build(
        _one_stage(
            """
      - run: mkdir -m 777 /out
        user: root
      - run: echo "$A $B $GREETING $PWD $(id -un)" >/out/stage
      - run: echo "$A $B $PWD $(id -un)" >/out/step
        env: {B: step, A: step}
        workdir: /tmp
        user: root
      - env: {A: below}
      - workdir: sub
      - user: "7:8"
      - run: echo "$A $B $PWD $(id -u):$(id -g)" >/out/below
      - user: root
      - shell: [/bin/sh, -e, -u, -c]
      - run: |
          echo one >/out/shell
          false && echo unreachable
          echo "$-" >>/out/shell
      - run: [sh, -c, 'echo "$0 $1 $$HOME" >/out/argv', "a b", "${BASE}x"]
      - run: 'echo "\\${BASE} is $BASE." >/out/verbatim'
        env: {BASE: mine}
""",
            stage="    env: {A: stage, B: stage}\n    user: worker",
        )
    )
    out = files(work.folder / "out")
    assert out["stage"] == "stage stage hello from the base /work worker\n"
    assert out["step"] == "step step /tmp root\n"
    assert out["below"] == "below stage /work/sub 7:8\n"
    assert out["shell"].startswith("one\n") and "u" in out["shell"].splitlines()[1]
    assert out["argv"].startswith(f"a b {work.values['BASE']}x ")
    assert out["verbatim"] == "${BASE} is mine.\n"


_PLAIN = """
      - mkdir: {path: /out}
      - run: ls /sys/class/net >/out/none
        network: none
      - run: grep -c "^10.1.2.3[[:space:]]*some.host" /etc/hosts >/out/hosts
        hosts: {some.host: 10.1.2.3}
"""
_LATER = """
      - run: hostname >/out/hostname
        hostname: builder
      - run: ulimit -n >/out/ulimit
        ulimits: {nofile: "123:456"}
"""


def test_names_hosts_networks_and_limits(work: Workspace, info: DaemonInfo) -> None:
    later = info.has("exec.meta.ulimit")
    work.build(_one_stage(_PLAIN + (_LATER if later else "")))
    out = files(work.folder / "out")
    assert out["none"].split() == ["lo"]
    assert out["hosts"] == "1\n"
    assert not later or (out["hostname"], out["ulimit"]) == ("builder\n", "123\n")


@pytest.mark.parametrize(
    ("capability", "step"),
    [
        ("exec.meta.ulimit", "- {run: ulimit -n, ulimits: {nofile: 100}}"),
        ("exec.mount.tmpfs.size", "- {run: 'df', mounts: [{type: tmpfs, target: /t, size: 1m}]}"),
    ],
)
def test_what_a_daemon_lacks_is_refused_by_name(
    work: Workspace, info: DaemonInfo, capability: str, step: str
) -> None:
    able = info.has(capability)
    done = work.build(
        _one_stage(f"      {step}\n      - mkdir: {{path: /out}}"), code=0 if able else 4
    )
    assert able or "needs BuildKit v" in done.err
    assert able or "buildfile.yaml:" in done.err


def test_exit_codes_and_secrets_in_the_environment(work: Workspace) -> None:
    """On daemons without them with the helper, of which nothing stays."""
    secret = "two\nlines"  # the same each time, for it is no part of what is cached
    work.build(
        _one_stage(
            """
      - run: mkdir -m 777 /out; ls -A /dev >/out/before
      - run: |
          printf %s "$T" | sha256sum >/out/digest
          echo "$OLD.$NONE." >/out/others
          exit 3
        user: worker
        env: {T: covered, NONE: as it was}
        valid-exit-codes: [0, 3]
        mounts:
          - {type: secret, id: t, env: T}
          - {type: secret, id: absent, env: NONE, optional: true}
          - {type: secret, id: absent, env: OLD, optional: true}
      - run: ls -A /dev >/out/after; exit 5
        valid-exit-codes: [5]
""",
            head="secrets: {t: {env: T}, absent: {env: ABSENT_SECRET, optional: true}}",
        ),
        environment={"T": secret},
    )
    out = files(work.folder / "out")
    assert out["digest"].split()[0] == sha256(secret.encode()).hexdigest()
    assert out["others"] == "..\n"
    assert out["before"].split() == [each for each in out["after"].split() if each[0] != "."]


@pytest.mark.parametrize(("script", "code"), [("exit 3", 3), ("exit 0", 0)])
def test_exit_codes_that_are_not_listed_fail(
    work: Workspace, info: DaemonInfo, script: str, code: int
) -> None:
    step = f"      - {{run: '{script}', valid-exit-codes: [1, 2]}}\n"
    done = work.build(_one_stage(f"{step}      - mkdir: {{path: /out}}"), code=1)
    assert code == 0 or re.search(exitcodes.shown(code, info), done.err)
    assert "buildfile.yaml:" in done.err


def test_secrets_are_there_for_one_step_and_nowhere_else(work: Workspace) -> None:
    secret = f"hush-{uuid.uuid4().hex}"
    work.write("key", f"{secret}-file")
    text = _one_stage(
        """
      - mkdir: {path: /out}
      - run: |
          stat -c '%a %u %g' /run/secrets/token /etc/key >/out/modes
          sha256sum </run/secrets/token >/out/token
          sha256sum </etc/key >/out/key
          cat /run/secrets/token; echo; cat /etc/key; echo
          [ ! -e /run/secrets/absent ]
        mounts:
          - {type: secret, id: token}
          - {type: secret, id: key, target: /etc/key, mode: "0444", uid: 7, gid: 8}
          - {type: secret, id: absent, optional: true}
      - run: '[ ! -s /run/secrets/token ] && [ ! -s /etc/key ]'
""",
        head="""
secrets:
  token: {env: SOME_TOKEN}
  key: {file: key}
  absent: {file: nowhere, optional: true}
""",
    )
    done = work.build(text, "--metadata-file", "meta", environment={"SOME_TOKEN": secret})
    out = files(work.folder / "out")
    assert out["modes"] == "400 0 0\n444 7 8\n"
    assert len({out["token"], out["key"]}) == 2
    told = done.err + done.out + (work.folder / "meta").read_text() + "".join(out.values())
    assert secret not in told
    assert done.logged("***") == 2

    # Another value of a secret is no reason to build again.
    again = work.build(None, environment={"SOME_TOKEN": "other"})
    assert files(work.folder / "out") == out
    assert "CACHED" in again.err

    # The command line's own stand in for the file's.
    given = ("--secret", "id=token,src=key", "--no-cache")
    work.build(None, *given)
    assert files(work.folder / "out")["token"] == out["key"]


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Path]:
    """An SSH agent with one Ed25519 key."""
    key, socket = tmp_path / "id", tmp_path / "agent.sock"
    new = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
    subprocess.run(new, check=True)
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    try:
        while not socket.exists():
            assert process.poll() is None
        environment = os.environ | {"SSH_AUTH_SOCK": str(socket)}
        subprocess.run(["ssh-add", "-q", str(key)], env=environment, check=True)
        yield socket
    finally:
        process.terminate()
        process.wait()


# Asks the agent for its keys (11); their kinds are in the answer as plain text.
_LIST_KEYS = """
import os, socket, struct
agent = socket.socket(socket.AF_UNIX)
agent.connect(os.environ["SSH_AUTH_SOCK"])
agent.sendall(struct.pack(">IB", 1, 11))
size = struct.unpack(">I", agent.recv(4, socket.MSG_WAITALL))[0]
print(b"ssh-ed25519" in agent.recv(size, socket.MSG_WAITALL))
"""


def test_ssh_agent_and_key_files_are_forwarded(
    work: Workspace, agent: Path, python_image: str
) -> None:
    text = _one_stage(
        """
      - mkdir: {path: /out}
      - run: |
          stat -c %a "$SSH_AUTH_SOCK" >/out/mode
          python3 /list/keys.py >/out/agent
        mounts: [{type: ssh}, {type: bind, from: list, target: /list}]
      - run: |
          [ "$SSH_AUTH_SOCK" = /run/keys ]
          python3 /list/keys.py >/out/keys
        mounts: [{type: ssh, id: keys, target: /run/keys}, {type: bind, from: list, target: /list}]
      - run: '[ -z "${SSH_AUTH_SOCK:-}" ]'
""",
        head="""
sources: {list: {local: list}}
ssh:
  default: {agent: "${env.SSH_AUTH_SOCK}"}
  keys: {keys: [id]}
""",
    )
    work.write("list/keys.py", _LIST_KEYS)
    work.build(text, "--var", f"BASE={python_image}", environment={"SSH_AUTH_SOCK": str(agent)})
    expected = {"mode": "600\n", "agent": "True\n", "keys": "True\n"}
    assert files(work.folder / "out") == expected


def test_cache_mount_outlives_builds(work: Workspace) -> None:
    text = _one_stage(
        """
      - mkdir: {path: /out}
      - run: |
          echo "$RUN" >>/shared/log
          echo "$RUN" >>/locked/log
          cat /shared/log >/out/shared
          cat /locked/log >/out/locked
          cat /seeded/file >/out/seed
          touch /private/me
        env: {RUN: "${RUN}"}
        mounts:
          - {type: cache, target: /shared, id: "${ID}-a"}
          - {type: cache, target: /locked, id: "${ID}-b", sharing: locked}
          - {type: cache, target: /private, id: "${ID}-c", sharing: private}
          - {type: cache, target: /seeded, id: "${ID}-d", from: seed}
      - run: '[ ! -e /shared/log ]'
""",
        head="""
  ID: none
  RUN: none
sources: {seed: {inline: {file: from the seed}}}
""",
    )
    id_ = uuid.uuid4().hex
    for number, expected in enumerate(("0\n", "0\n1\n", "0\n1\n2\n")):
        work.build(text, "--var", f"ID={id_}", "--var", f"RUN={number}")
        out = files(work.folder / "out")
        assert out == {"shared": expected, "locked": expected, "seed": "from the seed"}


def test_bind_and_tmpfs_mounts(work: Workspace, info: DaemonInfo) -> None:
    work.build(
        _one_stage(
            """
      - mkdir: {path: /out}
      - run: |
          cat /whole/deep/file /part/file >/out/read
          touch /whole/new 2>/dev/null && echo written >/out/readonly
          echo changed >/writable/deep/file
          cat /writable/deep/file >>/out/read
          df -P /memory | tail -n 1 | cut -d' ' -f1 >/out/memory
        mounts:
          - {type: bind, from: tree, target: /whole}
          - {type: bind, from: tree, target: /part, source: deep}
          - {type: bind, from: tree, target: /writable, readwrite: true}
          - {type: tmpfs, target: /memory}
      - run: cat /again/deep/file >>/out/read
        mounts: [{type: bind, from: tree, target: /again}]
""",
            head='sources: {tree: {inline: {deep/file: "text "}}}',
        )
    )
    expected = {"read": "text text changed\ntext ", "memory": "tmpfs\n"}
    if info.store is ImageStore.GRAPHDRIVER:  # which does not know read-only mounts
        expected["readonly"] = "written\n"
    assert files(work.folder / "out") == expected


def test_security_insecure_is_granted_only_where_it_is_asked(
    work: Workspace, info: DaemonInfo
) -> None:
    text = _one_stage("""
      - mkdir: {path: /out}
      - run: grep ^CapEff /proc/self/status >/out/sandbox
      - run: grep ^CapEff /proc/self/status >/out/insecure
        security: insecure
""")
    work.write("buildfile.yaml", text)
    with work.surroundings():
        done = run(work.arguments())
    if not info.has("exec.meta.security"):
        assert done.code == 4 and "an insecure step needs BuildKit v0.5" in done.err
        return
    if "unable to apply caps" in done.err:
        pytest.skip("this machine gives root too little for a privileged container")
    assert done.code == 0, done.err
    out = files(work.folder / "out")
    sandbox, insecure = (int(out[name].split()[1], 16) for name in ("sandbox", "insecure"))
    assert sandbox & insecure == sandbox != insecure


def test_a_step_without_cache_runs_each_time(work: Workspace) -> None:
    text = _one_stage("""
      - mkdir: {path: /out}
      - run: cat /proc/sys/kernel/random/uuid >/out/kept
      - run: cat /proc/sys/kernel/random/uuid >/out/fresh
        cache: false
""")
    seen = []
    for words in ((), (), ("--no-cache",)):
        work.build(text, *words)
        seen.append(files(work.folder / "out"))
    assert seen[0]["kept"] == seen[1]["kept"] != seen[2]["kept"]
    assert seen[0]["fresh"] != seen[1]["fresh"]
