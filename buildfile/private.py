"""A daemon of our own, where the user has none running: started once, left for the next build.

It runs from a ``buildkitd`` or a ``dockerd`` on the PATH, with its own root folder and socket, so
that it touches nothing of an engine that the system may have.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from buildfile.buildkitdtoml import BuildkitdSettings, own_settings, read_settings
from buildfile.exits import UsageError
from daemon_shim.errors import UnreachableError

# Daemons are meant to outlive us; held here, Python does not warn of them as forgotten children.
_LEFT_RUNNING: list[subprocess.Popen[bytes]] = []
START_SECONDS = 60.0
STOP_SECONDS = 30.0
_LOG_TAIL = 15


@dataclass(frozen=True, kw_only=True)
class Record:
    """A started daemon, as kept on disk. ``pid`` is the process that ends all of it.

    ``settings`` is the path of its ``buildkitd.toml``, '' for none.
    """

    kind: str
    pid: int
    address: str
    started_ticks: int
    settings: str = ""


@dataclass(frozen=True, kw_only=True)
class Status:
    """What ``daemon status`` tells."""

    record: Record | None
    alive: bool
    root: Path
    log: Path


@dataclass(frozen=True, kw_only=True)
class Launcher:
    """One way to start a daemon: the programs it needs and the command for given folders."""

    kind: str
    needs: tuple[str, ...]
    command: Callable[[Folders, BuildkitdSettings | None], Sequence[str]]
    scheme: str


@dataclass(frozen=True, kw_only=True)
class Folders:
    """Where a private daemon keeps its things."""

    state: Path
    runtime: Path

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Folders:
        """The user's folders; the socket stands in a short path, for a socket's path is limited."""
        home = Path(environment.get("HOME") or Path.home())
        state = Path(environment.get("XDG_STATE_HOME") or home / ".local" / "state")
        own = environment.get("XDG_RUNTIME_DIR")
        runtime = Path(own, "buildfile") if own else Path("/tmp", f"buildfile-{os.getuid()}")  # noqa: S108 - checked in make
        return cls(state=state / "buildfile" / "daemon", runtime=runtime)

    @property
    def socket(self) -> Path:
        """The daemon's socket."""
        return self.runtime / "daemon.sock"

    @property
    def record(self) -> Path:
        """The file that remembers the running daemon."""
        return self.state / "daemon.json"

    @property
    def log(self) -> Path:
        """The daemon's log."""
        return self.state / "daemon.log"

    def make(self) -> None:
        """Create both folders, for this user alone. Raises UnreachableError if not ours."""
        self.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.runtime.mkdir(parents=True, exist_ok=True, mode=0o700)
        made = self.runtime.lstat()
        if made.st_uid != os.getuid() or not stat.S_ISDIR(made.st_mode) or made.st_mode & 0o022:
            raise UnreachableError(
                f"{self.runtime} is not a folder of this user alone",
                hint="set XDG_RUNTIME_DIR to a folder of your own",
            )


def _buildkitd(folders: Folders, settings: BuildkitdSettings | None) -> Sequence[str]:
    """Start one with its own socket beside those that its settings name."""
    workers = {"oci": True, "containerd": False, **(settings.workers if settings else {})}
    return [
        "buildkitd",
        *([f"--config={settings.path}"] if settings else []),
        f"--root={folders.state / 'buildkit'}",
        f"--addr=unix://{folders.socket}",
        *(f"--addr={each}" for each in (settings.addresses if settings else ())),
        *(f"--{kind}-worker={'true' if on else 'false'}" for kind, on in workers.items()),
    ]


def _rootless_buildkitd(folders: Folders, settings: BuildkitdSettings | None) -> Sequence[str]:
    return ["rootlesskit", *_buildkitd(folders, settings), "--rootless"]


def _dockerd(folders: Folders, _: BuildkitdSettings | None) -> Sequence[str]:
    config = folders.state / "engine.json"
    config.write_text('{"features": {"containerd-snapshotter": true}}\n')
    return [
        *("unshare", "--mount", "--propagation=private", "--pid", "--fork"),
        *("--kill-child", "--mount-proc"),
        "dockerd",
        f"--host=unix://{folders.socket}",
        f"--data-root={folders.state / 'engine'}",
        f"--exec-root={folders.runtime / 'exec'}",
        f"--pidfile={folders.runtime / 'engine.pid'}",
        f"--config-file={config}",
    ]


