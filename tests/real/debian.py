"""Programs out of Debian packages, unpacked beside the system and kept in the cache.

Nothing is installed and no maintainer script runs: apt works on a private state with the mirror
and the keyring of this machine, so that dockerd of a newer suite runs on an older system.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.real.cache import cache_folder
from tests.real.errors import UnavailableError

_APT_FOLDER = Path("/etc/apt")
_COMMAND_SECONDS = 120
_ONE_LINE = re.compile(
    r"deb\s+(?:\[(?P<options>.*?)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>.*)"
)


@dataclass(frozen=True, kw_only=True)
class Mirror:
    """A Debian archive: its address, and the keyring that signs it (empty: apt's own)."""

    uri: str
    keyring: str


def host_suite() -> str:
    """Return the code name of this Debian, such as ``bookworm``.

    Raises UnavailableError on any other system.
    """
    facts = dict(re.findall(r'^(\w+)="?([^"\n]*)', Path("/etc/os-release").read_text(), re.M))
    if facts.get("ID") != "debian" or not shutil.which("apt-get"):
        raise UnavailableError("needs Debian, whose packages the test daemons come from")
    return str(facts.get("VERSION_CODENAME", "sid"))


def unpack(suite: str, *packages: str) -> Path:
    """Return a folder that holds the files of ``packages`` of ``suite``, downloaded once.

    Raises UnavailableError if they cannot be downloaded.
    """
    target = cache_folder() / "debian" / suite / "+".join(packages)
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".new-") as work:
        fresh = Path(work, "root")
        for package in _download(suite, packages, Path(work)):
            _run(["dpkg-deb", "-x", str(package), str(fresh)], cwd=Path(work))
        try:
            fresh.rename(target)
        except OSError:  # another run was first; its files are as good
            if not target.is_dir():
                raise
    return target


def _download(suite: str, packages: tuple[str, ...], work: Path) -> list[Path]:
    apt = _private_apt(suite, work)
    _run([*apt, "update"], cwd=work)
    debs = work / "debs"
    debs.mkdir()
    _run([*apt, "download", *packages], cwd=debs)
    found = sorted(debs.glob("*.deb"))
    if len(found) != len(packages):
        raise UnavailableError(f"apt downloaded {len(found)} of {', '.join(packages)} of {suite}")
    return found


def _private_apt(suite: str, work: Path) -> list[str]:
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (work / folder).mkdir(parents=True)
    (work / "status").touch()
    mirror = _host_mirror()
    signed = f"[signed-by={mirror.keyring}] " if mirror.keyring else ""
    (work / "sources.list").write_text(f"deb {signed}{mirror.uri} {suite} main\n")
    options = {
        "Acquire::Retries": "5",
        "Acquire::http::Timeout": "15",
        "Acquire::https::Timeout": "15",
        "APT::Sandbox::User": "",
        "APT::Update::Error-Mode": "any",
        "Dir::State": str(work / "state"),
        "Dir::State::status": str(work / "status"),
        "Dir::Cache": str(work / "cache"),
        "Dir::Etc::SourceList": str(work / "sources.list"),
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::Etc::PreferencesParts": "/dev/null",
    }
    return ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items())]


def _run(command: list[str], *, cwd: Path) -> None:
    try:
        subprocess.run(
            ["setpriv", "--pdeathsig", "KILL", *command],
            cwd=cwd,
            env=os.environ | {"LC_ALL": "C.UTF-8"},
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_COMMAND_SECONDS,
        )
    except subprocess.CalledProcessError as error:
        last = error.stdout.strip().splitlines()[-3:]
        raise UnavailableError(f"{command[0]} failed: {' / '.join(last)}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnavailableError(str(error)) from error


def _host_mirror() -> Mirror:
    suite = host_suite()
    files = sorted(_APT_FOLDER.glob("sources.list.d/*.sources"))
    files += [_APT_FOLDER / "sources.list", *sorted(_APT_FOLDER.glob("sources.list.d/*.list"))]
    for file in files:
        if file.exists() and (mirror := find_mirror(file.read_text(), suite)):
            return mirror
    raise UnavailableError(f"apt's sources on this machine name no mirror for {suite} main")


def find_mirror(sources: str, suite: str) -> Mirror | None:
    """Return the first mirror of ``suite`` main in a file of apt's, in either of its formats."""
    for name, components, mirror in [*_one_line_sources(sources), *_deb822_sources(sources)]:
        if name == suite and "main" in components:
            return mirror
    return None


def _one_line_sources(text: str) -> Iterator[tuple[str, list[str], Mirror]]:
    for line in text.splitlines():
        if found := _ONE_LINE.match(line.strip()):
            keyring = re.search(r"signed-by=(\S+)", found["options"] or "")
            mirror = Mirror(uri=found["uri"], keyring=keyring[1] if keyring else "")
            yield found["suite"], found["components"].split(), mirror


def _deb822_sources(text: str) -> Iterator[tuple[str, list[str], Mirror]]:
    for stanza in re.split(r"\n\s*\n", text):
        fields = {
            key.lower(): value.split()
            for key, value in re.findall(r"^([\w-]+):[ \t]*(.*(?:\n[ \t]+.*)*)", stanza, re.M)
        }
        if "deb" not in fields.get("types", ()) or fields.get("enabled") == ["no"]:
            continue
        keyring = next((word for word in fields.get("signed-by", ()) if word.startswith("/")), "")
        for suite in fields.get("suites", ()):
            mirror = Mirror(uri=fields["uris"][0], keyring=keyring)
            yield suite, fields.get("components", []), mirror