def _isolated_dockerd(folders: Folders, _: BuildkitdSettings | None) -> Sequence[str]:
    """Start an engine whose network is its own: for machines that let nobody change theirs."""
    unshare, flags, engine = "unshare", ["--net"], list(_dockerd(folders, None))
    script = 'ip link set lo up 2>/dev/null; exec "$@"'
    start = engine.index("dockerd")
    quiet = ["--iptables=false", "--ip6tables=false"]
    return [unshare, *flags, *engine[1:start], "sh", "-c", script, "sh", *engine[start:], *quiet]


_ROOT_LAUNCHERS = (
    Launcher(kind="buildkitd", needs=("buildkitd", "runc"), command=_buildkitd, scheme="unix"),
    Launcher(kind="dockerd", needs=("dockerd", "unshare"), command=_dockerd, scheme="docker"),
    Launcher(
        kind="dockerd without outside network",
        needs=("dockerd", "unshare", "ip"),
        command=_isolated_dockerd,
        scheme="docker",
    ),
)
_USER_LAUNCHERS = (
    Launcher(
        kind="rootless buildkitd",
        needs=("buildkitd", "rootlesskit", "runc"),
        command=_rootless_buildkitd,
        scheme="unix",
    ),
)


def start(
    environment: Mapping[str, str], say: Callable[[str], None], config: Path | None = None
) -> Record:
    """Start a private daemon, or find the one that runs. ``say`` hears what is done.

    ``config`` is a ``buildkitd.toml`` for it; None means the user's, if there is one. Raises
    UnreachableError where nothing on the PATH can be started, with what to install, or where what
    was started died, with the end of its log; UsageError where one runs with other settings than
    ``config``, or that can't be read; InvalidFileError where it is no TOML.
    """
    folders = Folders.of(environment)
    running = status(environment)
    if running.record and running.alive:
        return _same(running.record, config)
    file = config or own_settings(environment)
    settings = read_settings(file.absolute()) if file else None
    path = _search_path(environment)
    usable = _usable(path, settings)
    folders.make()
    with _alone(folders):
        running = status(environment)
        if running.record and running.alive:  # started by another run that was first
            return _same(running.record, config)
        return _start_first(usable, folders, {**environment, "PATH": path}, settings, say)


def _same(record: Record, config: Path | None) -> Record:
    if config and record.settings != str(config.absolute()):
        raise UsageError(
            f"the private daemon runs already, with {record.settings or 'no settings'}",
            hint="stop it first with: buildfile daemon stop",
        )
    return record


def _usable(path: str, settings: BuildkitdSettings | None) -> Sequence[Launcher]:
    """What can be started here; settings are only for a buildkitd."""
    launchers = _ROOT_LAUNCHERS if os.geteuid() == 0 else _USER_LAUNCHERS
    usable = [each for each in launchers if all(shutil.which(n, path=path) for n in each.needs)]
    fitting = [each for each in usable if not settings or "buildkitd" in each.needs]
    if settings and usable and not fitting:
        raise UnreachableError(
            f"{settings.path} is for a buildkitd, and none can be started here",
            hint="install buildkitd and runc, or take the file away to start a dockerd",
        )
    if not fitting:
        raise UnreachableError("no BuildKit daemon was found", hint=_what_to_install())
    return fitting


@contextmanager
def _alone(folders: Folders) -> Iterator[None]:
    """Let one run at a time start a daemon: the second one finds it running."""
    with (folders.state / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _start_first(
    usable: Sequence[Launcher],
    folders: Folders,
    environment: Mapping[str, str],
    settings: BuildkitdSettings | None,
    say: Callable[[str], None],
) -> Record:
    for launcher in usable:
        say(f"starting a private {launcher.kind} (stop it with: buildfile daemon stop)")
        if settings:
            say(described(settings))
        record = _launch(launcher, folders, environment, settings)
        if record:
            return record
    tail = "\n".join(folders.log.read_text(errors="replace").splitlines()[-_LOG_TAIL:])
    raise UnreachableError(
        f"the private {usable[-1].kind} did not start; the end of {folders.log}:\n{tail}",
        hint="name a running daemon with --daemon ADDR or BUILDKIT_HOST",
    )


def described(settings: BuildkitdSettings) -> str:
    """What settings say, in one line."""
    told = {
        "address": settings.addresses,
        "label": [f"{key}={value}" for key, value in settings.labels.items()],
        "platform": settings.platforms,
    }
    parts = (f"{key} {value}" for key, values in told.items() for value in values)
    return f"its settings: {', '.join((str(settings.path), *parts))}"


def stop(environment: Mapping[str, str]) -> bool:
    """Stop the private daemon and wait until it is gone; False where none was running."""
    folders = Folders.of(environment)
    known = status(environment)
    if not known.record or not known.alive:
        folders.record.unlink(missing_ok=True)
        return False
    _terminate(known.record)
    folders.record.unlink(missing_ok=True)
    folders.socket.unlink(missing_ok=True)
    return True


def status(environment: Mapping[str, str]) -> Status:
    """Tell whether a private daemon runs."""
    folders = Folders.of(environment)
    try:
        record = Record(**json.loads(folders.record.read_text()))
    except (OSError, ValueError, TypeError):
        record = None
    alive = record is not None and _ticks(record.pid) == record.started_ticks
    return Status(record=record, alive=alive, root=folders.state, log=folders.log)


def _launch(
    launcher: Launcher,
    folders: Folders,
    environment: Mapping[str, str],
    settings: BuildkitdSettings | None,
) -> Record | None:
    """Start one daemon and wait until its socket answers; None where it died."""
    folders.socket.unlink(missing_ok=True)
    with folders.log.open("ab") as log:
        process = subprocess.Popen(
            launcher.command(folders, settings),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=dict(environment),
        )
    answers = _pings if launcher.scheme == "docker" else _accepts
    try:
        ready = _wait(process, lambda: answers(folders.socket))
    except BaseException:  # interrupted: nobody would know of it
        _kill(process)
        raise
    if not ready:
        _kill(process)
        return None
    record = Record(
        kind=launcher.kind,
        pid=process.pid,
        address=f"{launcher.scheme}://{folders.socket}",
        started_ticks=_ticks(process.pid),
        settings=str(settings.path) if settings else "",
    )
    partial = folders.record.with_suffix(".partial")
    partial.write_text(json.dumps(asdict(record)))
    partial.replace(folders.record)
    _LEFT_RUNNING.append(process)
    return record


def _wait(process: subprocess.Popen[bytes], ready: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if ready():
            return True
        time.sleep(0.05)
    return False


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def _pings(path: Path) -> bool:
    """Whether an engine answers: it listens long before its networks and stores are made."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(START_SECONDS)
        try:
            probe.connect(str(path))
            probe.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return probe.recv(64).partition(b"\r\n")[0].endswith(b"200 OK")
        except OSError:
            return False


def _terminate(record: Record) -> None:
    """Ask the daemon to end, and make it end where it does not listen.

    Under ``unshare --fork`` the daemon is a child: it hears the signal, its parent goes with it.
    """
    for pid in _children(record.pid) or [record.pid]:
        _signal(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline and _ticks(record.pid) == record.started_ticks:
        time.sleep(0.05)
    if _ticks(record.pid) == record.started_ticks:
        _signal(record.pid, signal.SIGKILL)
    for child in [each for each in _LEFT_RUNNING if each.pid == record.pid]:
        child.wait()
        _LEFT_RUNNING.remove(child)


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _ticks(pid: int) -> int:
    """A process's start time in clock ticks since boot: with the pid it names one process.

    0 for a process that is gone or a zombie.
    """
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if after_name[0] == "Z" else int(after_name[19])


def _search_path(environment: Mapping[str, str]) -> str:
    """The PATH with the system folders that a user's shell may leave out."""
    return f"{environment.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"


_INSTALLERS = (
    ("apt-get", "apt-get install docker.io"),
    ("dnf", "dnf install moby-engine"),
    ("apk", "apk add buildkit"),
    ("pacman", "pacman -S buildkit"),
    ("zypper", "zypper install docker"),
)


def _what_to_install() -> str:
    install = next((line for tool, line in _INSTALLERS if shutil.which(tool)), None)
    if os.geteuid() != 0:
        with_root = f" (for example: sudo {install})" if install else ""
        return (
            "start Docker or buildkitd and make its socket yours to use"
            f"{with_root}, or install buildkitd and rootlesskit, or name a daemon with --daemon"
        )
    return f"{install or 'install buildkitd with runc, or dockerd'}, or name one with --daemon ADDR"
